"""Appending to this node's own file. Rule: one `write(2)` per batch, under the flock; all of it gets in, or nothing.

The torn last line of a writer that was killed is ended first, so that nothing is ever glued to it: it stays as a line
that readers report and skip. A write that comes out short (disk full) is taken back before the lock is given up.

A file that is full is sealed: synced, and renamed to the id of its first event, with the lock held. Whoever waits for
that lock sees then that the path leads elsewhere, and opens the new file. So the path of the growing file is always
the same, no writer looks for it, and what was sealed is never written again.

A look at the path costs as much as the write. So a writer that has seen there, with the lock held, the file that it
has open believes that for a moment (`_BELIEF`); what others have appended it sees at the size, each time. Whoever
takes the file from the path waits, from when the lock is his, until the moment is over for everybody: he may then be
killed wherever he is. What a person removes or replaces, without the lock, is noticed a moment later.

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
from .end import End, end_of
from .errors import LogError, NotDurable
from .fact import NEVER, NOTHING, Event, Fact
from .ids import Minter, node_bits
from .lines import digest, encode, envelope_of
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


_BELIEF = 0.002
"""Seconds, by the clock of each process: only how fast it goes must be the same."""

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
    seen: dict[str, str] = NOTHING
    now: float = NEVER


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
        self._believed = 0.0
        self._process = 0
        self._end = End(0)
        self._unsynced = False
        self._unnamed = False
        self._syncing = 0
        self._replaced: list[int] = []

    def append(self, drafts: Sequence[Draft]) -> list[Event[Any]]:
        """Write the drafts as lines, in order. Returns the events as written. Raises LogError, and then nothing was
        written; but NotDurable where it was, and could not be synced.
        """
        return self._append(drafts)

    def append_if(self, ask: Callable[[], Sequence[Draft]], then: Callable[[], None] | None = None) -> list[Event[Any]]:
        """Ask with the lock held, then append what was answered, perhaps nothing: a compare-and-swap for this node.

        `ask` reads the log's tail and decides again; it must be quick, and it must not append. `then` is called last,
        the lock still held: it may put another file in the place of this one, or none.
        """
        return self._append((), ask, then)

    def _append(
        self,
        drafts: Sequence[Draft],
        ask: Callable[[], Sequence[Draft]] | None = None,
        then: Callable[[], None] | None = None,
    ) -> list[Event[Any]]:
        with self._lock:
            if self._asking:
                raise RuntimeError("append from within append_if: return the drafts instead")
            self._asking = True
            try:
                self._take()
                if self._end.size >= FULL:  # before the question: its answer is for what is locked now
                    self._seal()
                if ask:
                    drafts = ask()
                events = self._write(drafts) if drafts else []
                if then:
                    self._outwait()
                    then()
            except OSError as error:
                raise self._in_words(error) from error
            finally:
                self._asking = False
                self._give_up()
        if events and self._durability == FSYNC:
            self._flush(current=False, events=events)
        return events

    def observe(self, id: str) -> bool:  # noqa: A002
        """Sort after this id from now on; False if it is too far ahead to be believed."""
        with self._lock:
            return self._minter.observe(id)

    def sync(self) -> None:
        """Make all that any process of this node has appended safe from a loss of power. Raises NotDurable."""
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
        """Open and lock the file that is at the path, and know its end: it may have been replaced while we waited."""
        disk = self._disk
        while True:
            if self._fd < 0 or self._process != _process[0]:  # a forked child would share its parent's lock
                self._drop()
                self._open()
            disk.flock(self._fd, LOCK_EX)
            now = disk.monotonic()
            if now < self._believed or self._is_here(now):
                break
            self._drop()
        size = disk.lseek(self._fd, 0, os.SEEK_END)
        if size != self._end.size:
            self._end = self._find_end(size)

    def _is_here(self, now: float) -> bool:
        """Whether the path leads to our file, which is locked; if so, that is believed from `now` on."""
        try:
            here = self._disk.stat(self.path)
        except FileNotFoundError:
            return False
        if (here.st_dev, here.st_ino) != self._file:
            return False
        self._believed = now + _BELIEF
        return True

    def _outwait(self, since: float | None = None) -> None:
        """Wait until nobody, we included, believes any more that the path leads to our file: who had the lock before us
        may do so for that long after `since` (or now), when we had it.
        """
        now = self._disk.monotonic()
        until = (now if since is None else since) + _BELIEF
        while now < until:
            self._disk.sleep(until - now)
            now = self._disk.monotonic()

    def _open(self) -> None:
        self._fd = self._disk.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        opened = self._disk.fstat(self._fd)
        self._file = (opened.st_dev, opened.st_ino)
        self._believed = 0.0
        self._process = _process[0]
        self._end = End(-1)
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

    def _find_end(self, size: int) -> End:
        """The end of the file; where it has no event yet, what comes next follows the last one that was sealed."""
        end = end_of(self._disk, self._fd, size)
        if end.id:
            return end
        for name in reversed(files(self._disk.listdir(self._directory))):
            if node_of_file(name) == self._node and name != self._node + SUFFIX:
                before = self._end_of_sealed(os.path.join(self._directory, name))
                if before.id:
                    return End(size, before.id, before.line, end.torn)
        return end

    def _end_of_sealed(self, path: str) -> End:
        fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return end_of(self._disk, fd, self._disk.fstat(fd).st_size)
        finally:
            self._disk.close(fd)

    # --- writing ---

    def _write(self, drafts: Sequence[Draft]) -> list[Event[Any]]:
        end, minter = self._end, self._minter
        last, line = end.id, end.line
        events: list[Event[Any]] = []
        lines = [b"\n"] if end.torn else []
        for draft in drafts:
            last = minter.mint(last)
            event = envelope_of(type(draft.fact))(
                data=draft.fact,
                id=last,
                time=minter.time(),
                source=draft.source,
                subject=draft.subject,
                causationid=draft.causationid,
                correlationid=draft.correlationid,
                seen=draft.seen or NOTHING,
                now=draft.now,
                prev=digest(line) if line else "",
            )
            line = encode(event)
            events.append(event)
            lines.append(line)
        block = b"".join(lines)
        self._write_all(block, end.size)
        self._end = End(end.size + len(block), last, line)
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
        since = disk.monotonic()
        if end.torn:
            self._write_all(b"\n", end.size)
            end = self._end = End(end.size + 1, end.id, end.line)
        first = first_event(disk, self._fd, end.size)
        name = sealed_name(self._node, first)
        if not first or name in disk.listdir(self._directory):  # (a copy of it came back from elsewhere)
            return ""
        if self._durability != NONE:
            disk.fdatasync(self._fd)
        self._outwait(since)
        disk.rename(self.path, os.path.join(self._directory, name))
        if self._durability != NONE:
            self._sync_names()
        self._take()
        return name

    # --- syncing ---

    def _flush(self, current: bool, events: Sequence[Event[Any]] = ()) -> None:
        """Sync the file that we wrote to or, with `current`, the one that is at the path now. Raises NotDurable."""
        try:
            with self._lock:
                if current:
                    self._open_current()
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
            except OSError:
                self._unsynced = True
                raise
            finally:
                self._synced()
        except OSError as error:
            what = error.strerror or str(error)
            words = f"{what}: what was written to {self.path} may not survive a loss of power"
            raise NotDurable(words, tuple(events)) from error

    def _synced(self) -> None:
        """One sync less: when it was the last, what was to be closed is."""
        with self._lock:
            self._syncing -= 1
            while self._replaced and not self._syncing:
                self._disk.close(self._replaced.pop())

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
