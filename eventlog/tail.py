"""Reading the files of the log, from where one was. Rule: reading never writes, and takes whole lines only.

A file that shrank or was replaced is read again from its beginning: folds take an event twice without harm. The inode
does not prove that a file is the same (git reuses it), so the bytes before the position are compared too. A file that
was sealed, and so has another name, is gone on with; so is one that took the place of another and begins as that did,
as `sync` replaces the tail of another node.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec

from .disk import REAL, Disk, Status
from .errors import LogError
from .fact import Event
from .lines import BLOCK, LONGEST_READ, Bad, decode_block, id_and_time
from .segments import SUFFIX, files, is_sealed, node_of_file

_PRINT = 4096
"""How many bytes before the position must be unchanged."""
_UNSEEN = (0, 0, 0, 0)


class Mark(msgspec.Struct, frozen=True):
    """How far a file was read: its first `offset` bytes have the checksum `crc` (CRC-32), the last event in them the id
    `last`; `ctime_ns` is that of the file then: unlike the time of the last write, nobody can set it.
    """

    offset: int
    crc: int
    ctime_ns: int
    last: str = ""


class _Place(msgspec.Struct):
    """Where one is in a file. `crc`: of all before the offset; `before`: the last bytes before it, of a growing file;
    `stamp`: the file at the last look.
    """

    offset: int = 0
    crc: int = 0
    before: bytes = b""
    stamp: tuple[int, int, int, int] = _UNSEEN
    last: str = ""


class Folder(msgspec.Struct, frozen=True):
    """A log's folder at a look at all its files: until it changes, only those that grow need be looked at again."""

    stamp: tuple[int, int, int, int]
    growing: list[str]


class Tail:
    """Reads every file of a log's folder. One reader, one thread; no descriptor stays open between reads.

    `only` are prefixes of types to decode; then `seen` knows only the events of these types. `start`: go on from these
    marks, which `standing` has given; `folder`: it was so before they were seen to stand, and they cover the sealed
    files in it whole.
    """

    def __init__(
        self,
        directory: str,
        only: Sequence[str] = (),
        start: Mapping[str, Mark] | None = None,
        disk: Disk = REAL,
        folder: Folder | None = None,
    ) -> None:
        self._directory, self._only, self._disk = directory, tuple(only), disk
        self._places = {name: _Place(mark.offset, mark.crc, last=mark.last) for name, mark in (start or {}).items()}
        self._bad: dict[str, list[Bad]] = {}
        self._folder: tuple[int, ...] = folder.stamp if folder else ()
        self._names: list[str] = []
        self._growing: list[str] = folder.growing if folder else []
        self._settled, self._gone = folder is not None, False

    def read(self) -> list[Event[Any]]:
        """The events that came since the last call: in a file's order, the files by name. A partial last line waits.

        Raises LogError if the folder or a file of it cannot be read.
        """
        return list(chain.from_iterable(self.batches()))

    def batches(self) -> Iterator[list[Event[Any]]]:
        """The same, some hundreds at a time; each batch is counted as read when the next is asked for."""
        again = True
        while again:
            looks = self._look()
            if looks:
                self._names = node_files(self._directory, self._disk)
                self._growing = [name for name in self._names if not is_sealed(name)]
                self._follow()
            settled, self._settled = self._settled, False  # it counts only if all of this comes to its end
            again = self._gone = False
            for name in self._names if looks else self._growing:
                place = self._places.get(name) or self._places.setdefault(name, _Place())
                known = place.stamp[:2]
                yield from self._read_file(name, place)
                if place.stamp[:2] != known and not is_sealed(name):
                    again = True  # what was there before may have been sealed
            again |= self._gone
            self._settled = settled

    @property
    def seen(self) -> dict[str, str]:
        """Node -> the id of the last event read of it."""
        found: dict[str, str] = {}
        for name, place in self._places.items():
            if place.last > found.get(node := node_of_file(name), ""):
                found[node] = place.last
        return found

    @property
    def bad(self) -> list[Bad]:
        """The lines that are no events, with file and offset."""
        return [bad for name in sorted(self._bad) for bad in self._bad[name]]

    @property
    def marks(self) -> dict[str, Mark]:
        """How far each file was read."""
        return {
            name: Mark(place.offset, place.crc, place.stamp[3], place.last)
            for name, place in sorted(self._places.items())
            if place.offset
        }

    def _look(self) -> bool:
        """Whether the folder is to be listed, and its sealed files to be looked at: after a change of it, for as long
        as another change would get the same time.
        """
        now = self._disk.clock()
        try:
            folder = _stamp(self._disk.stat(self._directory))
        except OSError as error:
            raise LogError(f"cannot read the log in {self._directory}: {error.strerror}") from error
        looks = not self._settled or folder != self._folder
        self._folder, self._settled = folder, now > folder[3]
        return looks

    def _follow(self) -> None:
        """Forget the files that went; know the ones that were sealed by their new names."""
        for name in (name for name in self._names if is_sealed(name) and name not in self._places):
            growing = node_of_file(name) + SUFFIX
            place = self._places.get(growing)
            if place and place.offset and self._is_now(name, place):
                self._places[name] = self._places.pop(growing)
                self._bad[name] = [msgspec.structs.replace(b, file=name) for b in self._bad.pop(growing, [])]
        for gone in self._places.keys() - self._names:
            del self._places[gone]
            self._bad.pop(gone, None)

    def _is_now(self, name: str, place: _Place) -> bool:
        path = os.path.join(self._directory, name)
        try:
            status, other = self._disk.stat(path), node_of_file(name) + SUFFIX in self._names
            if other and place.stamp != _UNSEEN and (status.st_dev, status.st_ino) != place.stamp[:2]:
                return False  # a copy, perhaps: what was read is still there
            return status.st_size >= place.offset and _checksum(self._disk, path, place.offset) == place.crc
        except OSError:
            return False

    def _read_file(self, name: str, place: _Place) -> Iterator[list[Event[Any]]]:
        path = f"{self._directory}/{name}"  # (`join` takes a while, for a file of which one line is read)
        try:
            if is_sealed(name) and _stamp(self._disk.stat(path)) == place.stamp:
                return
            fd = self._disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            self._gone = True  # since the folder was listed: it has another name now, perhaps
            return
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from error
        try:
            stamp = _stamp(self._disk.fstat(fd))
            if stamp == place.stamp:
                return
            if place.offset and not self._goes_on(fd, stamp, place):
                place.offset, place.crc, place.before, place.last = 0, 0, b"", ""
                self._bad.pop(name, None)
            yield from self._read_from(fd, name, place, stamp[2])
            if is_sealed(name):
                place.before = b""
            elif len(place.before) < min(_PRINT, place.offset):
                place.before = self._disk.pread(fd, _PRINT, max(0, place.offset - _PRINT))[: place.offset]
            place.stamp = stamp
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from error
        finally:
            self._disk.close(fd)

    def _read_from(self, fd: int, name: str, place: _Place, size: int) -> Iterator[list[Event[Any]]]:
        for offset, block, end in blocks(fd, place.offset, size, self._disk):
            found, bad = decode_block(block, self._only)
            if bad:
                kept = self._bad.setdefault(name, [])
                kept += [msgspec.structs.replace(b, offset=offset + b.offset, file=name) for b in bad]
            place.offset = end
            if end - offset == len(block):
                place.crc = crc32(block, place.crc)
                place.before = (place.before + block)[-_PRINT:] if len(block) < _PRINT else block[-_PRINT:]
            else:  # a line so long that only its beginning was given
                place.crc = _checksum_of(self._disk, fd, offset, end, place.crc)
                place.before = b""
            if found:
                place.last = found[-1].id
                yield found

    def _goes_on(self, fd: int, stamp: tuple[int, int, int, int], place: _Place) -> bool:
        """Whether what was read is still what stands before the position."""
        if place.stamp == _UNSEEN:
            return True  # it was marked, and the mark was seen to stand
        if stamp[2] < place.offset:
            return False
        if place.before and stamp[:2] == place.stamp[:2]:
            return self._disk.pread(fd, len(place.before), place.offset - len(place.before)) == place.before
        return _checksum_of(self._disk, fd, 0, place.offset, 0) == place.crc


def look(directory: str, disk: Disk = REAL) -> tuple[int, int, int, int] | None:
    """The folder as it is, for a `Folder`; None if another change of it would get the same time. Raises OSError."""
    now, stamp = disk.clock(), _stamp(disk.stat(directory))
    return stamp if now > stamp[3] else None


def standing(directory: str, marks: Mapping[str, Mark], disk: Disk = REAL) -> dict[str, Mark] | None:
    """The marks under the names that their files have now; None if any file is no longer what was read.

    A growing file may have grown, or have been sealed. One that did not change since, by its `ctime_ns`, is not read;
    of any other all that was read is compared.
    """
    names = node_files(directory, disk)
    here, found = set(names), dict[str, Mark]()
    for name, mark in marks.items():
        wanted = [name] if name in here else []
        if not is_sealed(name):  # it may have been sealed since, and another be growing under its name
            wanted += [new for new in names if node_of_file(new) == node_of_file(name) and new not in marks]
        now = next((new for new in wanted if _stands(os.path.join(directory, new), mark, disk)), None)
        if now is None:
            return None
        found[now] = mark
    return found


def _stands(path: str, mark: Mark, disk: Disk) -> bool:
    try:
        status = disk.stat(path)
        if status.st_size < mark.offset:
            return False
        if status.st_size == mark.offset and status.st_ctime_ns == mark.ctime_ns:
            return True
        return _checksum(disk, path, mark.offset) == mark.crc
    except OSError:
        return False


def _checksum(disk: Disk, path: str, end: int) -> int:
    fd = disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _checksum_of(disk, fd, 0, end, 0)
    finally:
        disk.close(fd)


def _checksum_of(disk: Disk, fd: int, start: int, end: int, crc: int) -> int:
    while start < end and (block := disk.pread(fd, min(BLOCK, end - start), start)):
        crc = crc32(block, crc)
        start += len(block)
    return crc


def read_all(directory: str, only: Sequence[str] = (), disk: Disk = REAL) -> list[Event[Any]]:
    """Every event of every file once, in the order of ids."""
    events = {event.id: event for event in Tail(directory, only, disk=disk).read()}
    return [events[id_] for id_ in sorted(events)]


def node_files(directory: str, disk: Disk = REAL) -> list[str]:
    """The names of the log's files, in order. Raises LogError if the folder cannot be listed."""
    try:
        return files(disk.listdir(directory))
    except OSError as error:
        raise LogError(f"cannot read the log in {directory}: {error.strerror}") from error


def opened(path: str, disk: Disk = REAL) -> int:
    """A descriptor to read the file; -1 if there is none of this name (any more). Raises LogError."""
    try:
        return disk.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from error


def first_event(disk: Disk, fd: int, size: int) -> str:
    """The id of the first event in a file of so many bytes; empty if it has none."""
    for _, block, _ in blocks(fd, 0, size, disk):
        for line in block.split(b"\n"):
            if found := id_and_time(line):
                return found[0]
    return ""


def blocks(fd: int, start: int, end: int, disk: Disk = REAL) -> Iterator[tuple[int, bytes, int]]:
    """The whole lines between two offsets: (offset, lines, offset after them), about 64 KiB at a time.

    Of a line longer than 1 MiB only so much is given that it is seen to be too long: a gigabyte without a newline must
    not fill the memory.
    """
    size = BLOCK
    while start < end:
        block = disk.pread(fd, min(size, end - start), start)
        whole = block.rfind(b"\n") + 1
        if whole:
            yield start, block[:whole], start + whole
            start, size = start + whole, BLOCK
        elif size <= LONGEST_READ and len(block) == size:
            size *= 2
        elif len(block) <= LONGEST_READ or not (after := _after_newline(disk, fd, start + len(block), end)):
            return  # it is not finished yet
        else:
            yield start, block[: LONGEST_READ + 1] + b"\n", after
            start, size = after, BLOCK


def _after_newline(disk: Disk, fd: int, start: int, end: int) -> int:
    """The offset after the next newline; 0 if there is none."""
    while start < end and (block := disk.pread(fd, min(BLOCK, end - start), start)):
        if (at := block.find(b"\n")) >= 0:
            return start + at + 1
        start += len(block)
    return 0


def _stamp(status: Status) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns
