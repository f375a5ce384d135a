"""What the log relies on of a file system, asked of the real one and of its double."""

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from itertools import count, cycle
from pathlib import Path
from random import Random

import msgspec
import pytest

from swarm.eventlog.disk import REAL, Disk

from disk import FOLDER, SimDisk
from soak import amount
from waiting import until

NEW = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
READ = os.O_RDONLY | os.O_CLOEXEC
TRY = fcntl.LOCK_EX | fcntl.LOCK_NB


class Place(msgspec.Struct):
    """A folder on some disk; what is opened by `open` is closed after the test."""

    disk: Disk
    folder: str
    opened: set[int] = set()

    def path(self, name: str) -> str:
        return f"{self.folder}/{name}"

    def open(self, name: str, flags: int = NEW) -> int:
        fd = self.disk.open(self.path(name) if name else self.folder, flags)
        self.opened.add(fd)
        return fd

    def close(self, fd: int) -> None:
        self.opened.discard(fd)
        self.disk.close(fd)

    def content(self, name: str) -> bytes:
        fd = self.open(name, READ)
        try:
            return self.disk.pread(fd, self.disk.fstat(fd).st_size + 1, 0)
        finally:
            self.close(fd)


@pytest.fixture(params=["real", "double"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    made = Place(SimDisk(), FOLDER)
    if request.param == "real":
        (tmp_path / "there").mkdir()
        made = Place(REAL, str(tmp_path / "there"))
    yield made
    for fd in list(made.opened):
        made.close(fd)


def fails(number: int, call: Callable[[], object]) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the number is looked at)
        call()
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


def test_what_is_appended_is_read_from_any_place(place: Place) -> None:
    one, other, reader = place.open("a"), place.open("a"), place.open("a", READ)
    assert [place.disk.write(fd, data) for fd, data in ((one, b"first "), (other, b"second "), (one, b"third"))] == [
        6, 7, 5,
    ]  # fmt: skip
    assert place.disk.pread(reader, 100, 0) == b"first second third"
    assert place.disk.pread(reader, 6, 6) == b"second"
    assert place.disk.pread(reader, 6, 16) == b"rd"
    assert place.disk.pread(reader, 6, 100) == b""
    assert place.disk.fstat(one).st_size == place.disk.stat(place.path("a")).st_size == 18


def test_the_end_of_a_file_is_told_whoever_wrote_it(place: Place) -> None:
    one, other, reader = place.open("a"), place.open("a"), place.open("a", READ)
    assert place.disk.lseek(one, 0, os.SEEK_END) == 0
    place.disk.write(other, b"12345")
    assert [place.disk.lseek(fd, 0, os.SEEK_END) for fd in (one, other, reader)] == [5, 5, 5]
    place.disk.ftruncate(other, 2)
    place.disk.write(one, b"x")
    assert place.disk.lseek(reader, 0, os.SEEK_END) == 3
    place.close(one)
    fails(errno.EBADF, lambda: place.disk.lseek(one, 0, os.SEEK_END))


def test_time_goes_on_and_a_sleep_lasts_as_long_as_was_asked(place: Place) -> None:
    begun = place.disk.monotonic()
    place.disk.sleep(0.001)
    assert place.disk.monotonic() >= begun + 0.001


def test_a_name_is_made_once_and_found_only_if_it_is_there(place: Place) -> None:
    fails(errno.ENOENT, lambda: place.open("a", READ))
    fails(errno.ENOENT, lambda: place.disk.stat(place.path("a")))
    fails(errno.ENOENT, lambda: place.disk.rename(place.path("a"), place.path("b")))
    fails(errno.ENOENT, lambda: place.disk.listdir(place.path("a")))
    assert place.disk.listdir(place.folder) == []
    place.open("a", NEW | os.O_EXCL)
    fails(errno.EEXIST, lambda: place.open("a", NEW | os.O_EXCL))
    place.open("a")
    place.open("b")
    assert sorted(place.disk.listdir(place.folder)) == ["a", "b"]
    fails(errno.ENOTDIR, lambda: place.disk.listdir(place.path("a")))


def test_a_file_is_told_from_another_by_its_identity(place: Place) -> None:
    a, again, b = place.open("a"), place.open("a"), place.open("b")
    identity = [(s.st_dev, s.st_ino) for s in map(place.disk.fstat, (a, again, b))]
    assert identity[0] == identity[1] != identity[2]
    found = place.disk.stat(place.path("b"))
    assert (found.st_dev, found.st_ino) == identity[2]


def test_a_renamed_file_goes_on_under_its_new_name(place: Place) -> None:
    fd = place.open("a")
    place.disk.write(fd, b"before ")
    place.disk.rename(place.path("a"), place.path("b"))
    place.disk.write(fd, b"after")
    assert place.content("b") == b"before after"
    assert place.disk.listdir(place.folder) == ["b"]
    assert place.disk.fstat(fd).st_ino == place.disk.stat(place.path("b")).st_ino
    other = place.open("a")
    assert place.disk.fstat(other).st_size == 0
    place.disk.rename(place.path("a"), place.path("b"))
    assert place.content("b") == b""
    assert place.disk.pread(fd, 100, 0) == b"before after", "who has it open has it still"


def test_a_file_is_cut_and_grown(place: Place) -> None:
    fd = place.open("a")
    place.disk.write(fd, b"0123456789")
    place.disk.ftruncate(fd, 4)
    place.disk.write(fd, b"x")
    assert place.content("a") == b"0123x"
    place.disk.ftruncate(fd, 7)
    place.disk.write(fd, b"y")
    assert place.content("a") == b"0123x\0\0y"
    fails(errno.EINVAL, lambda: place.disk.ftruncate(place.open("a", READ), 0))


def test_a_lock_is_held_by_one_descriptor_until_it_is_given_up_or_closed(place: Place) -> None:
    one, other, elsewhere = place.open("a"), place.open("a"), place.open("b")
    place.disk.flock(one, fcntl.LOCK_EX)
    place.disk.flock(one, fcntl.LOCK_EX)
    place.disk.flock(elsewhere, TRY)
    fails(errno.EWOULDBLOCK, lambda: place.disk.flock(other, TRY))
    place.disk.flock(other, fcntl.LOCK_UN)
    fails(errno.EWOULDBLOCK, lambda: place.disk.flock(other, TRY))
    place.disk.flock(one, fcntl.LOCK_UN)
    place.disk.flock(other, TRY)
    fails(errno.EWOULDBLOCK, lambda: place.disk.flock(one, TRY))
    place.close(other)
    place.disk.flock(one, TRY)


def test_a_file_and_a_folder_show_by_their_times_that_they_changed(place: Place) -> None:
    """The clock of a file system is coarse, so it may take some changes."""

    def changes(path: str, change: Callable[[], object]) -> bool:
        before = place.disk.stat(path).st_mtime_ns
        return bool(until(lambda: change() or place.disk.stat(path).st_mtime_ns != before))

    fd, names, ways = place.open("a"), count(), cycle([("a", "b"), ("b", "a")])
    assert changes(place.path("a"), lambda: place.disk.write(fd, b"x") and None)
    assert changes(place.path("a"), lambda: place.disk.ftruncate(fd, 0))
    assert changes(place.folder, lambda: place.close(place.open(f"c{next(names)}")))
    assert changes(place.folder, lambda: place.disk.rename(*map(place.path, next(ways))))


def test_the_clock_is_the_one_that_changes_are_stamped_with(place: Place) -> None:
    fd, before = place.open("a"), place.disk.clock()
    place.disk.write(fd, b"x")
    changed = place.disk.fstat(fd).st_mtime_ns
    assert before <= changed
    until(lambda: place.disk.write(fd, b"x") and place.disk.clock() > changed, what="the clock to go on")
    later = place.disk.clock()
    place.disk.write(fd, b"x")
    assert changed < later <= place.disk.fstat(fd).st_mtime_ns


def test_files_and_folders_are_synced(place: Place) -> None:
    fd, folder = place.open("a"), place.open("", READ | os.O_DIRECTORY)
    place.disk.write(fd, b"x")
    place.disk.fdatasync(fd)
    place.disk.fsync(fd)
    place.disk.fsync(place.open("a", READ))
    place.disk.fsync(folder)
    fails(errno.EISDIR, lambda: place.disk.pread(folder, 1, 0))
    fails(errno.EISDIR, lambda: place.open(""))
    fails(errno.ENOTDIR, lambda: place.open("a", READ | os.O_DIRECTORY))


def test_a_descriptor_serves_what_it_was_opened_for_until_it_is_closed(place: Place) -> None:
    fd = place.open("a")
    reader, writer = place.open("a", READ), place.open("a", os.O_WRONLY | os.O_APPEND)
    fails(errno.EBADF, lambda: place.disk.write(reader, b"x"))
    fails(errno.EBADF, lambda: place.disk.pread(writer, 1, 0))
    place.close(fd)
    disk = place.disk
    calls: list[Callable[[], object]] = [
        lambda: disk.write(fd, b"x"), lambda: disk.pread(fd, 1, 0), lambda: disk.fstat(fd), lambda: disk.close(fd),
        lambda: disk.ftruncate(fd, 0), lambda: disk.fdatasync(fd), lambda: disk.fsync(fd), lambda: disk.flock(fd, TRY),
    ]  # fmt: skip
    for call in calls:
        fails(errno.EBADF, call)


@pytest.mark.parametrize("seed", range(amount(ci=20, full=1000)))
def test_any_calls_have_the_same_answers_on_both(seed: int, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    places = [Place(REAL, str(tmp_path / "there")), Place(SimDisk(seed), FOLDER)]
    try:
        answers = [list(_any_calls(Random(seed), place)) for place in places]
    finally:
        for place in places:
            for fd in list(place.opened):
                place.close(fd)
    assert answers[0] == answers[1]


def _any_calls(random: Random, place: Place) -> Iterator[tuple[str, object]]:
    """What came of each call."""
    disk, fds = place.disk, [place.open("a")]
    for _ in range(80):
        fds[:] = [fd for fd in fds if fd in place.opened] or [place.open("a")]
        fd, name, size = random.choice(fds), random.choice("ab"), random.randrange(40)
        calls: dict[str, Callable[[], object]] = {
            "open": lambda name=name: fds.append(place.open(name, random.choice((NEW, READ, os.O_RDWR)))),
            "write": lambda fd=fd, size=size: disk.write(fd, random.randbytes(size)),
            "read": lambda fd=fd, size=size: disk.pread(fd, size, random.randrange(80)),
            "cut": lambda fd=fd, size=size: disk.ftruncate(fd, size * 2),
            "rename": lambda name=name: disk.rename(place.path(name), place.path(random.choice("ab"))),
            "list": lambda: sorted(disk.listdir(place.folder)),
            "size": lambda name=name: disk.stat(place.path(name)).st_size,
            "fsize": lambda fd=fd: disk.fstat(fd).st_size,
            "end": lambda fd=fd: disk.lseek(fd, 0, os.SEEK_END),
            "lock": lambda fd=fd: disk.flock(fd, random.choice((TRY, TRY, fcntl.LOCK_UN))),
            "sync": lambda fd=fd: disk.fdatasync(fd),
            "close": lambda fd=fd: place.close(fd),
        }
        call = random.choice(sorted(calls))
        try:
            yield call, calls[call]()
        except OSError as error:
            yield call, error.errno


def test_what_changes_once_the_clock_has_passed_a_time_gets_a_later_one(place: Place) -> None:
    """So who has seen a time that has passed sees every change after it."""
    one, other = place.open("a"), place.open("b")
    for _ in range(3):
        place.disk.write(one, b"x")
        times = [place.disk.stat(path).st_mtime_ns for path in (place.path("a"), place.folder)]
        until(lambda: place.disk.write(other, b"x") and place.disk.clock() > max(times))  # noqa: B023
        place.disk.write(one, b"x")
        place.disk.rename(place.path("b"), place.path("c"))
        place.disk.rename(place.path("c"), place.path("b"))
        assert place.disk.stat(place.path("a")).st_mtime_ns > times[0]
        assert place.disk.stat(place.folder).st_mtime_ns > times[1]
