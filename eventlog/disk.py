"""What the log asks of a file system. Rule: `files.py`, `end.py` and `tail.py` touch no file but through this port.

So that power loss, a full disk and torn writes can be simulated: `tests/disk.py` has the double, and both pass one
suite. The names are those of `os`, and so are the errors (OSError with its errno).
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
    def listdir(self, path: str, /) -> list[str]: ...
    def fdatasync(self, fd: int, /) -> None: ...
    def fsync(self, fd: int, /) -> None: ...
    def flock(self, fd: int, operation: int, /) -> None: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
    def clock(self) -> int:
        """The time that a change would be stamped with now, in nanoseconds. It is coarse: some milliseconds."""


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
    listdir = staticmethod(os.listdir)
    fdatasync = staticmethod(os.fdatasync)
    fsync = staticmethod(os.fsync)
    flock = staticmethod(fcntl.flock)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    clock = staticmethod(partial(time.clock_gettime_ns, _COARSE))


REAL: Disk = _Real()
