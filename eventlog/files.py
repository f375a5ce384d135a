"""Appending to this node's own file. Rule: one `write(2)` per batch, under the flock; all of it gets in, or nothing.

The torn last line of a writer that was killed is ended first, so that nothing is ever glued to it: it stays as a line
that readers report and skip. A write that comes out short (disk full) is taken back before the lock is given up.

A file that is full is sealed: synced, and renamed to the id of its first event, with the lock held. Whoever waits for
that lock sees then that the path leads elsewhere, and opens the new file. So the path of the growing file is always
the same, no writer looks for it, and what was sealed is never written again.

What is appended is safe from a kill at once. From a loss of power it is safe once it was synced: outside of the lock,
so that the kernel syncs for many writers at a time.
"""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Sequence
from fcntl import LOCK_EX, LOCK_UN
from typing import Any

import msgspec

from .disk import REAL, Disk
from .errors import LogError
from .fact import Event, Fact
from .ids import Minter, node_bits
from .lines import decode_block, digest, encode, envelope_of
from .segments import FULL, SUFFIX, files, node_of_file, sealed_name
from .tail import first_event

FSYNC, GROUP, NONE = DURABILITY = ("fsync", "group", "none")
"""When an append is synced: before it returns; at `sync` and `close`, for many at a time; never (for tests)."""

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


_process = [1]
"""Another number in every forked process: cheaper to ask than its pid."""


def _forked() -> None:
    _process[0] += 1


os.register_at_fork(after_in_child=_forked)


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

    `now` gives Unix seconds, `entropy` 46 or more random bits; `durability` is one of `DURABILITY`. Errors of the
    system come out as LogError.
    """

    def __init__(
        self,
        directory: str,
        node: str,
        now: Callable[[], float],
        entropy: Callable[[], int],
        durability: str = GROUP,
        disk: Disk = REAL,
    ) -> None:
        self.path = os.path.join(directory, node + SUFFIX)
        self._directory, self._node, self._durability, self._disk = directory, node, durability, disk
        self._minter = Minter(node_bits(node), now, entropy)
        self._lock = threading.RLock()  # reentrant: `ask` may observe what it reads
        self._asking = False
        self._fd = -1
        self._file = (0, 0)
        self._process = 0
        self._end = _End(0)
        self._unsynced = False
        self._unnamed = False
        self._syncing = 0
        self._replaced: list[int] = []

    def append(self, drafts: Sequence[Draft]) -> list[Event[Any]]:
        """Write the drafts as lines, in order. Returns the events as written. Raises LogError, and then nothing was."""
        return self.append_if(lambda: drafts)

    def append_if(self, ask: Callable[[], Sequence[Draft]], then: Callable[[], None] | None = None) -> list[Event[Any]]:
        """Ask with the lock held, then append what was answered, perhaps nothing: a compare-and-swap for this node.

        `ask` reads the log's tail and decides again; it must be quick, and it must not append. `then` is called last,
        the lock still held: it may put another file in the place of this one.
        """
        with self._lock:
            if self._asking:
                raise RuntimeError("append from within append_if: return the drafts instead")
            self._asking = True
            try:
                self._take()
                if self._end.size >= FULL:  # before the question: its answer is for what is locked now
                    self._seal()
                drafts = ask()
                events = self._write(drafts) if drafts else []
                if then:
                    then()
            except OSError as error:
                raise self._in_words(error) from error
            finally:
                self._asking = False
                self._give_up()
        if events and self._durability == FSYNC:
            self._flush(current=False)
        return events

    def observe(self, id: str) -> bool:  # noqa: A002
        """Sort after this id from now on; False if it is too far ahead to be believed."""
        with self._lock:
            return self._minter.observe(id)

    def sync(self) -> None:
        """Make all that any process of this node has appended safe from a loss of power. Raises LogError."""
        if self._durability != NONE:
            self._flush(current=True)

    def seal(self, least: int) -> str:
        """Seal the growing file if it has that many bytes. Returns the name that it has now; empty if it was not."""
        with self._lock:
            try:
                self._take()
                if self._end.size < max(least, 1):
                    return ""
                return self._seal()
            except OSError as error:
                raise self._in_words(error) from error
            finally:
                self._give_up()

    def close(self) -> None:
        """Sync what was appended, and close the descriptor. An append opens it again."""
        with self._lock:
            try:
                if self._unsynced and self._durability == GROUP and self._process == _process[0]:
                    self._flush(current=False)
            finally:
                self._drop()

    # --- the file ---

    def _take(self) -> None:
        """Open and lock the file that is at the path *now*: it may have been replaced while we waited."""
        disk = self._disk
        while True:
            if self._fd < 0 or self._process != _process[0]:  # a forked child would share its parent's lock
                self._drop()
                self._open()
            disk.flock(self._fd, LOCK_EX)
            try:
                here = disk.stat(self.path)
                if (here.st_dev, here.st_ino) == self._file:
                    break
            except FileNotFoundError:
                pass
            self._drop()
        if here.st_size != self._end.size:
            self._end = self._find_end(here.st_size)

    def _open(self) -> None:
        self._fd = self._disk.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        opened = self._disk.fstat(self._fd)
        self._file = (opened.st_dev, opened.st_ino)
        self._process = _process[0]
        self._end = _End(-1)
        self._unnamed = True  # perhaps it was made just now, by us or by another: its name is to be synced too

    def _drop(self) -> None:
        """Close the descriptor; one that is being synced is closed after that."""
        if self._fd >= 0:
            if self._syncing and self._process == _process[0]:
                self._replaced.append(self._fd)
            else:
                self._disk.close(self._fd)
            self._fd = -1

    def _give_up(self) -> None:
        if self._fd >= 0:
            self._disk.flock(self._fd, LOCK_UN)

    def _find_end(self, size: int) -> _End:
        """The end of the file; where it has no event yet, what comes next follows the last one that was sealed."""
        end = _end_of(self._disk, self._fd, size)
        if end.id:
            return end
        for name in reversed(files(self._disk.listdir(self._directory))):
            if node_of_file(name) == self._node and name != self._node + SUFFIX:
                before = self._end_of_sealed(os.path.join(self._directory, name))
                if before.id:
                    return _End(size, before.id, before.prev, end.torn)
        return end

    def _end_of_sealed(self, path: str) -> _End:
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return _end_of(self._disk, fd, self._disk.fstat(fd).st_size)
        finally:
            self._disk.close(fd)

    # --- writing ---

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
                time=self._minter.time(),
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
        self._write_all(block, end.size)
        self._end = _End(end.size + len(block), last, prev)
        self._unsynced = True
        return events

    def _write_all(self, block: bytes, end: int) -> None:
        """All of the block, or OSError and the file as long as before. The lock is held.

        A full disk gives a short count first and its error only to the next call, hence the loop.
        """
        written = self._disk.write(self._fd, block)
        try:
            while written < len(block):
                written += self._disk.write(self._fd, block[written:])
        except OSError:
            self._disk.ftruncate(self._fd, end)
            if self._durability != NONE:  # or it may mix with the next line when the power goes
                with contextlib.suppress(OSError):
                    self._disk.fdatasync(self._fd)
            raise

    def _seal(self) -> str:
        """Give the file the name that it keeps, and lock the next one. Empty if there is nothing to name it after.

        It is synced before, and its name after: whatever of this is lost with the power, no event is.
        """
        end, disk = self._end, self._disk
        if end.torn:
            self._write_all(b"\n", end.size)
            end = self._end = _End(end.size + 1, end.id, end.prev)
        first = first_event(disk, self._fd, end.size)
        name = sealed_name(self._node, first)
        if not first or name in disk.listdir(self._directory):  # (a copy of it came back from elsewhere)
            return ""
        if self._durability != NONE:
            disk.fdatasync(self._fd)
        disk.rename(self.path, os.path.join(self._directory, name))
        if self._durability != NONE:
            self._sync_names()
        self._take()
        return name

    # --- syncing ---

    def _flush(self, current: bool) -> None:
        """Sync the file that we wrote to or, with `current`, the one that is at the path now."""
        with self._lock:
            try:
                if current:
                    self._open_current()
            except OSError as error:
                raise self._in_words(error) from error
            if self._fd < 0:
                return
            fd, unnamed = self._fd, self._unnamed
            self._syncing += 1
            self._unsynced = False
        try:
            self._disk.fdatasync(fd)
            if unnamed:
                self._sync_names()
                with self._lock:
                    self._unnamed = self._unnamed and fd != self._fd
        except OSError as error:
            self._unsynced = True
            what = error.strerror or str(error)
            raise LogError(f"{what}: what was written to {self.path} may not survive a loss of power") from error
        finally:
            with self._lock:
                self._syncing -= 1
                if not self._syncing:
                    for old in self._replaced:
                        self._disk.close(old)
                    self._replaced.clear()

    def _open_current(self) -> None:
        """Have the descriptor of what is at the path: others may have sealed, and so synced, the one we know."""
        try:
            here = self._disk.stat(self.path)
        except FileNotFoundError:
            return
        if self._fd < 0 or self._process != _process[0] or (here.st_dev, here.st_ino) != self._file:
            self._drop()
            self._open()

    def _sync_names(self) -> None:
        fd = self._disk.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._disk.fsync(fd)
        finally:
            self._disk.close(fd)

    def _in_words(self, error: OSError) -> LogError:
        what, hint = _ADVICE.get(error.errno or 0, (error.strerror or str(error), ""))
        return LogError(f"{what}: nothing was written to {self.path}", hint)


def _end_of(disk: Disk, fd: int, size: int) -> _End:
    """Look for the last event, from the end backwards. Lines that are none are passed over: they have no id."""
    window = 4096
    while True:
        start = max(0, size - window)
        block = disk.pread(fd, size - start, start)
        lines = block.split(b"\n")
        torn = lines[-1] != b""
        for line in reversed(lines if start == 0 else lines[1:]):
            events, _ = decode_block(line)
            if events:
                return _End(size, events[0].id, digest(line), torn)
        if start == 0:
            return _End(size, torn=torn)
        window *= 16
