"""What is promised of a loss of power, on a real file system whose power is cut (P2).

ext4 has an ioctl that shuts it down at once, with nothing more written to the disk: FS_IOC_SHUTDOWN. On an image file
that is mounted by loop, that is a loss of power which only this one file system suffers.
"""

import contextlib
import fcntl
import os
import shutil
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest

from swarm.actors.housekeeper import PAUSE, Housekeeper
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import FSYNC, GROUP, NONE, Draft, Log
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify
from swarm.world.clock import entropy

from soak import amount
from waiting import until

SHUTDOWN, NOLOGFLUSH = 0x8004587D, 2
WITHIN = 0.05
"""Seconds of work that a running system may lose."""
POINTS = range(amount(ci=4, full=100))

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount an ext4 image"),
]


class Machine:
    """A file system in `image`, mounted at `mount`."""

    def __init__(self, place: Path) -> None:
        self.image, self.mount = place / "ext4.img", place / "mnt"
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", self.image], check=True)
        self.up()

    def up(self) -> None:
        subprocess.run(["mount", "-o", "loop", self.image, self.mount], check=True, capture_output=True, text=True)

    def down(self) -> None:
        """Everything of it must be closed."""
        subprocess.run(["umount", self.mount], check=True)

    def folder(self, name: str) -> str:
        """A new folder, that is on the disk."""
        (self.mount / name).mkdir()
        fd = os.open(self.mount, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
        return str(self.mount / name)

    def cut(self) -> float:
        """Nothing more gets to the disk from some moment after the one returned: the ioctl takes 2 ms, and within them
        the kernel still answers that it has synced what it has not.
        """
        fd = os.open(self.mount, os.O_RDONLY)
        begun = time.monotonic()
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        os.close(fd)
        return begun


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if not shutil.which("mkfs.ext4"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("mkfs.ext4 (e2fsprogs) is missing")
    try:
        made = Machine(tmp_path_factory.mktemp("machine"))
    except subprocess.CalledProcessError as error:  # the simulated disk shows the same, in test_power.py
        pytest.skip(f"this machine mounts no image: {str(error.stderr).strip()}")
    yield made
    subprocess.run(["umount", "--lazy", made.mount], check=True)  # a test that failed may have left a file open


class Writers:
    """Threads that append until the disk is gone. `acknowledged`: id -> when it was."""

    def __init__(self, folder: str, durability: str, seed: int, after: Callable[[Log], None]) -> None:
        self.acknowledged: dict[str, float] = {}
        self._folder, self._durability, self._after = folder, durability, after
        self._threads = [threading.Thread(target=self._write, args=(Random(f"{seed} {n}"),)) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def _write(self, random: Random) -> None:
        log = Log(self._folder, "n1", time.time, entropy, self._durability)
        with contextlib.suppress(LogError):
            while True:
                body = "x" * random.choice((10, 200, 3000))
                written = log.append([Draft(MailSent(to=["human"], body=body), "agent/kim")])
                self.acknowledged[written[0].id] = time.monotonic()
                self._after(log)
        with contextlib.suppress(LogError):
            log.close()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()


def left(machine: Machine, folder: str) -> set[str]:
    """The ids that are there when the machine is up again; and the log goes on. (Then it makes room for others.)"""
    machine.down()
    machine.up()
    there = read_all(folder)
    log = Log(folder, "n1", time.time, entropy, FSYNC)
    try:
        after = log.append([Draft(MailSent(to=["human"], body="after"), "agent/kim")])
    finally:
        log.close()
    assert read_all(folder) == there + after
    verify(folder)
    shutil.rmtree(folder)
    return {event.id for event in there}


@pytest.mark.parametrize("point", POINTS)
def test_fsync_loses_nothing_that_was_acknowledged(machine: Machine, point: int) -> None:
    folder = machine.folder(f"fsync-{point}")
    writers = Writers(folder, FSYNC, point, lambda _: None)
    enough = Random(point).randrange(1, 60)
    until(lambda: len(writers.acknowledged) >= enough, what="the writers")
    cut = machine.cut()
    writers.join()
    there = left(machine, folder)
    assert not [id_ for id_, when in writers.acknowledged.items() if when < cut and id_ not in there]


@pytest.mark.parametrize("point", POINTS)
def test_group_loses_nothing_that_was_synced(machine: Machine, point: int) -> None:
    folder, random, synced = machine.folder(f"group-{point}"), Random(point), set[str]()

    def sync(log: Log) -> None:
        begun.wait()
        if random.random() < 0.05:
            sure = set(writers.acknowledged)
            log.sync()
            synced.update(sure)

    begun = threading.Event()
    writers = Writers(folder, GROUP, point, sync)
    begun.set()
    enough = random.randrange(1, 100)
    until(lambda: len(synced) >= enough, what="the writers")
    sure = set(synced)
    machine.cut()
    writers.join()
    assert sure <= left(machine, folder)


@pytest.mark.parametrize("point", POINTS)
def test_a_running_system_loses_at_most_the_last_50_ms(machine: Machine, point: int) -> None:
    """It syncs for all writers. What this machine itself is late by is not held against it."""
    folder, random = machine.folder(f"running-{point}"), Random(point)
    log = Log(folder, "n1", time.time, entropy, GROUP)
    slowest = [0.0]

    def sync() -> None:
        begun = time.monotonic()
        log.sync()
        slowest.append(time.monotonic() - begun)

    keeper = Housekeeper(sync, lambda: None, lambda _: None, time.monotonic)
    with keeper, _lateness() as late:
        writers = Writers(folder, GROUP, point, lambda _: keeper.ring())
        enough = random.randrange(1, 3000)
        until(lambda: len(slowest) > 2 and len(writers.acknowledged) >= enough, what="the writers")
        cut = machine.cut()
        writers.join()
    with contextlib.suppress(LogError):
        log.close()
    lost = writers.acknowledged.keys() - left(machine, folder)
    oldest = max((cut - writers.acknowledged[id_] for id_ in lost), default=0.0)
    slow = max(0.0, 2 * max(slowest) + PAUSE - WITHIN)
    assert oldest <= WITHIN + slow + max(late), f"of {len(writers.acknowledged)}, {len(lost)} are lost"


@contextlib.contextmanager
def _lateness() -> Iterator[list[float]]:
    """By how much a thread that sleeps as long as the housekeeper is woken too late, here and now."""
    late, over = [0.0], threading.Event()

    def look() -> None:
        while not over.is_set():
            begun = time.monotonic()
            over.wait(PAUSE)
            late.append(time.monotonic() - begun - PAUSE)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield late
    finally:
        over.set()
        thread.join()


def test_without_any_sync_a_loss_of_power_does_lose(machine: Machine) -> None:
    """Or else none of this would show anything."""
    folder = machine.folder("none")
    writers = Writers(folder, NONE, 1, lambda _: None)
    until(lambda: len(writers.acknowledged) >= 500, what="the writers")
    machine.cut()
    writers.join()
    assert len(writers.acknowledged.keys() - left(machine, folder)) > 100
