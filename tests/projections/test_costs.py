"""What was used, counted once."""

from random import Random
from typing import Any

import pytest

from swarm.eventlog.events import IssueAssigned, UsageReported
from swarm.eventlog.fact import Event
from swarm.eventlog.ids import Minter, node_bits, rfc3339
from swarm.eventlog.lines import envelope
from swarm.projections import Board, costs

from arbitrary import everything
from given import History

NOON = 1_795_262_400.0  # 2026-11-21T12:00:00Z
DAY = 86_400.0


def at(now: float, fact: UsageReported, run: str = "run-1", issue: str = "sw-a") -> Event[Any]:
    """The event of that time."""
    id_ = Minter(node_bits("n1"), lambda: now, lambda: 1).mint()
    return envelope(fact, id=id_, time=rfc3339(id_), source="session/x", subject=issue, correlationid=run)


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


def test_what_costs_less_than_nothing_or_takes_tokens_back_frees_no_budget() -> None:
    total = state(used(cost=-5.0, input_tokens=-10), used(model="n", cost=1.0, input_tokens=3)).total()
    assert (total.cost, total.unpriced, total.tokens) == (1.0, 1, 3)


# --- by axis ---


def dollars(found: dict[str, costs.Total]) -> dict[str, float]:
    return {name: total.cost for name, total in found.items()}


def test_it_is_summed_by_agent_role_model_and_issue() -> None:
    history = History()
    for number, (agent, role) in enumerate([("builder-1", "builder"), ("scout-1", "scout")], start=1):
        given = IssueAssigned(attempt=number, generation="g", agent=agent, role=role, runtime="pi")
        history.said(given)
        history.said(UsageReported(f"sw-a-{number}", number, "m", "runtime", cost=float(number)))
    history.said(UsageReported("sw-b-1", 1, "n", "runtime", cost=4.0), "sw-b")
    found = history.board[costs.State]
    assert dollars(found.by("agent")) == {"": 4.0, "builder-1": 1.0, "scout-1": 2.0}
    assert dollars(found.by("role")) == {"": 4.0, "builder": 1.0, "scout": 2.0}
    assert dollars(found.by("model")) == {"m": 3.0, "n": 4.0}
    assert dollars(found.by_issue()) == {"sw-a": 3.0, "sw-b": 4.0}


def test_a_day_pays_for_what_came_since_the_last_report_of_the_day_before() -> None:
    events = [
        at(NOON, used(cost=1.0, calls=1)),
        at(NOON + 100, used(cost=3.0, calls=3)),
        at(NOON + DAY, used(cost=4.0, calls=4)),
        at(NOON + DAY + 9, used(cost=4.5, calls=5)),
        at(NOON + 3 * DAY, used(cost=7.0, calls=9)),
    ]
    found = Board().fold(events)[costs.State]
    assert dollars(found.by("day")) == {"2026-11-21": 3.0, "2026-11-22": 1.5, "2026-11-24": 2.5}
    assert {day: total.calls for day, total in found.by("day").items()} == {
        "2026-11-21": 3, "2026-11-22": 2, "2026-11-24": 4,
    }  # fmt: skip
    assert found.total().cost == sum(dollars(found.by("day")).values()) == 7.0


def test_a_run_pays_for_what_came_since_the_last_report_of_the_run_before() -> None:
    events = [
        at(NOON, used(origin="proxy", cost=1.0), "run-1"),
        at(NOON + 9, used(origin="proxy", cost=1.0), "run-2"),  # a new reader says the old total once more
        at(NOON + 19, used(origin="proxy", cost=1.5), "run-2"),
    ]
    assert dollars(Board().fold(events)[costs.State].by("run")) == {"run-1": 1.0, "run-2": 0.5}


def test_a_total_that_shrinks_takes_nothing_back_from_its_day() -> None:
    events = [at(NOON, used(cost=5.0)), at(NOON + DAY, used(cost=1.0)), at(NOON + 2 * DAY, used(cost=2.0))]
    found = dollars(Board().fold(events)[costs.State].by("day"))
    assert found == {"2026-11-21": 5.0, "2026-11-22": 0.0, "2026-11-23": 1.0}


@pytest.mark.parametrize("seed", range(20))
def test_the_order_and_number_of_reports_change_no_sum(seed: int) -> None:
    chance = Random(seed)
    events, spent = list[Event[Any]](), dict.fromkeys(["s1", "s2"], 0.0)
    for step in range(60):
        session = chance.choice(["s1", "s2"])
        spent[session] += chance.random()
        origin, run = chance.choice(["runtime", "proxy"]), f"run-{step // 25}"
        events.append(at(NOON + step * DAY / 9, used(session, origin=origin, cost=spent[session]), run))
    wanted = Board().fold(events)[costs.State]
    mixed = events * 2
    chance.shuffle(mixed)
    found = Board().fold(mixed)[costs.State]
    for axis in costs.AXES:
        assert everything(found.by(axis)) == everything(wanted.by(axis))
    assert sum(total.parts for total in found.by("day").values()) == found.total().parts


def test_so_many_reports_of_one_session_are_kept_as_it_worked_days() -> None:
    events = [at(NOON + second, used(cost=second / 100)) for second in range(1000)]
    account = Board().fold(events)[costs.State].accounts["sw-a"]
    assert [event.data.cost for event in account.reports.values()] == [9.99]


def test_one_sum_can_be_asked_for_alone() -> None:
    found = state(used(cost=2.0), used(model="n", cost=1.0))
    assert everything(found.one("model", "n")) == everything(found.by("model")["n"])
    assert found.one("model", "none").reports == 0
