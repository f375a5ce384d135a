"""What only the double of a disk does: it forgets what was not synced, fills up, fails, and kills who uses it."""

import errno
import fcntl
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from disk import FOLDER, LINES, Killed, SimDisk

NEW = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_CLOEXEC
TRY = fcntl.LOCK_EX | fcntl.LOCK_NB


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is looked at)
        call()
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def lost(build: Callable[[SimDisk, int], object], times: int = 300) -> Counter[Any]:
    """What is in `a`, or None where it is no more, after as many losses of power, each after the same deeds."""
    found: Counter[Any] = Counter()
    for seed in range(times):
        disk = SimDisk(seed)
        fd = disk.open(f"{FOLDER}/a", NEW)
        build(disk, fd)
        disk.power_loss()
        found[disk.files().get("a")] += 1
    return found


def sync_names(disk: SimDisk) -> None:
    disk.fsync(disk.open(FOLDER, READ | os.O_DIRECTORY))


def test_what_was_synced_and_whose_name_was_synced_survives() -> None:
    def build(disk: SimDisk, fd: int) -> None:
        disk.write(fd, b"synced ")
        disk.fdatasync(fd)
        sync_names(disk)
        disk.write(fd, b"not synced")

    found = lost(build)
    assert all(content.startswith(b"synced ") for content in found)
    assert found[b"synced "] > 50
    assert found[b"synced not synced"] > 50


def test_what_was_not_synced_is_there_or_not_or_torn_anywhere() -> None:
    def build(disk: SimDisk, fd: int) -> None:
        sync_names(disk)
        disk.write(fd, b"first")
        disk.write(fd, b"second")

    found = lost(build, 2000)
    assert {b"", b"first", b"firstsecond", b"\0\0\0\0\0second", b"first\0\0\0\0\0\0", b"fir", b"firstse"} <= set(found)
    for content in found:
        assert all(byte in (0, want) for byte, want in zip(content, b"firstsecond", strict=False))


def test_a_name_that_was_not_synced_is_perhaps_not_there() -> None:
    def build(disk: SimDisk, fd: int) -> None:
        disk.write(fd, b"x")
        disk.fdatasync(fd)

    found = lost(build)
    assert set(found) == {b"x", None}

    def rename(disk: SimDisk, fd: int) -> None:
        build(disk, fd)
        sync_names(disk)
        disk.rename(f"{FOLDER}/a", f"{FOLDER}/b")

    assert set(lost(rename)) == {b"x", None}

    def rename_and_sync(disk: SimDisk, fd: int) -> None:
        rename(disk, fd)
        sync_names(disk)
        disk.open(f"{FOLDER}/a", NEW)

    assert set(lost(rename_and_sync)) == {b"", None}, "and never the old one"


def test_a_cut_that_was_not_synced_perhaps_never_was() -> None:
    def build(disk: SimDisk, fd: int) -> None:
        sync_names(disk)
        disk.write(fd, b"before")
        disk.fdatasync(fd)
        disk.ftruncate(fd, 3)

    assert set(lost(build)) == {b"before", b"bef"}


def test_a_loss_of_power_ends_every_process_and_frees_its_locks() -> None:
    disk = SimDisk()
    other = disk.another()
    fd = other.open(f"{FOLDER}/a", NEW)
    other.flock(fd, fcntl.LOCK_EX)
    disk.power_loss()
    fails(errno.EBADF, lambda: other.fstat(fd))
    disk.flock(disk.open(f"{FOLDER}/a", NEW), TRY)


def test_a_full_disk_takes_a_part_first_and_goes_on_once_there_is_room() -> None:
    disk = SimDisk()
    fd = disk.open(f"{FOLDER}/a", NEW)
    disk.faults.room = 4
    assert disk.write(fd, b"123456") == 4
    fails(errno.ENOSPC, lambda: disk.write(fd, b"56"))
    disk.ftruncate(fd, 0)
    assert disk.write(fd, b"1234") == 4
    disk.faults.room = None
    assert disk.write(fd, b"56") == 2


def test_calls_fail_as_they_are_told_to() -> None:
    disk = SimDisk()
    fd = disk.open(f"{FOLDER}/a", NEW)
    disk.descriptors = 1
    fails(errno.EMFILE, lambda: disk.open(f"{FOLDER}/a", READ))
    disk.another().open(f"{FOLDER}/a", READ)
    disk.faults.broken = {"write"}
    fails(errno.EIO, lambda: disk.write(fd, b"x"))
    disk.faults.broken = set()
    disk.faults.readonly = True
    for call in (
        lambda: disk.write(fd, b"x"), lambda: disk.ftruncate(fd, 0), lambda: disk.another().open(f"{FOLDER}/a", NEW),
        lambda: disk.rename(f"{FOLDER}/a", f"{FOLDER}/b"),
    ):  # fmt: skip
        fails(errno.EROFS, call)
    assert disk.pread(fd, 10, 0) == b""


def test_a_process_is_killed_at_a_call_and_makes_no_other() -> None:
    seen = set()
    for seed in range(100):
        disk = SimDisk(seed)
        fd = disk.open(f"{FOLDER}/a", NEW)
        disk.flock(fd, fcntl.LOCK_EX)
        disk.kill_in(1)
        disk.fstat(fd)
        with pytest.raises(Killed):
            disk.write(fd, b"123")
        with pytest.raises(Killed):
            disk.ftruncate(fd, 0)
        disk.flock(fd, fcntl.LOCK_UN)
        disk.kill()
        fails(errno.EBADF, lambda disk=disk, fd=fd: disk.fstat(fd))
        seen.add(disk.files()["a"])
        disk.write(disk.open(f"{FOLDER}/a", NEW), b"again")
    assert seen == {b"", b"1", b"12", b"123"}


def test_a_process_is_killed_in_the_midst_of_some_lines_and_not_at_one() -> None:
    seen = set()
    for seed in range(300):
        disk = SimDisk(seed)
        fd = disk.open(f"{FOLDER}/a", NEW)
        disk.kill_in(0, LINES)
        disk.write(fd, b"one\n")
        with pytest.raises(Killed):
            disk.write(fd, b"two\nthree\n")
        seen.add(disk.files()["a"])
    assert {b"one\n", b"one\nt", b"one\ntwo\nt", b"one\ntwo\nthree\n"} <= seen


def test_a_disk_may_say_that_it_synced_and_not_have_done_so() -> None:
    def build(disk: SimDisk, fd: int) -> None:
        sync_names(disk)
        disk.faults.lying = {"fdatasync"}
        disk.write(fd, b"x")
        disk.fdatasync(fd)

    assert set(lost(build)) == {b"", b"x", b"\0"}


def test_one_thread_does_not_wait_for_itself() -> None:
    disk = SimDisk()
    one, other = (disk.open(f"{FOLDER}/a", NEW) for _ in range(2))
    disk.flock(one, fcntl.LOCK_EX)
    with pytest.raises(RuntimeError, match="for ever"):
        disk.flock(other, fcntl.LOCK_EX)


def test_the_same_seed_loses_the_same() -> None:
    def after(seed: int) -> dict[str, bytes]:
        disk = SimDisk(seed)
        fd = disk.open(f"{FOLDER}/a", NEW)
        for n in range(20):
            disk.write(fd, b"%d " % n * n)
        disk.power_loss()
        return disk.files()

    assert [after(seed) for seed in range(30)] == [after(seed) for seed in range(30)]
    assert len({str(after(seed)) for seed in range(30)}) > 5
