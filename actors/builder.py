"""Builder: an agent's read-write attempt in its own worktree: prepare, run, secure the work, test that exact commit.

Rule: the orchestrator, not the agent, says that work is done: commits exist, and the gate passed on that very commit.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import GateFinished, WorkRejected, WorkSecured, WorktreePrepared
from ..projections import Board, agents, fact, happened, runs
from . import attempts, gates
from .command import Command, Said, Step
from .hands import Hands

NAME = "builder"
AT_ONCE = 4


class RejectEmpty(Step, frozen=True):
    """The agent says it is done and there is nothing: that is not done."""

    cause: str


class SkipGate(Step, frozen=True):
    """No test command is set."""

    commit: str
    cause: str


class StartGate(Step, frozen=True):
    """Test the attempt's own commit in its own worktree."""

    session: str
    path: str
    commit: str
    test: str
    cause: str


class JudgeGate(Step, frozen=True):
    """Say what the ended gate means."""

    commit: str
    test: str
    said: gates.Verdict
    cause: str


def due(board: Board, _now: float) -> list[Command]:
    """The next step of every builder's attempt."""
    found = attempts.steps(board, "builder")
    settings = board[runs.State].settings
    for attempt in board[agents.State].ongoing():
        secured = fact(attempt.latest, WorkSecured)
        judged = attempt.ended or fact(attempt.latest, GateFinished)
        if attempt.assigned and attempt.assigned.role == "builder" and secured and settings and not judged:
            step = _gate(board, attempt, secured, settings.test)
            if step:
                found.append(step)
    return found


def _gate(board: Board, attempt: agents.Attempt, secured: WorkSecured, test: str) -> Command | None:
    where, cause = (attempt.issue, attempt.number), happened(attempt.latest, WorkSecured)
    if not secured.commits:
        return RejectEmpty(*where, cause)
    if not test:
        return SkipGate(*where, secured.commit, cause)
    name, session = gates.newest(attempt, f"{attempt.name}-gate")
    prepared = fact(attempt.latest, WorktreePrepared)
    if session is None:
        if board[runs.State].ending:
            return None
        return StartGate(*where, name, prepared.path if prepared else "", secured.commit, test, cause)
    if session.over:
        return JudgeGate(*where, secured.commit, test, gates.verdict(session), cause)
    return None


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    match command:
        case RejectEmpty():
            why = "unverified: the agent ended well but left no commit and no change"
            return [Said(command.issue, WorkRejected(attempt=command.attempt, reason=why), command.cause)]
        case SkipGate():
            passed = GateFinished(attempt=command.attempt, commit=command.commit, verdict=gates.NONE)
            return [Said(command.issue, passed, command.cause)]
        case StartGate():
            return _start(command, hands)
        case JudgeGate():
            return _judge(command)
    return attempts.perform(command, hands)


def _start(command: StartGate, hands: Hands) -> list[Said]:
    path = f"{hands.root}/{command.path}"
    if not hands.sessions.running(command.session):  # else it was started before a crash, and works in there
        path = hands.repository.gate(command.path, command.commit, keep_ignored=True)
    gate = gates.spec(hands, command.test, command.session, command.issue, command.attempt, "gate", path, command.cause)
    return [gates.start(hands, gate)]


def _judge(command: JudgeGate) -> list[Said]:
    finished = GateFinished(
        attempt=command.attempt,
        commit=command.commit,
        verdict=command.said.word,
        command=command.test,
        code=command.said.code,
        output=command.said.output,
    )
    said = [Said(command.issue, finished, command.cause)]
    if command.said.word != gates.PASSED:
        final = command.said.word == gates.BROKEN
        why = WorkRejected(attempt=command.attempt, reason=command.said.why, detail=command.said.output, final=final)
        said.insert(0, Said(command.issue, why, command.cause))  # first: if a kill cuts the write, this alone is enough
    return said


def refused(command: Command, error: SwarmError) -> list[Said]:
    """What cannot be tested cannot go on."""
    if isinstance(command, StartGate):
        rejected = WorkRejected(attempt=command.attempt, reason=attempts.words(error), detail=error.hint, final=True)
        return [Said(command.issue, rejected, command.cause)]
    return attempts.refused(command, error)
