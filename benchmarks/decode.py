"""Reading and decoding a log, beside `json.loads` and `orjson.loads` of each line.

Rule: processor time, and both sides do the same with what they decoded: keep all of it, as whoever looks into the past
does, or none, as a fold does. (To keep many dicts is dear: the garbage collector looks at each again and again.)
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from swarm.eventlog.fact import Event
from swarm.eventlog.tail import Tail

import scratch
from measuring import Row, Size, compared, cpu_of, in_turns, per_second


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    folder = scratch.log_of(size.of(100_000, 1_000))
    events = sum(len(batch) for batch in Tail(str(folder)).batches())
    sides: dict[str, Callable[[], object]] = {
        "swarm, kept": partial(keep, folder),
        "swarm, dropped": partial(read, folder),
    }
    for name, loads in (("json", json.loads), ("orjson", orjson.loads)):
        sides[f"{name}, kept"] = partial(keep_each, loads, folder)
        sides[f"{name}, dropped"] = partial(each, loads, folder)
    found = in_turns(size.of(5, 2), {name: partial(_rate, side, events) for name, side in sides.items()})

    def against(name: str, goal: float | None, how: str) -> Row:
        mine, theirs = found[f"swarm, {how}"], found[f"{name}, {how}"]
        what = f"read and decode, events {how}, processor time"
        return compared(what, f"{name}.loads of each line", mine, theirs, per_second, goal, more_is_better=True)

    return [
        *(against("json", 5.5, "kept"), against("orjson", 1.8, "kept")),
        *(against("json", None, "dropped"), against("orjson", None, "dropped")),
    ]


def keep(folder: Path) -> list[Event[Any]]:
    """Every event of the log in memory."""
    return Tail(str(folder)).read()


def keep_each(loads: Callable[[bytes], object], folder: Path) -> list[object]:
    """The dict of every line in memory."""
    found: list[object] = []
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            found += [loads(line) for line in file]
    return found


def read(folder: Path) -> None:
    """Every event, and none is kept."""
    for _ in Tail(str(folder)).batches():
        pass


def each(loads: Callable[[bytes], object], folder: Path) -> None:
    """Every line of every file, one by one."""
    for path in sorted(folder.iterdir()):
        with open(path, "rb") as file:
            for line in file:
                loads(line)


def _rate(work: Callable[[], object], events: int) -> float:
    return events / cpu_of(work)
