"""Who runs the swarm on this repository: a locked file. Rule: the lock is the truth, the text in it only says whose
it is.

The kernel drops the lock with its holder, however that dies, so there is nothing to clean up after a crash.
"""

import fcntl
import os
import time

import msgspec

from ..eventlog.errors import SwarmError, UsageError

PATIENCE = 0.5


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
        """Take it; raises UsageError that says who has it, SwarmError if the file cannot be written."""
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _locked(self._fd):
                raise UsageError(*self._taken())
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, msgspec.json.encode(holder) + b"\n", 0)
        except OSError as error:
            self.drop()
            raise SwarmError(f"cannot write {self._path}: {error.strerror}", "mend that and run it again") from error
        except UsageError:
            self.drop()
            raise

    def _taken(self) -> tuple[str, str]:
        other = read(self._path)
        who = f"pid {other.pid}, {other.run}, since {other.since}" if other else "another process"
        return f"a swarm already runs on this repository ({who})", "see it with: swarm status; stop it with: swarm stop"

    def drop(self) -> None:
        """Give it back."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _locked(fd: int) -> bool:
    """Try for a moment: whoever only asks who runs (`holder`) has the lock for an instant, too."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        else:
            return True


def holder(path: str) -> Holder | None:
    """Who holds the lock now; None if nobody does. Nothing is written; raises SwarmError if it cannot be looked at."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SwarmError(f"cannot read {path}: {error.strerror}", "mend that and run it again") from error
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
