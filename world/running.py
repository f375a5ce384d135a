"""Who runs the swarm on this repository: a locked file. Rule: the lock is the truth, the text in it only says whose
it is.

The kernel drops the lock with its holder, however that dies, so there is nothing to clean up after a crash.
"""

import fcntl
import os

import msgspec

from ..eventlog.errors import UsageError


class Holder(msgspec.Struct, frozen=True):
    """The process that holds the lock: its pid, the id of its run, and since when (RFC 3339)."""

    pid: int
    run: str
    since: str


class RunLock:
    """Held while `swarm start` runs. `path` is a file in a folder that exists."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1

    def take(self, holder: Holder) -> None:
        """Take it; raises UsageError that says who has it."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            other = read(self._path)
            who = f"pid {other.pid}, {other.run}, since {other.since}" if other else "another process"
            hint = "see it with: swarm status; stop it with: swarm stop"
            raise UsageError(f"a swarm already runs on this repository ({who})", hint) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, msgspec.json.encode(holder) + b"\n", 0)
        self._fd = fd

    def drop(self) -> None:
        """Give it back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def holder(path: str) -> Holder | None:
    """Who holds the lock now; None if nobody does."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return read(path)
    else:
        return None
    finally:
        os.close(fd)


def read(path: str) -> Holder | None:
    """What the file says; None if that is nothing sensible (its holder is just writing it)."""
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(4096), type=Holder)
    except (OSError, msgspec.MsgspecError):
        return None
