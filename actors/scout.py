"""Scout: an agent's read-only attempt: explore, and answer in words.

Rule: a scout's work is its report. What it may have written is secured like everybody's, and goes no further. How far
the runtime keeps it from writing is the runtime's to say; the worktree it gets is its own either way.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import FindingsReported, WorkRejected, WorkSecured
from ..projections import Board, agents, fact, happened
from . import attempts
from .command import Command, Said, Step
from .hands import Hands

NAME = "scout"
AT_ONCE = 4


class Report(Step, frozen=True):
    """Keep the scout's last word as the answer."""

    text: str
    cause: str


def due(board: Board, now: float) -> list[Command]:
    """The next step of every scout's attempt."""
    found = attempts.steps(board, "scout", now)
    for attempt in board[agents.State].ongoing():
        secured = fact(attempt.latest, WorkSecured)
        if attempt.assigned and attempt.assigned.role == "scout" and secured and not attempt.ended:
            session = attempt.sessions.get(attempts.session_name(attempt))
            text = session.exited.report if session and session.exited else ""
            found.append(Report(attempt.issue, attempt.number, text, happened(attempt.latest, WorkSecured)))
    return found


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    if not isinstance(command, Report):
        return attempts.perform(command, hands)
    if not command.text.strip():
        why = "unverified: the scout ended well but reported nothing"
        return [Said(command.issue, WorkRejected(attempt=command.attempt, reason=why), command.cause)]
    return [Said(command.issue, FindingsReported(attempt=command.attempt, text=command.text), command.cause)]


def refused(command: Command, error: SwarmError) -> list[Said]:
    """As for every attempt."""
    return attempts.refused(command, error)
