"""The quota breaker: a refusal is told, nothing more is begun with that provider, one tries, and all go on."""

from typing import Any

import pytest

from swarm.actors import builder, coordinator, quotas, watchdog
from swarm.actors.command import Decide
from swarm.eventlog.events import (
    Admission,
    AttemptCancelled,
    Fallback,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    Limit,
    QuotaExhausted,
    QuotaProbed,
    QuotaResumed,
    SessionProgressed,
    UsageReported,
)
from swarm.eventlog.fact import Fact
from swarm.mailbox import waits
from swarm.projections import issues

from history import History, decided


def refuse(h: History, issue: str = "a", attempt: int = 1, ahead: float = 100.0, **given: Any) -> str:
    """The attempt ends, its provider having refused. `ahead`: until so many seconds later; 0: it did not say."""
    reached = h._reached.get((issue, attempt), 0)
    if reached < 1:
        h.to("assigned", issue, attempt, **given)
    if reached < 4:
        h.to("started", issue, attempt)
    return h.to("exited", issue, attempt, code=1, ok=False, why="limit reached", quota=h.now + 1 + ahead)


def due(h: History) -> list[tuple[str, Fact]]:
    return decided(watchdog.due(h.board(), h.now))


def settle(h: History) -> list[tuple[str, Fact]]:
    """The watchdog's decisions, appended."""
    found = due(h)
    for subject, fact in found:
        h.add(fact, subject, "watchdog")
    return found


def given(h: History) -> list[tuple[str, Fact]]:
    """What the coordinator assigns, appended."""
    found = decided(coordinator.due(h.board(), h.now))
    for subject, fact in found:
        h.add(fact, subject, "coordinator")
        if isinstance(fact, IssueAssigned):
            h._reached[subject, fact.attempt] = 1
    return found


def exhausted(h: History) -> QuotaExhausted:
    """The newest."""
    return [event.data for event in h.events if isinstance(event.data, QuotaExhausted)][-1]


def wait(h: History) -> None:
    h.now = exhausted(h).until


@pytest.fixture
def h() -> History:
    """Two agents, no retry, three issues."""
    made = History()
    made.run(max_agents=2, max_retries=0)
    for issue in "abc":
        made.issue(issue)
    return made


# --- a refusal ---


def test_a_refusal_is_told_then_its_attempt_is_called_off_and_is_no_failure(h: History) -> None:
    exited = refuse(h)
    assert builder.due(h.board(), h.now) == [], "nobody rejects its work meanwhile"
    until = h.now + 100
    told, off = watchdog.due(h.board(), h.now)[:2]
    assert told == Decide("shell", QuotaExhausted(until=until, reason="limit reached", session="a-1"), exited)
    assert isinstance(off, Decide)
    assert isinstance(off.fact, AttemptCancelled)
    assert off.fact.reason.startswith("no quota at shell until ")
    settle(h)
    assert due(h) == []
    issue = h.board()[issues.State].all["a"]
    assert (issue.status, issue.failures) == ("open", 0)


def test_its_work_is_secured_all_the_same(h: History) -> None:
    refuse(h)
    settle(h)
    (step,) = builder.due(h.board(), h.now)
    assert (type(step).__name__, getattr(step, "wip", None)) == ("Secure", True)


def test_nothing_is_begun_from_the_moment_on_that_the_log_has_the_refusal(h: History) -> None:
    refuse(h)
    assert given(h) == [], "though nobody has told it yet"
    settle(h)
    assert given(h) == []
    h.now = exhausted(h).until - 0.1
    assert given(h) == []
    assert waits.soon(h.board(), h.now)
    assert set(waits.reasons(h.board(), h.board()[issues.State].ready(), h.now)) == {"a", "b", "c"}


def test_other_providers_go_on(h: History) -> None:
    refuse(h)
    settle(h)
    h.issue("d", runtime="pi", model="m")
    assert [(subject, fact.runtime) for subject, fact in given(h) if isinstance(fact, IssueAssigned)] == [("d", "pi")]


def test_one_whose_attempt_had_ended_already_is_told_too(h: History) -> None:
    h.to("started")
    h.add(IssueClosed(h.generation("a")), "a")
    h.add(AttemptCancelled(1, "the issue was closed meanwhile"), "a", "coordinator")
    refuse(h)
    assert [type(fact) for _, fact in settle(h)] == [QuotaExhausted]
    assert due(h) == []


def test_a_gate_that_prints_such_words_is_no_refusal(h: History) -> None:
    h.to("gate_exited", quota=h.now + 100)
    assert not [fact for _, fact in due(h) if isinstance(fact, QuotaExhausted)]


# --- one tries ---


def test_after_the_reset_one_tries_and_no_other(h: History) -> None:
    refuse(h)
    settle(h)
    wait(h)
    (probe, assigned) = given(h)
    assert probe == ("shell", QuotaProbed(issue="b"))
    assert assigned[0] == "b", "the one that was not refused before"
    assert given(h) == []
    h.now += waits.TRY - 10
    assert given(h) == []
    assert not waits.soon(h.board(), h.now), "it is at work: that is what is waited for"


def test_one_that_tries_and_hangs_keeps_nobody_else_from_trying_for_ever(h: History) -> None:
    refuse(h)
    settle(h)
    wait(h)
    given(h)
    h.to("started", "b", 1)
    h.now += waits.TRY
    assert [(subject, type(fact)) for subject, fact in given(h)] == [("shell", QuotaProbed), ("c", IssueAssigned)]
    assert not [fact for _, fact in due(h)], "it may work, and say nothing: that is not its provider's fault"
    h.to("exited", "c", 1)
    assert settle(h) == [("shell", QuotaResumed(session="c-1"))]


def test_when_it_is_answered_all_go_on(h: History) -> None:
    refuse(h)
    settle(h)
    wait(h)
    given(h)
    h.to("exited", "b", 1)
    assert given(h) == [], "not before it is told"
    assert settle(h) == [("shell", QuotaResumed(session="b-1"))]
    assert [subject for subject, _ in given(h)] == ["a", "c"]
    assert due(h) == []


def test_a_tool_that_it_uses_is_an_answer_and_what_it_prints_is_none(h: History) -> None:
    refuse(h)
    settle(h)
    wait(h)
    given(h)
    h.to("started", "b", 1)
    h.add(SessionProgressed("b-1", 1, output=500), "b", "session/b-1")
    assert due(h) == []
    h.add(SessionProgressed("b-1", 1, output=600, tools=1), "b", "session/b-1")
    assert due(h) == [("shell", QuotaResumed(session="b-1"))]


@pytest.mark.parametrize("end", [{"ended_by": "killed"}, {"ended_by": "missing"}])
def test_one_that_was_ended_has_no_answer_so_another_tries(h: History, end: dict[str, str]) -> None:
    refuse(h)
    settle(h)
    wait(h)
    given(h)
    h.to("exited", "b", 1, ok=False, code=-9, **end)
    assert not [fact for _, fact in due(h) if isinstance(fact, QuotaResumed)]
    h.add(AttemptCancelled(1, "enough"), "b")
    assert [type(fact) for _, fact in given(h)] == [QuotaProbed, IssueAssigned]


def test_a_probe_whose_assignment_a_kill_cut_off_is_made_again(h: History) -> None:
    refuse(h)
    settle(h)
    wait(h)
    h.add(QuotaProbed(issue="b"), "shell", "coordinator")
    assert [(subject, type(fact)) for subject, fact in given(h)] == [("shell", QuotaProbed), ("b", IssueAssigned)]


def test_a_refusal_that_is_told_and_whose_attempt_a_kill_left_is_called_off(h: History) -> None:
    refuse(h)
    h.add(due(h)[0][1], "shell", "watchdog")
    assert [type(fact) for _, fact in due(h)] == [AttemptCancelled]


# --- again and again ---


def refused_waits(h: History, ahead: float, times: int) -> list[float]:
    """How long is waited after each refusal, one issue being left."""
    found = []
    for issue in "bc":
        h.add(IssueClosed(h.generation(issue)), issue)
    for attempt in range(1, times + 1):
        refuse(h, "a", attempt, ahead)
        ended = h.now
        settle(h)
        found.append(round(exhausted(h).until - ended))
        wait(h)
        given(h)
    return found


def test_where_the_provider_does_not_say_when_the_waits_double(h: History) -> None:
    assert refused_waits(h, -1, 7) == [900, 1800, 3600, 7200, 14400, 21600, 21600]


def test_who_says_too_short_a_time_is_asked_ever_more_seldom(h: History) -> None:
    assert refused_waits(h, 5, 7) == [5, 5, 5, 8, 16, 32, 64]


def test_what_it_says_counts(h: History) -> None:
    assert refused_waits(h, 18_000, 3) == [18_000] * 3


def test_an_issue_that_is_always_refused_is_held_in_the_end(h: History) -> None:
    refused_waits(h, 5, quotas.MOST - 1)
    refuse(h, "a", quotas.MOST, 5)
    held = [fact for _, fact in settle(h) if isinstance(fact, IssueHeld)]
    assert [fact.reason for fact in held] == ["refused 8 times for lack of quota, the last time: limit reached"]
    assert due(h) == []


def test_an_issue_that_is_always_refused_does_not_keep_the_others_from_trying(h: History) -> None:
    begun = []
    for _ in range(3):
        for subject, fact in given(h):
            if isinstance(fact, IssueAssigned):
                begun.append(subject)
                refuse(h, subject, fact.attempt)
        settle(h)
        wait(h)
    assert begun == ["a", "b", "c", "a"]


# --- something else meanwhile ---


@pytest.mark.parametrize(
    "limits", [{"admission": Admission(roles={"scout": 0})}, {"budgets": [Limit("role:scout", tokens=1)]}]
)
def test_an_issue_that_may_not_begin_does_not_keep_the_others_from_trying(limits: dict[str, Any]) -> None:
    h = History()
    h.run(**limits)
    h.issue("s", role="scout", priority=1)
    h.issue("a")
    h.issue("b")
    refuse(h)
    h.add(UsageReported("x-1", 1, "m", "runtime", input_tokens=1), "x", "session/x-1")
    h.to("assigned", "x", 1, role="scout")
    h.add(AttemptCancelled(1, "over"), "x")
    settle(h)
    wait(h)
    assert [(subject, type(fact)) for subject, fact in given(h)] == [("shell", QuotaProbed), ("b", IssueAssigned)]


def test_the_first_fallback_with_quota_is_used(h: History) -> None:
    h.run("run-2", max_agents=4, fallback=[Fallback("pi", "openai/m"), Fallback("pi", "zai/m"), Fallback("", "x")])
    refuse(h, "a")
    settle(h)
    h.to("assigned", "b", runtime="pi", model="openai/m")
    refuse(h, "b")
    settle(h)
    begun = [(fact.runtime, fact.model) for _, fact in given(h) if isinstance(fact, IssueAssigned)]
    assert begun == [("pi", "zai/m")] * 3
    assert not waits.reasons(h.board(), h.board()[issues.State].ready(), h.now)


def test_when_the_first_choice_should_be_back_one_tries_it_and_the_others_do_not_wait(h: History) -> None:
    h.run("run-2", max_agents=4, fallback=[Fallback("pi", "m")])
    refuse(h)
    settle(h)
    wait(h)
    begun = [(subject, fact.runtime) for subject, fact in given(h) if isinstance(fact, IssueAssigned)]
    assert sorted(begun) == [("a", "pi"), ("b", "shell"), ("c", "pi")]


def test_a_fallback_of_the_same_runtime_keeps_what_it_does_not_say(h: History) -> None:
    h.run("run-2", runtime="pi", model="openai/m", fallback=[Fallback("pi", "zai/m"), Fallback("shell")])
    refuse(h, runtime="pi", model="openai/m")
    settle(h)
    begun = {(fact.runtime, fact.model) for _, fact in given(h) if isinstance(fact, IssueAssigned)}
    assert begun == {("pi", "zai/m")}
