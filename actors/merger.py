"""Merger: one branch at a time: merge it into the target's tip, test exactly that result, land exactly that commit.

Rule: the target only moves to a commit whose own tree passed the test command, by compare-and-swap from the very tip
it was merged into. A person's checkout is only ever fast-forwarded, by git itself. Of a shared log only what this node
has a lease on lands: one that it lost, or that ran out, is no longer its to land.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    GateFinished,
    LandingHeld,
    MailAcked,
    MergeConflicted,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeTested,
    WorktreePrepared,
)
from ..eventlog.ids import time_of
from ..mailbox import letters
from ..projections import Board, agents, fact, happened, issues, merges, runs
from ..world import Conflict, Landed, Moved
from . import gates, nodes
from .attempts import WORKTREES
from .command import Command, Decide, Said, Step, words
from .hands import Hands

NAME = "merger"
AT_ONCE = 1


class Merge(Step, frozen=True):
    """Merge the attempt into the target's tip, in the object store. `when` (Unix time) makes it reproducible."""

    agent: str
    title: str
    commit: str
    target: str
    when: float
    cause: str


class StartTest(Step, frozen=True):
    """Check the merged result out in the Merger's own worktree and test it."""

    session: str
    commit: str
    test: str
    cause: str


class JudgeTest(Step, frozen=True):
    """Say what the ended test means; without a test command there is nothing to judge."""

    base: str
    commit: str
    test: str
    said: gates.Verdict
    cause: str
    hold: bool = False


class Land(Step, frozen=True):
    """Move the target. `held` is the refusal that was already said; `lease` the one that allows it `until` then (Unix
    time), empty where none is needed.
    """

    target: str
    base: str
    commit: str
    held: str
    cause: str
    lease: str = ""
    until: float = 0.0


def due(board: Board, now: float) -> list[Command]:
    """What passed its gate is queued; the first in the queue that can move does; mail is taken note of."""
    found: list[Command] = [*_enqueue(board)]
    settings = board[runs.State].settings
    noted = [letter for letter in letters.waiting_for(board, NAME) if nodes.sees_to(settings, letter.id)]
    found += [Decide(letter.id, MailAcked(letter=letter.id, reader=NAME), letter.id) for letter in noted]
    ours = {(attempt.issue, attempt.number): attempt for attempt in board[agents.State].ongoing()}
    for merge in board[merges.State].queue():
        attempt = ours.get((merge.issue, merge.attempt))
        if attempt is None or attempt.assigned is None:
            continue  # another node's, or the line that gave it away is damaged: it must not hold up the others
        step = _step(board, merge, attempt, now)
        if step:
            found.append(step)
        if not merge.held and (step or not merge.tested or merge.tested.verdict == gates.BROKEN):
            break  # one that may not land, because its lease is to be prolonged first, does not hold up the others
    return found


def _enqueue(board: Board) -> list[Command]:
    """An attempt that passed its gate, or has none, is queued once, unless it has ended, or its agent leaked."""
    found: list[Command] = []
    settings = board[runs.State].settings
    for attempt in board[agents.State].ongoing() if settings else ():
        if settings is None or attempt.ended or attempt.leak or happened(attempt.latest, MergeQueued):
            continue
        prepared, commit = fact(attempt.latest, WorktreePrepared), gates.passed(attempt, settings)
        if prepared and commit:
            queued = MergeQueued(attempt=attempt.number, branch=prepared.branch, commit=commit)
            found.append(Decide(attempt.issue, queued, happened(attempt.latest, GateFinished)))
    return found


def _step(board: Board, merge: merges.Merge, attempt: agents.Attempt, now: float) -> Command | None:
    settings, queued = board[runs.State].settings, merge.queued
    issue = board[issues.State].all.get(merge.issue)
    opened = issue.opened if issue else None
    if settings is None or queued is None or attempt.assigned is None:
        return None
    prepared, where = merge.prepared, (merge.issue, merge.attempt)
    if prepared is None:
        cause = max(happened(merge.latest, MergeQueued), happened(merge.latest, MergeRequeued))
        title = opened.title if opened else merge.issue
        return Merge(*where, attempt.agent, title, queued.commit, settings.target, time_of(cause), cause)
    if merge.tested is None or merge.tested.verdict == gates.BROKEN:
        return _test(board, attempt, merge, prepared, settings.test)
    if merge.tested.verdict in (gates.PASSED, gates.NONE):
        held = merge.held.reason if merge.held else ""
        cause = happened(merge.latest, MergeTested)
        allowed, lease, until = nodes.may_land(board, settings, merge.issue, attempt.assigned, now)
        land = Land(*where, settings.target, prepared.base, prepared.commit, held, cause, lease, until)
        return land if allowed and not board[runs.State].held else None
    return None


def _test(
    board: Board, attempt: agents.Attempt, merge: merges.Merge, prepared: MergePrepared, test: str
) -> Command | None:
    where, cause = (merge.issue, merge.attempt), happened(merge.latest, MergePrepared)
    if not test:
        return JudgeTest(*where, prepared.base, prepared.commit, "", gates.Verdict(gates.NONE), cause)
    run, stem = board[runs.State].current, f"{attempt.name}-land-{prepared.commit[:8]}"
    name, session = gates.newest(attempt, stem, happened(merge.latest, MergeTested))
    if session is None:
        if run is None or run.ending or run.held or _occupied(board):
            return None
        return StartTest(*where, name, prepared.commit, test, cause)
    if session.over and run:
        said = gates.verdict(session, test)
        hold = said.word == gates.BROKEN and gates.broken(attempt, stem, run.began, test) >= gates.TRIES
        return JudgeTest(*where, prepared.base, prepared.commit, test, said, cause, hold)
    return None


def _occupied(board: Board) -> bool:
    """Whether a test still runs in the Merger's worktree: that of an attempt which was called off meanwhile."""
    return any(session.kind == "landing" for session in board[agents.State].sessions())


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    match command:
        case Merge():
            return _merge(command, hands)
        case StartTest():
            return _start(command, hands)
        case JudgeTest():
            return _judge(command, hands)
        case Land():
            return _land(command, hands)
    raise TypeError(f"the merger has no hands for {command}")


def _merge(command: Merge, hands: Hands) -> list[Said]:
    base = hands.repository.tip(command.target)
    message = f"Merge {command.title} ({command.issue})\n\nSwarm-Issue: {command.issue}\nSwarm-Agent: {command.agent}\n"
    result = hands.repository.merge(base, command.commit, message, hands.author(command.agent), command.when)
    if isinstance(result, Conflict):
        conflict = MergeConflicted(attempt=command.attempt, base=base, files=result.files)
        return [Said(command.issue, conflict, command.cause)]
    made = MergePrepared(attempt=command.attempt, base=base, commit=result.commit, tree=result.tree)
    return [Said(command.issue, made, command.cause)]


def _start(command: StartTest, hands: Hands) -> list[Said]:
    path = f"{hands.root}/{WORKTREES}/merger"
    if not hands.sessions.running(command.session):  # else it was started before a crash, and works in there
        path = hands.repository.gate(f"{WORKTREES}/merger", command.commit)
    gate = gates.spec(
        hands, command.test, command.session, command.issue, command.attempt, "landing", path, command.cause
    )
    return [gates.start(hands, gate)]


def _judge(command: JudgeTest, hands: Hands) -> list[Said]:
    tested = MergeTested(
        attempt=command.attempt,
        base=command.base,
        commit=command.commit,
        verdict=command.said.word,
        command=command.test,
        code=command.said.code,
        output=command.said.output,
    )
    said = [Said(command.issue, tested, command.cause)]
    if command.said.word == gates.FAILED:
        why = f"merged, {command.said.why}"
        rejected = MergeRejected(attempt=command.attempt, reason=why, output=command.said.output)
        said.insert(0, Said(command.issue, rejected, command.cause))  # first: a kill may cut the write
    if command.hold:
        said.insert(0, Said(hands.run, gates.hold(command.issue, command.test, command.said), command.cause))
    return said


def _land(command: Land, hands: Hands) -> list[Said]:
    if hands.carrier and command.lease and not hands.carrier.in_time(command.until):
        return []  # its lease ran out since: once it was prolonged, landing is due again
    result = hands.repository.land(command.target, command.base, command.commit)
    if isinstance(result, Landed):
        landed = MergeLanded(
            attempt=command.attempt,
            target=command.target,
            base=command.base,
            commit=result.commit,
            lease=command.lease,
        )
        return [Said(command.issue, landed, command.cause)]
    if isinstance(result, Moved):
        moved = MergeRequeued(attempt=command.attempt, base=command.base, found=result.found)
        return [Said(command.issue, moved, command.cause)]
    if command.held == result.reason:
        return []
    held = LandingHeld(
        attempt=command.attempt,
        target=command.target,
        commit=command.commit,
        reason=result.reason,
        command=result.command,
    )
    return [Said(command.issue, held, command.cause)]


def refused(command: Command, error: SwarmError) -> list[Said]:
    """Git refused for a reason of its own: the branch leaves the queue with git's words, and a person looks at it."""
    if isinstance(command, Merge | StartTest | Land):
        rejected = MergeRejected(attempt=command.attempt, reason=words(error), output=error.hint, final=True)
        return [Said(command.issue, rejected, command.cause)]
    raise error
