"""What the length of the log costs: the points of the plot. Rule: whole processes, in turns; medians in seconds.

A point is a dict: what, events, seconds.
"""

import sys
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import scratch
from measuring import Size, in_turns, spent
from rebuild import boot, cold, warm

Point = dict[str, Any]


def points(size: Size) -> list[Point]:
    """All of them, for logs of 1,000 events to a million (ten with `big`)."""
    lengths = [1_000, 10_000] if size.quick else [1_000, 10_000, 100_000, 1_000_000]
    return [point for events in [*lengths, *([10_000_000] if size.big else [])] for point in _at(events, size)]


def _at(events: int, size: Size) -> list[Point]:
    root, log = scratch.loaded(events), scratch.log_of(events)
    commands = {
        "swarm status": [scratch.swarm(), "status"],
        "swarm mail check": [scratch.swarm(), "mail", "check", "--to", "merger"],
        "python -c pass": [sys.executable, "-c", "pass"],
    }
    with scratch.folder() as folder:
        begin = warm(folder, events)
        sides = {what: partial(_wall, argv, root) for what, argv in commands.items()}
        sides["boot, cold"] = lambda: cold(log).wall
        sides["boot, warm"] = lambda: boot(*begin).wall
        found = in_turns(size.of(7 if events < 1_000_000 else 3 if events < 10_000_000 else 1, 1), sides)
    return [{"what": what, "events": events, "seconds": median(times)} for what, times in found.items()]


def _wall(argv: list[str], root: Path) -> float:
    return spent(argv, root).wall
