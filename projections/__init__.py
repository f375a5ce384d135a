"""Folds of the log. A projection is one file with a `State` and a table `ON`: fact -> what it does to the state.

Rules. Two clones that hold the same set of events show the same state, whatever the order or number of copies: so
`fold(events) == fold(shuffled(events * 2))` for every file here (tests/projections/test_convergence.py runs over
all). A handler may only raise flags, grow sets, and keep the value with the greatest id (`keep`). It never looks at a
clock, nor at another projection; status is derived when asked. What starts again starts a *generation*, named by the
event's id.

The file is the registration: `Board` finds it by name.
"""

import pkgutil
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Protocol, TypeVar, cast

from ..eventlog.fact import Event, Fact

F = TypeVar("F", bound=Fact)
S = TypeVar("S")

Handler = Callable[[Any, Event[Any]], None]
Latest = dict[type[Fact], Event[Any]]
"""A register per kind of fact: the event of that kind with the greatest id."""


class Projection(Protocol):
    """What every file of this room offers."""

    State: type
    ON: Mapping[type[Fact], Handler]


def keep(latest: Latest, event: Event[Any]) -> None:
    """Keep the event if it is the newest of its kind."""
    kind = type(event.data)
    held = latest.get(kind)
    if held is None or held.id < event.id:
        latest[kind] = event


def fact(latest: Latest, kind: type[F]) -> F | None:
    """The newest fact of that kind, if there is one."""
    event = latest.get(kind)
    return None if event is None else cast(F, event.data)


def happened(latest: Latest, kind: type[Fact]) -> str:
    """The id of the newest event of that kind; empty, and so before every id, if there is none."""
    event = latest.get(kind)
    return "" if event is None else event.id


def names() -> list[str]:
    """The projections there are, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def types(projections: Iterable[str]) -> tuple[str, ...]:
    """The wire names that those projections look at: all that a reader of them needs to decode."""
    tables = (cast(Projection, import_module(f"{__name__}.{name}")).ON for name in projections)
    return tuple(sorted({kind.type for table in tables for kind in table}))


class Board:
    """The state of everything: one fold of all projections. `board[issues.State]` is that projection's state."""

    def __init__(self, only: Iterable[str] = ()) -> None:
        self._states: dict[type, Any] = {}
        self._table: dict[type[Fact], list[Callable[[Event[Any]], None]]] = {}
        self.newest = ""
        for name in only or names():
            projection = cast(Projection, import_module(f"{__name__}.{name}"))
            state = self._states[projection.State] = projection.State()
            for kind, handler in projection.ON.items():
                self._table.setdefault(kind, []).append(partial(handler, state))

    def __getitem__(self, state: type[S]) -> S:
        return cast(S, self._states[state])

    def apply(self, event: Event[Any]) -> None:
        """Fold one event; again is harmless."""
        if event.id > self.newest:
            self.newest = event.id
        for handler in self._table.get(type(event.data), ()):
            handler(event)

    def fold(self, events: Iterable[Event[Any]]) -> "Board":
        """Fold many; returns itself."""
        for event in events:
            self.apply(event)
        return self
