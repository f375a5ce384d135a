"""What agents do, as their own events tell."""

from typing import Any

import pytest

from swarm.eventlog.events import (
    FindingsReported,
    GateFinished,
    IssueAssigned,
    LeakCleared,
    LeakDetected,
    MailSent,
    MergeLanded,
    MergeQueued,
    MergeReverted,
    SessionExited,
    SessionKillRequested,
    SessionLost,
    SessionProgressed,
    SessionRequested,
    SessionStarted,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from swarm.projections import agents

from given import History

WHO = {"session": "sw-a-1", "attempt": 1}
ASSIGNED = IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="shell")
PREPARED = WorktreePrepared(attempt=1, path="p", branch="b", base="0")
STARTED = SessionStarted(**WHO, kind="agent", boot_id="boot", pid=7, start_ticks=1, host_pid=6, host_ticks=1)
EXITED = SessionExited(**WHO, code=0, ok=True, seconds=1.0)
SECURED = WorkSecured(attempt=1, ref="r", commit="c", base="0", commits=1)


def state(history: History) -> agents.State:
    return history.board[agents.State]


@pytest.fixture
def history() -> History:
    return History()


def test_the_stage_of_an_attempt_follows_from_what_has_happened(history: History) -> None:
    steps: list[tuple[Any, str]] = [
        (ASSIGNED, "assigned"),
        (PREPARED, "prepared"),
        (SessionRequested(**WHO, kind="agent"), "working"),
        (STARTED, "working"),
        (EXITED, "exited"),
        (SECURED, "secured"),
        (GateFinished(attempt=1, commit="c", verdict="broken", gate="lint"), "secured"),
        (GateFinished(attempt=1, commit="c", verdict="passed", gate="unit"), "secured"),
        (GateFinished(attempt=1, commit="c", verdict="passed", gate="lint"), "gated"),
        (MergeQueued(attempt=1, branch="b", commit="c"), "queued"),
        (MergeLanded(attempt=1, target="main", base="0", commit="d"), "landed"),
        (MergeReverted(attempt=1, target="main", commit="d", revert="e"), "reverted"),
    ]
    for fact, stage in steps:
        history.said(fact, source="session/sw-a-1")
        assert state(history).attempts["sw-a", 1].stage == stage


def test_an_attempt_fills_its_agents_place_until_the_agents_session_is_over(history: History) -> None:
    history.all([ASSIGNED, STARTED])
    assert state(history).working("builder-1") is not None
    assert not state(history).attempts["sw-a", 1].testing
    history.said(EXITED)
    assert state(history).working("builder-1") is None
    assert state(history).attempts["sw-a", 1].testing
    history.said(MergeQueued(attempt=1, branch="b", commit="c"))
    assert not state(history).attempts["sw-a", 1].testing
    history.said(IssueAssigned(attempt=1, generation="g", agent="scout-1", role="scout", runtime="shell"), "sw-b")
    history.said(FindingsReported(attempt=1, text="it is so"), "sw-b")
    assert state(history).working("scout-1") is None
    assert state(history).names() == ["builder-1", "scout-1"]


def test_an_ended_attempt_lives_on_until_its_worktree_is_gone_and_nothing_runs(history: History) -> None:
    history.all([ASSIGNED, PREPARED, STARTED, WorkRejected(attempt=1, reason="no")])
    assert ("sw-a", 1) in state(history).live
    history.said(WorktreeRemoved(attempt=1, path="p", secured="c"))
    assert ("sw-a", 1) in state(history).live, "its session still runs"
    history.said(EXITED)
    assert state(history).live == {}


def test_an_exit_record_counts_more_than_the_word_that_a_session_was_lost(history: History) -> None:
    history.all([ASSIGNED, STARTED, SessionLost(**WHO, reason="its host is gone")])
    session = state(history).attempts["sw-a", 1].sessions["sw-a-1"]
    assert session.over
    assert session.lost
    history.said(EXITED)
    session = state(history).attempts["sw-a", 1].sessions["sw-a-1"]
    assert session.lost is None
    assert session.exited == EXITED


def test_only_what_the_agent_printed_or_wrote_is_a_sign_of_life(history: History) -> None:
    """Pain 9: a watchdog's own events do not feed it."""

    def sign() -> str:
        found = state(history)
        return found.sign(found.attempts["sw-a", 1])

    history.said(MailSent(to=["human"], body="done"), source="agent/builder-1")
    history.all([ASSIGNED, STARTED])
    history.said(SessionKillRequested(**WHO, reason="silent"), source="watchdog")
    history.said(MailSent(to=["agent-builder-1"], body="are you there?"), source="watchdog")
    assert sign() == "", "what it wrote before it got this work counts no more"
    printed = history.said(SessionProgressed(**WHO, output=10), source="session/sw-a-1")
    assert sign() == printed
    wrote = history.said(MailSent(to=["human"], body="yes"), source="agent/builder-1")
    assert sign() == wrote


def test_the_newest_attempt_of_an_agent_is_the_one_it_was_given_last(history: History) -> None:
    history.said(ASSIGNED)
    history.said(ASSIGNED, "sw-b")
    last = state(history).last("builder-1")
    assert last
    assert last.issue == "sw-b"
    given_twice = IssueAssigned(attempt=1, generation="g", agent="builder-2", role="builder", runtime="shell")
    history.said(given_twice, "sw-b")
    assert state(history).last("builder-1") is None, "two clones gave it away, and the other one's word counts"
    assert state(history).names() == ["builder-2"]


def test_the_sessions_that_run_are_those_of_live_attempts_that_have_not_ended(history: History) -> None:
    history.all([ASSIGNED, STARTED])
    gate = SessionRequested(session="sw-a-1-gate", attempt=1, kind="gate")
    history.said(gate)
    assert [session.id for session in state(history).sessions()] == ["sw-a-1", "sw-a-1-gate"]
    history.said(EXITED)
    assert [(session.id, session.kind) for session in state(history).sessions()] == [("sw-a-1-gate", "gate")]


def test_a_session_of_the_same_name_elsewhere_is_another_session(history: History) -> None:
    history.said(STARTED, "sw-b")
    history.said(STARTED, "sw-a")
    assert [(session.issue, session.id) for session in state(history).sessions()] == [
        ("sw-a", "sw-a-1"),
        ("sw-b", "sw-a-1"),
    ]


def test_a_leak_holds_the_work_only_with_evidence_and_until_a_person_clears_it(history: History) -> None:
    history.all([ASSIGNED, PREPARED, LeakDetected(1, "main got 1234")])
    assert state(history).attempts["sw-a", 1].leak == ""
    history.said(LeakDetected(1, "main got 1234", "builder-1 made 1234"))
    assert state(history).attempts["sw-a", 1].leak == "builder-1 made 1234"
    history.said(LeakCleared(1))
    assert state(history).attempts["sw-a", 1].leak == ""


def test_what_was_taken_out_of_the_target_again_is_not_in_it(history: History) -> None:
    history.all([ASSIGNED, SECURED])
    assert state(history).attempts["sw-a", 1].unlanded
    history.said(MergeLanded(attempt=1, target="main", base="0", commit="d"))
    assert not state(history).attempts["sw-a", 1].unlanded
    history.said(MergeReverted(attempt=1, target="main", commit="d", revert="e"))
    assert state(history).attempts["sw-a", 1].unlanded


def test_an_attempt_that_needs_no_agent_leaves_its_place_when_its_work_is_secured(history: History) -> None:
    history.all([IssueAssigned(1, "g", "builder-1", "builder", "shell", work="c"), PREPARED])
    assert state(history).attempts["sw-a", 1].active
    history.said(SECURED)
    attempt = state(history).attempts["sw-a", 1]
    assert (attempt.active, attempt.testing) == (False, True)
