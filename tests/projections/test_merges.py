"""The queue to the target, and what became of it."""

import pytest

from swarm.eventlog.events import (
    AttemptCancelled,
    LandingHeld,
    MergeConflicted,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeTested,
)
from swarm.eventlog.fact import Fact
from swarm.projections import merges

from given import History

QUEUED = MergeQueued(attempt=1, branch="b", commit="work")
PREPARED = MergePrepared(attempt=1, base="base", commit="merge", tree="tree")
PASSED = MergeTested(attempt=1, base="base", commit="merge", verdict="passed")
HELD = LandingHeld(attempt=1, target="main", commit="merge", reason="local changes", command="git merge")
REQUEUED = MergeRequeued(attempt=1, base="base", found="newer")


def merge(*facts: Fact) -> merges.Merge:
    history = History()
    history.all(facts)
    return history.board[merges.State].all["sw-a", 1]


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ([QUEUED], "queued"),
        ([QUEUED, PREPARED], "testing"),
        ([QUEUED, PREPARED, PASSED], "tested"),
        ([QUEUED, PREPARED, PASSED, HELD], "held"),
        ([QUEUED, PREPARED, PASSED, REQUEUED], "queued"),
        ([QUEUED, MergeConflicted(attempt=1, base="base", files=["a"])], "conflicted"),
        ([QUEUED, PREPARED, MergeRejected(attempt=1, reason="red")], "rejected"),
        ([QUEUED, AttemptCancelled(attempt=1, reason="closed")], "cancelled"),
        ([QUEUED, PREPARED, PASSED, MergeLanded(attempt=1, target="main", base="base", commit="merge")], "landed"),
    ],
)
def test_the_status_follows_from_what_has_happened(facts: list[Fact], status: str) -> None:
    assert merge(*facts).status == status


def test_a_test_counts_only_for_the_very_commit_that_it_judged() -> None:
    again = MergePrepared(attempt=1, base="newer", commit="merge2", tree="tree")
    found = merge(QUEUED, PREPARED, PASSED, HELD, REQUEUED, again)
    assert (found.tested, found.held, found.status, found.commit) == (None, None, "testing", "merge2")


def test_the_queue_is_first_in_first_out_and_holds_only_what_waits() -> None:
    history = History()
    for issue in ("sw-c", "sw-a", "sw-b"):
        history.said(QUEUED, issue)
    history.said(MergeLanded(attempt=1, target="main", base="base", commit="m"), "sw-a")
    state = history.board[merges.State]
    assert [found.issue for found in state.queue()] == ["sw-c", "sw-b"]
    assert [found.issue for found in state.history()] == ["sw-c", "sw-a", "sw-b"]
