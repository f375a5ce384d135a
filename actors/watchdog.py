"""Watchdog: looks after sessions that are gone, silent (liveness.py) or unwanted, decides on another try (retries.py),
keeps accounts and budgets, sees that alerts are given on, returns dead letters.

Rule: liveness is the process itself (boot id, pid, start time) and what the agent prints; never an event about it.
Waiting is not death: a session lives as long as its host does.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import MailAcked, SessionKillRequested, SessionLost, UsageReported
from ..eventlog.ids import time_of
from ..mailbox import letters
from ..projections import Board, agents, happened, mail, runs
from ..world import Spend
from . import alerts, budgets, liveness, nodes, quotas, retries
from .command import Command, Decide, Said
from .hands import Hands

NAME = "watchdog"
AT_ONCE = 2
START_GRACE = 20.0
"""Seconds within which a requested session must be taken by a host."""


class Probe(Command, frozen=True):
    """See whether a session that has not ended is really there. Not `ripe`: its host may only just begin."""

    issue: str
    attempt: int
    session: str
    ripe: bool
    cause: str


class Kill(Command, frozen=True):
    """End a session that somebody wants ended."""

    session: str


class ReadSpend(Command, frozen=True):
    """Take over what the LLM proxy has written down."""

    known: tuple[tuple[str, str, int], ...]


def due(board: Board, now: float) -> list[Command]:
    """Providers without quota, retries, silent, unwanted and lost sessions, accounts, budgets, alerts, dead letters."""
    return [
        *quotas.due(board, now),
        *retries.due(board, now),
        *liveness.due(board, now),
        *_sessions(board, now),
        *_spend(board),
        *budgets.due(board, now),
        *alerts.due(board, now),
        *_mail(board),
    ]


# --- sessions -------------------------------------------------------------------------------------


def _sessions(board: Board, now: float) -> list[Command]:
    found: list[Command] = []
    for session in board[agents.State].sessions():
        if session.killed:
            found.append(Kill(session.id))
        first = min(event.id for event in session.latest.values())
        ripe = session.started is not None or now - time_of(first) > START_GRACE
        cause = max(first, happened(session.latest, SessionKillRequested))
        found.append(Probe(session.issue, session.attempt, session.id, ripe, cause))
    return found


def _spend(board: Board) -> list[Command]:
    settings = board[runs.State].settings
    if settings is None or not settings.spend_log:
        return []
    attempts = board[agents.State].attempts.values()
    known = [
        (session.id, session.issue, session.attempt)
        for attempt in attempts
        if attempt.assigned is None or nodes.is_ours(settings, attempt.assigned.node)
        for session in attempt.sessions.values()
        if session.kind == "agent"
    ]
    return [ReadSpend(tuple(sorted(known)))] if known else []


# --- letters --------------------------------------------------------------------------------------


def _mail(board: Board) -> list[Command]:
    """Letters to the watchdog are taken note of; what can reach nobody is called dead, and its sender is told."""
    found: list[Command] = []
    settings = board[runs.State].settings
    for letter in letters.waiting_for(board, NAME):
        if nodes.sees_to(settings, letter.id):
            found.append(Decide(letter.id, MailAcked(letter=letter.id, reader=NAME), letter.id))
    for letter in sorted(board[mail.State].unsettled.values(), key=lambda one: one.id):
        if not nodes.sees_to(settings, letter.id):
            continue
        for dead in letters.undeliverable(board, letter):
            theirs = letter.sent if letter.sent and letter.sent.source != NAME else None
            notice = letters.notices(dead, theirs.data, theirs.source) if theirs else None
            if notice:  # first: a kill may cut it: rather twice than never
                found.append(Decide(notice.issue, notice, letter.id))
            found.append(Decide(letter.id, dead, letter.id))
    return found


# --- doing it -------------------------------------------------------------------------------------


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    match command:
        case Probe():
            return _probe(command, hands)
        case Kill():
            hands.sessions.kill(command.session)
            return []
        case liveness.Interrupt():
            liveness.perform(command, hands)
            return []
        case ReadSpend():
            where = {session: (issue, attempt) for session, issue, attempt in command.known}
            totals = hands.spend.totals() if hands.spend else []
            return [_usage(total, *where[total.session]) for total in totals if total.session in where]
        case budgets.NoteSpend():
            return budgets.perform(command, hands)
        case alerts.SendAlert():
            return alerts.perform(command, hands)
    raise TypeError(f"the watchdog has no hands for {command}")


def _probe(command: Probe, hands: Hands) -> list[Said]:
    if hands.sessions.running(command.session) or hands.sessions.settle(command.session):
        return []
    if not command.ripe:
        return []
    hands.sessions.kill(command.session)
    why = "no host runs it, and it left no exit record"
    lost = SessionLost(session=command.session, attempt=command.attempt, reason=why)
    return [Said(command.issue, lost, command.cause)]


def _usage(total: Spend, issue: str, attempt: int) -> Said:
    return Said(
        issue,
        UsageReported(
            session=total.session,
            attempt=attempt,
            model=total.model,
            origin="proxy",
            calls=total.calls,
            input_tokens=total.input_tokens,
            output_tokens=total.output_tokens,
            cached_tokens=total.cached_tokens,
            cost=total.cost,
        ),
    )


def refused(_command: Command, _error: SwarmError) -> list[Said]:
    """Looking failed: look again later."""
    return []
