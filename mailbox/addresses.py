"""Addresses: `coordinator`, `merger`, `watchdog`, `human`, `agent-NAME`, `issue:ID`, `broadcast`, `@builders`,
`@scouts`.

Rule: an address that nobody can have is refused when it is written, never found out later. A letter to a group, or to
a named agent, reaches those who were at work when it was sent, and is dead once none of them can have it any more; one
to an issue waits for whoever works on it.
"""

import re
from collections.abc import Iterator

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.events import IssueAssigned
from ..projections import Board, agents, happened, issues

ACTORS = ("coordinator", "merger", "watchdog")
HUMAN = "human"
BROADCAST = "broadcast"
GROUPS = {"@builders": "builder", "@scouts": "scout"}
ALWAYS = (*ACTORS, HUMAN, BROADCAST, *GROUPS)
"""The addresses that exist in every repository, whatever its log says."""
KINDS = ("progress", "blocked", "help_request", "handoff", "event")
_NAME = re.compile("[a-z0-9](?:[a-z0-9_-]{0,46}[a-z0-9])?")


class Reader(msgspec.Struct, frozen=True):
    """Someone who reads mail: their own address, and for an agent at work its role, issue and since when (an event
    id).
    """

    address: str
    role: str = ""
    issue: str = ""
    since: str = ""


def address_of(source: str) -> str:
    """The address that belongs to an envelope's `source`: `agent/kim` is `agent-kim`, everybody else is their own."""
    return source.replace("/", "-", 1) if source.startswith("agent/") else source


def source_of(address: str) -> str:
    """The `source` under which that address writes: the other way round."""
    return address.replace("-", "/", 1) if address.startswith("agent-") else address


def agent_name(text: str) -> str:
    """The name in `NAME` or `agent-NAME`; raises UsageError if no agent can be called so (it names a branch too)."""
    name = text.removeprefix("agent-")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"no agent can be called {text!r}",
            "a name is 1 to 48 of a-z, 0-9, - and _, and begins and ends with a letter or a digit",
        )
    return name


def mailbox_of(text: str) -> str:
    """The address of one who writes and reads mail; raises UsageError for a group, an issue, or what is no address."""
    if text in (*ACTORS, HUMAN):
        return text
    if text.startswith("agent-"):
        return f"agent-{agent_name(text)}"
    raise UsageError(f"nobody writes or reads mail as {text!r}", f"known: {', '.join((*ACTORS, HUMAN, 'agent-NAME'))}")


def reader(board: Board, address: str) -> Reader:
    """The reader at that address, as the log knows them now."""
    attempt = board[agents.State].working(address.removeprefix("agent-")) if address.startswith("agent-") else None
    if attempt is None or attempt.assigned is None:
        return Reader(address)
    return Reader(address, attempt.assigned.role, attempt.issue, happened(attempt.latest, IssueAssigned))


def reaches(to: list[str], sender: str, letter_id: str, who: Reader) -> bool:
    """Whether a letter with these recipients is for that reader. Nobody gets their own broadcast."""
    recent = letter_id > who.since
    for address in to:
        if address == who.address and recent:
            return True
        if who.issue and address == f"issue:{who.issue}":
            return True
        everybody = address == BROADCAST and (who.role or who.address == HUMAN)
        group = bool(who.role) and GROUPS.get(address) == who.role
        if recent and (everybody or group) and address_of(sender) != who.address:
            return True
    return False


def shared(who: Reader) -> list[tuple[str, str]]:
    """Where an agent at work may have mail that others had before: (address, after which event it was sent)."""
    found = [(f"issue:{who.issue}", "")] if who.issue else []
    if who.role:
        found += [(address, who.since) for address in (BROADCAST, *GROUPS) if GROUPS.get(address, who.role) == who.role]
    return found


def check_recipient(board: Board, address: str) -> str:
    """The address, with an issue's id in full; raises UsageError with the known addresses if nobody can have it."""
    if address in ALWAYS:
        return address
    if address.startswith("issue:"):
        return f"issue:{issues.find(board[issues.State], address.removeprefix('issue:')).id}"
    known = [f"agent-{name}" for name in board[agents.State].names()]
    if address in known:
        return address
    everyone = [*ALWAYS, "issue:ID", *known]
    raise UsageError(f"nobody has the address {address!r}", f"known addresses: {', '.join(everyone)}")


def is_dead(board: Board, address: str, sender: str, letter_id: str) -> str:
    """Why that letter can no longer arrive there; empty if it can. An agent's next attempt does not get its last
    one's mail, and a group's later members do not get its earlier letters.
    """
    if address.startswith("agent-"):
        who = reader(board, address)
        if not who.role:
            return f"{address.removeprefix('agent-')} is not at work"
        return "" if letter_id > who.since else f"{address.removeprefix('agent-')} has begun other work since"
    if address.startswith("issue:"):
        board[issues.State].recall(address.removeprefix("issue:"))
        issue = board[issues.State].all.get(address.removeprefix("issue:"))
        return f"{issue.id} is done" if issue and issue.status == issues.DONE else ""
    if address == BROADCAST or address in GROUPS:
        reached = any(reaches([address], sender, letter_id, who) for who in _readers(board))
        return "" if reached else f"it reached no {GROUPS.get(address, 'agent')} who is at work"
    return ""


def _readers(board: Board) -> Iterator[Reader]:
    """The person, and each agent at work."""
    yield Reader(HUMAN)
    state = board[agents.State]
    for name in sorted({attempt.agent for attempt in state.live.values() if attempt.active}):
        yield reader(board, f"agent-{name}")
