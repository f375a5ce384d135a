"""Killed between git's move of the target and the event: whatever the next run's tests are, what landed has landed."""

import pytest

from swarm.actors import merger
from swarm.actors.landing import Land
from swarm.eventlog.events import BatchDissolved, BatchFormed, Gate, MergeDropped, MergeLanded

from queueing import Queue, good, queue_of


def killed(count: int = 2, moves: bool = True) -> Queue:
    """So many branches passed; with `moves`, git was asked to land them; and nothing was said of that."""
    queue = queue_of(count)
    while True:
        found = [command for command in merger.due(queue.board, queue.now) if isinstance(command, Land)]
        if found:
            break
        assert queue.round() or queue.finish()
    if moves:
        assert len(queue.perform(found[0])) == count
    queue.says = lambda _files, _run: 1
    return queue


def other(queue: Queue) -> Queue:
    """A run with another test."""
    queue.gates = (Gate("test", "make more"),)
    queue.start()
    return queue


def test_what_is_in_the_target_has_landed_and_is_neither_tested_again_nor_rejected() -> None:
    queue = killed()
    tested = len(queue.runs)
    assert other(queue).settle().landed == ["i0", "i1"]
    assert (len(queue.runs), queue.rejected) == (tested, [])
    assert queue.of(BatchDissolved)[0].data.reason == "landed"
    assert queue.of(MergeLanded)[0].data.commit == queue.repository.tip("main")


def test_so_it_has_where_somebody_built_on_it_since() -> None:
    queue = killed()
    queue.repository.commit("main", {"mine": "x\n"})
    assert other(queue).settle().landed == ["i0", "i1"]


def test_what_is_not_in_the_target_has_to_pass_the_tests_of_now() -> None:
    queue = killed(moves=False)
    tip = queue.repository.tip("main")
    other(queue).settle()
    assert (sorted(queue.rejected), queue.landed, queue.repository.tip("main")) == (["i0", "i1"], [], tip)
    queue = killed(moves=False)
    queue.says = good
    assert other(queue).settle().landed == ["i0", "i1"]


def test_what_was_green_is_not_tested_again_by_a_run_with_the_same_test() -> None:
    queue = killed(moves=False)
    queue.start()
    assert (queue.settle().landed, len(queue.runs), len(queue.of(BatchFormed))) == (["i0", "i1"], 1, 1)


def test_a_run_that_lands_elsewhere_says_what_has_landed_there_and_lands_nothing_there() -> None:
    queue = killed()
    queue.repository.refs["refs/heads/staging"] = queue.repository.commits[queue.repository.tip("main")].parents[0]
    queue.target = "staging"
    queue.start()
    assert queue.settle().landed == ["i0", "i1"]
    assert {event.data.target for event in queue.of(MergeLanded)} == {"main"}


def test_a_write_that_the_kill_cut_is_made_up_for() -> None:
    queue = killed()
    due = merger.due(queue.board, queue.now)
    (said, _) = queue.perform(next(command for command in due if isinstance(command, Land)))
    queue.add(said.fact, said.subject)
    assert other(queue).settle().landed == ["i0", "i1"]


@pytest.mark.parametrize("names", [["i0"], ["i0", "i1"]])
def test_what_a_person_took_out_of_the_queue_meanwhile_keeps_nobody_else_from_being_said(names: list[str]) -> None:
    queue = killed()
    for name in names:
        queue.add(MergeDropped(1), name)
    assert set(other(queue).settle().landed) == {"i0", "i1"} - set(names)
    assert not queue.rejected
