"""What the log asks of a file system. Rule: `files.py`, `end.py` and `tail.py` touch no file but through this port.

So that power loss, a full disk and torn writes can be simulated: `tests/disk.py` has the double, and both pass one
suite. The names are those of `os`, and so are the errors (OSError with its errno). In the folder lies what people put
there: of that `listdir` gives regular files alone, so nobody waits for a fifo, or stumbles over a link to nothing.
"""

import fcntl
import os
import time
from functools import partial
from typing import Protocol

_COARSE = 5
"""CLOCK_REALTIME_COARSE (clock_gettime(2)), with which Linux stamps files; Python has no name for it."""


class Status(Protocol):
    """The part of `os.stat_result` that is looked at."""

    @property
    def st_dev(self) -> int: ...
    @property
    def st_ino(self) -> int: ...
    @property
    def st_size(self) -> int: ...
    @property
    def st_mtime_ns(self) -> int: ...
    @property
    def st_ctime_ns(self) -> int: ...


class Disk(Protocol):
    """The calls of `os` that the log makes, as they are; `flock` is that of `fcntl`, `monotonic` and `sleep` are of
    `time`, `clock` is our own.
    """

    def open(self, path: str, flags: int, mode: int = 0o600, /) -> int: ...
    def close(self, fd: int, /) -> None: ...
    def write(self, fd: int, data: bytes, /) -> int: ...
    def pread(self, fd: int, length: int, offset: int, /) -> bytes: ...
    def lseek(self, fd: int, position: int, whence: int, /) -> int: ...
    def fstat(self, fd: int, /) -> Status: ...
    def stat(self, path: str, /) -> Status: ...
    def ftruncate(self, fd: int, length: int, /) -> None: ...
    def rename(self, old: str, new: str, /) -> None: ...
    def listdir(self, path: str, /) -> list[str]:
        """The names in the folder that lead to a regular file."""

    def fdatasync(self, fd: int, /) -> None: ...
    def fsync(self, fd: int, /) -> None: ...
    def flock(self, fd: int, operation: int, /) -> None: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
    def clock(self) -> int:
        """The time that a change would be stamped with now, in nanoseconds. It is coarse: some milliseconds."""


def _listdir(path: str, /) -> list[str]:
    with os.scandir(path) as found:
        return [entry.name for entry in found if is_regular(entry)]


def is_regular(entry: os.DirEntry[str]) -> bool:
    """Whether it leads to a regular file."""
    try:
        return entry.is_file()  # the folder itself says so: only a link is looked at
    except OSError:  # a link to itself
        return False


class _Real:
    """The system's own."""

    open = staticmethod(os.open)
    close = staticmethod(os.close)
    write = staticmethod(os.write)
    pread = staticmethod(os.pread)
    lseek = staticmethod(os.lseek)
    fstat = staticmethod(os.fstat)
    stat = staticmethod(os.stat)
    ftruncate = staticmethod(os.ftruncate)
    rename = staticmethod(os.rename)
    listdir = staticmethod(_listdir)
    fdatasync = staticmethod(os.fdatasync)
    fsync = staticmethod(os.fsync)
    flock = staticmethod(fcntl.flock)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    clock = staticmethod(partial(time.clock_gettime_ns, _COARSE))


REAL: Disk = _Real()
