"""Stacking, judging and landing a batch: what the Merger does with its hands.

Rule: nothing is chosen here. A commit is made in the object store, never in a checkout; the target moves by
compare-and-swap from the tip that the commit was stacked on, or not at all.
"""

import msgspec

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    BatchDissolved,
    BatchStacked,
    BatchTested,
    GateFlaked,
    LandingHeld,
    MergeConflicted,
    MergeLanded,
    MergePredicted,
    MergeRejected,
    QueueHeld,
)
from ..projections import batches
from ..world import Branch, Landed, Moved
from . import gates, stacks
from .command import Command, Said, Step, words
from .hands import Hands
from .validation import OfBatch


class Predict(Step, frozen=True):
    """See what would come of merging the attempt into the target's tip."""

    commit: str
    target: str
    cause: str


class Stack(OfBatch, frozen=True):
    """Merge the branches into `base`, one after the other, in the object store. `base` empty: the target's tip, and who
    conflicts with that does not land. `when` (Unix time) makes it reproducible; `hold`: a conflict stops the queue.
    """

    members: tuple[batches.Member, ...]
    branches: tuple[Branch, ...]
    target: str
    base: str
    mode: str
    when: float
    hold: bool
    cause: str


class JudgeTest(OfBatch, frozen=True):
    """Say what the ended test means; without a gate there is nothing to judge. `flaked`: this tree failed it before."""

    stacked: stacks.Tree
    gate: str
    test: str
    run: int
    said: gates.Verdict
    flaked: bool
    cause: str


class JudgeControl(OfBatch, frozen=True):
    """Say what the ended test of what the batch is stacked on means."""

    base: str
    gate: str
    test: str
    said: gates.Verdict
    cause: str


class Landing(msgspec.Struct, frozen=True):
    """A member of what lands: the commit that brought its work, the lease that allows it `until` then (Unix time; both
    empty where none is needed), and the refusal that was already said.
    """

    issue: str
    attempt: int
    own: str
    lease: str = ""
    until: float = 0.0
    held: str = ""


class Land(OfBatch, frozen=True):
    """Move the target. `known`: for these reasons git refused one that still waits, all alone."""

    target: str
    base: str
    commit: str
    members: tuple[Landing, ...]
    cause: str
    known: frozenset[str] = frozenset()


class Find(Land, frozen=True):
    """Ask git whether the target was moved already: what is in it has landed, what is not is tested as of now."""


# --- doing it -------------------------------------------------------------------------------------


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do it."""
    match command:
        case Predict():
            base = hands.repository.tip(command.target)
            files = hands.repository.predict(base, command.commit)
            said = MergePredicted(command.attempt, command.commit, base, files)
            return [Said(command.issue, said, command.cause)]
        case Stack():
            return _stack(command, hands)
        case JudgeTest():
            return _judge(command)
        case JudgeControl(base=base, gate=gate, test=test):
            return [Said(command.batch, gates.controlled(base, gate, test, command.said), command.cause)]
        case Find():
            return _find(command, hands)
        case Land():
            return _land(command, hands)
    raise TypeError(f"the merger has no hands for {command}")


def _stack(command: Stack, hands: Hands) -> list[Said]:
    base, author = command.base or hands.repository.tip(command.target), hands.author("merger")
    made = hands.repository.stack(base, command.branches, command.mode, author, command.when)
    said: list[Said] = []
    for place, files in sorted(made.conflicts.items()) if not command.base else ():
        issue, attempt = command.members[place]
        said.append(Said(issue, MergeConflicted(attempt=attempt, base=base, files=files), command.cause))
    if said and command.hold:
        one = said[0]
        reason = (
            f"{one.subject} conflicts with {command.target} in {', '.join(made.conflicts[min(made.conflicts)][:8])}"
        )
        said.insert(0, Said(hands.run, QueueHeld("conflict", reason, one.subject), command.cause))  # a kill may cut it
    stacked = BatchStacked(command.target, base, made.commit, made.tree, made.commits)
    return [*said, Said(command.batch, stacked, command.cause)]


def _judge(command: JudgeTest) -> list[Said]:
    stacked, verdict = command.stacked, command.said
    tested = BatchTested(
        base=stacked.base,
        commit=stacked.commit,
        tree=stacked.tree,
        verdict=verdict.word,
        gate=command.gate,
        command=command.test,
        code=verdict.code,
        output=verdict.output,
        run=command.run,
        why=verdict.why if verdict.word == gates.BROKEN else "",
    )
    said = [Said(command.batch, tested, command.cause)]
    if command.flaked and verdict.word == gates.PASSED:
        flaked = GateFlaked(gate=command.gate, command=command.test, tree=stacked.tree)
        said.insert(0, Said(command.batch, flaked, command.cause))  # first: a kill may cut the write
    return said


def _land(command: Land, hands: Hands) -> list[Said]:
    if hands.carrier and not all(hands.carrier.in_time(one.until) for one in command.members if one.lease):
        return []  # a lease ran out since: once it was prolonged, landing is due again
    result = hands.repository.land(command.target, command.base, command.commit)
    if isinstance(result, Moved):
        return [Said(command.batch, BatchDissolved("the target moved", result.found), command.cause)]
    if not isinstance(result, Landed):
        fresh = [one for one in command.members if one.held != result.reason]
        return [_held(command, one, result.reason, result.command) for one in (command.members if fresh else ())]
    return [_landed(command, one) for one in command.members]


def _find(command: Find, hands: Hands) -> list[Said]:
    tip = hands.repository.tip(command.target)
    if hands.repository.is_ancestor(command.commit, tip):
        return [_landed(command, one) for one in command.members]
    return [Said(command.batch, BatchDissolved("it is to be tested otherwise now", tip), command.cause)]


def _landed(command: Land, one: Landing) -> Said:
    said = MergeLanded(
        attempt=one.attempt,
        target=command.target,
        base=command.base,
        commit=command.commit,
        lease=one.lease,
        batch=command.batch,
        own=one.own,
    )
    return Said(one.issue, said, command.cause)


def _held(command: Land, one: Landing, reason: str, by_hand: str) -> Said:
    held = LandingHeld(
        attempt=one.attempt,
        target=command.target,
        commit=command.commit,
        reason=reason,
        command=by_hand,
        others=len(command.members) - 1,
        known=reason in command.known,
    )
    return Said(one.issue, held, command.cause)


def refused(command: Command, error: SwarmError) -> list[Said]:
    """Git refused for a reason of its own. A single branch leaves the queue with git's words, and a person looks at it;
    of several, smaller batches are made, until it is known of which. A test that could not be begun has not judged.
    """
    match command:
        case Find():
            return [Said(command.batch, BatchDissolved(words(error)), command.cause)]
        case Stack(members=members) if len(members) == 1:
            return [_refused(command, *members[0], error)]
        case Land(members=shares) if len(shares) == 1:
            return [_refused(command, shares[0].issue, shares[0].attempt, error)]
        case Stack() | Land():
            return [Said(command.batch, BatchDissolved(words(error), failed=True), command.cause)]
        case Predict():
            return []
    raise error


def _refused(command: Stack | Land, issue: str, attempt: int, error: SwarmError) -> Said:
    rejected = MergeRejected(attempt=attempt, reason=words(error), output=error.hint, final=True, batch=command.batch)
    return Said(issue, rejected, command.cause)
