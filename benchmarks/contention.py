"""Sixteen processes appending to one log: their rate beside that of one, their longest stall beside SQLite's.

Rule: everybody appends for the same time, and afterwards every line is counted. (That kills lose nothing is shown by
`make soak`.)
"""

from functools import partial
from pathlib import Path

from swarm.eventlog.files import GROUP
from swarm.eventlog.tail import Tail

import scratch
from append import WARM, appender, data_of, line_in
from crowd import Did, rate, together
from measuring import Row, Size, compared, in_turns, per_second, row, seconds
from peers import Sqlite

MANY = 16


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    last = 0.1 if size.quick else 1.0
    stalls: dict[str, list[float]] = {"log": [], "sqlite": []}
    wrong: list[tuple[int, int]] = []

    def alone() -> float:
        return rate(_log(1, last, wrong))

    def all_together() -> float:
        did = _log(MANY, last, wrong)
        stalls["log"].append(max(each.longest for each in did))
        return rate(did)

    def database() -> float:
        did = _sqlite(MANY, last)
        stalls["sqlite"].append(max(each.longest for each in did))
        return rate(did)

    found = in_turns(size.of(7, 1), {"one": alone, "many": all_together, "sqlite": database})
    events, bad = (sum(numbers) for numbers in zip(*wrong, strict=True))
    return [
        compared(
            f"{MANY} processes append together", "one process", found["many"], found["one"], per_second, 0.5, True
        ),
        compared(
            f"the longest stall of {MANY} processes",
            f"SQLite, WAL, NORMAL, {MANY} processes",
            stalls["log"],
            stalls["sqlite"],
            seconds,
            0.3,
        ),
        row(f"lost, torn or doubled of {events:,} events", "none", str(bad), "0", bad, 0),
    ]


def _log(count: int, last: float, wrong: list[tuple[int, int]]) -> list[Did]:
    with scratch.folder() as folder:
        did = together(count, last, partial(appender, folder, GROUP))
        wrong.append(_count(folder, sum(each.calls + WARM + 1 for each in did)))
    return did


def _count(folder: Path, appended: int) -> tuple[int, int]:
    """(appended, how many of them are missing, doubled or garbage)."""
    tail = Tail(str(folder))
    lines, ids = 0, set[str]()
    for batch in tail.batches():
        lines += len(batch)
        ids.update(event.id for event in batch)
    return appended, abs(appended - len(ids)) + lines - len(ids) + len(tail.bad)


def _sqlite(count: int, last: float) -> list[Did]:
    with scratch.folder() as folder:
        data = data_of(line_in(folder / "line"))
        Sqlite(f"{folder}/events.db", data).close()
        return together(count, last, lambda: Sqlite(f"{folder}/events.db", data).append)
