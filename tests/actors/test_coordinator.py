"""Coordinator: what is assigned, closed, called off and passed on, given what happened."""

from collections.abc import Callable

import pytest

from swarm.actors import coordinator
from swarm.actors.command import Decide
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    FindingsReported,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueLinked,
    IssueReopened,
    IssueTaken,
    MailAcked,
    MailSent,
    MergeConflicted,
    MergePolicy,
    QueueHeld,
    RunStopRequested,
    SessionKillRequested,
    WorkRejected,
)
from swarm.eventlog.fact import Fact
from swarm.projections import issues

from history import BASE, History, commit, decided


@pytest.fixture
def h() -> History:
    made = History()
    made.run()
    return made


def due(h: History) -> list[tuple[str, Fact]]:
    return decided(coordinator.due(h.board(), h.now))


def assigned(h: History) -> list[tuple[str, str]]:
    """(issue, agent) of the assignments that are due."""
    return [(subject, fact.agent) for subject, fact in due(h) if isinstance(fact, IssueAssigned)]


def take_all(h: History) -> None:
    """Append what is due, as the ledger does."""
    for subject, fact in due(h):
        h.add(fact, subject, "coordinator")


# --- assignments ---


def test_an_open_issue_is_given_to_an_agent_with_the_settings_in_force(h: History) -> None:
    generation = h.issue("a")
    want = IssueAssigned(attempt=1, generation=generation, agent="builder-1", role="builder", runtime="shell")
    assert due(h) == [("a", want)]


def test_while_the_queue_is_held_nothing_is_begun(h: History) -> None:
    h.issue("a")
    h.add(QueueHeld("infrastructure", "no such command"), "run-1")
    assert due(h) == []
    h.run("run-2")
    assert assigned(h) == [("a", "builder-1")]


def test_an_issue_may_name_its_own_role_runtime_and_model(h: History) -> None:
    generation = h.issue("a", role="scout", runtime="pi", model="m1")
    want = IssueAssigned(attempt=1, generation=generation, agent="scout-1", role="scout", runtime="pi", model="m1")
    assert due(h) == [("a", want)]


def test_the_newest_run_says_which_settings_are_in_force(h: History) -> None:
    h.run("run-2", runtime="pi", model="m2")
    h.issue("a")
    fact = due(h)[0][1]
    assert isinstance(fact, IssueAssigned)
    assert (fact.runtime, fact.model) == ("pi", "m2")


def test_nothing_is_assigned_before_a_run() -> None:
    h = History()
    h.issue("a")
    assert due(h) == []


@pytest.mark.parametrize("agents", [True, False])
def test_nothing_is_assigned_once_a_stop_was_asked_for(h: History, agents: bool) -> None:
    h.issue("a")
    h.add(RunStopRequested(agents=agents), "run-1")
    assert due(h) == []
    h.run("run-2")
    assert assigned(h) == [("a", "builder-1")]


def test_no_more_agents_than_allowed(h: History) -> None:
    h.run("run-2", max_agents=2)
    for issue in "abc":
        h.issue(issue)
    assert assigned(h) == [("a", "builder-1"), ("b", "builder-2")]
    take_all(h)
    assert due(h) == []


@pytest.mark.parametrize("stage", ["exited", "gated", "queued", "landed"])
def test_an_agent_that_has_ended_leaves_its_place_to_another(h: History, stage: str) -> None:
    h.run("run-2", max_agents=2)
    h.issue("a")
    h.issue("b")
    h.to("started", "b")
    h.to("assigned", "a", agent="builder-2")
    h.issue("c")
    assert assigned(h) == []
    h.to(stage, "a")
    assert assigned(h) == [("c", "builder-2")]


def test_no_more_is_begun_while_the_tests_do_not_keep_up(h: History) -> None:
    h.run("run-2", max_agents=1)
    h.issue("a")
    h.issue("b")
    h.to("gate_requested", "a")
    assert due(h) == []
    h.to("gated", "a")
    assert due(h) == []
    h.to("queued", "a")
    assert assigned(h) == [("b", "builder-1")]


def test_an_agent_that_has_not_yet_gone_keeps_its_place_and_its_name(h: History) -> None:
    h.run("run-2", max_agents=2)
    h.issue("a")
    h.to("started", "a")
    h.add(AttemptCancelled(1, "closed"), "a", "coordinator")
    h.add(IssueClosed(h.generation("a")), "a")
    h.issue("b")
    h.issue("c")
    assert assigned(h) == [("b", "builder-2")]
    h.to("exited", "a")
    assert assigned(h) == [("b", "builder-1"), ("c", "builder-2")]


def test_the_most_urgent_goes_first_then_the_oldest(h: History) -> None:
    for issue, priority in [("old", 3), ("older-but-later", 3), ("low", 5), ("urgent", 1)]:
        h.issue(issue, priority=priority)
    assert [issue for issue, _ in assigned(h)] == ["urgent", "old", "older-but-later", "low"]


def test_an_issue_waits_for_what_it_needs(h: History) -> None:
    h.issue("a")
    h.issue("b", needs=["a"])
    h.issue("c")
    h.add(IssueLinked(["b"]), "c")
    h.issue("d", needs=["unknown"])
    assert assigned(h) == [("a", "builder-1")]
    h.add(IssueClosed(h.generation("a")), "a")
    assert assigned(h) == [("b", "builder-1")]
    h.add(IssueReopened(), "a")
    assert assigned(h) == [("a", "builder-1")]


def test_a_held_issue_does_not_let_those_that_need_it_go_on(h: History) -> None:
    h.issue("a")
    h.issue("b", needs=["a"])
    h.add(IssueHeld(h.generation("a"), "stuck"), "a", "watchdog")
    assert due(h) == []


def test_a_chosen_agent_is_waited_for(h: History) -> None:
    h.issue("a")
    h.to("started", "a", attempt=1)
    h.issue("b")
    h.add(IssueDelegated("builder-1"), "b")
    assert assigned(h) == []
    h.to("queued", "a", attempt=1)
    assert assigned(h) == [("b", "builder-1")]


def test_a_chosen_agent_that_is_free_gets_it_and_nobody_else_its_name(h: History) -> None:
    h.issue("a", priority=1)
    h.issue("b", priority=2)
    h.add(IssueDelegated("builder-1"), "a")
    assert assigned(h) == [("a", "builder-1"), ("b", "builder-2")]
    h.add(IssueDelegated("kim"), "a")
    assert assigned(h) == [("a", "kim"), ("b", "builder-1")]


def test_attempts_are_numbered_across_generations(h: History) -> None:
    h.issue("a")
    h.to("started", "a", attempt=1)
    h.add(WorkRejected(1, "bad"), "a")
    h.add(AttemptRetried(1, "bad"), "a")
    h.to("assigned", "a", attempt=2, agent="builder-2")
    generation = h.add(IssueReopened(), "a")
    take_all(h)
    attempt = h.board()[issues.State].all["a"].attempts[3]
    assert attempt.assigned
    assert attempt.assigned.generation == generation
    assert due(h) == []


def test_a_failed_attempt_is_not_followed_by_another_before_that_was_decided(h: History) -> None:
    h.issue("a")
    h.to("secured", "a")
    h.add(WorkRejected(1, "bad"), "a")
    assert due(h) == []
    h.add(AttemptRetried(1, "bad"), "a")
    assert [subject for subject, _ in assigned(h)] == ["a"]


# --- closings ---


def test_what_landed_is_closed_once_with_its_commit(h: History) -> None:
    generation = h.issue("a")
    h.to("landed", "a")
    landed = h.events[-1].data.commit
    assert due(h) == [("a", IssueClosed(generation, "landed", landed))]
    take_all(h)
    assert due(h) == []


def test_what_a_scout_answered_is_closed_without_a_commit(h: History) -> None:
    generation = h.issue("a", role="scout")
    h.to("assigned", "a", role="scout", agent="scout-1")
    h.to("secured", "a")
    h.add(FindingsReported(1, "42"), "a", "scout")
    assert due(h) == [("a", IssueClosed(generation, "answered"))]


def test_a_landing_that_comes_late_does_not_close_what_was_reopened(h: History) -> None:
    h.issue("a")
    h.to("tested", "a")
    h.add(IssueReopened(), "a")
    h.to("landed", "a")
    assert not [fact for _, fact in due(h) if isinstance(fact, IssueClosed)]


# --- calling off ---


@pytest.mark.parametrize(
    ("mark", "word"),
    [
        (IssueClosed, "closed"),
        (lambda generation: IssueHeld(generation, "wait"), "held"),
        (lambda generation: IssueTaken(generation, "pat"), "taken by a person"),
        (lambda _: IssueReopened(), "reopened"),
    ],
)
@pytest.mark.parametrize("stage", ["assigned", "started", "gated", "queued", "tested"])
def test_an_attempt_at_what_is_no_longer_wanted_is_called_off_once(
    h: History, mark: Callable[[str], Fact], word: str, stage: str
) -> None:
    h.issue("a")
    h.to(stage, "a")
    cause = h.add(mark(h.generation("a")), "a")
    found = [(c.cause, c.fact) for c in coordinator.due(h.board(), h.now) if isinstance(c, Decide)]
    ((why, fact),) = [(why, fact) for why, fact in found if isinstance(fact, AttemptCancelled)]
    assert (why, fact.attempt) == (cause, 1)
    assert word in fact.reason
    take_all(h)
    assert not [fact for _, fact in due(h) if isinstance(fact, AttemptCancelled)]


def test_a_session_that_a_person_killed_does_not_call_off_the_issue(h: History) -> None:
    h.issue("a")
    h.to("started", "a")
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    assert due(h) == []


# --- mail ---


@pytest.mark.parametrize("kind", ["blocked", "help_request"])
def test_what_an_agent_cannot_go_on_without_is_passed_to_the_person_once(h: History, kind: str) -> None:
    letter = h.letter("coordinator", source="agent/kim", kind=kind, body="Which port?", issue="a")
    (subject, passed), (noted, acked) = due(h)
    assert (noted, acked) == (letter, MailAcked(letter, "coordinator"))
    assert isinstance(passed, MailSent)
    assert (subject, passed.to, passed.kind, passed.reply_to, passed.issue) == ("a", ["human"], kind, letter, "a")
    assert "agent-kim" in passed.body
    assert "Which port?" in passed.body
    take_all(h)
    assert due(h) == []


def test_other_letters_are_taken_note_of(h: History) -> None:
    letter = h.letter("coordinator", "human", kind="progress")
    assert due(h) == [(letter, MailAcked(letter, "coordinator"))]
    take_all(h)
    assert due(h) == []


# --- attempts that begin with work ---


def given(h: History) -> list[tuple[int, str, bool]]:
    """(attempt, work, resolve) of the assignments that are due."""
    return [(f.attempt, f.work, f.resolve) for _, f in due(h) if isinstance(f, IssueAssigned)]


def test_an_issue_that_comes_with_work_is_first_tried_with_that(h: History) -> None:
    h.issue("a")
    h.to("secured")
    h.add(WorkRejected(1, "exit code 1"), "a")
    h.add(IssueReopened("again", work=commit("a-1")), "a")
    assert given(h) == [(2, commit("a-1"), False)]
    h.to("secured", attempt=2)
    h.add(WorkRejected(2, "the tests fail"), "a")
    h.add(AttemptRetried(2, "the tests fail"), "a")
    assert given(h) == [(3, "", False)]
    h.add(IssueReopened("once more"), "a")
    assert given(h) == [(3, "", False)]


def test_two_that_come_with_work_are_not_given_to_agents_of_one_name(h: History) -> None:
    for issue in ("a", "b"):
        h.issue(issue)
        h.to("secured", issue)
        h.add(WorkRejected(1, "exit code 1"), issue)
        h.add(IssueReopened("again", work=commit(f"{issue}-1")), issue)
    names = [fact.agent for _, fact in due(h) if isinstance(fact, IssueAssigned)]
    assert names == ["builder-1", "builder-2"]


@pytest.mark.parametrize("policy", ["reopen", "resolve"])
def test_a_run_without_agents_begins_nothing_but_to_resolve_what_does_not_merge(h: History, policy: str) -> None:
    h.run("run-2", max_agents=0, merge=MergePolicy(on_conflict=policy))
    h.issue("new")
    h.issue("b")
    h.to("started", "b")
    h.issue("a")
    h.to("assigned", "a", agent="builder-2")
    h.to("queued", "a")
    h.add(MergeConflicted(1, BASE, ["a.py"]), "a")
    h.add(AttemptRetried(1, "does not merge", after=h.now + 60), "a")
    assert given(h) == []
    assert coordinator.begins_later(h.board(), h.now) == (policy == "resolve")
    h.now += 61
    assert given(h) == ([(2, commit("a-1"), True)] if policy == "resolve" else [])
    assert not coordinator.begins_later(h.board(), h.now)


@pytest.mark.parametrize("policy", ["reopen", "resolve"])
def test_what_does_not_merge_is_resolved_if_that_is_the_policy(h: History, policy: str) -> None:
    h.run("run-2", merge=MergePolicy(on_conflict=policy))
    h.issue("a")
    h.to("queued")
    h.add(MergeConflicted(1, BASE, ["a.py"]), "a")
    h.add(AttemptRetried(1, "does not merge"), "a")
    assert given(h) == [(2, commit("a-1"), True) if policy == "resolve" else (2, "", False)]
