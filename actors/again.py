"""Deciding again: what today's actors decide at each recorded decision, and the first that differs.

Rule: this is pure. A decision says what it was derived from: `seen`, the last id of each node, and `now`. So the board
of then is the fold of exactly those events, from the point of view of the node that decided, and `due` must give the
same facts in the same order. Only deciding is repeated: what the world answered is in the log.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.events import RunStarted, RunStopped
from ..eventlog.fact import Event, Unknown
from ..eventlog.lines import Bad
from ..mailbox.excerpt import excerpt
from ..projections import Board
from . import builder, coordinator, merger, reasons, scout, watchdog
from .command import Command, Decide, Step
from .reasons import Decider

DECIDERS: Mapping[str, Decider] = {actor.NAME: actor for actor in (coordinator, scout, builder, merger, watchdog)}

Lines = Callable[[str], Iterator[Event[Any] | Bad]]
"""Node -> what stands in its files, in order; asked anew, from the beginning."""


class Difference(msgspec.Struct):
    """Where today's code decides otherwise. `events` are what was decided at once, `today` what is decided now, and
    `number` (from 0) is the first of them that differs; `error` is set if the actor raised instead.

    `lost`: (node, id) that it had seen and the log has not. `state` and `reason` are lines for people; `due` names
    everything that the actor has to do now about the same subject.
    """

    node: str
    events: list[Event[Any]]
    today: list[Decide]
    number: int
    error: str
    lost: list[tuple[str, str]]
    state: list[str]
    reason: list[str]
    due: list[str]

    @property
    def event(self) -> Event[Any]:
        """The recorded decision that differs; the last one if today's code decides more."""
        return self.events[min(self.number, len(self.events) - 1)]

    @property
    def recorded(self) -> Decide | None:
        """What was decided then; None if nothing was any more."""
        return decision(self.events[self.number]) if self.number < len(self.events) else None

    @property
    def decided(self) -> Decide | None:
        """What is decided today; None if nothing is any more."""
        return self.today[self.number] if self.number < len(self.today) else None


class Verdict(msgspec.Struct):
    """What came of it: how many decisions agree, by actor; what could not be asked; the first difference, if any."""

    actors: dict[str, int] = {}
    notes: list[str] = []
    difference: Difference | None = None

    @property
    def decisions(self) -> int:
        """How many agree."""
        return sum(self.actors.values())


def decision(event: Event[Any]) -> Decide:
    """A recorded decision as the command it was."""
    return Decide(event.subject, event.data, event.causationid)


def decide_again(
    nodes: Iterable[str], lines: Lines, after: str = "", actors: Mapping[str, Decider] = DECIDERS
) -> Verdict:
    """Ask the actors at every decision of those nodes that sorts after the event `after`. Each node is gone through up
    to its first difference; the verdict's is the first of all.
    """
    verdict = Verdict()
    found = [_ask_node(node, lines, after, actors, verdict) for node in nodes]
    verdict.difference = min((d for d in found if d), key=lambda d: d.events[0].id, default=None)
    return verdict


def _ask_node(
    node: str, lines: Lines, after: str, actors: Mapping[str, Decider], verdict: Verdict
) -> Difference | None:
    past, known, strangers = _Past(node, lines), set[str](), dict[str, int]()
    found = None
    for events, torn in _decisions(lines(node)):
        first = events[0]
        if first.id in known or first.id <= after:
            continue
        known.add(first.id)
        if first.source not in actors:
            strangers[first.source] = strangers.get(first.source, 0) + len(events)
            continue
        found = _ask(actors[first.source], past, events, torn)
        if found:
            break
        verdict.actors[first.source] = verdict.actors.get(first.source, 0) + len(events)
    verdict.notes += [f"{n} decisions of {name} on {node}: no such actor today" for name, n in strangers.items()]
    verdict.notes += [f"of {node}'s decisions, some had seen {id_} of {who}: not in the log" for who, id_ in past.lost]
    return found


def _decisions(lines: Iterable[Event[Any] | Bad]) -> Iterator[tuple[list[Event[Any]], bool]]:
    """What was decided at once, and whether it was perhaps more: its writer was killed over it. Then a torn line
    follows, or its run neither decides again nor stops.

    They stand one after the other, written in one go; the next answer of an actor has seen them.
    """
    batch, whole = list[Event[Any]](), False
    for line in lines:
        if isinstance(line, Bad):
            if batch and not whole:
                yield batch, True
                batch = []
            continue
        started = isinstance(line.data, RunStarted)
        if batch and (whole or _origin(line) != _origin(batch[0])):
            whole = True
            if line.seen or started or isinstance(line.data, RunStopped):
                yield batch, started
                batch = []
        if line.seen:
            batch, whole = [*batch, line], False
    if batch:
        yield batch, True


def _origin(event: Event[Any]) -> tuple[str, dict[str, str]]:
    return event.source, event.seen


def _ask(actor: Decider, past: "_Past", events: list[Event[Any]], torn: bool) -> Difference | None:
    lost = len(past.lost)
    board, now = past.at(events[0].seen), events[0].now
    commands: list[Command] = []
    error = ""
    try:
        commands = actor.due(board, now)
    except Exception as raised:  # noqa: BLE001  # that it raises is what differs
        error = f"{type(raised).__name__}: {raised}"
    today = [command for command in commands if isinstance(command, Decide)]
    recorded = [decision(event) for event in events]
    if not error and (recorded == today or (torn and recorded == today[: len(recorded)])):
        return None
    pairs = zip(recorded, today, strict=False)
    number = next((n for n, (then, now_) in enumerate(pairs) if then != now_), min(len(recorded), len(today)))
    found = Difference(past.node, events, today, number, error, past.lost[lost:], [], [], [])
    about = [name for one in (found.recorded, found.decided) if one for name in _about(one)]
    found.state = excerpt(board, about)
    found.due = [_name(command) for command in commands if about and _subject(command) == about[0]]
    found.reason = _reason(actor, board, now, found)
    return found


def _about(one: Decide) -> list[str]:
    """The ids that a decision is about: its subject, what led to it, and what its fact names."""
    named = [getattr(one.fact, field, "") for field in ("issue", "letter", "reply_to")]
    return [one.subject, one.cause, *(name for name in named if name)]


def _subject(command: Command) -> str:
    match command:
        case Decide(subject=subject) | Step(issue=subject):
            return subject
    return str(getattr(command, "issue", ""))


def _name(command: Command) -> str:
    return command.fact.type if isinstance(command, Decide) else type(command).__name__


def _reason(actor: Decider, board: Board, now: float, found: Difference) -> list[str]:
    """Why today's code decides as it does: which rule made it, or that none of those that could did."""
    if found.error:
        return [f"today's {actor.NAME} raises {found.error}"]
    then, today, reason = found.recorded, found.decided, list[str]()
    if today:
        rule = reasons.made_by(actor, board, now, today) or "`due`, which answers otherwise when it is asked again"
        reason.append(f"today's comes from {rule}")
    if then and then not in found.today and not (today and type(today.fact) is type(then.fact)):
        places = [] if isinstance(then.fact, Unknown) else reasons.may_make(actor, type(then.fact))
        reason.append(f"today's {actor.NAME} does not find the recorded one due")
        reason += [f"it decides such in {place}" for place in places]
    if then and then in found.today:
        reason.append("the recorded one is decided today too, but not in this place")
    return reason


class _Past:
    """The board of one node's point of view, as of one decision after the other. `lost`: (node, id) that a decision had
    seen and that the log has not.
    """

    def __init__(self, node: str, lines: Lines) -> None:
        self.node, self._lines = node, lines
        self.lost: list[tuple[str, str]] = []
        self._begin()

    def _begin(self) -> None:
        self._board = Board(here=self.node)
        self._readers: dict[str, Iterator[Event[Any] | Bad]] = {}
        self._seen: dict[str, str] = {}

    def at(self, seen: Mapping[str, str]) -> Board:
        """The board after exactly what was seen. What was seen grows; where it does not, the fold begins again."""
        if any(seen.get(author, "") < last for author, last in self._seen.items()):
            self._begin()
        for author, last in seen.items():
            if self._seen.get(author) != last:
                self._fold(author, last)
                self._seen[author] = last
        return self._board

    def _fold(self, author: str, last: str) -> None:
        """Fold what that node wrote, up to and including that event, and nothing that sorts after it."""
        reader = self._readers.get(author) or self._lines(author)
        for line in reader:
            if isinstance(line, Bad):
                continue
            if line.id > last:
                self._readers[author] = chain([line], reader)
                break
            self._board.apply(line)
            if line.id == last:
                self._readers[author] = reader
                return
        else:
            self._readers[author] = reader
        self.lost.append((author, last))
