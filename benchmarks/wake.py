"""From an append to an actor having handled it, against a raw inotify loop by ctypes in the same run.

Both sides: a child process appends one line every few milliseconds, with the time of the append in it; the reader
notes when it has the line. The baseline blocks in read(2) on an inotify descriptor; ours is the whole way: watchdog,
Pykka, ledger.
"""

import contextlib
import ctypes
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

from swarm.actors.command import Command, Said
from swarm.actors.hands import Hands
from swarm.actors.ledger import Ledger
from swarm.actors.shell import Staff
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import Tail
from swarm.eventlog.watcher import Watcher
from swarm.projections import Board, mail
from swarm.world import clock

GAP = 0.004
IN_MODIFY = 0x2


def append_events(folder: str, count: int) -> None:
    """In a process of its own: letters whose body is the time of their append, in nanoseconds."""
    log = Log(folder, "writer", clock.now, clock.entropy)
    for _ in range(count):
        time.sleep(GAP)
        log.append([Draft(MailSent(to=["human"], body=str(time.monotonic_ns())), "human")])
    log.close()


def append_raw(path: str, count: int) -> None:
    """The same for the baseline: plain lines by write(2)."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for _ in range(count):
        time.sleep(GAP)
        os.write(fd, b"%d %s\n" % (time.monotonic_ns(), b"x" * 230))
    os.close(fd)


@contextlib.contextmanager
def writer(what: str, where: str, count: int) -> Iterator[None]:
    """Run one of the two in a child process."""
    child = subprocess.Popen([sys.executable, "-P", __file__, what, where, str(count)])
    try:
        yield
    finally:
        child.wait()


def raw(count: int) -> list[float]:
    """Latencies in microseconds of the raw loop."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "raw.jsonl")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        notify = libc.inotify_init1(os.O_CLOEXEC)
        libc.inotify_add_watch(notify, path.encode(), IN_MODIFY)
        reader, found = os.open(path, os.O_RDONLY), []
        with writer("raw", path, count):
            while len(found) < count:
                os.read(notify, 65536)
                lines = os.read(reader, 1 << 20).splitlines()
                now = time.monotonic_ns()
                found += [(now - int(line.split(b" ")[0])) / 1000 for line in lines]
        os.close(notify)
        os.close(reader)
    return found


class Handler:
    """An actor that notes when it first sees each letter."""

    NAME, AT_ONCE = "handler", 1

    def __init__(self, count: int) -> None:
        self.latencies: list[float] = []
        self.done = threading.Event()
        self._count, self._known = count, 0

    def due(self, board: Board, _now: float) -> list[Command]:
        """Looks at the state, as every actor does."""
        letters = list(board[mail.State].letters.values())
        now = time.monotonic_ns()
        for letter in letters[self._known :]:
            if letter.sent:
                self.latencies.append((now - int(letter.sent.data.body)) / 1000)
        self._known = len(letters)
        if self._known >= self._count:
            self.done.set()
        return []

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        """Never asked."""
        raise NotImplementedError

    def refused(self, command: Command, error: Exception) -> list[Said]:
        """Never asked."""
        raise NotImplementedError


def ours(count: int) -> list[float]:
    """Latencies in microseconds through watchdog, the ledger and a Pykka actor."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(folder, "reader", clock.now, clock.entropy)
        handler, crashes = Handler(count), list[Any]()
        ledger = Ledger(log, Tail(folder), "run", clock.now)
        staff = Staff(ledger, _no_hands(), clock.now, lambda *crash: crashes.append(crash))
        staff.hire(handler)
        with Watcher(folder, staff.ring), writer("events", folder, count):
            handler.done.wait(count * GAP * 10 + 30)
        staff.dismiss()
        log.close()
        assert not crashes, crashes
    return handler.latencies


def _no_hands() -> Hands:
    return None  # type: ignore[return-value]  # the handler never acts


def measure(count: int = 3000) -> list[dict[str, Any]]:
    """Rows for the table: p50 and p99, ours against the baseline, in the same run."""
    base, mine = raw(count), ours(count)
    rows = []
    for name, at in (("p50", 49), ("p99", 98)):
        low, high = quantiles(base, n=100)[at], quantiles(mine, n=100)[at]
        rows.append(
            {
                "what": f"append to actor, {name}, {len(mine)} of {count} events",
                "baseline": "raw inotify by ctypes",
                "measured": f"{high:.0f} us",
                "base": f"{low:.0f} us",
                "ratio": high / low,
                "goal": 8.0,
                "lost": count - len(mine),
            }
        )
    return rows


def main() -> None:
    """The writers' entry point."""
    what, where, count = sys.argv[1:4]
    (append_raw if what == "raw" else append_events)(where, int(count))


if __name__ == "__main__":
    main()
