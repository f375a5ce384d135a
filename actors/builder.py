"""Builder: an agent's read-write attempt in its own worktree: prepare, run, secure the work, test that exact commit.

Rule: the orchestrator, not the agent, says that work is done: commits exist, and all gates passed on that very commit.
A gate that could not judge says nothing about the work, unless without that it can: else it is secured, and waits.
"""

from contextlib import suppress

from ..eventlog.errors import SwarmError
from ..eventlog.events import Gate, GateControlled, GateFinished, WorkRejected, WorkSecured, WorktreePrepared
from ..eventlog.fact import Event
from ..projections import Board, agents, fact, happened, runs
from . import attempts, gates
from .command import Command, Said, Step, words
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
    """Test the attempt's own commit in its own worktree; or, as a control, the one that it was begun from."""

    session: str
    path: str
    commit: str
    gate: Gate
    cause: str
    port: int = 0


class JudgeGate(Step, frozen=True):
    """Say what the ended gate means. `blame`: if it could not judge, that is the work's fault."""

    commit: str
    gate: Gate
    said: gates.Verdict
    cause: str
    blame: bool = False


class JudgeControl(Step, frozen=True):
    """The gate could not judge `commit`, and was run on `base` instead: say whether it can judge that. The worktree at
    `path` gets the work again.
    """

    path: str
    commit: str
    base: str
    gate: Gate
    said: gates.Verdict
    cause: str


def due(board: Board, now: float) -> list[Command]:
    """The next step of every builder's attempt."""
    found = attempts.steps(board, "builder", now)
    run = board[runs.State].current
    for attempt in board[agents.State].ongoing() if run else ():
        secured = fact(attempt.latest, WorkSecured)
        if run and attempt.assigned and attempt.assigned.role == "builder" and secured and not attempt.ended:
            step = _gates(run, attempt, secured)
            if step:
                found.append(step)
    return found


def _gates(run: runs.Run, attempt: agents.Attempt, secured: WorkSecured) -> Command | None:
    """The first gate that has not passed yet is next."""
    where, cause = (attempt.issue, attempt.number), happened(attempt.latest, WorkSecured)
    if not secured.commits:
        return RejectEmpty(*where, cause)
    if run.started is None or gates.passed(attempt, run.started):
        return None
    for gate in gates.chosen(run.started, "attempt"):
        said = attempt.gates.get((gate.name, secured.commit))
        if said is None or said.data.verdict not in agents.GOOD:
            return _gate(run, attempt, secured, gate, said)
    return SkipGate(*where, secured.commit, cause)


def _gate(
    run: runs.Run, attempt: agents.Attempt, secured: WorkSecured, gate: Gate, said: Event[GateFinished] | None
) -> Command | None:
    where, cause = (attempt.issue, attempt.number), happened(attempt.latest, WorkSecured)
    stem = gates.stem(attempt, gate.name)
    name, session = gates.newest(attempt, stem, said.id if said else "")
    if session is None:
        known = happened(attempt.latest, GateControlled)
        if said and gates.broken(attempt, stem, known, gate.command) >= gates.TRIES:
            return _control(run, attempt, secured, gate, said)
        return _begin(run, attempt, name, secured.commit, gate)
    if session.over:
        judged = gates.verdict(session, gate.command)
        return JudgeGate(*where, secured.commit, gate, judged, cause, _is_to_blame(run, attempt, gate, said))
    return None


def _is_to_blame(run: runs.Run, attempt: agents.Attempt, gate: Gate, said: Event[GateFinished] | None) -> bool:
    """Whether the gate could not judge the work just before it could judge what that was begun from. In another run
    that says nothing: the gate may have been mended, or broken, between the two.
    """
    control, known = fact(attempt.latest, GateControlled), happened(attempt.latest, GateControlled)
    if control is None or (control.gate, control.command) != (gate.name, gate.command):
        return False
    before = said is not None and said.data.verdict == gates.BROKEN and run.began < said.id < known
    return before and control.verdict != gates.BROKEN


def _control(
    run: runs.Run, attempt: agents.Attempt, secured: WorkSecured, gate: Gate, said: Event[GateFinished]
) -> Command | None:
    """The gate cannot judge the work: can it judge what that was begun from?"""
    stem = gates.stem_of_control(attempt, gate.name)
    name, session = gates.newest(attempt, stem, happened(attempt.latest, GateControlled))
    if session is None:
        return _begin(run, attempt, name, secured.base, gate)
    if not session.over:
        return None
    prepared, found = fact(attempt.latest, WorktreePrepared), gates.verdict(session, gate.command)
    where = (attempt.issue, attempt.number, prepared.path if prepared else "", secured.commit, secured.base)
    return JudgeControl(*where, gate, found, said.id)


def _begin(run: runs.Run, attempt: agents.Attempt, name: str, commit: str, gate: Gate) -> StartGate | None:
    prepared, cause = fact(attempt.latest, WorktreePrepared), happened(attempt.latest, WorkSecured)
    if run.held or run.ending:
        return None
    path, port = (prepared.path, prepared.port) if prepared else ("", 0)
    return StartGate(attempt.issue, attempt.number, name, path, commit, gate, cause, port)


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
        case JudgeControl():
            return _judge_control(command, hands)
    return attempts.perform(command, hands)


def _start(command: StartGate, hands: Hands) -> list[Said]:
    path = f"{hands.root}/{command.path}"
    if not hands.sessions.running(command.session):  # else it was started before a crash, and works in there
        path = hands.repository.gate(command.path, command.commit, keep_ignored=True)
    gate = gates.spec(
        hands,
        command.gate.command,
        command.session,
        command.issue,
        command.attempt,
        "gate",
        path,
        command.cause,
        command.gate.timeout,
    )
    return [gates.start(hands, gate, command.port)]


def _judge(command: JudgeGate) -> list[Said]:
    """What it means goes first: if a kill cuts the write, this alone is enough."""
    verdict = command.said
    finished = GateFinished(
        attempt=command.attempt,
        commit=command.commit,
        verdict=verdict.word,
        command=command.gate.command,
        code=verdict.code,
        output=verdict.output,
        gate=command.gate.name,
        why=verdict.why if verdict.word == gates.BROKEN else "",
    )
    said = [Said(command.issue, finished, command.cause)]
    if verdict.word == gates.FAILED or (verdict.word == gates.BROKEN and command.blame):
        why = verdict.why if verdict.word == gates.FAILED else gates.blamed(verdict.why)
        rejected = WorkRejected(attempt=command.attempt, reason=why, detail=verdict.output)
        said.insert(0, Said(command.issue, rejected, command.cause))
    return said


def _judge_control(command: JudgeControl, hands: Hands) -> list[Said]:
    """Here too: what it means goes first."""
    with suppress(SwarmError):  # it is for who looks into it: the work is secured
        hands.repository.gate(command.path, command.commit, keep_ignored=True)
    gate, verdict = command.gate, command.said
    told = gates.controlled(command.base, gate.name, gate.command, verdict, command.attempt)
    said = [Said(command.issue, told, command.cause)]
    if verdict.word == gates.BROKEN:
        said.insert(0, Said(hands.run, gates.hold(command.issue, gate.command, verdict), command.cause))
    return said


def refused(command: Command, error: SwarmError) -> list[Said]:
    """What cannot be tested cannot go on."""
    if isinstance(command, StartGate):
        rejected = WorkRejected(attempt=command.attempt, reason=words(error), detail=error.hint, final=True)
        return [Said(command.issue, rejected, command.cause)]
    return attempts.refused(command, error)
