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
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any

from swarm.actors.command import Command, Said
from swarm.actors.hands import Hands
from swarm.actors.ledger import Ledger
from swarm.actors.shell import Actor, Staff
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import NONE, Draft, Log
from swarm.eventlog.watcher import Watcher
from swarm.projections import Board, mail
from swarm.world import clock
from swarm.world.checkpoints import Keeper

import scratch
from measuring import ENV, Row, Size, Times, compared, in_turns, microseconds

GAP = 0.004
IN_MODIFY = 0x2
PERCENTILES = (50, 99)


def measure(size: Size) -> list[Row]:
    """Rows for the table: p50 and p99, ours against the baseline, round by round."""
    count, rounds = size.of(300, 100), size.of(15, 1)
    found: dict[int, Times] = {percent: {"ours": [], "raw": []} for percent in PERCENTILES}

    def note(side: str, latencies: list[float]) -> float:
        cuts = quantiles(latencies, n=100)
        for percent in PERCENTILES:
            found[percent][side].append(cuts[percent - 1])
        return 0.0

    in_turns(rounds, {"ours": lambda: note("ours", ours(count)), "raw": lambda: note("raw", raw(count))})
    return [
        compared(
            f"append to actor, p{percent} of {rounds} x {count} events",
            "raw inotify by ctypes",
            times["ours"][1:],
            times["raw"][1:],
            microseconds,
            5,
        )
        for percent, times in found.items()
    ]


# --- the writers, in processes of their own -------------------------------------------------------


def append_events(folder: str, count: int) -> None:
    """Letters whose body is the time of their append, in nanoseconds."""
    log = Log(folder, "writer", clock.now, clock.entropy, NONE)
    for _ in range(count):
        time.sleep(GAP)
        log.append([Draft(MailSent(to=["human"], body=str(time.monotonic_ns())), "human")])
    log.close()


def append_raw(folder: str, count: int) -> None:
    """The same for the baseline: plain lines by write(2)."""
    fd = os.open(os.path.join(folder, "raw.jsonl"), os.O_WRONLY | os.O_APPEND)
    for _ in range(count):
        time.sleep(GAP)
        os.write(fd, b"%d %s\n" % (time.monotonic_ns(), b"x" * 230))
    os.close(fd)


@contextlib.contextmanager
def child(script: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """Run a script of this folder beside the block, and wait for its end."""
    process = subprocess.Popen([sys.executable, script, *map(str, arguments)], env=ENV, stdout=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.communicate()
    assert not process.returncode, f"{script} failed"


# --- the readers ----------------------------------------------------------------------------------


def raw(count: int) -> list[float]:
    """Latencies in microseconds of the raw loop."""
    libc = ctypes.CDLL(None, use_errno=True)
    with scratch.folder() as folder:
        path = folder / "raw.jsonl"
        path.touch()
        notify = libc.inotify_init1(os.O_CLOEXEC)
        libc.inotify_add_watch(notify, bytes(path), IN_MODIFY)
        reader, found = os.open(path, os.O_RDONLY), list[float]()
        with child(__file__, "raw", folder, count):
            while len(found) < count:
                os.read(notify, 65536)
                lines = os.read(reader, 1 << 20).splitlines()
                now = time.monotonic_ns()
                found += [(now - int(line.split(b" ")[0])) / 1000 for line in lines]
        os.close(notify)
        os.close(reader)
    return found


class Idle:
    """What is the same in the actors here: they look at the state, and find nothing to do."""

    NAME, AT_ONCE = "handler", 1

    def due(self, _board: Board, _now: float) -> list[Command]:
        """A look at the state."""
        return []

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        """Never asked."""
        raise NotImplementedError

    def refused(self, command: Command, error: Exception) -> list[Said]:
        """Never asked."""
        raise NotImplementedError


class Reader(Idle):
    """Notes when it first sees each letter."""

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


@contextlib.contextmanager
def at_work(folder: Path, actor: Actor) -> Iterator[Ledger]:
    """The whole way from the files to that actor: watchdog, the ledger, Pykka."""
    crashes = list[Any]()
    with scratch.folder() as cache:
        log = Log(str(folder), "reader", clock.now, clock.entropy, NONE)
        keeper = Keeper(str(folder), str(cache), here="reader", owner=True)
        ledger = Ledger(log, keeper, "run", clock.now)
        staff = Staff(ledger, _no_hands(), clock.now, lambda *crash: crashes.append(crash))
        staff.hire(actor)
        try:
            with Watcher(str(folder), staff.ring):
                yield ledger
        finally:
            staff.dismiss()
            keeper.close()
            log.close()
    assert not crashes, crashes


def ours(count: int) -> list[float]:
    """Latencies in microseconds through watchdog, the ledger and a Pykka actor."""
    with scratch.folder() as folder:
        reader = Reader(count)
        with at_work(folder, reader), child(__file__, "events", folder, count):
            assert reader.done.wait(count * GAP * 10 + 30), f"{count - len(reader.latencies)} events never came"
    return reader.latencies


def _no_hands() -> Hands:
    return None  # type: ignore[return-value]  # the actor never acts


if __name__ == "__main__":
    (append_raw if sys.argv[1] == "raw" else append_events)(sys.argv[2], int(sys.argv[3]))
