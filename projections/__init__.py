"""Folds of the log. A projection is one file with a `State` (a `Fold`) and a table `ON`: fact -> what it does to the
state.

Rules. Two clones that hold the same set of events show the same state, whatever the order or number of copies: so
`fold(events) == fold(shuffled(events * 2))` for every file here (tests/projections/test_convergence.py runs over
all). A handler may only raise flags, grow sets, and keep the event with the greatest id (`keep`). It never looks at a
clock, nor at another projection; status is derived when asked. What starts again starts a *generation*, named by the
event's id.

What rests leaves memory. Every event is about one *key* (`key_of`): a letter's id, an alert's, a run's, a batch's, else
the issue. What a state shows of a key follows from the events of that key alone; a register over several keys (the
newest attempt of an agent) keeps the key that it names busy. A state holds nothing but events, so these are its
snapshot: folded into an empty state they give the same one. When all projections say that nothing can be due about a
key, the board forgets its events and keeps what they come to (`sums`); the log itself is the archive, and whoever wants
the key again, be it a late event, gets all of it back. So what is shown does not depend on what was forgotten when.

The file is the registration: `Board` finds it by name.
"""

import pkgutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Set
from functools import partial
from importlib import import_module
from itertools import chain
from typing import Any, Protocol, TypeVar, cast
from weakref import ref

import msgspec

from ..eventlog.events import ActorCrashed, AlertRaised, MailAcked, MailDeadLettered, MailDelivered, MailSent
from ..eventlog.fact import Event, Fact
from ..eventlog.lines import envelope_of

F = TypeVar("F", bound=Fact)
S = TypeVar("S")

RECENT = 16
"""So many of the newest issues, merges and letters stay in memory though they rest: more than a screen shows."""

LAST = "\U0010ffff"
"""What sorts after everything: all keys that begin with `x` are between `x` and `x + LAST`."""

Handler = Callable[[Any, Event[Any]], None]
Latest = dict[type[Fact], Event[Any]]
"""A register per kind of fact: the event of that kind with the greatest id."""


class Archive(Protocol):
    """The events that were folded before, wherever they lie, by their keys and by all `entries` of these."""

    def recall(self, key: str) -> Iterable[Event[Any]]:
        """All events of that key (`key_of`); none if there is none."""

    def between(self, first: str, last: str) -> list[str]:
        """The keys and entries from `first` up to, and without, `last`, in order."""

    def ending(self, end: str) -> list[str]:
        """The keys and entries that end so."""

    def close(self) -> None:
        """Let go of it: nothing is asked for any more."""


class _Nothing:
    """The archive of a board that forgets nothing."""

    def recall(self, _key: str) -> Iterable[Event[Any]]:
        return ()

    def between(self, _first: str, _last: str) -> list[str]:
        return []

    def ending(self, _end: str) -> list[str]:
        return []

    def close(self) -> None:
        pass


class Fold:
    """What every `State` is. `here`: the node whose point of view it is, empty if nobody's; `sums`: what the forgotten
    keys come to.
    """

    def __init__(self) -> None:
        self.here = ""
        self.sums: Counter[str] = Counter()
        self.recall: Callable[[str], None] = lambda _key: None
        self.archive: Archive = _Nothing()

    def events(self) -> Iterable[Event[Any]]:
        """The events that it holds for ever, whatever they are about."""
        return ()

    def about(self, _key: str) -> Iterable[Event[Any]]:
        """The events that it holds of that key."""
        return ()

    def entries(self, _key: str) -> Iterable[str]:
        """Under what else the key is to be found in an index of the archive."""
        return ()

    def busy(self) -> set[str]:
        """The keys about which something may be due, or which a screen shows."""
        return set()

    def keys(self) -> Set[str]:
        """The keys of which it holds something."""
        return frozenset()

    def count(self, _key: str) -> Mapping[str, int]:
        """What the key comes to, as numbers that can be added."""
        return {}

    def forget(self, key: str) -> None:
        """Let go of what `about` gives of one of its keys."""


Way = tuple[Callable[[Event[Any]], str] | None, Handler, Fold, list[tuple[Handler, Fold]]]
"""What is done with a kind of event: how its key is found (None: it is the subject), who takes it, and who more."""


class Projection(Protocol):
    """What every file of this room offers."""

    State: type[Fold]
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
    data: F | None = None if event is None else event.data
    return data


def happened(latest: Latest, kind: type[Fact]) -> str:
    """The id of the newest event of that kind; empty, and so before every id, if there is none."""
    event = latest.get(kind)
    return "" if event is None else event.id


# --- keys -----------------------------------------------------------------------------------------


def _by_letter(event: Event[MailDelivered | MailAcked | MailDeadLettered]) -> str:
    return event.data.letter


_KEYS: Mapping[type[Fact], Callable[[Event[Any]], str]] = {
    MailSent: lambda event: event.id,
    AlertRaised: lambda event: event.id,
    MailDelivered: _by_letter,
    MailAcked: _by_letter,
    MailDeadLettered: _by_letter,
    ActorCrashed: lambda event: event.correlationid,
}
"""Facts that are not about their subject. What is about nothing has the key "", which never rests."""


def key_of(event: Event[Any]) -> str:
    """What the event is about."""
    named = _KEYS.get(type(event.data))
    return event.subject if named is None else named(event)


# --- the board ------------------------------------------------------------------------------------


def names() -> list[str]:
    """The projections there are, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def types(projections: Iterable[str]) -> tuple[str, ...]:
    """The wire names that those projections look at: all that a reader of them needs to decode."""
    tables = (cast(Projection, import_module(f"{__name__}.{name}")).ON for name in projections)
    return tuple(sorted({kind.type for table in tables for kind in table}))


class Snapshot(msgspec.Struct):
    """A board without what rests. `keys`: what `events` are about; `sums`: projection -> its sums; `newest`: the
    board's.
    """

    newest: str
    keys: list[str]
    sums: dict[str, dict[str, int]]
    events: list[Event[Any]]


class Board:
    """The state of everything: one fold of all projections. `board[issues.State]` is that projection's state.

    `only`: of those projections alone. `here`: the node whose point of view it is. With an `archive`, which has every
    event that was folded, it can forget what rests.
    """

    def __init__(self, only: Iterable[str] = (), here: str = "", archive: Archive | None = None) -> None:
        self._states: dict[type, Fold] = {}
        self._names: dict[str, Fold] = {}
        self._table: dict[type[Event[Any]], Way] = {}
        self._archive = archive
        self._here = {""}
        self._rested: set[str] = set()
        self._touched: set[str] = set()
        self.newest = ""
        for name in only or names():
            projection = cast(Projection, import_module(f"{__name__}.{name}"))
            state = self._states[projection.State] = self._names[name] = projection.State()
            state.here = here
            if archive:
                state.recall, state.archive = partial(_recall, ref(self)), archive
            for kind, handler in projection.ON.items():
                event = envelope_of(kind)
                if event in self._table:
                    self._table[event][-1].append((handler, state))
                else:
                    self._table[event] = (_KEYS.get(kind), handler, state, [])

    def __getitem__(self, state: type[S]) -> S:
        return cast(S, self._states[state])

    def close(self) -> None:
        """Let go of the archive: what rests can no longer be recalled."""
        if self._archive is not None:
            self._archive.close()

    def apply(self, event: Event[Any]) -> None:
        """Fold one event; again is harmless."""
        self.fold((event,))

    def fold(self, events: Iterable[Event[Any]]) -> "Board":
        """Fold many; returns itself."""
        find, touched, newest = self._table.get, self._touched, self.newest
        try:
            for event in events:
                if event.id > newest:
                    newest = event.id
                way = find(type(event)) or find(envelope_of(cast("type[Fact]", type(event.data))))
                if way is not None:
                    named, handler, state, more = way
                    key = event.subject if named is None else named(event)
                    if key not in touched:
                        touched.add(key)
                        self.recall(key)
                    handler(state, event)
                    if more:
                        for handler, state in more:
                            handler(state, event)
        finally:
            self.newest = newest
        return self

    def _way(self, event: Event[Any]) -> Way | None:
        kind: type[Fact] = type(event.data)
        return self._table.get(envelope_of(kind))

    # --- what rests leaves memory ---

    def recall(self, key: str) -> None:
        """Have all that is known of the key in memory."""
        if self._archive is None or key in self._here:
            return
        self._here.add(key)
        known = list(self._archive.recall(key))
        for event in known:
            if way := self._table.get(envelope_of(cast("type[Fact]", type(event.data)))):
                for handler, state in (way[1:3], *way[3]):
                    handler(state, event)
        if known:
            for state in self._states.values():
                _add(state.sums, state.count(key), -1)

    def turn(self) -> set[str]:
        """An index of what was folded since the last call: its keys and their entries. From here on the archive is to
        have these events.
        """
        touched, self._touched = self._touched, set()
        for state in self._states.values():
            touched.update([entry for key in touched & state.keys() for entry in state.entries(key)])
        return touched

    def busy(self) -> set[str]:
        """The keys in memory that do not rest."""
        states = self._states.values()
        always = {key_of(event) for state in states for event in state.events()}
        return self._here.intersection(chain([""], always, self._touched, *(state.busy() for state in states)))

    def retire(self) -> None:
        """Forget the keys that rest, and rested at the last call: what comes a little late need not be recalled."""
        resting = self._here - self.busy()
        gone = resting & self._rested
        for state in self._states.values():
            for key in gone & state.keys():
                _add(state.sums, state.count(key))
                state.forget(key)
        self._here -= gone
        self._rested = resting - gone

    def snapshot(self) -> Snapshot:
        """All that `restore` needs."""
        busy = self.busy()
        sums = {name: Counter(state.sums) for name, state in self._names.items()}
        resting = self._here - busy
        for name, state in self._names.items():
            for key in resting & state.keys():
                _add(sums[name], state.count(key))
        totals = {name: {what: n for what, n in found.items() if n} for name, found in sums.items()}
        events: dict[str, Event[Any]] = {}
        for state in self._states.values():
            events.update((event.id, event) for event in state.events())
            events.update((event.id, event) for key in busy & state.keys() for event in state.about(key))
        return Snapshot(self.newest, sorted(busy), totals, [events[id_] for id_ in sorted(events)])

    def restore(self, snapshot: Snapshot) -> "Board":
        """Be, from empty, what that board was, the archive having what rested; returns itself."""
        self._here.update(snapshot.keys, map(key_of, snapshot.events))
        for name, state in self._names.items():
            _add(state.sums, snapshot.sums.get(name, {}))
        self.fold(snapshot.events)
        self.newest = max(self.newest, snapshot.newest)
        self.turn()
        return self


def _add(sums: Counter[str], numbers: Mapping[str, int], times: int = 1) -> None:
    for name, number in numbers.items():
        sums[name] += number * times


def _recall(board: "ref[Board]", key: str) -> None:
    """(Without a circle of references: a board that is dropped lets go of its archive at once.)"""
    if found := board():
        found.recall(key)
