"""Reading what is new in a long log, once and in the order in which it came about. Rule: it only reads, and knows every
file by the name that it has, or will have, when it is sealed: under that one it is found again.

The files of several nodes are read in the order of their first events, so that what follows from something is mostly
read after it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec

from ..eventlog.disk import REAL, is_regular
from ..eventlog.errors import LogError
from ..eventlog.fact import Event
from ..eventlog.lines import BLOCK, decode_block
from ..eventlog.segments import SUFFIX, files, first_of_file, is_sealed, node_of_file, sealed_name
from ..eventlog.tail import Folder, Mark, blocks, first_event, look, node_files
from ..projections import LAST
from .store import Range, Stale

_NOWHERE = Mark(0, 0, 0)
_PATIENCE = 100
"""How often a folder is listed again because a file of it went meanwhile."""


class Piece(msgspec.Struct, frozen=True):
    """Some lines of the file `name`: from `start` up to the mark. `block` is empty where a line is too long to be an
    event.
    """

    name: str
    start: int
    mark: Mark
    block: bytes
    events: list[Event[Any]]


def sweep(directory: str, marks: Mapping[str, Mark], until: str = LAST) -> Iterator[Piece]:
    """All that the marks do not cover, some lines at a time, of the files that begin before the event `until`.

    Raises LogError if one cannot be read. What comes meanwhile may be left out.
    """
    done: set[str] = set()
    while todo := [file for file in _by_age(directory) if file not in done]:
        done.update(todo)
        for file in todo:
            path = os.path.join(directory, file)
            try:
                if first_of_file(file) > until or _is_covered(path, marks.get(file)):
                    continue
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # it was sealed since the folder was listed, and is there under its new name
            except OSError as error:
                raise LogError(f"cannot read {path}: {error.strerror}") from error
            try:
                name = file if is_sealed(file) else _name(file, first_event(REAL, fd, os.fstat(fd).st_size))
                if name:
                    done.add(name)
                    yield from _pieces(fd, name, marks.get(name, _NOWHERE))
            finally:
                os.close(fd)


def _by_age(directory: str) -> list[str]:
    """The files of the log; those that still grow come last."""
    return sorted(node_files(directory), key=lambda file: (first_of_file(file) or LAST, file))


def _is_covered(path: str, mark: Mark | None) -> bool:
    return mark is not None and os.stat(path).st_size <= mark.offset


def _name(growing: str, first: str) -> str:
    """What the file will be called; empty if there is no event in it yet."""
    return sealed_name(node_of_file(growing), first) if first else ""


def _pieces(fd: int, name: str, mark: Mark) -> Iterator[Piece]:
    crc, last, status = mark.crc, mark.last, os.fstat(fd)
    for start, block, end in blocks(fd, mark.offset, status.st_size):
        found, _ = decode_block(block)
        if end - start != len(block):  # a line so long that only its beginning was given
            block, crc = b"", _crc(fd, start, end, crc)
        crc = crc32(block, crc)
        last = found[-1].id if found else last
        yield Piece(name, start, Mark(end, crc, status.st_ctime_ns, last), block, found)


def extend(ranges: list[Range], piece: Piece) -> None:
    """Add the piece, to the last range if it goes on there."""
    if not piece.block:
        return
    last = ranges.pop() if ranges and (ranges[-1].name, ranges[-1].end) == (piece.name, piece.start) else None
    start, crc = (last.start, last.crc) if last else (piece.start, 0)
    crc = piece.mark.crc if start == 0 else crc32(piece.block, crc)
    ranges.append(Range(piece.name, start, piece.mark.offset, crc))


# --- marks, by the names that files have now -------------------------------------------------------


class Here(msgspec.Struct, frozen=True):
    """How a log stands to some marks: these by the names that the files have `now`, and how many bytes they do not
    cover. `true`: the marked files are what they were; `folder`: for a tail that goes on from there; `fresh`: marks
    that are to take the place of those of files which had to be read to know that.
    """

    now: dict[str, Mark]
    missing: int
    true: bool
    folder: Folder | None
    fresh: dict[str, Mark]


def compare(directory: str, marks: Mapping[str, Mark]) -> Here:
    """Look at each file of the log once; one that changed since it was marked is compared by its bytes.

    Raises LogError if the folder cannot be read.
    """
    stamp, here = _status_of_all(directory)
    now, missing, whole, changed = dict[str, Mark](), 0, stamp is not None, dict[str, Mark]()
    for name, status in here.items():
        mark, length = marks.get(name), status.st_size
        if mark and length == mark.offset and status.st_ctime_ns == mark.ctime_ns:
            now[name] = mark  # as nearly all of thousands are
            continue
        missing += length - (mark.offset if mark else 0)
        if mark:
            now[name] = changed[name] = mark
            whole &= length == mark.offset
    for name, mark in marks.items() if len(now) < len(marks) else ():
        if name not in now:  # it is not sealed yet
            now[node_of_file(name) + SUFFIX] = changed[node_of_file(name) + SUFFIX] = mark
            missing -= mark.offset
    growing = sorted(name for name in here if name not in marks)
    folder = Folder(stamp, growing) if stamp and whole and not any(map(is_sealed, growing)) else None
    true = len(now) == len(marks) and all(_stands(directory, here, *one) for one in changed.items())
    fresh = {
        name: msgspec.structs.replace(mark, ctime_ns=here[name].st_ctime_ns)
        for name, mark in changed.items()
        if true and is_sealed(name) and here[name].st_size == mark.offset
    }
    return Here(now, missing, true, folder, fresh)


def _status_of_all(directory: str) -> tuple[tuple[int, int, int, int] | None, dict[str, os.stat_result]]:
    """The folder, as `look` gives it, and each file of the log in it."""
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)  # from here the way to each file is short
        try:
            for _ in range(_PATIENCE):
                stamp = look(directory)
                with os.scandir(fd) as found:
                    entries = {entry.name: entry for entry in found if is_regular(entry)}
                with suppress(FileNotFoundError):  # a file was sealed meanwhile
                    return stamp, {name: entries[name].stat() for name in files(entries)}
        finally:
            os.close(fd)
    except OSError as error:
        raise LogError(f"cannot read the log in {directory}: {error.strerror}") from error
    raise LogError(f"cannot read the log in {directory}: its files do not stay", "run it again")


def _stands(directory: str, here: Mapping[str, os.stat_result], name: str, mark: Mark) -> bool:
    status = here.get(name)
    if status is None or status.st_size < mark.offset:
        return False
    if (status.st_size, status.st_ctime_ns) == (mark.offset, mark.ctime_ns):
        return True
    return bool(_known_as(directory, name, mark))


def sealed(directory: str, marks: Mapping[str, Mark]) -> dict[str, Mark]:
    """The marks of a tail by the names of sealed files. Raises Stale if a growing file is not what was marked."""
    found = {file if is_sealed(file) else _known_as(directory, file, mark): mark for file, mark in marks.items()}
    if "" in found:
        raise Stale("a file was changed, or sealed, meanwhile")
    return found


def _known_as(directory: str, file: str, mark: Mark) -> str:
    """The name that the file has when it is sealed; empty if it does not begin with what was marked."""
    try:
        fd = os.open(os.path.join(directory, file), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        if _crc(fd, 0, mark.offset, 0) != mark.crc:
            return ""
        return file if is_sealed(file) else _name(file, first_event(REAL, fd, mark.offset))
    finally:
        os.close(fd)


def _crc(fd: int, start: int, end: int, crc: int) -> int:
    for at in range(start, end, BLOCK):
        crc = crc32(os.pread(fd, min(BLOCK, end - at), at), crc)
    return crc
