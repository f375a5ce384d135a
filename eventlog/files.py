"""Appending to this node's own file. Rule: one `write(2)` per batch, under the flock; all of it gets in, or nothing.

The torn last line of a writer that was killed is ended first, so that nothing is ever glued to it: it stays as a line
that readers report and skip. A write that comes out short (disk full) is taken back before the lock is given up.
"""

import errno
import os
import threading
from collections.abc import Callable, Sequence
from fcntl import LOCK_EX, LOCK_UN, flock
from typing import Any

import msgspec

from .errors import LogError
from .fact import Event, Fact
from .ids import Minter, node_bits, rfc3339
from .lines import decode_block, digest, encode, envelope_of
from .tail import SUFFIX

_ADVICE = {
    errno.ENOSPC: ("no space left on device", "free space and run it again"),
    errno.EDQUOT: ("the disk quota is used up", "free space and run it again"),
    errno.EFBIG: ("the file may not grow any further (ulimit -f)", "raise the limit and run it again"),
    errno.EROFS: ("the file system is read-only", "mount it writable and run it again"),
    errno.EACCES: ("permission denied", "give yourself write access to the folder and run it again"),
    errno.EPERM: ("not permitted", "give yourself write access to the file and run it again"),
    errno.EMFILE: ("this process has too many files open", "raise the limit (ulimit -n) and run it again"),
    errno.ENFILE: ("the system has too many files open", "close programs and run it again"),
    errno.ENOENT: ("the log's folder is missing", "swarm init"),
}


class Draft(msgspec.Struct, frozen=True):
    """A fact to append, with what its author knows of the envelope; the rest (id, time, prev) is given by the log."""

    fact: Fact
    source: str
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    seen: dict[str, str] = {}
    now: float = 0.0


class _End(msgspec.Struct, frozen=True):
    """The end of the file when it had `size` bytes: the last event's id and digest, and whether a line is torn."""

    size: int
    id: str = ""
    prev: str = ""
    torn: bool = False


class Log:
    """This node's file, `<directory>/<node>.jsonl`: any number of processes and threads may append to it at once.

    `now` gives Unix seconds, `entropy` 46 or more random bits. Errors of the system come out as LogError.
    """

    def __init__(self, directory: str, node: str, now: Callable[[], float], entropy: Callable[[], int]) -> None:
        self.path = os.path.join(directory, node + SUFFIX)
        self._minter = Minter(node_bits(node), now, entropy)
        self._lock = threading.RLock()  # reentrant: `ask` may observe what it reads
        self._asking = False
        self._fd = -1
        self._file = (0, 0)
        self._pid = 0
        self._end = _End(0)

    def append(self, drafts: Sequence[Draft]) -> list[Event[Any]]:
        """Write the drafts as lines, in order. Returns the events as written. Raises LogError, and then nothing was."""
        return self.append_if(lambda: drafts)

    def append_if(self, ask: Callable[[], Sequence[Draft]]) -> list[Event[Any]]:
        """Ask with the lock held, then append what was answered, perhaps nothing: a compare-and-swap for this node.

        `ask` reads the log's tail and decides again; it must be quick, and it must not append.
        """
        with self._lock:
            if self._asking:
                raise RuntimeError("append from within append_if: return the drafts instead")
            self._asking = True
            try:
                self._take()
                drafts = ask()
                return self._write(drafts) if drafts else []
            except OSError as error:
                raise self._in_words(error) from error
            finally:
                self._asking = False
                self._give_up()

    def observe(self, id: str) -> bool:  # noqa: A002
        """Sort after this id from now on; False if it is too far ahead to be believed."""
        with self._lock:
            return self._minter.observe(id)

    def close(self) -> None:
        """Close the descriptor. An append opens it again."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def _take(self) -> None:
        """Open and lock the file that is at the path *now*: it may have been replaced while we waited."""
        while True:
            if self._fd < 0 or self._pid != os.getpid():  # a forked child would share its parent's lock
                self.close()
                self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
                opened = os.fstat(self._fd)
                self._file = (opened.st_dev, opened.st_ino)
                self._pid = os.getpid()
                self._end = _End(-1)
            flock(self._fd, LOCK_EX)
            try:
                here = os.stat(self.path)
                if (here.st_dev, here.st_ino) == self._file:
                    break
            except FileNotFoundError:
                pass
            self.close()
        if here.st_size != self._end.size:
            self._end = _end_of(self._fd, here.st_size)

    def _give_up(self) -> None:
        if self._fd >= 0:
            flock(self._fd, LOCK_UN)

    def _write(self, drafts: Sequence[Draft]) -> list[Event[Any]]:
        end = self._end
        last, prev = end.id, end.prev
        events: list[Event[Any]] = []
        lines = [b"\n"] if end.torn else []
        for draft in drafts:
            last = self._minter.mint(last)
            event = envelope_of(type(draft.fact))(
                data=draft.fact,
                id=last,
                time=rfc3339(last),
                source=draft.source,
                subject=draft.subject,
                causationid=draft.causationid,
                correlationid=draft.correlationid,
                seen=draft.seen,
                now=draft.now,
                prev=prev,
            )
            line = encode(event)
            prev = digest(line)
            events.append(event)
            lines.append(line)
        block = b"".join(lines)
        _write_all(self._fd, block, end.size)
        self._end = _End(end.size + len(block), last, prev)
        return events

    def _in_words(self, error: OSError) -> LogError:
        what, hint = _ADVICE.get(error.errno or 0, (error.strerror or str(error), ""))
        return LogError(f"{what}: nothing was written to {self.path}", hint)


def _write_all(fd: int, block: bytes, end: int) -> None:
    """All of the block, or OSError and the file as long as before. The lock is held.

    A full disk gives a short count first and its error only to the next call, hence the loop.
    """
    written = os.write(fd, block)
    try:
        while written < len(block):
            written += os.write(fd, block[written:])
    except OSError:
        os.ftruncate(fd, end)
        raise


def _end_of(fd: int, size: int) -> _End:
    """Look for the last event, from the end backwards. Lines that are none are passed over: they have no id."""
    window = 4096
    while True:
        start = max(0, size - window)
        block = os.pread(fd, size - start, start)
        lines = block.split(b"\n")
        torn = lines[-1] != b""
        for line in reversed(lines if start == 0 else lines[1:]):
            events, _ = decode_block(line)
            if events:
                return _End(size, events[0].id, digest(line), torn)
        if start == 0:
            return _End(size, torn=torn)
        window *= 16
