"""`swarm status` on a long log beside `swarm status` on a short one: whole processes, in turns.

Rule: both logs have about fifty live issues, and on the long one a thousand events came since anybody last looked.
"""

from functools import partial
from pathlib import Path

import scratch
from measuring import Row, Size, Times, compared, in_turns, seconds, spent

FEW = 1_000


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    with scratch.folder() as folder:
        roots = {FEW: scratch.load(folder / "short", FEW)}
        for many in lengths(size):
            roots[many] = scratch.load(folder / f"long-{many}", many)
        for root in roots.values():
            look(root)
        for many in lengths(size):
            scratch.append_tail(roots[many])
        found = in_turns(size.of(20, 2), {str(events): partial(look, root) for events, root in roots.items()})
    return [_row(many, found) | {"big": many > lengths(Size())[0]} for many in lengths(size)]


def lengths(size: Size) -> list[int]:
    """How many events a long log has."""
    return [size.of(1_000_000, 5_000), *([10_000_000] if size.big else [])]


def look(root: Path) -> float:
    """Seconds of one `swarm status`."""
    return spent([scratch.swarm(), "status"], root).wall


def _row(many: int, found: Times) -> Row:
    what = f"swarm status, {many:,} events, {scratch.TAIL:,} of them new"
    return compared(what, f"swarm status, {FEW:,} events", found[str(many)], found[str(FEW)], seconds, 1.3)
