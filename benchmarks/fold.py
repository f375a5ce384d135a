"""Folding a whole log into all projections, beside decoding it alone, `json.loads` with the same folds, and the replay
of an aggregate by the `eventsourcing` package. Rule: processor time, and everybody begins with nothing.
"""

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

from swarm.eventlog.fact import Event, vocabulary
from swarm.eventlog.lines import envelope_of
from swarm.eventlog.tail import Tail
from swarm.projections import Board

import scratch
from boot import fold
from decode import read
from measuring import Row, Size, Times, compared, cpu_of, in_turns, per_second


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    folder = scratch.log_of(size.of(100_000, 1_000))
    events = sum(len(batch) for batch in Tail(str(folder)).batches())
    long = size.of(20_000, 200)
    with scratch.folder() as database:
        works = Works(f"{database}/events.db")
        found = _in_turns(folder, events, partial(works.repository.get, works.write(long)), long, size)
        works.close()
    what = "fold of all projections, processor time"

    def against(side: str, baseline: str, goal: float) -> Row:
        return compared(what, baseline, found["fold"], found[side], per_second, goal, more_is_better=True)

    return [
        against("decode", "decoding alone", 0.5),
        against("json", "json.loads and the same folds", 4.5),
        against("eventsourcing", f"eventsourcing on SQLite, an aggregate of {long:,} events", 25),
    ]


def _in_turns(folder: Path, events: int, get: Callable[[], object], long: int, size: Size) -> Times:
    sides: dict[str, tuple[Callable[[], object], int]] = {
        "fold": (partial(fold, str(folder)), events),
        "decode": (partial(read, folder), events),
        "json": (partial(fold_json, folder), events),
        "eventsourcing": (get, long),
    }
    return in_turns(size.of(7, 2), {name: partial(_rate, *side) for name, side in sides.items()})


def fold_json(folder: Path) -> Board:
    """The same from the dicts of the standard library: made into events by hand, which is quicker than converting."""
    return Board().fold(_from_json(folder))


def _from_json(folder: Path) -> Iterator[Event[Any]]:
    kinds = {name: (kind, envelope_of(kind)) for name, kind in vocabulary().items()}
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            for line in file:
                found = json.loads(line)
                kind, made = kinds[found.pop("type")]
                data = kind(**found.pop("data"))
                yield made(data=data, **found)


class Work(Aggregate):
    """An aggregate with one kind of event and little to fold."""

    def __init__(self) -> None:
        self.signs = 0

    @event("Progressed")
    def progress(self, source: str, subject: str, run: str, session: str, tools: int, note: str) -> None:  # noqa: ARG002
        """A session gives a sign of life."""
        self.signs = max(self.signs, tools)


class Works(Application):  # type: ignore[type-arg]
    """On SQLite."""

    def __init__(self, path: str) -> None:
        super().__init__({"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})

    def write(self, events: int) -> UUID:
        """Save an aggregate of so many events."""
        work, session = Work(), "sw-7f3a91c2-1"
        for number in range(events - 1):
            work.progress(f"session/{session}", session[:-2], "run-f4bea973", session, number, f"part {number}")
        self.save(work)
        return work.id


def _rate(work: Callable[[], object], events: int) -> float:
    return events / cpu_of(work)
