"""`swarm budget`: every budget with what is used of it, exit 1 over one, and more allowed by a person."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import BudgetRaised, IssueHeld, IssueReopened, RunStarted, UsageReported
from swarm.eventlog.ids import day
from swarm.eventlog.tail import read_all
from swarm.projections import issues
from swarm.world.clock import now

Budgets = Callable[[str], None]


@pytest.fixture
def budgets(home: Home) -> Budgets:
    """Write swarm.toml; each budget as `scope usd tokens`."""

    def budgets(text: str) -> None:
        rows = [row.split() for row in text.split(",")]
        parts = [f'[[budgets]]\nscope = "{scope}"\nusd = {usd}\ntokens = {tokens}\n' for scope, usd, tokens in rows]
        Path(home.place.root, "swarm.toml").write_text("\n".join(parts))

    return budgets


@pytest.fixture
def used(home: Home, at_work: Callable[..., str], issue: str) -> str:
    """kim used $4 and 1,010 tokens for the issue."""
    at_work("kim", issue)
    report = UsageReported(f"{issue}-1", 1, "m", "runtime", calls=1, input_tokens=1000, output_tokens=10, cost=4.0)
    home.append(f"session/{issue}-1", [(issue, report)])
    return issue


def test_each_is_shown_with_what_is_used_of_it(swarm: Any, used: str, budgets: Budgets) -> None:
    budgets("day 8 2020, issue 5 0, agent:kim 4.5 0, role 100 0, run 2 0, model:n 3 0")
    done = swarm("budget")
    today = day(now())
    assert done.code == 0
    # (What no run used is no run's.)
    assert [line.split() for line in done.out.splitlines()] == [
        ["budget", "spent", "limit", "used"],
        [f"day:{today}", "$4.00", "$8.00", "50", "%"],
        [f"day:{today}", "1010", "tokens", "2020", "tokens", "50", "%"],
        [f"issue:{used}", "$4.00", "$5.00", "80", "%"],
        ["agent:kim", "$4.00", "$4.50", "88", "%"],
        ["role:builder", "$4.00", "$100.00", "4", "%"],
        ["run", "$0.00", "$2.00", "0", "%"],
        ["model:n", "$0.00", "$3.00", "0", "%"],
    ]


def test_of_several_limits_the_least_is_shown_before_anything_is_used_too(
    swarm: Any, budgets: Budgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets("run 1 0")
    monkeypatch.setenv("SWARM_BUDGET_MAX", "2")
    monkeypatch.setenv("SWARM_CURRENT_SPEND", "1.5")
    done = swarm("budget", "--json")
    assert [(row["budget"], row["limit"], row["over"]) for row in done.json] == [("run", 1.0, True)]
    assert done.code == 1


def test_one_that_is_used_up_is_exit_code_1(swarm: Any, used: str, budgets: Budgets) -> None:
    budgets("day 4 0")
    done = swarm("budget", "--json")
    assert done.code == 1
    [row] = done.json
    assert (row["spent"], row["limit"], row["percent"], row["over"]) == (4.0, 4.0, 100, True)
    budgets("day 4.01 0")
    assert swarm("budget").code == 0


def test_without_one_it_says_how_to_have_one(swarm: Any) -> None:
    done = swarm("budget")
    assert (done.code, "[[budgets]]" in done.out) == (0, True)


def test_an_amount_of_the_environment_that_is_none_is_wrong_usage(swarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWARM_CURRENT_SPEND", "a lot")
    done = swarm("budget")
    assert done.code == 2
    assert "SWARM_CURRENT_SPEND" in done.err


def facts(home: Home, *kinds: type) -> list[tuple[str, Any]]:
    return [(event.subject, event.data) for event in read_all(home.place.log) if isinstance(event.data, kinds)]


def test_more_can_be_allowed_for_one_of_them(swarm: Any, used: str, home: Home, budgets: Budgets) -> None:
    budgets("day 4 0, agent 0 1000")
    assert swarm("budget", "raise", "day", "--usd", "2.5").out == f"day:{day(now())} may use $6.50 now\n"
    assert swarm("budget", "raise", "agent:kim", "--tokens", "100").code == 0
    assert facts(home, BudgetRaised) == [
        (f"day:{day(now())}", BudgetRaised("usd", 2.5)),
        ("agent:kim", BudgetRaised("tokens", 100)),
    ]
    assert swarm("budget").code == 0


def test_an_issue_that_its_budget_held_goes_on(swarm: Any, used: str, home: Home, budgets: Budgets) -> None:
    budgets("issue 4 0")
    generation = home.board(("issues",))[issues.State].all[used].generation
    home.append("watchdog", [(used, IssueHeld(generation, "over its budget: the budget issue:x: …"))])
    assert swarm("budget", "raise", f"issue:{used[:6]}", "--usd", "1").code == 0
    assert facts(home, BudgetRaised, IssueReopened) == [
        (f"issue:{used}", BudgetRaised("usd", 1.0)),
        (used, IssueReopened("its budget was raised")),
    ]


def test_an_issue_that_is_held_for_another_reason_stays_so(swarm: Any, used: str, home: Home, budgets: Budgets) -> None:
    budgets("issue 4 0")
    generation = home.board(("issues",))[issues.State].all[used].generation
    home.append("human", [(used, IssueHeld(generation, "wait"))])
    assert swarm("budget", "raise", f"issue:{used}", "--usd", "1").code == 0
    assert facts(home, IssueReopened) == []


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["day"], "in dollars or in tokens"),
        (["day", "--usd", "1", "--tokens", "1"], "in dollars or in tokens"),
        (["day", "--tokens", "1"], "no limit in tokens"),
        (["agent", "--usd", "1"], "say which agent"),
        (["week", "--usd", "1"], "no budget 'week'"),
        (["run", "--usd", "1"], "no run is at work"),
        (["issue:none", "--usd", "1"], "no issue"),
        (["day", "--usd", "0"], "usd"),
        (["day", "--usd", "nan"], "in dollars or in tokens"),
    ],
)
def test_what_cannot_be_raised_is_refused_and_nothing_is_written(
    swarm: Any, used: str, home: Home, budgets: Budgets, args: list[str], words: str
) -> None:
    budgets("day 4 0")
    done = swarm("budget", "raise", *args)
    assert done.code == 2
    assert words in done.err
    assert facts(home, BudgetRaised) == []


def test_an_agent_does_not_raise_its_own(swarm: Any, used: str, home: Home, budgets: Budgets, monkeypatch: Any) -> None:
    budgets("day 4 0")
    monkeypatch.setenv("SWARM_AGENT", "kim")
    assert swarm("budget", "raise", "day", "--usd", "1").code == 2
    assert facts(home, BudgetRaised) == []


def test_the_run_is_the_newest_and_its_own_reports_count(
    swarm: Any, home: Home, issue: str, budgets: Budgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = RunStarted(1, "b", 1, "0", "main", "shell", 4, 1)
    home.append("system", [("run-1", started)])
    budgets("run 8 0")
    [row] = swarm("budget", "--json").json
    assert (row["budget"], row["spent"]) == ("run:run-1", 0.0)
    monkeypatch.setenv("SWARM_BUDGET_MAX", "5")
    monkeypatch.setenv("SWARM_CURRENT_SPEND", "1.5")
    [row] = swarm("budget", "--json").json
    assert (row["limit"], row["spent"], row["percent"]) == (5.0, 1.5, 30)


def test_in_a_session_the_swarms_own_words_are_not_counted_twice(
    swarm: Any, home: Home, budgets: Budgets, monkeypatch: pytest.MonkeyPatch
) -> None:
    budgets("run 8 0")
    for name, value in (("SESSION", "sw-a-1"), ("BUDGET_MAX", "5"), ("CURRENT_SPEND", "1.5")):
        monkeypatch.setenv(f"SWARM_{name}", value)
    [row] = swarm("budget", "--json").json
    assert (row["limit"], row["spent"]) == (8.0, 0.0)
