"""Reading the node files, from where one was. Rule: reading never writes, and takes whole lines only.

A file that shrank or was replaced is read again from its beginning: folds take an event twice without harm. The inode
does not prove that a file is the same (git reuses it), so the bytes before the position are compared too.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from .errors import LogError
from .fact import Event
from .lines import BLOCK, LONGEST_READ, Bad, decode_block

SUFFIX = ".jsonl"
_PRINT = 4096
"""How many bytes before the position must be unchanged."""


class _Place(msgspec.Struct):
    """Where one is in a file. `before`: the bytes that end at the offset; `stamp`: the file at the last look."""

    offset: int = 0
    before: bytes = b""
    stamp: tuple[int, int, int, int] = (0, 0, 0, 0)
    last: str = ""


class Tail:
    """Reads every `<node>.jsonl` of a folder. One reader, one thread; no descriptor stays open between reads.

    `only` are prefixes of types to decode; then `seen` knows only the events of these types.
    """

    def __init__(self, directory: str, only: Sequence[str] = ()) -> None:
        self._directory = directory
        self._only = tuple(only)
        self._places: dict[str, _Place] = {}
        self._bad: dict[str, list[Bad]] = {}

    def read(self) -> list[Event[Any]]:
        """The events that came since the last call: in a file's order, the files by name. A partial last line waits.

        Raises LogError if the folder or a file of it cannot be read.
        """
        names = node_files(self._directory)
        for gone in self._places.keys() - names:
            del self._places[gone]
            self._bad.pop(gone, None)
        return [event for name in names for event in self._read_file(name)]

    @property
    def seen(self) -> dict[str, str]:
        """Node -> the id of the last event read from its file."""
        return {node_of_file(name): place.last for name, place in self._places.items() if place.last}

    @property
    def bad(self) -> list[Bad]:
        """The lines that are no events, with file and offset."""
        return [bad for name in sorted(self._bad) for bad in self._bad[name]]

    def _read_file(self, name: str) -> list[Event[Any]]:
        path = os.path.join(self._directory, name)
        place = self._places.setdefault(name, _Place())
        try:
            if _stamp(os.stat(path)) == place.stamp:
                return []
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return []  # it went away since the folder was listed
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from error
        try:
            return self._read_descriptor(fd, name, place)
        finally:
            os.close(fd)

    def _read_descriptor(self, fd: int, name: str, place: _Place) -> list[Event[Any]]:
        status = os.fstat(fd)
        stamp = _stamp(status)
        if place.offset and not _goes_on(fd, status, place):
            place.offset, place.last = 0, ""
            self._bad.pop(name, None)
        events: list[Event[Any]] = []
        for offset, block, end in blocks(fd, place.offset, status.st_size):
            found, bad = decode_block(block, self._only)
            events += found
            if bad:
                kept = self._bad.setdefault(name, [])
                kept += [msgspec.structs.replace(b, offset=offset + b.offset, file=name) for b in bad]
            place.offset = end
        if events:
            place.last = events[-1].id
        start = max(0, place.offset - _PRINT)
        place.before = os.pread(fd, place.offset - start, start)
        place.stamp = stamp
        return events


def read_all(directory: str, only: Sequence[str] = ()) -> list[Event[Any]]:
    """Every event of every file once, in the order of ids."""
    events = {event.id: event for event in Tail(directory, only).read()}
    return [events[id_] for id_ in sorted(events)]


def node_files(directory: str) -> list[str]:
    """The names of the node files, sorted. Raises LogError if the folder cannot be listed."""
    try:
        return sorted(name for name in os.listdir(directory) if name.endswith(SUFFIX) and not name.startswith("."))
    except OSError as error:
        raise LogError(f"cannot read the log in {directory}: {error.strerror}") from error


def node_of_file(name: str) -> str:
    """The node that writes the file of this name."""
    return name.removesuffix(SUFFIX)


def blocks(fd: int, start: int, end: int) -> Iterator[tuple[int, bytes, int]]:
    """The whole lines between two offsets: (offset, lines, offset after them), about 64 KiB at a time.

    Of a line longer than 1 MiB only so much is given that it is seen to be too long: a gigabyte without a newline must
    not fill the memory.
    """
    size = BLOCK
    while start < end:
        block = os.pread(fd, min(size, end - start), start)
        whole = block.rfind(b"\n") + 1
        if whole:
            yield start, block[:whole], start + whole
            start, size = start + whole, BLOCK
        elif size <= LONGEST_READ and len(block) == size:
            size *= 2
        elif len(block) <= LONGEST_READ or not (after := _after_newline(fd, start + len(block), end)):
            return  # it is not finished yet
        else:
            yield start, block[: LONGEST_READ + 1] + b"\n", after
            start, size = after, BLOCK


def _after_newline(fd: int, start: int, end: int) -> int:
    """The offset after the next newline; 0 if there is none."""
    while start < end and (block := os.pread(fd, min(BLOCK, end - start), start)):
        if (at := block.find(b"\n")) >= 0:
            return start + at + 1
        start += len(block)
    return 0


def _stamp(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _goes_on(fd: int, status: os.stat_result, place: _Place) -> bool:
    if (status.st_dev, status.st_ino) != place.stamp[:2]:
        return False
    return os.pread(fd, len(place.before), place.offset - len(place.before)) == place.before
