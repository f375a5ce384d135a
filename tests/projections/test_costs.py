"""What was used, counted once."""

from typing import Any

from swarm.eventlog.events import IssueAssigned, UsageReported
from swarm.projections import costs

from given import History


def used(session: str = "sw-a-1", model: str = "m", origin: str = "runtime", **totals: Any) -> UsageReported:
    return UsageReported(session=session, attempt=1, model=model, origin=origin, **totals)


def state(*facts: UsageReported) -> costs.State:
    history = History()
    history.said(IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="pi"))
    history.all(facts)
    return history.board[costs.State]


def test_reports_are_totals_so_the_newest_counts_and_none_is_added_twice() -> None:
    total = state(used(calls=1, input_tokens=10, cost=0.1), used(calls=3, input_tokens=30, cost=0.3)).total()
    assert (total.calls, total.input_tokens, total.cost) == (3, 30, 0.3)


def test_sessions_and_models_are_added_up() -> None:
    total = state(used(calls=1), used(session="sw-a-1-gate", calls=2), used(model="n", calls=4)).total()
    assert total.calls == 7


def test_where_the_proxy_accounts_for_a_session_its_own_account_is_not_counted() -> None:
    found = state(used(calls=5, cost=9.0), used(model="other", calls=1), used(origin="proxy", calls=4, cost=0.2))
    assert (found.total().calls, found.total().cost) == (4, 0.2)


def test_an_unknown_price_is_counted_as_unknown() -> None:
    total = state(used(cost=0.5), used(model="n", cost=None)).total()
    assert (total.cost, total.unpriced) == (0.5, 1)


def test_use_belongs_to_the_agent_who_had_the_attempt() -> None:
    found = state(used(calls=2))
    assert {name: total.calls for name, total in found.by_agent().items()} == {"builder-1": 2}


def test_a_session_of_the_same_name_elsewhere_has_an_account_of_its_own() -> None:
    history = History()
    history.said(used(calls=1), "sw-a")
    history.said(used(calls=2, origin="proxy"), "sw-b")
    assert history.board[costs.State].total().calls == 3


def test_a_sum_of_money_does_not_depend_on_the_order_of_what_is_added() -> None:
    prices = [0.1, 0.2, 0.3, 1e-9, 1e6]
    one = state(*(used(model=str(price), cost=price) for price in prices)).total()
    other = state(*(used(model=str(price), cost=price) for price in reversed(prices))).total()
    assert one.cost == other.cost == 1000000.600000001


def test_a_price_that_cannot_be_true_is_unknown() -> None:
    total = state(used(cost=1e300), used(model="n", cost=-1e300)).total()
    assert (total.cost, total.unpriced) == (0.0, 2)
