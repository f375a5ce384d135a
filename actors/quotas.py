"""What the Watchdog decides about providers that refuse for lack of quota. Rule: a refusal is told before its attempt
is called off, so that nothing is begun with that provider in between; and it is no failure of the attempt.
"""

from collections.abc import Iterator

from ..eventlog.events import AttemptCancelled, IssueHeld, QuotaExhausted, QuotaResumed, SessionExited
from ..eventlog.fact import Event
from ..eventlog.ids import time_of
from ..mailbox import waits
from ..projections import Board, agents, issues, quotas, runs
from . import nodes
from .command import Command, Decide

UNSAID, LONGEST = 900.0, 21_600.0
"""Seconds until the first try where the provider did not say when; twice as long each time, at most so long."""
MOST = 8
"""So often an issue is refused until a person is to look at it: it may be its script that looks so."""


def due(board: Board, _now: float) -> list[Command]:
    """What is to be said of providers: which refuse, and which answer again."""
    if board[runs.State].settings is None:
        return []
    return [*_refused(board), *_answered(board)]


def until(known: quotas.Provider, exited: Event[SessionExited]) -> float:
    """When the provider may be tried again. What it said counts; but whoever is refused again and again comes ever more
    seldom, whatever is said.
    """
    ended, times = time_of(exited.id), 2.0 ** min(len(known.probes), 16)
    said = exited.data.quota
    if said <= ended:
        return ended + min(UNSAID * times, LONGEST)
    return max(said, ended + min(times, UNSAID))


def _refused(board: Board) -> Iterator[Command]:
    """A refusal is told of its provider, and its attempt called off."""
    for attempt, exited in waits.refusals(board):
        name = waits.provider_of(attempt)
        known = board[quotas.State].find(name)
        again = until(known, exited)
        if waits.unsettled(board, attempt, exited):
            told = QuotaExhausted(until=again, reason=exited.data.why, session=exited.data.session)
            yield Decide(name, told, exited.id)
        if not attempt.ended:
            words = f"no quota at {name} until {quotas.clock(max(again, known.until), time_of(exited.id))}"
            yield Decide(attempt.issue, AttemptCancelled(attempt=attempt.number, reason=words), exited.id)
            yield from _given_up(board, attempt, exited)


def _given_up(board: Board, attempt: agents.Attempt, exited: Event[SessionExited]) -> Iterator[Command]:
    """An issue that is refused all the time is held."""
    issue = board[issues.State].all[attempt.issue]
    times = waits.refused(board, issue)
    if times >= MOST and not issue.mark and attempt.assigned and attempt.assigned.generation == issue.generation:
        reason = f"refused {times} times for lack of quota, the last time: {exited.data.why}"
        held = IssueHeld(generation=issue.generation, reason=reason, attempt=attempt.number)
        yield Decide(attempt.issue, held, exited.id)


def _answered(board: Board) -> Iterator[Command]:
    """A provider that did not refuse the one who tried has quota again."""
    settings = board[runs.State].settings
    for name, known in sorted(board[quotas.State].of.items()):
        attempt = waits.trial(board, known)
        ours = settings and attempt and attempt.assigned and nodes.is_ours(settings, attempt.assigned.node)
        if ours and attempt and waits.answered(attempt):
            told = QuotaResumed(session=attempt.name)
            yield Decide(name, told, known.newest)
