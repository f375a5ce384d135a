"""Logs and real child processes for the tests of this room."""

import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarm.eventlog.disk import REAL, Disk
from swarm.eventlog.files import GROUP, Log


def entropy() -> int:
    return int.from_bytes(os.urandom(8), "big")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """An empty log folder."""
    (tmp_path / "log").mkdir()
    return str(tmp_path / "log")


@pytest.fixture
def open_log() -> Iterator[Callable[..., Log]]:
    """`open_log(folder, node="n1", now=time.time, durability=GROUP, disk=REAL)`: a Log, closed after the test."""
    opened: list[Log] = []

    def make(
        directory: str,
        node: str = "n1",
        now: Callable[[], float] = time.time,
        durability: str = GROUP,
        disk: Disk = REAL,
    ) -> Log:
        opened.append(Log(directory, node, now, entropy, durability, disk))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


class Children:
    """Forked processes; what they raise makes them exit with 1."""

    def __init__(self) -> None:
        self._pids: set[int] = set()

    def run(self, work: Callable[[], object]) -> int:
        """Do `work` in a child; its pid."""
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            except BaseException:  # noqa: BLE001  (nothing may get back into pytest's own stack)
                traceback.print_exc()
            finally:
                os._exit(code)
        self._pids.add(pid)
        return pid

    def wait(self, pid: int) -> int:
        """The child's exit code, negative for a signal."""
        self._pids.discard(pid)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def kill(self, pid: int) -> None:
        """kill -9, and wait."""
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)


@pytest.fixture
def children() -> Iterator[Children]:
    """Forked processes that end with the test."""
    made = Children()
    yield made
    for pid in list(made._pids):
        made.kill(pid)
