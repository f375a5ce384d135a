"""What was said of a limit, and what a person allows beyond it."""

from swarm.eventlog.events import BudgetExceeded, BudgetRaised, BudgetWarned
from swarm.projections import budgets

from given import History

DAY = "day:2026-11-21"


def test_what_was_said_is_known_by_the_limit_it_was_said_of() -> None:
    history = History()
    history.said(BudgetWarned(unit="usd", limit=5.0, spent=4.1), DAY)
    found = history.board[budgets.State].find(DAY)
    assert found.was_said(BudgetWarned, "usd", 5.0)
    assert not found.was_said(BudgetWarned, "usd", 6.0)
    assert not found.was_said(BudgetWarned, "tokens", 5.0)
    assert not found.was_said(BudgetExceeded, "usd", 5.0)
    assert not history.board[budgets.State].find("run:run-1").was_said(BudgetWarned, "usd", 5.0)


def test_what_is_allowed_on_top_is_added_up_by_unit() -> None:
    history = History()
    history.all([BudgetRaised("usd", 1.5), BudgetRaised("usd", 2.0), BudgetRaised("tokens", 100)], DAY)
    found = history.board[budgets.State].find(DAY)
    assert (found.more("usd"), found.more("tokens")) == (3.5, 100)
