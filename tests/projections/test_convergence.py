"""Every projection shows the same whatever the order, the number of copies and the portions in which lines arrive.

`fold(lines) == fold(shuffled(lines * 2))`, for every file of the room: it is found by name, nothing is registered here.
"""

import inspect
import random
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from swarm.eventlog import events as page
from swarm.eventlog.fact import Event, Fact, vocabulary
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import envelope
from swarm.mailbox import addresses, letters, screen, views
from swarm.projections import Board, issues, keep, names, types

LENGTH = 30
IDS = [f"019aa3c1-b2c3-7{number:03x}-8000-0000000000{number:02x}" for number in range(LENGTH)]
FIRST = IDS[:4]
"""The ids of the events that open things: what generations and letters refer to."""
ISSUES = ["sw-a", "sw-b", "sw-c"]
AGENTS = ["builder-1", "builder-2", "scout-1"]
SOURCES = ["human", "agent/builder-1", "agent/scout-1", "coordinator", "watchdog", "session/sw-a-1"]
READERS = ["human", "coordinator", "agent-builder-1", "agent-scout-1"]
COMMITS = ["a" * 40, "b" * 40, "c" * 40]
POOLS: dict[str, list[Any]] = {
    "generation": FIRST,
    "letter": FIRST,
    "reply_to": ["", *FIRST],
    "session": ["sw-a-1", "sw-a-1-gate", "sw-b-2", "sw-c-3"],
    "attempt": [1, 2, 3],
    "agent": AGENTS,
    "role": ["builder", "scout"],
    "kind": ["agent", "gate", "landing"],
    "origin": ["runtime", "proxy"],
    "model": ["", "m1"],
    "reader": READERS,
    "recipient": READERS,
    "to": [*READERS, "broadcast", "@builders", "issue:sw-a"],
    "needs": ISSUES,
    "issue": ["", *ISSUES],
    "base": COMMITS,
    "commit": COMMITS,
    "priority": [1, 3],
}
BY_TYPE: dict[Any, list[Any]] = {
    str: ["", "x", "y"],
    int: [0, 1, 7],
    float: [0.5, 2.0],
    bool: [True, False],
    type(None): [None],
}


def fields_of(kind: type[Fact]) -> dict[str, st.SearchStrategy[Any]]:
    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return {name: field(name, hint) for name, hint in hints.items()}


def field(name: str, hint: Any) -> st.SearchStrategy[Any]:
    if get_origin(hint) is list:
        return st.lists(field(name, get_args(hint)[0]), max_size=2)
    choices = [choice for kind in get_args(hint) or (hint,) for choice in BY_TYPE[kind]]
    return st.sampled_from(POOLS.get(name, choices))


def facts(kind: type[Fact]) -> st.SearchStrategy[tuple[Fact, str, str]]:
    """(fact, source, subject)"""
    subjects = ISSUES
    if kind.type in ("mail.delivered", "mail.acked", "mail.dead_lettered"):
        subjects = FIRST
    elif kind.type.startswith(("run.", "actor.")):
        subjects = ["run-1", "run-2"] if kind.type.startswith("run.") else ["merger", "scout"]
    return st.tuples(st.builds(kind, **fields_of(kind)), st.sampled_from(SOURCES), st.sampled_from(subjects))


OPENERS = st.sampled_from([page.IssueOpened, page.IssueReopened, page.MailSent]).flatmap(facts)


def histories(kinds: list[type[Fact]]) -> st.SearchStrategy[list[Event[Any]]]:
    """Events with ids of their own, in the order of these; the first ones open issues and send letters."""
    others = st.sampled_from(kinds).flatmap(facts)
    heads, bodies = st.lists(OPENERS, min_size=2, max_size=4), st.lists(others, max_size=LENGTH - 4)
    return st.tuples(heads, bodies).map(lambda parts: [*stamped(parts[0] + parts[1])])


def stamped(drafts: list[tuple[Fact, str, str]]) -> Iterator[Event[Any]]:
    for id_, (fact, source, subject) in zip(IDS, drafts, strict=False):
        yield envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject, correlationid="run-1")


def shuffled(events: list[Event[Any]], seed: int) -> list[list[Event[Any]]]:
    """Each event twice, in any order, in portions of any size."""
    chance = random.Random(seed)
    mixed = events * 2
    chance.shuffle(mixed)
    portions = []
    while mixed:
        size = chance.randint(1, len(mixed))
        portions.append(mixed[:size])
        mixed = mixed[size:]
    return portions


# --- what is compared -----------------------------------------------------------------------------


def everything(value: Any) -> Any:
    """All of a state: its attributes, and the answer of every property and method that needs no argument.

    The order of a list counts, that of a dict does not: nobody may see it.
    """
    if isinstance(value, Mapping):
        return sorted((repr(key), everything(item)) for key, item in value.items())
    if isinstance(value, list | tuple | Iterator):
        return [everything(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(repr, value))
    if isinstance(value, Event | Fact):
        return repr(value)
    if isinstance(value, msgspec.Struct) or hasattr(value, "__dict__"):
        return sorted((name, repr(everything(answer))) for name, answer in answers(value))
    return repr(value)


def answers(value: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(value, "__dict__", {}).items()
    for name, is_method in questions(type(value)):
        answer = getattr(value, name)
        yield name, answer() if is_method else answer


@cache
def questions(kind: type) -> list[tuple[str, bool]]:
    """The public attributes of a class, and whether each is a method to call; methods with arguments are left out."""
    found = [(name, inspect.getattr_static(kind, name)) for name in dir(kind) if not name.startswith("_")]
    return [
        (name, inspect.isfunction(member))
        for name, member in found
        if not callable(member) or (inspect.isfunction(member) and len(inspect.signature(member).parameters) == 1)
    ]


def visible(board: Board) -> Any:
    """What people and actors see of the whole board."""
    readers = [addresses.reader(board, address) for address in READERS]
    state = board[issues.State]
    return (
        [view(board) for view in (views.counts_view, views.issues_view, views.agents_view, views.merges_view)],
        [view(board) for view in (views.costs_view, views.mail_view)],
        screen.screen(board, "head", width=500),
        [[letter.id for letter in letters.unread(board, reader)] for reader in readers],
        [[letter.id for letter in letters.waiting_for(board, actor)] for actor in addresses.ACTORS],
        [issue.id for issue in state.ready()],
        [(issue.id, issue.status, issue.reason, state.waiting(issue)) for issue in state.known()],
        board.newest,
    )


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

SEEDS = st.integers(0, 2**32)


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
