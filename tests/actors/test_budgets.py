"""What may still be spent: who is told, what is not begun, what is ended, and that it goes on when more is allowed."""

from typing import Any

import pytest

from swarm.actors import attempts, budgets, coordinator, launching, watchdog
from swarm.actors.budgets import HELD, NoteSpend
from swarm.eventlog.errors import UsageError
from swarm.eventlog.events import (
    AttemptCancelled,
    BudgetExceeded,
    BudgetRaised,
    BudgetWarned,
    IssueAssigned,
    IssueHeld,
    IssueReopened,
    Limit,
    SessionKillRequested,
    UsageReported,
    WorkRejected,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import day
from swarm.projections import costs

from history import BEGIN, History, decided, deeds

TODAY = f"day:{day(BEGIN)}"
RUN = "run:run-1"


def swarm(*limits: Limit, **settings: Any) -> History:
    """A run with these budgets, and two issues."""
    h = History()
    h.run(budgets=list(limits), **settings)
    h.issue("a")
    h.issue("b")
    return h


def used(h: History, cost: float | None, issue: str = "a", attempt: int = 1, **words: Any) -> None:
    given: dict[str, Any] = {"model": "m", "origin": "runtime", "cost": cost}
    h.add(UsageReported(f"{issue}-{attempt}", attempt, **(given | words)), issue, f"session/{issue}-{attempt}")


def due(h: History) -> list[tuple[str, Fact]]:
    return decided(watchdog.due(h.board(), h.now))


def take_all(h: History) -> list[type[Fact]]:
    """Append what the watchdog decides until it has no more to decide; the kinds of fact, in order."""
    found: list[type[Fact]] = []
    while decisions := due(h):
        assert len(found) < 20
        for subject, fact in decisions:
            h.add(fact, subject, "watchdog")
            found.append(type(fact))
    return found


def begun(h: History) -> list[str]:
    return [subject for subject, fact in decided(coordinator.due(h.board(), h.now)) if isinstance(fact, IssueAssigned)]


# --- what is told ---


def test_a_limit_that_is_near_is_told_once_and_one_that_is_reached_once() -> None:
    h = swarm(Limit("run", usd=5.0))
    h.to("started")
    used(h, 3.9)
    assert due(h) == []
    used(h, 4.0)
    assert due(h) == [(RUN, BudgetWarned("usd", 5.0, 4.0))]
    take_all(h)
    used(h, 4.9)
    assert due(h) == []
    used(h, 5.0)
    assert due(h)[0] == (RUN, BudgetExceeded("usd", 5.0, 5.0))
    take_all(h)
    used(h, 6.0)
    assert due(h) == []


def test_what_is_reached_at_once_is_not_called_near_too() -> None:
    h = swarm(Limit("run", tokens=100))
    h.to("started")
    used(h, None, input_tokens=60, output_tokens=40)
    assert take_all(h) == [BudgetExceeded, SessionKillRequested]


@pytest.mark.parametrize(
    ("scope", "subject"),
    [
        ("run", RUN),
        ("day", TODAY),
        (TODAY, TODAY),
        ("issue", "issue:a"),
        ("issue:a", "issue:a"),
        ("agent", "agent:builder-1"),
        ("agent:builder-1", "agent:builder-1"),
        ("role", "role:builder"),
        ("model", "model:m"),
        ("model:m", "model:m"),
    ],
)
def test_every_scope_is_counted_told_and_ends_what_runs(scope: str, subject: str) -> None:
    h = swarm(Limit(scope, usd=1.0))
    h.to("started")
    used(h, 1.25)
    assert due(h)[0] == (subject, BudgetExceeded("usd", 1.0, 1.25))
    ended = [fact for _, fact in due(h) if isinstance(fact, SessionKillRequested | IssueHeld)]
    assert ended
    assert all("$1.25 of $1.00" in fact.reason for fact in ended)


@pytest.mark.parametrize(
    "scope", ["issue:b", "agent:builder-2", "role:scout", "model:n", "day:2020-01-01", "run:other"]
)
def test_a_budget_of_another_ends_nothing(scope: str) -> None:
    h = swarm(Limit(scope, usd=1.0))
    h.to("started")
    used(h, 100.0)
    assert due(h) == []
    assert begun(h) == ["b"]


def test_one_that_has_a_budget_by_its_name_is_not_held_to_that_of_all() -> None:
    h = swarm(Limit("agent", usd=1.0), Limit("agent:builder-1", usd=10.0), Limit("agent", tokens=50))
    h.to("started")
    used(h, 2.0, input_tokens=10)
    assert due(h) == []
    used(h, 2.0, input_tokens=60)
    assert due(h)[0] == ("agent:builder-1", BudgetExceeded("tokens", 50.0, 60.0))


def test_the_least_of_several_limits_counts() -> None:
    h = swarm(Limit("run", usd=9.0), Limit("run", usd=2.0))
    h.to("started")
    used(h, 2.0)
    assert due(h)[0] == (RUN, BudgetExceeded("usd", 2.0, 2.0))


def test_a_day_and_a_run_begin_anew() -> None:
    h = swarm(Limit("day", usd=1.0), Limit("run", usd=1.0))
    h.to("started")
    used(h, 2.0)
    take_all(h)
    h.to("exited", ended_by="killed", ok=False, code=-15)
    h.add(AttemptCancelled(1, "budget"), "a", "builder")
    assert begun(h) == []
    h.run("run-2", budgets=[Limit("run", usd=1.0)])
    assert begun(h) == ["a", "b"]
    h.run("run-3", budgets=[Limit("day", usd=1.0)])
    assert begun(h) == []
    h.now += 86_400
    assert begun(h) == ["a", "b"]


def test_without_a_price_tokens_are_counted_and_dollars_said_to_be_at_least() -> None:
    h = swarm(Limit("run", usd=1.0, tokens=1000))
    h.to("started")
    used(h, 0.5)
    used(h, None, model="n", input_tokens=500)
    line, other = budgets.book(h.board(), h.now).lines()
    assert (line.spent, line.unpriced, line.words) == (0.5, True, "at least $0.50 of $1.00 are used")
    assert (other.spent, other.unpriced) == (500, False)


# --- what is ended, what is not begun ---


def test_an_agent_on_an_account_that_is_used_up_is_ended_without_a_failure_and_its_issue_stays_open() -> None:
    h = swarm(Limit("run", usd=1.0))
    h.to("started")
    used(h, 1.5)
    assert take_all(h) == [BudgetExceeded, SessionKillRequested]
    h.to("exited", ended_by="killed", ok=False, code=-15)
    called_off = decided(attempts.steps(h.board(), "builder", h.now))
    assert called_off == [("a", AttemptCancelled(1, f"the budget {RUN}: $1.50 of $1.00 are used"))]
    h.add(called_off[0][1], "a", "builder")
    secures = [step for step in attempts.steps(h.board(), "builder", h.now) if isinstance(step, attempts.Secure)]
    assert [step.wip for step in secures] == [True]
    assert (due(h), begun(h)) == ([], [])
    board = h.board()
    issue = board[coordinator.issues.State].all["a"]
    assert (issue.status, issue.failures) == ("open", 0)
    run = board[coordinator.runs.State].settings
    assert run
    assert budgets.book(board, h.now).waits(issue, run) == f"the budget {RUN}: $1.50 of $1.00 are used"


def test_what_was_given_to_an_agent_and_has_not_begun_is_called_off() -> None:
    h = swarm(Limit("run", usd=1.0))
    h.to("started")
    h.to("prepared", "b")
    used(h, 1.5)
    assert take_all(h) == [BudgetExceeded, SessionKillRequested, AttemptCancelled]


@pytest.mark.parametrize("scope", ["run", "issue", "agent", "role", "model", "day"])
def test_what_the_agent_finished_is_tested_and_landed_all_the_same(scope: str) -> None:
    h = swarm(Limit(scope, usd=1.0))
    h.to("exited")
    used(h, 1.5)
    assert take_all(h) == [BudgetExceeded]


@pytest.mark.parametrize("scope", ["run", "issue", "day"])
def test_work_that_a_person_gives_back_needs_no_budget(scope: str) -> None:
    """Called off, it would be forgotten, and the issue begun from nothing."""
    h = swarm(Limit(scope, usd=1.0))
    h.to("exited")
    used(h, 1.5)
    h.add(WorkRejected(1, "it fails"), "a", "builder")
    take_all(h)
    h.add(IssueReopened("as it is", work="c" * 40), "a")
    assert due(h) == []
    assert begun(h) == ["a"]
    h.to("assigned", "a", 2, work="c" * 40)
    assert due(h) == []
    h.to("queued", "a", 2)
    assert due(h) == []


def test_more_that_is_allowed_lets_it_go_on_and_is_told_of_anew() -> None:
    h = swarm(Limit("day", usd=1.0))
    h.to("exited")
    used(h, 1.5)
    take_all(h)
    assert begun(h) == []
    h.add(BudgetRaised("usd", 1.0), TODAY)
    assert begun(h) == ["b"]
    used(h, 1.7)
    assert due(h) == [(TODAY, BudgetWarned("usd", 2.0, 1.7))]
    take_all(h)
    used(h, 2.0)
    assert due(h) == [(TODAY, BudgetExceeded("usd", 2.0, 2.0))]


def test_an_issue_over_its_own_budget_is_held_and_goes_on_when_that_is_raised() -> None:
    h = swarm(Limit("issue", usd=1.0))
    h.to("started")
    used(h, 1.5)
    held = [fact for _, fact in due(h) if isinstance(fact, IssueHeld)]
    assert held == [IssueHeld(h.generation("a"), f"{HELD}the budget issue:a: $1.50 of $1.00 are used")]
    assert begun(h) == ["b"]
    take_all(h)
    h.add(BudgetRaised("usd", 2.0), "issue:a")
    h.add(IssueReopened("its budget was raised"), "a")
    assert due(h) == []


def test_another_agent_takes_the_place_of_one_that_is_used_up_but_no_more_than_there_are() -> None:
    h = swarm(Limit("agent", usd=1.0), max_agents=2)
    h.to("exited")
    used(h, 1.5)
    take_all(h)
    given = [fact for _, fact in decided(coordinator.due(h.board(), h.now)) if isinstance(fact, IssueAssigned)]
    assert [fact.agent for fact in given] == ["builder-2"]
    h.to("assigned", "b", agent="builder-2")
    h.to("exited", "b")
    used(h, 1.5, "b")
    h.issue("c")
    assert begun(h) == []


def test_a_model_that_nobody_named_stops_what_would_use_it_again() -> None:
    """Else each issue would be begun, and ended with the first report."""
    h = swarm(Limit("model:m", usd=1.0))
    h.to("exited")
    used(h, 1.5)
    take_all(h)
    assert begun(h) == []
    h.issue("c", model="n")
    assert begun(h) == ["c"]


def test_what_an_issue_used_that_left_memory_counts_all_the_same() -> None:
    h = swarm(Limit("model:m", usd=1.0))
    h.to("exited")
    used(h, 1.5)
    board = h.board()
    known = board[costs.State]
    known.sums.update(known.count("a"))
    known.forget("a")
    assert not [one for one in decided(coordinator.due(board, h.now)) if isinstance(one[1], IssueAssigned)]


def test_a_limit_for_a_role_lets_other_roles_go_on() -> None:
    h = swarm(Limit("role:builder", usd=1.0))
    h.to("exited")
    used(h, 1.5)
    h.issue("c", role="scout")
    assert begun(h) == ["c"]


def test_without_a_budget_nothing_is_stopped() -> None:
    h = swarm()
    h.to("started")
    used(h, 1e6)
    assert due(h) == []
    assert begun(h) == ["b"]


# --- programs around the swarm ---


def test_what_a_run_has_spent_is_written_down_whenever_it_changes(bench: Any) -> None:
    h = swarm()
    assert [one for one in deeds(watchdog.due(h.board(), h.now)) if isinstance(one, NoteSpend)] == []
    h.to("started")
    used(h, 1.25)
    [note] = [one for one in deeds(watchdog.due(h.board(), h.now)) if isinstance(one, NoteSpend)]
    assert watchdog.perform(note, bench.hands) == []
    assert bench.written == {"/repository/.swarm/costs/current_spend": "1.250000\n"}
    h.run("run-2")
    assert NoteSpend("0.000000") in watchdog.due(h.board(), h.now)


def test_a_session_is_told_of_the_budget_of_its_run(bench: Any) -> None:
    h = swarm(Limit("run", usd=5.0))
    h.to("started")
    used(h, 1.25)
    h.to("seen", "b")
    [run] = [step for step in attempts.steps(h.board(), "builder", h.now) if isinstance(step, launching.Run)]
    assert dict(run.spend) == {"SWARM_BUDGET_MAX": "5.000000", "SWARM_CURRENT_SPEND": "1.250000"}
    assert budgets.environment(swarm(Limit("run", tokens=9)).board()) == {}
    assert budgets.environment(History().board()) == {}


def test_the_environment_adds_a_limit_for_the_run() -> None:
    assert budgets.limits([], {}) == []
    assert budgets.limits([Limit("day", usd=1.0)], {"SWARM_BUDGET_MAX": "2.5"})[1] == Limit("run", usd=2.5)


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_an_amount_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="SWARM_BUDGET_MAX is no amount"):
        budgets.limits([], {"SWARM_BUDGET_MAX": text})
