"""What is stacked, tested and landed together."""

import pytest

from swarm.eventlog.events import (
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    GateFlaked,
    RunStarted,
    ValidationFinished,
)
from swarm.eventlog.fact import Fact
from swarm.projections import Board, batches

from given import History

FORMED = BatchFormed([("sw-a", 1), ("sw-b", 2)])
STACKED = BatchStacked("main", "base", "merge", "tree", ["own-a", "own-b"])
LANDED = BatchDissolved("landed", "merge")


def state(*facts: Fact, name: str = "b-1") -> batches.State:
    history = History()
    history.all(facts, name)
    return history.board[batches.State]


def test_a_batch_is_open_until_it_was_dissolved() -> None:
    assert [batch.open for batch in state(FORMED).all.values()] == [True]
    assert state(FORMED, STACKED).all["b-1"].open
    assert not state(FORMED, LANDED).all["b-1"].open
    assert not state(STACKED).all["b-1"].open, "nobody knows who is in it"


@pytest.mark.parametrize(
    ("dissolved", "landed"),
    [(LANDED, True), (BatchDissolved("the target moved", "other"), False), (BatchDissolved("no"), False)],
)
def test_it_has_landed_if_the_target_was_at_its_commit_then(dissolved: BatchDissolved, landed: bool) -> None:
    assert state(FORMED, STACKED, dissolved).all["b-1"].landed == landed


def test_who_conflicts_is_in_it_no_more_once_it_is_stacked() -> None:
    assert state(FORMED).all["b-1"].members == [("sw-a", 1), ("sw-b", 2)]
    stacked = BatchStacked("main", "base", "merge", "tree", ["", "own-b"])
    found = state(FORMED, stacked)
    assert found.all["b-1"].owns == {("sw-b", 2): "own-b"}
    assert found.holding(("sw-a", 1)) is found.all["b-1"], "it waits until the batch is over"


def test_a_test_counts_for_the_commit_that_it_judged() -> None:
    other = BatchTested("base", "other", "tree", "failed")
    passed = BatchTested("base", "merge", "tree", "passed")
    found = state(FORMED, STACKED, other, passed, ValidationFinished("merge", "failed", "x")).all["b-1"]
    assert [test.data for test in found.tests] == [passed]
    assert found.validated == ValidationFinished("merge", "failed", "x")


def test_the_newest_known_tip_is_what_was_stacked_on_or_seen_last() -> None:
    history = History()
    history.all([FORMED, STACKED], "b-1")
    assert history.board[batches.State].tip()[1] == "base"
    history.said(BatchFormed([("sw-c", 1)], after="b-1"), "b-2")
    history.said(BatchStacked("main", "merge", "second", "tree", ["own-c"]), "b-2")
    assert history.board[batches.State].tip()[1] == "base", "what is stacked on a batch says nothing of the target"
    history.said(LANDED, "b-1")
    assert history.board[batches.State].tip()[1] == "merge"
    assert history.board[batches.State].last_landed() is not None


def test_open_batches_keep_what_they_come_from_and_the_issues_that_are_in_them() -> None:
    history = History()
    history.all([FORMED, STACKED, BatchDissolved("halves", failed=True)], "b-1")
    for number in range(batches.RECENT + 5):
        history.said(BatchFormed([("sw-x", number)]), f"b-x{number}")
        history.said(BatchDissolved("over"), f"b-x{number}")
    history.said(BatchFormed([("sw-a", 1)], of="b-1", after="b-x0"), "b-2")
    found = history.board[batches.State]
    assert [batch.id for batch in found.lineage(found.all["b-2"])] == ["b-2", "b-1"]
    assert {"b-1", "b-2", "b-x0", "sw-a"} <= found.busy()
    assert "b-x1" not in found.busy()
    assert "sw-x" not in found.busy()


def test_batches_of_another_node_are_not_ours() -> None:
    history = History()
    history.said(RunStarted(1, "b", 1, "0", "main", "shell", 1, 1, node="n2"), "run-1")
    history.said(FORMED, "b-1")
    there = Board(here="n2").fold(history.events)[batches.State]
    assert (there.open(), [*there.all]) == ([], ["b-1"])


def test_flakes_are_counted_per_command_once_for_each_tree() -> None:
    history = History()
    for batch, tree in (("b-1", "t1"), ("b-1", "t1"), ("b-2", "t2")):
        history.said(GateFlaked("unit", "make test", tree), batch)
    history.said(GateFlaked("lint", "ruff", "t1"), "b-1")
    assert history.board[batches.State].flakes() == {"make test": 2, "ruff": 1}
