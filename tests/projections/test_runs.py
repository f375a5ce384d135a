"""Runs: a queue that was held is so until somebody lets it go on, or until the next run."""

from swarm.eventlog.events import QueueHeld, QueueResumed
from swarm.projections import runs

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
