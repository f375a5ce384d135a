"""Everything rebuilt from the log alone, beside `wc -l` of its files; and a warm start beside that.

Rule: each is a process of its own, from its start to the finished board, of which the system counts processor time and
memory. A cold one also leaves a checkpoint, as it does in use; a warm one finds one, and a thousand events after it.
"""

import sys
from pathlib import Path
from statistics import median

from swarm.eventlog.place import find

import scratch
from measuring import Row, Size, Spent, compared, in_turns, row, seconds, size, spent
from status import lengths

BOOT = Path(__file__).with_name("boot.py")
MEMORY = 200e6
"""Bytes that a cold rebuild may take."""


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    return [each | {"big": at > 0} for at, many in enumerate(lengths(size)) for each in _of(many, size)]


def _of(events: int, how_much: Size) -> list[Row]:
    log, big = scratch.log_of(events), events >= 10_000_000
    memory: list[float] = []

    def rebuild() -> float:
        done = cold(log)
        memory.append(int(done.words) * 1024)
        return done.cpu

    with scratch.folder() as folder:
        begin = warm(folder, events)
        sides = {"cold": rebuild, "wc": lambda: count(log).cpu, "warm": lambda: boot(*begin).cpu}
        found = in_turns(how_much.of(2 if big else 5, 1), sides)
    length, time = f"{events:,} events, {size(_bytes(log))}", "processor time"
    used = median(memory)
    return [
        compared(f"cold rebuild of {length}, {time}", "wc -l", found["cold"], found["wc"], seconds, 30),
        row(f"cold rebuild of {length}, memory", "the limit", size(used), size(MEMORY), used / MEMORY, 1),
        compared(  # of a shorter log, a start of Python alone is more than a fortieth
            f"warm start on {length}, {time}", "cold", found["warm"], found["cold"], seconds, 1 / 40 if big else None
        ),
    ]


def cold(log: Path) -> Spent:
    """Without any checkpoint."""
    with scratch.folder() as cache:
        return boot(log, cache)


def warm(folder: Path, events: int) -> tuple[Path, Path]:
    """A log and a cache for `boot`: a checkpoint, and a thousand events since."""
    root, cache = scratch.load(folder / "repository", events), folder / "cache"
    cache.mkdir()
    log = Path(find(str(root), {}).log)
    boot(log, cache)
    assert any(cache.iterdir()) or events < 100_000, "no checkpoint was saved"
    scratch.append_tail(root)
    return log, cache


def boot(log: Path, cache: Path) -> Spent:
    """The board of that log, by the help of what the cache has."""
    return spent([sys.executable, str(BOOT), str(log), str(cache)])


def count(log: Path) -> Spent:
    """`wc -l` of every file of the log."""
    return spent(["wc", "-l", *sorted(str(path) for path in log.iterdir())])


def _bytes(log: Path) -> int:
    return sum(path.stat().st_size for path in log.iterdir())
