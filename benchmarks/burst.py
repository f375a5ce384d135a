"""After a burst, until everything is handled, beside a plain replay of the same bytes.

Rule: the burst goes to many files in turn, so that the kernel can join no two notifications. Where its queue overflows
(the row says how often) it drops them. The clock of the first row runs from the last write, that of the second from
the first.
"""

import os
import struct
import sys
import threading
import time
from pathlib import Path
from statistics import median
from typing import Any

from watchdog.observers.inotify_c import InotifyConstants, InotifyFD

from swarm.actors.command import Command
from swarm.eventlog.fact import Event
from swarm.eventlog.segments import SUFFIX, files, node_of_file
from swarm.eventlog.tail import Tail
from swarm.projections import Board

import scratch
from boot import fold
from measuring import Row, Size, in_turns, over, row, seconds
from wake import Idle, at_work, child

FILES = 16
LONGEST = 120.0
FULL = struct.pack("iIII", -1, InotifyConstants.IN_Q_OVERFLOW, 0, 0)
"""What the kernel puts into its queue when that is full."""


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    log = scratch.log_of(size.of(100_000, 2_000), FILES)
    events = len(Tail(str(log)).read())
    first: list[float] = []
    overflows = _Overflows()

    def ours() -> float:
        since_first, since_last = handled(log, events)
        first.append(since_first)
        return since_last

    with overflows:
        found = in_turns(size.of(5, 1), {"ours": ours, "replay": lambda: replay(log)})
    base = seconds(median(found["replay"]))
    what = f"a burst of {events:,} events over {FILES} files ({overflows.seen} overflows), all handled, from its"
    return [
        row(f"{what} {end} write", "a plain replay", seconds(median(times)), base, over(times, found["replay"]), goal)
        for end, times, goal in (("last", found["ours"], 1.5), ("first", first[1:], None))
    ]


def replay(log: Path) -> float:
    """Seconds of a fold of it all, in this process."""
    begun = time.monotonic()
    fold(str(log))
    return time.monotonic() - begun


def handled(log: Path, events: int) -> tuple[float, float]:
    """Seconds from the first and from the last write of the burst until an actor has seen all of it."""
    with scratch.folder() as folder:
        actor = Counter(events)
        with at_work(folder, actor) as ledger, child(__file__, log, folder) as process:
            ledger.listeners.append(actor.hear)
            assert actor.done.wait(LONGEST), f"{events - actor.heard} events never came"
            words, _ = process.communicate()
        first, last = (int(word) for word in words.split())
    return (actor.when - first) / 1e9, (actor.when - last) / 1e9


class Counter(Idle):
    """Notes when it first looks at a state in which there is everything."""

    def __init__(self, count: int) -> None:
        self.done = threading.Event()
        self.heard, self.when = 0, 0
        self._count = count

    def hear(self, _event: Event[Any]) -> None:
        """The ledger folds an event."""
        self.heard += 1

    def due(self, _board: Board, _now: float) -> list[Command]:
        """Looks, as every actor does."""
        if self.heard >= self._count and not self.done.is_set():
            self.when = time.monotonic_ns()
            self.done.set()
        return []


class _Overflows:
    """Counts how often the watcher reads that the kernel's queue was full."""

    def __init__(self) -> None:
        self.seen = 0
        self._read = InotifyFD._read_event_buffer

    def __enter__(self) -> "_Overflows":
        def counted(reader: InotifyFD, size: int) -> bytes:
            found = self._read(reader, size)
            self.seen += found.count(FULL)
            return found

        InotifyFD._read_event_buffer = counted  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        InotifyFD._read_event_buffer = self._read  # type: ignore[method-assign]


def burst(log: str, folder: str) -> None:
    """In a process of its own: every node's lines into one file each, one write a line, the files in turn."""
    of_nodes: dict[str, list[bytes]] = {}
    for name in files(os.listdir(log)):
        lines = Path(log, name).read_bytes().splitlines(keepends=True)
        of_nodes.setdefault(node_of_file(name), []).extend(lines)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    writers = [(os.open(os.path.join(folder, node + SUFFIX), flags, 0o600), lines) for node, lines in of_nodes.items()]
    begun = time.monotonic_ns()
    for number in range(max(len(lines) for _, lines in writers)):
        for fd, lines in writers:
            if number < len(lines):
                os.write(fd, lines[number])
    print(begun, time.monotonic_ns())


if __name__ == "__main__":
    burst(sys.argv[1], sys.argv[2])
