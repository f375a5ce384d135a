"""Coordinator: gives ready issues to agents within the limits, closes what landed, calls off what is no longer wanted.

Rule: it only decides. Every choice follows from the board alone, so a replay makes the same ones.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    AttemptCancelled,
    FindingsReported,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueReopened,
    IssueTaken,
    MailAcked,
    MailSent,
    MergeLanded,
    RunStarted,
)
from ..eventlog.fact import Fact
from ..mailbox import addresses, letters
from ..projections import Board, agents, fact, happened, issues, mail, runs
from .command import Command, Decide, Said
from .hands import Hands

NAME = "coordinator"
AT_ONCE = 1


def due(board: Board, _now: float) -> list[Command]:
    """Assignments, closings, cancellations, and mail to the coordinator."""
    return [*_close(board), *_cancel(board), *_assign(board), *_mail(board)]


def perform(command: Command, _hands: Hands) -> list[Said]:
    """Nothing to do: it only decides."""
    raise TypeError(f"the coordinator has no hands for {command}")


def _assign(board: Board) -> list[Command]:
    run = board[runs.State].current
    if run is None or run.started is None or run.stopping:
        return []
    everyone = board[agents.State].ongoing()
    busy = [attempt for attempt in everyone if attempt.active or _runs(attempt)]
    if sum(attempt.testing for attempt in everyone) >= run.started.max_agents:
        return []  # the tests do not keep up: more work would only pile up before them
    free = run.started.max_agents - len(busy)
    taken = {attempt.agent for attempt in busy}
    found: list[Command] = []
    for issue in board[issues.State].ready():
        if free <= 0:
            break
        agent = _agent(issue, taken)
        if agent:
            taken.add(agent)
            free -= 1
            found.append(_assignment(issue, agent, run.started))
    return found


def _runs(attempt: agents.Attempt) -> bool:
    """Whether its agent is still there, wanted or not."""
    return any(session.kind == "agent" and not session.over for session in attempt.sessions.values())


def _agent(issue: issues.Issue, taken: set[str]) -> str:
    """The free name with the smallest number, or the one a person chose; empty if that one is at work."""
    chosen = fact(issue.latest, IssueDelegated)
    if chosen:
        return "" if chosen.agent in taken else chosen.agent
    role = issue.opened.role if issue.opened else "builder"
    number = 1
    while f"{role}-{number}" in taken:
        number += 1
    return f"{role}-{number}"


def _assignment(issue: issues.Issue, agent: str, settings: RunStarted) -> Decide:
    opened = issue.opened
    assigned = IssueAssigned(
        attempt=max(issue.attempts, default=0) + 1,
        generation=issue.generation,
        agent=agent,
        role=opened.role if opened else "builder",
        runtime=(opened.runtime if opened else "") or settings.runtime,
        model=(opened.model if opened else "") or settings.model,
    )
    return Decide(issue.id, assigned, issue.generation)


def _close(board: Board) -> list[Command]:
    found: list[Command] = []
    for issue in _by_id(board):
        current = issue.current
        if issue.mark or current is None:
            continue
        attempt = board[agents.State].attempts[issue.id, current.number]
        landed, answered = attempt.latest.get(MergeLanded), attempt.latest.get(FindingsReported)
        if landed:
            closed = IssueClosed(generation=issue.generation, reason="landed", commit=landed.data.commit)
            found.append(Decide(issue.id, closed, landed.id))
        elif answered:
            found.append(Decide(issue.id, IssueClosed(generation=issue.generation, reason="answered"), answered.id))
    return found


def _cancel(board: Board) -> list[Command]:
    found: list[Command] = []
    for attempt in board[agents.State].ongoing():
        issue = board[issues.State].all[attempt.issue]
        if attempt.ended or attempt.assigned is None:
            continue
        why, cause = _unwanted(issue, attempt.assigned)
        if why:
            found.append(Decide(issue.id, AttemptCancelled(attempt=attempt.number, reason=why), cause))
    return found


def _unwanted(issue: issues.Issue, assigned: IssueAssigned) -> tuple[str, str]:
    """Why an attempt need not go on, and the event that made it so; empty if it is still wanted."""
    if assigned.generation != issue.generation:
        return "the issue was reopened meanwhile", happened(issue.latest, IssueReopened)
    words: dict[type[Fact], str] = {IssueClosed: "closed", IssueHeld: "held", IssueTaken: "taken by a person"}
    if issue.mark:
        return f"the issue was {words[type(issue.mark.data)]} meanwhile", issue.mark.id
    return "", ""


def _by_id(board: Board) -> list[issues.Issue]:
    return sorted(board[issues.State].live.values(), key=lambda issue: issue.id)


def _mail(board: Board) -> list[Command]:
    """What an agent cannot go on without is passed to the person; the rest is taken note of."""
    return [command for letter in letters.waiting_for(board, NAME) for command in _answer(letter)]


def _answer(letter: mail.Letter) -> list[Command]:
    noted: Command = Decide(letter.id, MailAcked(letter=letter.id, reader=NAME), letter.id)
    sent = letter.sent.data if letter.sent else None
    if letter.sent is None or sent is None or sent.kind not in ("blocked", "help_request"):
        return [noted]
    sender = addresses.address_of(letter.sent.source)
    word = "is blocked" if sent.kind == "blocked" else "asks for help"
    body = (
        f"{sender} {word}:\n\n{sent.body}\n\nAnswer: swarm mail send --to {sender} --reply-to {letter.id} --body TEXT"
    )
    passed = MailSent(to=[addresses.HUMAN], body=body, kind=sent.kind, priority=1, issue=sent.issue, reply_to=letter.id)
    return [noted, Decide(sent.issue, passed, letter.id)]


def refused(_command: Command, error: SwarmError) -> list[Said]:
    """It asks nothing of the world."""
    raise error
