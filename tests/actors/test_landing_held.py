"""Landings that a person's checkout is in the way of: what is held, what goes on, and what is told of it."""

import pytest

from swarm.eventlog.events import Gate, LandingHeld
from swarm.projections.alerts import kind_of

from queueing import Queue, queue_of, unless


def test_a_landing_in_a_persons_way_lets_those_not_concerned_go_on_and_waits() -> None:
    queue = queue_of(4)
    queue.repository.dirty.add("i1")
    queue.settle()
    assert sorted(queue.landed) == ["i0", "i2", "i3"]
    held = [event.data for event in queue.of(LandingHeld) if event.subject == "i1"]
    assert held[-1].command == "git stash"
    queue.branch("later", {"later": "x\n"})
    assert queue.settle().landed[-1] == "later"
    queue.repository.dirty.clear()
    assert queue.settle().landed[-1] == "i1"


@pytest.mark.parametrize("gates", [(), (Gate("lint", "make lint"),)])
def test_what_is_in_a_persons_way_is_tested_anew_where_the_tests_are_others_and_then_lands(
    gates: tuple[Gate, ...],
) -> None:
    queue = queue_of(3)
    queue.repository.dirty |= {"i0", "i1"}
    assert queue.settle().landed == ["i2"]
    queue.repository.dirty.discard("i1")
    queue.gates = gates
    queue.start()
    assert queue.settle().landed == ["i2", "i1"]
    queue.repository.dirty.clear()
    assert queue.settle().landed == ["i2", "i1", "i0"]


def test_what_is_in_a_persons_way_goes_back_where_other_tests_do_not_accept_it() -> None:
    queue = queue_of(2)
    queue.repository.dirty.add("i0")
    queue.settle()
    queue.gates, queue.says = (Gate("lint", "make lint"),), unless("i0")
    queue.start()
    assert (queue.settle().landed, queue.rejected) == (["i1"], ["i0"])


def test_what_was_built_on_a_branch_that_is_held_does_not_wait_for_it() -> None:
    queue = queue_of(2, batch_max=1, parallel=2)
    queue.repository.dirty.add("i0")
    assert queue.settle().landed == ["i1"]


def told(queue: Queue) -> list[str]:
    return [event.subject for event in queue.of(LandingHeld) if kind_of(event)]


def test_of_a_batch_only_who_is_in_the_way_alone_is_told_of_and_that_once() -> None:
    queue = queue_of(4)
    queue.repository.dirty.add("i1")
    queue.settle()
    assert len(queue.of(LandingHeld)) > 4
    assert told(queue) == ["i1"]
    queue.branch("later", {"later": "x\n"})  # the target moves, so that it is stacked, and held, anew
    assert queue.settle().landed[-1] == "later"
    assert told(queue) == ["i1"]


def test_of_several_that_one_trouble_holds_up_the_first_is_told_of_until_they_have_landed() -> None:
    queue = queue_of(3)
    queue.repository.dirty |= {"i0", "i1", "i2"}
    queue.settle()
    assert (queue.landed, told(queue)) == ([], ["i0"])
    queue.repository.dirty.clear()
    assert sorted(queue.settle().landed) == ["i0", "i1", "i2"]
    queue.repository.dirty.add("later")
    queue.branch("later", {"later": "x\n"})
    queue.settle()
    assert told(queue) == ["i0", "later"]
