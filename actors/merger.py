"""Merger: stack what waits on the target, test exactly that tree, land exactly that commit; of what fails, find the
culprit by halves.

Rule: the target only moves to a commit whose own tree passed every gate, by compare-and-swap from the very tip it was
stacked on. Up to `parallel` batches are tested side by side: each on top of the one before, or, while something fails,
each by itself. A person's checkout is only ever fast-forwarded, by git itself.

queue.py       who is in a batch
records.py     what is known of those that were tested and did not land
line.py        which batches there are, and what is next for each
stacks.py      what the tests of a batch mean
landing.py     doing it
validation.py  after it landed
"""

from collections.abc import Iterator

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    BatchDissolved,
    GateFinished,
    MailAcked,
    MergeQueued,
    SessionKillRequested,
    WorktreePrepared,
)
from ..mailbox import letters
from ..projections import Board, agents, batches, fact, happened, runs
from . import gates, landing, line, nodes, stacks, validation
from .command import Command, Decide, Said
from .hands import Hands

NAME = "merger"
AT_ONCE = 4


def due(board: Board, now: float) -> list[Command]:
    """What passed its gates is queued; what no longer stands is dissolved or parted; then each batch's next step."""
    settings = board[runs.State].settings
    found: list[Command] = [*_enqueue(board), *_unwanted(board)]
    noted = [letter for letter in letters.waiting_for(board, NAME) if nodes.sees_to(settings, letter.id)]
    found += [Decide(letter.id, MailAcked(letter=letter.id, reader=NAME), letter.id) for letter in noted]
    if settings is None:
        return found
    now_open = line.Line(board, settings, now)
    return [*found, *(list(now_open.changes()) or now_open.steps())]


def _enqueue(board: Board) -> Iterator[Decide]:
    """An attempt that passed its gates, or has none, is queued once, unless it has ended."""
    settings = board[runs.State].settings
    for attempt in board[agents.State].ongoing() if settings else ():
        if settings is None or attempt.ended or happened(attempt.latest, MergeQueued):
            continue
        prepared, commit = fact(attempt.latest, WorktreePrepared), gates.passed(attempt, settings)
        if prepared and commit:
            queued = MergeQueued(attempt=attempt.number, branch=prepared.branch, commit=commit)
            yield Decide(attempt.issue, queued, happened(attempt.latest, GateFinished))


def _unwanted(board: Board) -> Iterator[Decide]:
    """The test of a batch of which nothing more comes is ended."""
    for session in board[agents.State].sessions():
        batch = board[batches.State].all.get(stacks.batch_of(session.id))
        if session.kind == "landing" and not session.killed and not (batch and batch.open):
            reason = "nothing more comes of what it tests"
            wish = SessionKillRequested(session=session.id, attempt=session.attempt, reason=reason)
            cause = happened(batch.latest, BatchDissolved) if batch else ""
            yield Decide(session.issue, wish, cause or min(event.id for event in session.latest.values()))


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    if isinstance(command, validation.Start | validation.JudgeValidation | validation.Revert):
        return validation.perform(command, hands)
    return landing.perform(command, hands)


def refused(command: Command, error: SwarmError) -> list[Said]:
    """The world would not, for a reason of its own."""
    if isinstance(command, validation.Start | validation.JudgeValidation | validation.Revert):
        return validation.refused(command, error)
    return landing.refused(command, error)
