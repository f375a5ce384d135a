"""The board as documents: what an agent is said to do."""

import pytest

from swarm.eventlog.events import (
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    GateFinished,
    IssueAssigned,
    LandingHeld,
    MergeLanded,
    MergeQueued,
    MergeReverted,
    SessionExited,
    SessionRequested,
    SessionStarted,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
)
from swarm.eventlog.fact import Fact
from swarm.mailbox import views

from given import History

ASSIGNED = IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="shell")
PREPARED = WorktreePrepared(attempt=1, path="p", branch="b", base="0")
EXITED = SessionExited(session="sw-a-1", attempt=1, code=0, ok=True, seconds=1.0)
SECURED = WorkSecured(attempt=1, ref="r", commit="c", base="0", commits=1)
GATED = GateFinished(attempt=1, commit="c", verdict="passed")
QUEUED = MergeQueued(attempt=1, branch="b", commit="c")
LANDED = MergeLanded(attempt=1, target="main", base="0", commit="d")


def requested(session: str = "sw-a-1", kind: str = "agent") -> Fact:
    return SessionRequested(session=session, attempt=1, kind=kind)


def started(session: str = "sw-a-1", kind: str = "agent") -> Fact:
    return SessionStarted(session=session, attempt=1, kind=kind, boot_id="b", pid=7, start_ticks=1, host_pid=6,
                          host_ticks=1)  # fmt: skip


@pytest.mark.parametrize(
    ("facts", "state", "pid"),
    [
        ([], "assigned", 0),
        ([PREPARED], "prepared", 0),
        ([PREPARED, requested()], "starting", 0),
        ([PREPARED, requested(), started()], "working", 7),
        ([PREPARED, started(), EXITED], "exited", 0),
        ([PREPARED, started(), EXITED, SECURED], "secured", 0),
        ([SECURED, requested("sw-a-1-gate", "gate"), started("sw-a-1-gate", "gate")], "gating", 7),
        ([requested("sw-a-1-setup", "setup"), started("sw-a-1-setup", "setup")], "setting up", 7),
        ([SECURED, GATED], "gated", 0),
        ([SECURED, GATED, QUEUED], "queued", 0),
        ([QUEUED, started("sw-a-1-land-c", "landing")], "landing", 7),
        ([PREPARED, started(), WorkRejected(attempt=1, reason="no")], "ending", 7),
        ([PREPARED, started(), EXITED, LANDED], "idle", 0),
    ],
)
def test_an_agents_state_follows_from_what_has_happened(facts: list[Fact], state: str, pid: int) -> None:
    history = History()
    history.all([ASSIGNED, *facts])
    (row,) = views.agents_view(history.board)
    assert (row["state"], row["pid"]) == (state, pid)
    assert row["issue"] == ("" if state == "idle" else "sw-a")


def test_what_the_machine_says_of_a_session_counts_more() -> None:
    history = History()
    history.all([ASSIGNED, PREPARED, started()])
    (row,) = views.agents_view(history.board, {"sw-a-1": "gone"})
    assert (row["state"], "swarm start" in row["note"]) == ("gone", True)
    (row,) = views.agents_view(history.board, {"sw-b-1": "gone"})
    assert row["state"] == "working"


def test_an_idle_agent_is_idle_since_its_last_attempt_ended() -> None:
    history = History()
    history.all([ASSIGNED, PREPARED])
    ended = history.said(WorkRejected(attempt=1, reason="the tests fail"))
    (row,) = views.agents_view(history.board)
    assert row["since"] == next(event.time for event in history.events if event.id == ended)
    assert row["note"] == "failed sw-a: the tests fail"


def test_the_last_letters_alone_if_asked() -> None:
    assert views.mail_view(History().board, 10) == []


def test_what_is_queued_is_shown_as_far_as_its_batch_is() -> None:
    history = History()
    history.said(MergeQueued(attempt=1, branch="b", commit="c"))

    def shown() -> str:
        return str(views.merges_view(history.board)[0]["status"])

    assert shown() == "queued"
    steps = [
        (BatchFormed([("sw-a", 1)]), "b-1", "queued"),
        (BatchStacked("main", "base", "merge", "tree", ["own"]), "b-1", "testing"),
        (BatchTested("base", "merge", "tree", "failed", "test"), "b-1", "testing"),
        (BatchTested("base", "merge", "tree", "passed", "test", run=2), "b-1", "tested"),
        (LandingHeld(1, "main", "merge", "in the way", "git stash"), "sw-a", "held"),
        (BatchDissolved("the target moved", "other"), "b-1", "queued"),
        (MergeLanded(1, "main", "base", "merge", batch="b-1", own="own"), "sw-a", "landed"),
        (MergeReverted(1, "main", "merge", "revert"), "sw-a", "reverted"),
    ]
    for fact, subject, status in steps:
        history.said(fact, subject)
        assert shown() == status
