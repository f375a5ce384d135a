"""The log's folder, as the carrier sees it: files by the names that they have on the branch. Rule: a file that others
may be reading is never written to; a longer version takes its place by rename.

What a file said when it was last looked at is remembered, so that a sync reads only what has changed since. That
record may be lost without harm.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import msgspec

from ..eventlog.disk import Disk
from ..eventlog.errors import LogError
from ..eventlog.files import Draft, Log
from ..eventlog.hashes import blake2b
from ..eventlog.moved import Moved
from ..eventlog.segments import is_sealed, node_of_file, sealed_name
from ..eventlog.tail import first_event, node_files
from .logbranch import Tree
from .union import Lines, joined, read

_END = 65_536


class Settled(msgspec.Struct, frozen=True, array_like=True):
    """A file with this size, time and inode says what `blob` says. Its first `length` bytes, which are whole lines,
    have this digest.
    """

    size: int
    mtime_ns: int
    inode: int
    length: int
    digest: str
    blob: str


class Refusal(msgspec.Struct, frozen=True):
    """What was not taken over: of which file, the id of the (first) event or empty, and why."""

    origin: str
    event: str
    reason: str


class Record(msgspec.Struct, frozen=True):
    """What was so after the last sync: the tip, its tree, the files that say the same (by their names there) but for
    what a repair has moved, what was refused, and what all repairs in these files have moved.
    """

    tip: str = ""
    tree: Tree = {}
    files: dict[str, Settled] = {}
    told: list[Refusal] = []
    moved: Moved = {}


class Copy(msgspec.Struct):
    """The file of the folder whose name on the branch is `name`; `data` is its whole lines, once they were read."""

    name: str
    path: str
    size: int
    mtime_ns: int
    inode: int
    data: bytes | None = None

    @property
    def grows(self) -> bool:
        """Whether its node may append to it."""
        return not is_sealed(os.path.basename(self.path))

    def same_as(self, settled: Settled | None) -> bool:
        """Whether it has not changed since."""
        then = settled and (settled.size, settled.mtime_ns, settled.inode)
        return then == (self.size, self.mtime_ns, self.inode)

    def goes_on(self, settled: Settled | None) -> bool:
        """Whether it only grew since. It was read."""
        data = self.data or b""
        return settled is not None and digest(data[: settled.length]) == settled.digest

    def settled(self, blob: str) -> Settled:
        """That it says what the blob says. It was read."""
        data = self.data or b""
        return Settled(self.size, self.mtime_ns, self.inode, len(data), digest(data), blob)


def digest(data: bytes) -> str:
    """By which data are known again."""
    return blake2b(data, digest_size=16).hexdigest()


class LogFolder:
    """The folder `directory`; its record is the file `record`, and what is taken out of it goes to the folder
    `quarantine`. `log_of(node)` is a node's log, to be closed; `now` gives Unix time. Errors of the system come out as
    LogError.
    """

    def __init__(
        self,
        directory: str,
        record: str,
        quarantine: str,
        log_of: Callable[[str], Log],
        now: Callable[[], float],
        disk: Disk,
    ) -> None:
        self._directory, self._record, self._quarantine = directory, record, quarantine
        self._log_of, self._now, self._disk = log_of, now, disk

    # --- reading ---

    def copies(self) -> dict[str, Copy]:
        """The files by their names on the branch. One that holds no event yet is left out."""
        while True:
            names, found = node_files(self._directory, self._disk), dict[str, Copy]()
            with suppress(FileNotFoundError):
                for name in names:
                    copy = self._look(name)
                    if copy and copy.name in found:
                        copy = self.absorb(copy, {})  # a sealed one came back from elsewhere
                    if copy:
                        found[copy.name] = copy
                if node_files(self._directory, self._disk) == names:
                    return found  # else one was sealed meanwhile: it must not seem to be missing

    def data(self, copy: Copy) -> bytes:
        """Its whole lines."""
        if copy.data is None:
            copy.data = self._read(copy.path)
        return copy.data

    def ends(self) -> Iterator[bytes]:
        """The last lines of each node's last file."""
        last = {node_of_file(name): name for name in node_files(self._directory, self._disk)}
        for name in last.values():
            data = self._read(os.path.join(self._directory, name), _END)
            yield data[data.find(b"\n") + 1 :] if len(data) == _END else data

    def _look(self, name: str) -> Copy | None:
        """None: it holds no event. Raises FileNotFoundError."""
        path, disk = os.path.join(self._directory, name), self._disk
        with self._in_words(path):
            if is_sealed(name):
                status = disk.stat(path)
                return Copy(name, path, status.st_size, status.st_mtime_ns, status.st_ino)
            fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)  # once: a moment later another may grow there
            try:
                status = disk.fstat(fd)
                first, data = first_event(disk, fd, status.st_size), self._whole(fd, 0, status.st_size)
            finally:
                disk.close(fd)
        there = sealed_name(node_of_file(name), first)
        return Copy(there, path, status.st_size, status.st_mtime_ns, status.st_ino, data) if first else None

    def _read(self, path: str, most: int = 0) -> bytes:
        """The whole lines of a file; with `most`, those in its last bytes."""
        with self._in_words(path):
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                size = self._disk.fstat(fd).st_size
                return self._whole(fd, max(0, size - most) if most else 0, size)
            finally:
                self._disk.close(fd)

    def _whole(self, fd: int, start: int, end: int) -> bytes:
        pieces = []
        while start < end and (piece := self._disk.pread(fd, end - start, start)):
            pieces.append(piece)
            start += len(piece)
        data = b"".join(pieces)
        return data[: data.rfind(b"\n") + 1]

    # --- writing ---

    def put(self, name: str, data: bytes) -> Copy:
        """Have the sealed file of this name say that."""
        path, draft, disk = os.path.join(self._directory, name), os.path.join(self._directory, f".{name}"), self._disk
        with self._in_words(path):
            fd = disk.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                written = 0
                while written < len(data):
                    written += disk.write(fd, data[written:])
                disk.fdatasync(fd)
                status = disk.fstat(fd)
            finally:
                disk.close(fd)
            disk.rename(draft, path)
        return Copy(name, path, status.st_size, status.st_mtime_ns, status.st_ino, data)

    def set_aside(self, name: str, lines: Lines) -> None:
        """Have these lines of the file in quarantine, safe from a loss of power, before the file is without them."""
        if not lines:
            return
        path, disk = os.path.join(self._quarantine, f"{name}.{int(self._now() * 1000)}"), self._disk
        with self._in_words(path):
            os.makedirs(self._quarantine, mode=0o700, exist_ok=True)
            fd = disk.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try:
                data = joined([lines], {})
                while data:
                    data = data[disk.write(fd, data) :]
                disk.fsync(fd)
            finally:
                disk.close(fd)
            folder = disk.open(self._quarantine, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                disk.fsync(folder)
            finally:
                disk.close(folder)

    def absorb(self, growing: Copy, more: Lines, gone: Lines | None = None) -> Copy:
        """Seal a growing file together with what else is known to be in it, but for what is `gone`, under its log's
        lock.
        """
        log, made = self._log_of(node_of_file(os.path.basename(growing.path))), []
        out: Lines = gone or {}
        paths: list[str] = []

        def seal() -> list[Draft]:
            now = None
            with suppress(FileNotFoundError):
                now = self._look(os.path.basename(growing.path))
            paths[:] = [growing.path] if now and now.name == growing.name else []  # else it was sealed just now
            sealed = os.path.join(self._directory, growing.name)
            versions = [read(self._read(path), self._now()) for path in [*paths, *filter(os.path.exists, [sealed])]]
            bad = {line: id_ for version in versions for line, id_ in version.bad.items()}
            kept = [version.all for version in versions]
            self.set_aside(growing.name, {line: id_ for lines in kept for line, id_ in lines.items() if line in out})
            kept = [{line: id_ for line, id_ in lines.items() if line not in out} for lines in [*kept, more]]
            made.append(self.put(growing.name, joined(kept, bad)))
            return []

        def leave() -> None:
            for path in paths:
                os.unlink(path)

        try:
            log.append_if(seal, leave)
        finally:
            log.close()
        return made[0]

    # --- the record ---

    def record(self) -> Record:
        """What was so after the last sync; nothing, if that cannot be read."""
        try:
            with open(self._record, "rb") as file:
                return msgspec.json.decode(file.read(), type=Record)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return Record()

    def remember(self, record: Record) -> None:
        """Say what is so now."""
        with self._in_words(self._record):
            os.makedirs(os.path.dirname(self._record), mode=0o700, exist_ok=True)
            with open(f"{self._record}.new", "wb") as file:
                file.write(msgspec.json.encode(record))
            os.replace(f"{self._record}.new", self._record)

    @contextmanager
    def _in_words(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise LogError(f"{error.strerror or error}: {path}", "mend that and run it again") from error
