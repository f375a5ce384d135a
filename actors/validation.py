"""After a landing: a command of the person's judges the target, and what it does not accept is taken out again.

Rule: the last landing alone is looked at, on the very commit that landed, and nothing more lands before its verdict.
Whether it is validated at all, and how, was decided by the settings of the run in which it landed; only where that
could not judge, another command counts that a person names since.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    BatchDissolved,
    BatchTested,
    Gate,
    GateControlled,
    IssueHeld,
    IssueReopened,
    MergePolicy,
    MergeReverted,
    QueueHeld,
    RunStarted,
    ValidationFinished,
)
from ..eventlog.ids import time_of
from ..projections import Board, agents, batches, happened, issues, merges, runs
from ..world import Conflict, Landed, Refused
from . import gates, retries, stacks, workspace
from .attempts import WORKTREES
from .command import Command, Said, words
from .hands import Hands

GOOD = (gates.PASSED, gates.NONE)


class OfBatch(Command, frozen=True):
    """Something due for one batch: what is due for the same is done one after the other."""

    batch: str

    @property
    def key(self) -> str:
        """The batch."""
        return self.batch


class Start(OfBatch, frozen=True):
    """Put the batch's commit into the Merger's worktree `slot`, and run the gate in there, for the `run`-th time; or,
    after it `landed`, its validation. The session is one of this attempt. `taken`: the ports that others have; None:
    it gets none. `control`: the commit is what the batch is stacked on, without it.
    """

    session: str
    issue: str
    attempt: int
    stacked: stacks.Tree
    slot: int
    gate: Gate
    run: int
    landed: bool
    cause: str
    taken: tuple[int, ...] | None = None
    control: bool = False

    @property
    def key(self) -> str:
        """The worktree: two may not begin in one."""
        return f"slot {self.slot}"


class JudgeValidation(OfBatch, frozen=True):
    """Say what the ended validation means."""

    commit: str
    test: str
    said: gates.Verdict
    cause: str


class Revert(OfBatch, frozen=True):
    """Take out of the target what these commits brought, the newest first. `members`: (issue, attempt, the generation
    in which to hold the issue; empty: it is reopened).
    """

    target: str
    commits: tuple[str, ...]
    landed: str
    members: tuple[tuple[str, int, str], ...]
    reason: str
    when: float
    cause: str


def pending(board: Board) -> batches.Batch | None:
    """The batch that landed last, if its verdict, or what follows from it, is still to come."""
    batch = board[batches.State].last_landed()
    policy = _policy(board, batch) if batch else None
    if batch is None or policy is None or not policy.validate:
        return None
    if batch.validated is None or batch.validated.verdict == gates.BROKEN:
        return batch
    bad = batch.validated.verdict not in GOOD and policy.rollback
    return batch if bad and _left(board, batch) else None


def _policy(board: Board, batch: batches.Batch) -> MergePolicy | None:
    run = board[runs.State].runs.get(batch.latest[BatchDissolved].correlationid)
    return run.started.merge if run and run.started else None


def _command(board: Board, batch: batches.Batch, policy: MergePolicy) -> str:
    """What judges it."""
    settings = board[runs.State].settings
    broken = batch.validated is not None and batch.validated.verdict == gates.BROKEN
    return (settings.merge.validate if broken and settings else "") or policy.validate


def _left(board: Board, batch: batches.Batch) -> list[batches.Member]:
    """Who landed with it, brought something, and was not reverted yet. (What was in the target already is none of its
    doing, and the commit that has it may be anybody's.)
    """
    known, base = board[merges.State].all, batch.stacked.base if batch.stacked else ""
    found = {member: known[member] for member, own in batch.owns.items() if own != base and member in known}
    return [member for member, merge in found.items() if merge.landed and MergeReverted not in merge.latest]


def due(board: Board, free: bool) -> Command | None:
    """The next step of the last landing's validation. `free`: a session may be started in its worktree."""
    batch, formed = (found := pending(board)), found.formed if found else None
    policy = _policy(board, batch) if batch else None
    if batch is None or formed is None or batch.stacked is None or policy is None:
        return None
    landed = batch.stacked.commit
    if batch.validated and batch.validated.verdict != gates.BROKEN:
        return _revert(board, batch)
    issue, attempt = formed.members[0]
    owner = board[agents.State].attempts.get((issue, attempt))
    if owner is None:
        return None
    judged = [event.causationid for event in batch.verdicts.values()]
    command = _command(board, batch, policy)
    turn = stacks.turn(owner, f"{batch.id}-validate", command, judged)
    if turn.said:
        return JudgeValidation(batch.id, landed, command, turn.said, turn.cause)
    if not turn.start or not free:
        return None
    cause, gate = happened(batch.latest, BatchDissolved), Gate("validate", command, timeout=0.0)
    stacked = stacks.Tree(batch.stacked.base, landed, batch.stacked.tree)
    settings = board[runs.State].settings
    ports = taken_ports(board, settings) if settings else None
    return Start(batch.id, turn.session, issue, attempt, stacked, formed.slot, gate, 1, True, cause, ports)


def taken_ports(board: Board, settings: RunStarted) -> tuple[int, ...] | None:
    """The ports that others have, if sessions are given some of their own."""
    return workspace.taken(board) if settings.ports else None


def _revert(board: Board, batch: batches.Batch) -> Revert | None:
    stacked, said = batch.stacked, batch.validated
    if stacked is None or said is None:
        return None
    cause = max(id_ for id_, event in batch.verdicts.items() if isinstance(event.data, ValidationFinished))
    owns = [own for own in dict.fromkeys(reversed(batch.owns.values())) if own != stacked.base]
    commits = (stacked.commit,) if stacked.commit not in owns else tuple(owns)
    reason = f"the target did not pass its validation after this landed (exit code {said.code}): {said.command}"
    settings = board[runs.State].settings
    left = _left(board, batch)
    members = tuple((issue, n, _exhausted(board, settings, issue, n) if settings else "") for issue, n in left)
    return Revert(batch.id, stacked.target, commits, stacked.commit, members, reason, time_of(cause), cause)


def _exhausted(board: Board, settings: RunStarted, issue: str, number: int) -> str:
    """The generation of an issue that was taken out more often, with this time, than it may be tried again; else empty.
    (Each reopening is a generation: who counts in that alone would land, revert and pay for ever.)
    """
    tries, known = board[agents.State].of.get(issue, {}), board[issues.State].all.get(issue)
    before = sum(MergeReverted in one.latest for one in tries.values() if one.number != number)
    mine = known.attempts.get(number) if known else None
    return known.generation if known and mine and before >= retries.allowed(settings, mine) else ""


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    match command:
        case Start():
            return _start(command, hands)
        case JudgeValidation():
            verdict = command.said
            said = ValidationFinished(command.commit, verdict.word, command.test, verdict.code, verdict.output)
            return [Said(command.batch, said, command.cause)]
        case Revert():
            try:
                return _take_out(command, hands)
            except SwarmError as error:  # nothing lands until it is done: so somebody is to know
                return _stuck(command, hands, words(error))
    raise TypeError(f"a validation has no hands for {command}")


def _start(command: Start, hands: Hands) -> list[Said]:
    name = f"{WORKTREES}/merger" + (f"-{command.slot}" if command.slot > 1 else "")
    path, gate, port = f"{hands.root}/{name}", command.gate, 0
    if not hands.sessions.running(command.session):  # else it was started before a crash, and works in there
        path = hands.repository.gate(name, command.stacked.commit)
        workspace.furnish(hands, name)
        port = workspace.give_ports(hands, command.taken)
    kind = "validation" if command.landed else "landing"
    where = (command.session, command.issue, command.attempt, kind)
    spec = gates.spec(hands, gate.command, *where, path, command.cause, gate.timeout)
    return [gates.start(hands, workspace.set_up_first(spec, hands), port)]


def _take_out(command: Revert, hands: Hands) -> list[Said]:
    repository, base = hands.repository, hands.repository.tip(command.target)
    tip, author = base, hands.author("merger")
    for commit in command.commits:
        message = f"Revert {commit[:12]}\n\n{command.reason}\n"
        result = repository.revert(tip, commit, message, author, command.when)
        if isinstance(result, Conflict):
            return _stuck(command, hands, f"what landed since touches the same lines in {', '.join(result.files)}")
        tip = result.commit
    done = repository.land(command.target, base, tip)
    if isinstance(done, Refused):
        return _stuck(command, hands, f"{done.reason}; by hand: {done.command}")
    said: list[Said] = []
    for issue, attempt, held in command.members if isinstance(done, Landed) else ():
        own = MergeReverted(attempt, command.target, command.landed, tip, command.reason)
        then = IssueHeld(held, f"{command.reason}; no retries are left", attempt=attempt) if held else None
        said += [Said(issue, then or IssueReopened(command.reason), command.cause), Said(issue, own, command.cause)]
    return said


def _stuck(command: Revert, hands: Hands, why: str) -> list[Said]:
    """Nothing more may land on a target that is known to be bad."""
    reason = f"{command.landed[:12]} did not pass its validation and cannot be reverted: {why}"
    return [Said(hands.run, QueueHeld(kind="conflict", reason=reason), command.cause)]


def refused(command: Command, error: SwarmError) -> list[Said]:
    """Git would not: what could not be begun has not judged."""
    if not isinstance(command, Start):
        return []
    gate, output, stacked = command.gate, words(error), command.stacked
    if command.landed:
        landed = ValidationFinished(stacked.commit, gates.BROKEN, gate.command, 0, output)
        return [Said(command.batch, landed, command.cause)]
    where = (stacked.base, stacked.commit, stacked.tree)
    broken: BatchTested | GateControlled
    broken = BatchTested(*where, gates.BROKEN, gate.name, gate.command, 0, output, command.run, output)
    if command.control:
        broken = gates.controlled(stacked.base, gate.name, gate.command, gates.Verdict(gates.BROKEN, 0, output, output))
    return [Said(command.batch, broken, command.cause)]
