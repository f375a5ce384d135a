"""The merge queue against a model: whatever is bad, alone or together, conflicts or flakes, the target only ever moves
to what passed, every good branch lands, and each culprit is found at a bounded price.

The price. One-by-one testing with the same retry rule takes one run for each branch that lands and two for each that
does not. A batch of `s` branches from the queue that fails costs two runs, and then, at each of at most ceil(log2 s)
levels, its left half is tested: green lands at least one branch for that run; red is one run too many. The culprit that
is left is known from the batch itself, if no left half was red; else one more run, or two of its own, confirm it. So a
failing batch finds one culprit and costs at most 1 + ceil(log2 s) runs more than one-by-one testing; a green one costs
one run however large it is. (That is for one test at a time. Side by side, runs are spent to save rounds, and what
passed beside the line is tested again with all others that did.)
"""

from collections.abc import Mapping
from math import ceil, log2
from typing import Any

import msgspec
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from swarm.eventlog.events import BatchTested, GateFlaked, QueueHeld

from queueing import Queue
from soak import amount

EXAMPLES = settings(
    max_examples=amount(ci=150, full=20_000), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


class World(msgspec.Struct):
    """Branches by number: those that are bad, pairs that are bad together, and who writes into whose file; the numbers
    of the runs that fail though nothing is wrong (of one tree: once).
    """

    count: int
    bad: frozenset[int]
    pairs: frozenset[tuple[int, int]]
    clashes: dict[int, int]
    flakes: frozenset[int]

    def __post_init__(self) -> None:
        self.clashes = {one: other for one, other in self.clashes.items() if other < one}

    def file(self, number: int) -> str:
        """What the branch writes."""
        return self.file(self.clashes[number]) if number in self.clashes else f"f{number}"

    def fails(self, files: Mapping[str, str]) -> bool:
        """Whether anything is wrong with these."""
        there = {int(text) for name, text in files.items() if name.startswith("f")}
        return bool(there & self.bad) or any({one, other} <= there for one, other in self.pairs)


@st.composite
def worlds(draw: st.DrawFn, troubles: bool = True) -> World:
    count = draw(st.integers(1, 12))
    some = st.integers(0, count - 1)
    bad = draw(st.frozensets(some, max_size=4))
    pairs = draw(st.frozensets(st.tuples(some, some).filter(lambda pair: pair[0] < pair[1]), max_size=3))
    clashes = draw(st.dictionaries(some, some, max_size=4)) if troubles else {}
    flakes = draw(st.frozensets(st.integers(0, 30), max_size=6)) if troubles else frozenset()
    return World(count, bad, pairs, clashes, flakes)


def play(world: World, **policy: Any) -> Queue:
    flaked: set[str] = set()

    def says(files: Mapping[str, str], run: int) -> int:
        tree = repr(sorted(files.items()))
        if world.fails(files):
            return 1
        if run in world.flakes and tree not in flaked:
            flaked.add(tree)
            return 1
        return 0

    queue = Queue(says, **policy)
    for number in range(world.count):
        queue.branch(f"i{number}", {world.file(number): f"{number}"})
    queue.settle()
    return queue


def check(world: World, queue: Queue) -> None:
    """What holds whatever happened."""
    passed = {test.data.commit for test in queue.of(BatchTested) if test.data.verdict == "passed"}
    assert set(queue.repository.moves) <= passed, "the target moved to what had not passed"
    assert not any(world.fails(queue.repository.files(commit)) for commit in queue.repository.moves)
    landed, rejected, conflicted = ([int(i[1:]) for i in x] for x in (queue.landed, queue.rejected, queue.conflicted))
    assert sorted([*landed, *rejected, *conflicted]) == list(range(world.count)), "each comes to one end"
    for number in rejected:
        together = [pair for pair in world.pairs if number in pair and {*pair} - {number} <= {*landed}]
        assert number in world.bad or together, f"{number} was rejected, and is innocent"
    for number in conflicted:
        assert world.file(number) in {world.file(other) for other in landed}, f"{number} conflicts with nothing"
    assert not queue.of(QueueHeld)


@EXAMPLES
@given(worlds(), st.integers(1, 8), st.integers(1, 8))
def test_every_good_branch_lands_and_no_bad_one(world: World, most: int, parallel: int) -> None:
    queue = play(world, batch_max=most, parallel=parallel)
    check(world, queue)
    assert queue.programs.most <= parallel
    event(f"flakes: {bool(queue.of(GateFlaked))}")


@EXAMPLES
@given(worlds(troubles=False), st.integers(1, 8))
def test_a_culprit_costs_little_more_than_testing_one_by_one(world: World, most: int) -> None:
    queue = play(world, batch_max=most)
    check(world, queue)
    one_by_one = len(queue.landed) + 2 * len(queue.rejected)
    assert len(queue.failed()) == len(queue.rejected)
    assert len(queue.runs) <= one_by_one + sum(1 + ceil(log2(size)) for size in queue.failed() if size > 1)
    if len(queue.rejected) == 1:
        assert len(queue.runs) <= one_by_one + 1 + ceil(log2(most))


@EXAMPLES
@given(st.integers(1, 40), st.integers(1, 8), st.integers(1, 4))
def test_what_is_all_green_takes_one_run_for_each_full_batch(count: int, most: int, parallel: int) -> None:
    world = World(count, frozenset(), frozenset(), {}, frozenset())
    queue = play(world, batch_max=most, parallel=parallel)
    assert len(queue.landed) == count
    assert len(queue.runs) == ceil(count / most)
    assert queue.programs.most == min(parallel, ceil(count / most))


@settings(EXAMPLES, max_examples=amount(ci=40, full=1_000))
@given(st.frozensets(st.integers(0, 63), max_size=4))
def test_where_one_in_sixteen_is_bad_or_fewer_it_takes_fewer_runs_than_one_by_one(bad: frozenset[int]) -> None:
    """Whichever they are. (No order of testing that tries several at once can promise it of every two branches: if the
    first two are tested together and fail, it is behind.)
    """
    queue = play(World(64, bad, frozenset(), {}, frozenset()), batch_max=32)
    assert len(queue.landed) == 64 - len(bad)
    assert len(queue.runs) < 64, "not even if one-by-one testing tried nothing twice"
    event(f"runs: {len(queue.runs) // 8 * 8}")
