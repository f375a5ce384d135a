"""Every projection shows the same whatever the order, the number of copies and the portions in which lines arrive.

`fold(lines) == fold(shuffled(lines * 2))`, for every file of the room: it is found by name, nothing is registered here.
"""

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from swarm.eventlog import events as page
from swarm.eventlog.fact import Event, Fact, vocabulary
from swarm.projections import Board, keep, names, types

from arbitrary import SEEDS, everything, histories, shuffled, visible


def fold(projection: Any, state: Any, events: list[Event[Any]]) -> None:
    for event in events:
        handler: Callable[[Any, Event[Any]], None] | None = projection.ON.get(type(event.data))
        if handler:
            handler(state, event)


def check(projection: Any, events: list[Event[Any]], seed: int) -> None:
    """The property, for one projection; looking at the state between portions must not change it either."""
    wanted, state = projection.State(), projection.State()
    fold(projection, wanted, events)
    for portion in shuffled(events, seed):
        fold(projection, state, portion)
        everything(state)
    assert everything(state) == everything(wanted)


# --- the property ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_a_projection_converges(name: str) -> None:
    projection = import_module(f"swarm.projections.{name}")

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(histories(list(projection.ON)), SEEDS)
    def converges(events: list[Event[Any]], seed: int) -> None:
        check(projection, events, seed)

    converges()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(list(vocabulary().values())), SEEDS)
def test_everything_that_people_and_actors_see_converges(events: list[Event[Any]], seed: int) -> None:
    wanted, board = Board().fold(events), Board()
    for portion in shuffled(events, seed):
        visible(board.fold(portion))
    assert visible(board) == visible(wanted)


def test_there_are_projections_and_each_looks_at_something() -> None:
    assert {"issues", "agents", "mail", "merges", "costs", "runs"} <= set(names())
    assert all(types([name]) for name in names())


# --- the test of the test -------------------------------------------------------------------------


class Held:
    """The state of the bad projections below."""

    def __init__(self) -> None:
        self.titles: dict[str, str] = {}
        self.latest: dict[type[Fact], Event[Any]] = {}
        self.count = 0
        self.order: list[str] = []

    def first(self) -> str:
        """The title that stands first, by chance."""
        return next(iter(self.titles.values()), "")


def last_wins(state: Held, event: Event[Any]) -> None:
    state.titles[event.subject] = event.data.title


def counts_copies(state: Held, event: Event[Any]) -> None:
    state.count += 1


def appends(state: Held, event: Event[Any]) -> None:
    if event.id not in state.order:
        state.order.append(event.id)


def shows_the_order_of_a_dict(state: Held, event: Event[Any]) -> None:
    state.titles[event.id] = event.data.title


def keeps_the_newest(state: Held, event: Event[Any]) -> None:
    keep(state.latest, event)


def property_of(handler: Callable[[Held, Event[Any]], None]) -> Callable[[], None]:
    projection = SimpleNamespace(State=Held, ON={page.IssueOpened: handler})

    @settings(max_examples=40, deadline=None, database=None, phases=[Phase.generate])
    @given(histories([page.IssueOpened]), SEEDS)
    def converges(events: list[Event[Any]], seed: int) -> None:
        check(projection, events, seed)

    return converges


@pytest.mark.parametrize("handler", [last_wins, counts_copies, appends, shows_the_order_of_a_dict])
def test_a_projection_that_depends_on_order_or_number_is_found_out(handler: Any) -> None:
    with pytest.raises(AssertionError):
        property_of(handler)()


def test_a_projection_that_keeps_the_greatest_id_is_not() -> None:
    property_of(keeps_the_newest)()
