"""Another try or not, when, and what it is told of the one before."""

from pathlib import Path
from typing import Any

import pytest

from swarm.actors import attempts, boot, builder, coordinator, launching, retries, watchdog
from swarm.actors.command import Decide
from swarm.actors.prompt import LESSON, compose, cut
from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import (
    AgentInterrupted,
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    IssueReopened,
    IssueTaken,
    MergeConflicted,
    MergeRejected,
    RetryPolicy,
    RunStopRequested,
    SessionKillRequested,
    WorkRejected,
)
from swarm.eventlog.fact import Fact
from swarm.projections import issues
from swarm.world.git import Git
from swarm.world.settings import load

import repository
from history import BASE, History, decided, deeds


def due(h: History) -> list[tuple[str, Fact]]:
    return decided(retries.due(h.board(), h.now))


def take_all(h: History) -> None:
    """Append what is due, as the ledger does."""
    for subject, fact in due(h):
        h.add(fact, subject, "watchdog")


def fail(h: History, attempt: int, final: bool = False) -> str:
    h.to("secured", attempt=attempt)
    return h.add(WorkRejected(attempt, "the tests fail", final=final), "a", "builder")


# --- another try ---


def test_a_first_failure_is_tried_again_and_a_second_is_held(h: History) -> None:
    generation = h.generation("a")
    fail(h, 1)
    assert due(h) == [("a", AttemptRetried(1, "the tests fail"))]
    take_all(h)
    assert due(h) == []
    fail(h, 2)
    assert due(h) == [("a", IssueHeld(generation, "the tests fail (after 2 attempts)", 2))]
    take_all(h)
    assert due(h) == []


@pytest.mark.parametrize("retries", [0, 3])
def test_it_is_tried_as_often_as_the_settings_say(h: History, retries: int) -> None:
    h.run("run-2", max_retries=retries)
    for attempt in range(1, retries + 1):
        fail(h, attempt)
        assert [type(fact) for _, fact in due(h)] == [AttemptRetried]
        take_all(h)
    fail(h, retries + 1)
    assert [type(fact) for _, fact in due(h)] == [IssueHeld]


def test_what_trying_again_would_not_help_is_held_at_once(h: History) -> None:
    cause = fail(h, 1, final=True)
    held = IssueHeld(h.generation("a"), "the tests fail", 1)
    assert retries.due(h.board(), h.now) == [Decide("a", held, cause)]


@pytest.mark.parametrize(
    ("end", "held"),
    [
        (MergeConflicted(1, BASE, ["x"]), False),
        (MergeRejected(1, "merged, the tests fail"), False),
        (MergeRejected(1, "git is broken", final=True), True),
    ],
)
def test_what_does_not_merge_is_tried_again_from_a_fresh_base_unless_that_is_final(
    h: History, end: Fact, held: bool
) -> None:
    h.to("queued")
    h.add(end, "a", "merger")
    assert [type(fact) for _, fact in due(h)] == [IssueHeld if held else AttemptRetried]


def test_attempts_that_were_called_off_do_not_count(h: History) -> None:
    for attempt in range(1, 4):
        h.to("exited", attempt=attempt)
        h.add(AttemptCancelled(attempt, "stop"), "a")
    fail(h, 4)
    assert [type(fact) for _, fact in due(h)] == [AttemptRetried]


def test_a_reopened_issue_has_all_its_tries_again(h: History) -> None:
    fail(h, 1)
    take_all(h)
    fail(h, 2)
    take_all(h)
    h.add(IssueReopened(), "a")
    fail(h, 3)
    assert [type(fact) for _, fact in due(h)] == [AttemptRetried]


@pytest.mark.parametrize("mark", [IssueClosed, IssueTaken])
def test_what_a_person_has_closed_or_taken_is_not_tried_again(h: History, mark: Any) -> None:
    fail(h, 1)
    h.add(mark(h.generation("a")), "a")
    assert due(h) == []


# --- how often ---


def test_a_role_may_have_retries_of_its_own(h: History) -> None:
    h.run("run-2", max_retries=3, retry=RetryPolicy(roles={"scout": 0}))
    h.to("assigned", role="scout")
    h.to("secured")
    h.add(WorkRejected(1, "unverified"), "a", "scout")
    assert [type(fact) for _, fact in due(h)] == [IssueHeld]
    h.issue("b")
    h.to("secured", "b")
    h.add(WorkRejected(1, "the tests fail"), "b", "builder")
    assert [type(fact) for subject, fact in due(h) if subject == "b"] == [AttemptRetried]


@pytest.fixture
def scratch(tmp_path: Path) -> Any:
    return repository.make(tmp_path / "repo", {"a.txt": "a\n"})


def in_force(scratch: Any, **options: Any) -> int:
    git = Git(scratch.root, scratch.common)
    return boot.in_force(git, load(scratch.root), boot.Options(**options), scratch.root).max_retries


def test_the_environment_counts_more_than_the_file_and_an_option_more_than_both(
    scratch: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(scratch.root, "swarm.toml").write_text("[start]\nmax_retries = 2\n")
    monkeypatch.delenv("SWARM_MAX_RETRIES", raising=False)
    assert in_force(scratch) == 2
    monkeypatch.setenv("SWARM_MAX_RETRIES", "5")
    assert in_force(scratch) == 5
    assert in_force(scratch, max_retries=0) == 0


@pytest.mark.parametrize("given", ["many", "-1", "1.5", "1001", "²"])
def test_what_is_no_number_of_retries_is_refused_by_its_name(
    scratch: Any, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("SWARM_MAX_RETRIES", given)
    with pytest.raises(UsageError, match="SWARM_MAX_RETRIES"):
        in_force(scratch)


# --- when ---


def test_a_pause_doubles_up_to_the_longest() -> None:
    policy = RetryPolicy(backoff=10.0, longest=60.0)
    assert [retries.pause(policy, failures) for failures in (1, 2, 3, 4, 1000)] == [10.0, 20.0, 40.0, 60.0, 60.0]
    assert retries.pause(RetryPolicy(), 3) == 0.0


def assigned(h: History, now: float) -> list[Fact]:
    return [fact for _, fact in decided(coordinator.due(h.board(), now)) if isinstance(fact, IssueAssigned)]


def test_what_failed_is_not_begun_before_its_pause_is_over_and_the_swarm_is_not_idle_meanwhile(h: History) -> None:
    h.run("run-2", max_retries=9, retry=RetryPolicy(backoff=10.0, longest=60.0))
    for attempt, wait in ((1, 10.0), (2, 20.0)):
        fail(h, attempt)
        decision = due(h)
        assert decision == [("a", AttemptRetried(attempt, "the tests fail", after=h.now + wait))]
        until = h.now + wait
        take_all(h)
        assert due(h) == []
        assert assigned(h, until - 0.01) == []
        assert coordinator.begins_later(h.board(), until - 0.01)
        assert [fact.attempt for fact in assigned(h, until)] == [attempt + 1]
        assert not coordinator.begins_later(h.board(), until)


def test_nobody_waits_for_a_retry_once_the_swarm_is_to_stop_or_the_issue_is_a_persons(h: History) -> None:
    h.run("run-2", retry=RetryPolicy(backoff=1000.0, longest=1000.0))
    fail(h, 1)
    take_all(h)
    assert coordinator.begins_later(h.board(), h.now)
    h.add(RunStopRequested(), "run-2", run="run-2")
    assert not coordinator.begins_later(h.board(), h.now)
    h.run("run-3")
    h.add(IssueReopened(), "a")
    assert len(assigned(h, h.now)) == 1, "a person need not wait"


def test_others_are_begun_while_one_waits(h: History) -> None:
    h.run("run-2", retry=RetryPolicy(backoff=1000.0, longest=1000.0))
    fail(h, 1)
    take_all(h)
    h.issue("b", priority=5)
    assert [subject for subject, fact in decided(coordinator.due(h.board(), h.now))] == ["b"]


# --- what the retry is told ---


def told(h: History, attempt: int = 2) -> tuple[str, str]:
    return retries.lesson(h.board()[issues.State].all["a"], attempt)


def test_the_first_attempt_has_nothing_to_learn(h: History) -> None:
    h.to("prepared")
    assert told(h, 1) == ("", "")


@pytest.mark.parametrize(
    ("end", "lesson"),
    [
        (WorkRejected(1, "the tests fail (exit code 1)", "E assert 1 == 2"), ("exit code 1", "E assert 1 == 2")),
        (MergeRejected(1, "merged, the tests fail", "E boom"), ("merged", "E boom")),
        (MergeConflicted(1, BASE, ["x.py", "y.py"]), ("conflict in x.py, y.py", "x.py\ny.py")),
    ],
)
def test_the_retry_is_told_what_failed_and_shown_the_output(h: History, end: Fact, lesson: tuple[str, str]) -> None:
    h.to("queued")
    h.add(end, "a", "merger")
    take_all(h)
    h.to("seen", attempt=2)
    (run,) = [command for command in deeds(builder.due(h.board(), h.now)) if isinstance(command, launching.Run)]
    assert lesson[0] in run.failure
    assert run.output.endswith(lesson[1])


def test_the_newest_failure_counts_and_why_it_was_reopened_since(h: History) -> None:
    fail(h, 1)
    take_all(h)
    h.to("secured", attempt=2)
    h.add(WorkRejected(2, "no", "worse"), "a", "builder")
    take_all(h)
    assert told(h, 3) == ("no", "worse")
    assert told(h, 2)[0] == "the tests fail"
    h.add(IssueReopened("the button is still blue"), "a")
    assert told(h, 3) == ("no; then it was reopened: the button is still blue", "worse")
    fail(h, 3)
    assert told(h, 4)[0] == "the tests fail"


def test_why_a_person_ended_it_is_told(h: History) -> None:
    h.to("exited")
    h.add(AttemptCancelled(1, "killed by a person"), "a", "builder")
    assert told(h) == ("it was called off: killed by a person", "")


@pytest.mark.parametrize(
    ("exited", "before", "why"),
    [
        ({"code": -9, "ended_by": "memory", "why": "it used 9 MB"}, None, "it used 9 MB"),
        ({"code": 3, "why": "exit code 3"}, None, "exit code 3"),
        (
            {"code": -15, "ended_by": "killed", "why": "it was ended on request"},
            SessionKillRequested("a-1", 1, "no sign of life for 9 minutes", failure=True),
            "no sign of life for 9 minutes",
        ),
        (
            {"code": -2, "why": "killed by signal 2 (SIGINT)"},
            AgentInterrupted("a-1", 1, "no sign of life for 9 minutes"),
            "killed by signal 2 (SIGINT), as it was interrupted: no sign of life for 9 minutes",
        ),
    ],
)
def test_what_a_limit_ended_is_a_failure_with_its_reason(
    h: History, exited: dict[str, Any], before: Fact | None, why: str
) -> None:
    h.to("started")
    if before:
        h.add(before, "a", "watchdog")
    h.to("exited", ok=False, **exited)
    (secure,) = builder.due(h.board(), h.now)
    assert isinstance(secure, attempts.Secure)
    assert (secure.why, secure.wip) == (why, True)


def test_what_a_person_ended_is_no_failure(h: History) -> None:
    h.to("started")
    h.add(SessionKillRequested("a-1", 1, "enough"), "a")
    h.to("exited", ok=False, code=-15, ended_by="killed")
    assert decided(builder.due(h.board(), h.now)) == [("a", AttemptCancelled(1, "enough"))]


def test_what_ended_well_before_it_could_be_ended_is_well(h: History) -> None:
    h.to("started")
    h.add(SessionKillRequested("a-1", 1, "no sign of life", failure=True), "a", "watchdog")
    h.to("exited")
    (secure,) = builder.due(h.board(), h.now)
    assert isinstance(secure, attempts.Secure)
    assert (secure.why, secure.wip) == ("", False)


def test_a_lesson_is_bounded_and_keeps_both_ends() -> None:
    bare = compose("sw-1", "Fix it", "", "builder", "builder-1")
    text = compose("sw-1", "Fix it", "", "builder", "builder-1", "why " * 5000, "first\n" + "x\x1b" * 50_000 + "\nlast")
    assert len(text) <= len(bare) + LESSON + 10
    assert "first" in text
    assert "last" in text
    assert text.count("characters are left out") == 2


def test_a_cut_says_how_much_it_left_out() -> None:
    text = "".join(chr(97 + number % 26) for number in range(12_345))
    found = cut(text, 1000)
    begin, end = (found.index("\n["), found.rindex("]\n") + 2)
    left = int(found[begin:end].split()[1].replace(",", ""))
    assert text.startswith(found[:begin])
    assert text.endswith(found[end:])
    assert begin + left + len(found) - end == len(text)
    assert len(found) <= 1000
    assert cut(text, len(text)) == text


def test_the_watchdog_is_who_decides(h: History) -> None:
    cause = fail(h, 1)
    retried = AttemptRetried(1, "the tests fail")
    assert Decide("a", retried, cause) in watchdog.due(h.board(), h.now)
