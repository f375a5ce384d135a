"""In the background of a running system everybody's appends are synced, many at a time, and the board is saved."""

import threading
from pathlib import Path
from typing import Any

import pytest

from swarm.actors.housekeeper import SAVE_EVERY, Housekeeper
from swarm.eventlog.disk import REAL
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import IssueOpened
from swarm.eventlog.files import FSYNC, GROUP, NONE, Draft, Log

from waiting import until


class Deeds:
    """What was asked of it, in order; `now` is its clock."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failures: list[Exception] = []
        self.now = 0.0
        self.keeper = Housekeeper(self.sync, lambda: self.done.append("save"), self.failures.append, lambda: self.now)

    def sync(self) -> None:
        self.done.append("sync")


def test_a_ring_is_answered_by_a_sync_and_silence_by_nothing() -> None:
    deeds = Deeds()
    with deeds.keeper:
        assert deeds.done == []
        deeds.keeper.ring()
        until(lambda: deeds.done == ["sync"])
        deeds.keeper.ring()
        until(lambda: deeds.done == ["sync", "sync"])
    assert deeds.done == ["sync"] * 3 + ["save"], "the last is at the end, whatever was rung"


def test_a_checkpoint_is_saved_now_and_then_and_at_the_end() -> None:
    deeds = Deeds()
    with deeds.keeper:
        deeds.now += SAVE_EVERY + 1
        deeds.keeper.ring()
        until(lambda: deeds.done == ["sync", "save"])
        deeds.keeper.ring()
        until(lambda: deeds.done == ["sync", "save", "sync"])
    assert deeds.done[-2:] == ["sync", "save"]


def test_what_is_rung_while_a_sync_goes_on_is_synced_by_the_next() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[int]()

    def sync() -> None:
        begun.set()
        assert go_on.wait(10)
        done.append(1)

    with Housekeeper(sync, lambda: None, pytest.fail, lambda: 0.0) as keeper:
        keeper.ring()
        assert begun.wait(10)
        for _ in range(1000):
            keeper.ring()
        go_on.set()
        until(lambda: len(done) == 2)


@pytest.mark.parametrize("error", [LogError("the disk is gone"), RuntimeError("a bug")])
def test_what_a_sync_raises_is_told_and_ends_the_thread(error: Exception) -> None:
    told: list[Exception] = []

    def sync() -> None:
        raise error

    with Housekeeper(sync, lambda: pytest.fail("saved"), told.append, lambda: 0.0) as keeper:
        keeper.ring()
        until(lambda: told == [error])
    assert told == [error]


class Recording:
    """The real disk; `safe` is the size of the file when it was last synced."""

    def __init__(self) -> None:
        self.safe = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def fdatasync(self, fd: int) -> None:
        size = REAL.fstat(fd).st_size
        REAL.fdatasync(fd)
        self.safe = size


@pytest.mark.parametrize("durability", [FSYNC, GROUP, NONE])
def test_it_makes_safe_what_other_processes_appended_unless_nothing_is_to_be(tmp_path: Path, durability: str) -> None:
    disk = Recording()
    mine = Log(str(tmp_path), "n1", lambda: 1e9, lambda: 1, durability, disk)
    other = Log(str(tmp_path), "n1", lambda: 1e9, lambda: 2, NONE)
    with Housekeeper(mine.sync, lambda: None, pytest.fail, lambda: 0.0) as keeper:
        other.append([Draft(IssueOpened("a"), "human", "sw-1")])
        keeper.ring()
    wanted = 0 if durability == NONE else (tmp_path / "n1.jsonl").stat().st_size
    assert disk.safe == wanted
    mine.close()
    other.close()
