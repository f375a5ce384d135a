"""Every line of the log, once, and what is wrong with the lines themselves. Rule: it never raises for what a file
holds, and keeps 24 bytes of an event, so that ten million fit.

Each line names the one that its writer saw before it (`prev`): the node's last event, if need be in the file before.
Where the named line stands elsewhere, two histories were put together: divergence, no damage. Where no line is the
named one, a line was changed or taken out. That it ends with CR LF is no change: a person's git may write its files so.

An id and the `time` of its line say the same. Where they do not, one of them was changed, and nothing is judged by that
id: else a single flipped bit would make disorder of all that follows. An id that is too far ahead, but says what its
line says, was made by a clock that is wrong, or this machine's is: which of them, nobody can tell.
"""

import os
import re
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from .disk import REAL, Disk
from .errors import LogError
from .fact import Event
from .ids import END, rfc3339, says_time, too_far_from
from .lines import decode_block, digest
from .segments import first_of_file, is_sealed, node_of_file
from .tail import blocks, node_files, opened

_is_digest = re.compile("[0-9a-f]{16}").fullmatch


class Spot(msgspec.Struct, frozen=True, order=True):
    """Some bytes of a file of the log."""

    file: str
    offset: int
    length: int

    def __str__(self) -> str:
        return f"{self.file}:{self.offset}"


class Fault(msgspec.Struct, frozen=True):
    """What is wrong there, as a sentence; with the event there, if there is one."""

    spot: Spot
    words: str
    id: str = ""

    def __str__(self) -> str:
        return f"{self.spot}: {self.words}"


class Line(msgspec.Struct, frozen=True, gc=False):
    """A finished line: `data` is without its newline (only the beginning of one that is too long), `length` with it.
    Without an `event` it is none, for that `reason`; or it is empty, and nothing.
    """

    offset: int
    length: int
    data: bytes
    event: Event[Any] | None
    reason: str = ""

    @property
    def digest(self) -> str:
        """By which the next line names it."""
        return digest(self.data.removesuffix(b"\r"))

    def follows(self, before: "Line | None", mark: str) -> bool:
        """Whether it was written after that line, which has that digest (or none: it is the first)."""
        prev = self.event.prev if self.event else ""
        return prev == mark or (
            before is not None and prev == digest(before.data.removesuffix(b"\r") + b"\r")
        )  # its writer found CR LF there


class Break(msgspec.Struct, frozen=True):
    """The line of event `id` was not written after the one before it (`before`, of that `digest`), but after `prev`.
    `garbled`: a line that is no event stands between them.
    """

    spot: Spot
    id: str
    prev: str
    before: Spot | None
    digest: str
    garbled: bool


# --- reading --------------------------------------------------------------------------------------


def each_file(directory: str, disk: Disk = REAL) -> Iterator[tuple[str, int, int]]:
    """(name, descriptor, size) of every file, in order, as of one moment of a log that is being written.

    Those that grow are opened first: one that is sealed meanwhile is given once, under the name it had. Raises LogError
    if a file cannot be read.
    """
    growing: dict[str, int] = {}
    try:
        for name in node_files(directory, disk):
            if not is_sealed(name) and (fd := opened(os.path.join(directory, name), disk)) >= 0:
                growing[name] = fd
        known = {_inode(disk, fd) for fd in growing.values()}
        for name in sorted({*node_files(directory, disk), *growing}):
            if name in growing:
                yield name, growing[name], disk.fstat(growing[name]).st_size
            elif (fd := opened(os.path.join(directory, name), disk)) >= 0:
                try:
                    if _inode(disk, fd) not in known:
                        yield name, fd, disk.fstat(fd).st_size
                finally:
                    disk.close(fd)
    finally:
        for fd in growing.values():
            disk.close(fd)


def _inode(disk: Disk, fd: int) -> tuple[int, int]:
    status = disk.fstat(fd)
    return status.st_dev, status.st_ino


def each_block(name: str, fd: int, size: int, disk: Disk = REAL) -> Iterator[tuple[int, bytes, int]]:
    """(offset, lines, offset after them), as `tail.blocks`. Raises LogError if the file cannot be read."""
    try:
        yield from blocks(fd, 0, size, disk)
    except OSError as error:
        raise LogError(f"cannot read {name}: {error.strerror}") from error


def each_line(name: str, fd: int, size: int, disk: Disk = REAL) -> Iterator[Line]:
    """The finished lines of a file of so many bytes. Raises LogError if it cannot be read."""
    for at, block, end in each_block(name, fd, size, disk):
        events, bad = decode_block(block)
        texts = block[:-1].split(b"\n")
        if len(events) == len(texts):
            for text, event in zip(texts, events, strict=True):
                yield Line(at, len(text) + 1, text, event)
                at += len(text) + 1
            continue
        reasons, good = {at + each.offset: each.reason for each in bad}, iter(events)
        for text in texts:
            length = len(text) + 1 if len(texts) > 1 else end - at
            reason = reasons.get(at, "")
            yield Line(at, length, text, next(good) if text and not reason else None, reason)
            at += length


def where(directory: str, digests: set[str], disk: Disk = REAL) -> tuple[dict[str, list[Spot]], set[str]]:
    """Where the events with these digests stand, and those of the digests that lines name as the one before them.
    Raises LogError if a file cannot be read.
    """
    found, named = dict[str, list[Spot]](), set[str]()
    for name, fd, size in each_file(directory, disk):
        for line in each_line(name, fd, size, disk):
            if line.event is not None:
                named.update(digests & {line.event.prev})
                if (mark := line.digest) in digests:
                    found.setdefault(mark, []).append(Spot(name, line.offset, line.length))
    return found, named


# --- judging --------------------------------------------------------------------------------------


class Chains:
    """Given the files in order, and of each all lines, it collects what is wrong.

    `bad`: lines that are no events; `belied`: ids that their lines' times belie; `far`: ids too far ahead of `now` (in
    Unix time); `disorder`: ids that do not grow; `named`: files with the name of another first event; `doubles`: a
    second event of an id; `breaks` of the chain. `copies` counts, by file, the lines that are elsewhere too, `returns`
    those that end with CR LF. `end` is the end of the last finished line of the file.
    """

    def __init__(self, now: float = END) -> None:
        self._too_far = too_far_from(now)
        self.ids = Ids()
        self.bad: list[Fault] = []
        self.belied: list[Fault] = []
        self.far: list[Fault] = []
        self.disorder: list[Fault] = []
        self.named: list[Fault] = []
        self.doubles: dict[str, list[Spot]] = {}
        self.breaks: list[Break] = []
        self.copies: Counter[str] = Counter()
        self.returns: Counter[str] = Counter()
        self.end = 0
        self._file, self._node, self._empty = "", "", True
        self._id, self._digest, self._garbled = "", "", False
        self._before: tuple[str, Line] | None = None

    def begin(self, file: str) -> None:
        """The lines that come now are of this file."""
        self._file, self._empty, self.end = file, True, 0
        if node_of_file(file) != self._node:
            self._node, self._id, self._digest, self._garbled, self._before = node_of_file(file), "", "", False, None

    def take(self, line: Line) -> bool:
        """The file's next line. Returns whether it holds an event that was not there yet."""
        self.end = line.offset + line.length
        event = line.event
        if line.data.endswith(b"\r"):
            self.returns[self._file] += 1
        if event is None:
            if line.reason and line.data != b"\r":
                self.bad.append(Fault(self._spot(line), f"no event, passed over: {line.reason}"))
                self._garbled = True
            return False
        if self._empty:
            self._check_name(line, event.id)
        mark, believed = line.digest, self._believed(line, event)
        held = self.ids.add(event.id, mark, believed)
        if held == mark:
            self.copies[self._file] += 1
        elif held:
            self.doubles.setdefault(event.id, []).append(self._spot(line))
        if event.prev != self._digest and not line.follows(self._before and self._before[1], self._digest):
            if held == mark:
                return False  # a copy has its place in the chain elsewhere
            before = _spot(*self._before) if self._before else None
            self.breaks.append(Break(self._spot(line), event.id, event.prev, before, self._digest, self._garbled))
        elif believed and event.id <= self._id:
            words = f"its id {event.id} does not sort after {self._id}, the one before it"
            self.disorder.append(Fault(self._spot(line), words, event.id))
        self._id, self._digest, self._garbled = event.id if believed else self._id, mark, False
        self._before = self._file, line
        return held != mark

    def gaps(self) -> list[Break]:
        """The breaks where the line that was written before is nowhere in the log."""
        there = self.ids.named({each.prev for each in self.breaks}) | {""}
        return [each for each in self.breaks if each.prev not in there]

    def _believed(self, line: Line, event: Event[Any]) -> bool:
        """Whether the id says what the line says."""
        if not says_time(event.id, event.time):
            words = f"its id {event.id} is of {rfc3339(event.id)}, and its time {event.time}: one of them was changed"
            self.belied.append(Fault(self._spot(line), words, event.id))
            return False
        if event.id >= self._too_far:
            words = f"its id {event.id} is too far ahead: the clock of this machine is wrong, or that of its writer was"
            self.far.append(Fault(self._spot(line), words, event.id))
        return True

    def _check_name(self, line: Line, id: str) -> None:  # noqa: A002
        self._empty = False
        named = first_of_file(self._file)
        if named and named != id:
            words = f"the file has the name of {named}, and its first event is {id}"
            self.named.append(Fault(self._spot(line), words, id))

    def _spot(self, line: Line) -> Spot:
        return _spot(self._file, line)


def _spot(file: str, line: Line) -> Spot:
    return Spot(file, line.offset, line.length)


class _Row:
    """Ids of one node that came in order, as numbers: the high and the low half of each, and its line's digest."""

    def __init__(self) -> None:
        self.highs, self.lows, self.digests = array("Q"), array("Q"), array("Q")
        self.last = -1


class Ids:
    """Every id, and the digest of its line. A node's ids grow, so they need no more than three arrays, in which a
    search finds one; those that came out of order are kept aside.
    """

    def __init__(self) -> None:
        self._rows: dict[int, _Row] = {}
        self._strays: dict[str, str] = {}
        self._others: set[str] = set()

    def __len__(self) -> int:
        return sum(len(row.highs) for row in self._rows.values()) + len(self._strays)

    def __contains__(self, id: str) -> bool:  # noqa: A002
        return bool(self._digest(id))

    def add(self, id: str, digest: str, in_row: bool = True) -> str:  # noqa: A002
        """Keep it; unless `in_row`, aside. Returns the digest that it had already; empty if it is new."""
        high, low = _halves(id)
        row = self._rows.get(low >> 46 & 0xFFFF)
        if row is None:
            row = self._rows[low >> 46 & 0xFFFF] = _Row()
        if high > row.last and in_row:
            row.last = high
            row.highs.append(high)
            row.lows.append(low)
            row.digests.append(int(digest, 16))
            return ""
        held = self._digest(id)
        if not held:
            self._strays[id] = digest
        elif held != digest:
            self._others.add(digest)
        return held

    def passed(self, id: str) -> bool:  # noqa: A002
        """Whether there is a later id of the same node."""
        high, low = _halves(id)
        row = self._rows.get(low >> 46 & 0xFFFF)
        return row is not None and row.last > high

    def named(self, digests: set[str]) -> set[str]:
        """Those of the digests that a line has."""
        wanted = {int(each, 16): each for each in digests if _is_digest(each)}
        found = digests & self._others | digests.intersection(self._strays.values())
        for row in self._rows.values():
            found |= {wanted[each] for each in wanted.keys() & set(filter(wanted.__contains__, row.digests))}
        return found

    def _digest(self, id: str) -> str:  # noqa: A002
        high, low = _halves(id)
        row = self._rows.get(low >> 46 & 0xFFFF)
        if row is not None:
            at = bisect_left(row.highs, high)
            if at < len(row.highs) and (row.highs[at], row.lows[at]) == (high, low):
                return f"{row.digests[at]:016x}"
        return self._strays.get(id, "")


def _halves(id: str) -> tuple[int, int]:  # noqa: A002
    return int(id[:8] + id[9:13] + id[14:18], 16), int(id[19:23] + id[24:], 16)
