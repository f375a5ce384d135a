"""`swarm replay --at` in the middle of a long log beside a rebuild of everything from nothing. Rule: the slowest of
three moments counts; whole processes, after a first look that may leave behind what later ones go on from.
"""

import os
from functools import partial
from pathlib import Path
from statistics import median

from swarm.eventlog.tail import Tail

import scratch
from measuring import Row, Size, in_turns, over, row, seconds, spent
from rebuild import cold

MOMENTS = (10, 50, 90)
"""Percent of the log."""


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    events = size.of(1_000_000, 5_000)
    root = scratch.loaded(events)
    folder = scratch.log_of(events)
    asked = {f"{percent} %": id_ for percent, id_ in zip(MOMENTS, ids(folder), strict=True)}
    sides = {percent: partial(look_back, root, id_) for percent, id_ in asked.items()}
    found = in_turns(size.of(5, 1), sides | {"cold": lambda: cold(folder).wall})
    worst = max(asked, key=lambda percent: over(found[percent], found["cold"]))
    return [
        row(
            f"swarm replay --at, {events:,} events, the slowest of {len(asked)} moments (at {worst})",
            "a cold rebuild",
            seconds(median(found[worst])),
            seconds(median(found["cold"])),
            over(found[worst], found["cold"]),
            0.2,
        )
    ]


def ids(folder: Path) -> list[str]:
    """The ids of the events at the three moments."""
    tail = Tail(os.fspath(folder))
    every = sorted(event.id for batch in tail.batches() for event in batch)
    return [every[len(every) * percent // 100] for percent in MOMENTS]


def look_back(root: Path, id_: str) -> float:
    """Seconds of one `swarm replay --at`."""
    return spent([scratch.swarm(), "replay", "--at", id_], root).wall
