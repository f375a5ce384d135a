"""Runs: a queue that was held is so until somebody lets it go on, or until the next run."""

import itertools

import pytest

from swarm.eventlog.events import QueueHeld, QueueResumed
from swarm.projections import Board, runs

from history import History


def state(h: History) -> runs.State:
    return h.board()[runs.State]


def test_a_run_begins_unheld_and_is_held_until_it_is_resumed() -> None:
    h = History()
    assert state(h).held is None
    began = h.run()
    assert state(h).held is None
    assert state(h).runs["run-1"].began == began
    held = QueueHeld("infrastructure", "no such command", "a")
    h.add(held, "run-1")
    assert state(h).held == held
    resumed = h.add(QueueResumed(), "run-1")
    assert state(h).held is None
    assert state(h).runs["run-1"].began == resumed
    again = QueueHeld("person", "wait")
    h.add(again, "run-1")
    assert state(h).held == again


def test_the_next_run_begins_unheld() -> None:
    h = History()
    h.run()
    h.add(QueueHeld("infrastructure", "no such command"), "run-1")
    h.run("run-2")
    assert state(h).held is None
    assert state(h).runs["run-1"].held


@pytest.mark.parametrize("here", ["", "n1", "n3"])
def test_the_current_run_is_the_newest_of_this_node_in_whatever_order_they_are_told(here: str) -> None:
    h = History()
    for run, node in (("b", ""), ("a", "n1"), ("a", "n2"), ("d", "n2")):
        h.run(run, node=node)
    wanted = {"": "d", "n1": "b", "n3": "b"}[here]
    for order in itertools.permutations(h.events):
        board = Board(here=here).fold(order)
        current = board[runs.State].current
        assert current is not None
        assert current.id == wanted
