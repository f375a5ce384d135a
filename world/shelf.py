"""The log as an archive: where the events of a key are, in one SQLite file of `cache/`. Rule: it is disposable:
whatever is wrong with it is `Stale`, and then everything is folded again.

A *page* is about a megabyte of the log: some ranges of its files, and the keys that events in them are about. A *point*
is a snapshot of the board after so many pages: the last one is where the next process begins, and some on the way
are kept, for those who look back. What is written is never changed, except that the last point is replaced, so a
reader need not lock anything.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec

from ..eventlog.errors import LogError
from ..eventlog.fact import Event
from ..eventlog.lines import LONGEST_READ, decode_block, encode
from ..eventlog.segments import SUFFIX, node_of_file
from ..eventlog.tail import Mark
from ..projections import LAST, Snapshot, key_of

_TABLES = """
CREATE TABLE format (fingerprint TEXT);
CREATE TABLE pages (page INTEGER PRIMARY KEY, ranges BLOB);
CREATE TABLE keys (key TEXT, page INTEGER, PRIMARY KEY (key, page)) WITHOUT ROWID;
CREATE TABLE points (page INTEGER PRIMARY KEY, newest TEXT, kept INTEGER, size INTEGER, board BLOB);
CREATE TABLE last (marks BLOB);
"""
_PLAIN = re.compile("[0-9A-Za-z_:@. -]*")
_SLOTS = 1 << 22


class Stale(LogError):
    """Raised when the archive is not what it was: the log was changed, or the cache file is damaged. Everything is to
    be folded again.
    """

    def __init__(self, message: str) -> None:
        super().__init__(f"the cache of the log does not fit it: {message}", "run it again: it is made anew")


class Range(msgspec.Struct, frozen=True, array_like=True):
    """A part of a file of the log, by the name that it has, or will have, once it is sealed; and its CRC-32."""

    name: str
    start: int
    end: int
    crc: int


class Page(msgspec.Struct, frozen=True):
    """Some ranges, and the index entries of what is in them."""

    ranges: list[Range]
    entries: set[str]


class _Head(msgspec.Struct):
    newest: str
    keys: list[str]
    sums: dict[str, dict[str, int]]


_marks = msgspec.json.Decoder(dict[str, Mark])
_ranges = msgspec.json.Decoder(list[Range])
_head = msgspec.json.Decoder(_Head)


def _checked(data: bytes) -> bytes:
    """With a checksum before it: SQLite has none."""
    return crc32(data).to_bytes(4, "big") + data


def _opened(blob: Any) -> bytes:
    """What was checked; raises Stale if it was changed since."""
    if not isinstance(blob, bytes) or crc32(blob[4:]).to_bytes(4, "big") != blob[:4]:
        raise Stale("it is damaged")
    return blob[4:]


class Store:
    """The file. Every method raises Stale if it is damaged, or locked for long."""

    def __init__(self, path: str, writable: bool = False) -> None:
        import sqlite3  # here, because it takes as long as all the rest of us

        self._path, self._error = path, sqlite3.Error
        try:
            self._db = sqlite3.connect(
                f"file:{_in_uri(path)}?mode={'rw' if writable else 'ro'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
            )
        except self._error as error:
            raise Stale(str(error)) from error

    @classmethod
    def fresh(cls, path: str, fingerprint: str) -> "Store":
        """A new file, to be moved to its place when all is in it: until then it need not survive anything."""
        with open(path, "wb"):
            pass
        store = cls(path, writable=True)
        store.run("PRAGMA journal_mode = OFF")
        store.run("PRAGMA synchronous = OFF")
        store._script(_TABLES)
        store.run("INSERT INTO format VALUES (?)", (fingerprint,))
        store.run("BEGIN")
        return store

    def run(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """The rows that it gives."""
        try:
            return self._db.execute(statement, values).fetchall()
        except (self._error, UnicodeEncodeError) as error:
            raise Stale(str(error)) from error

    def _script(self, statements: str) -> None:
        try:
            self._db.executescript(statements)
        except self._error as error:
            raise Stale(str(error)) from error

    def close(self) -> None:
        """What was not committed is forgotten."""
        self._db.close()

    def discard(self) -> None:
        """Have the next one begin anew."""
        with suppress(OSError):
            os.unlink(self._path)

    def __del__(self) -> None:
        if "_db" in self.__dict__:
            self._db.close()

    # --- reading ---

    def fingerprint(self) -> str:
        """The code that wrote it; empty if it is none of ours."""
        return next((row[0] for row in self.run("SELECT fingerprint FROM format")), "")

    def marks(self) -> dict[str, Mark]:
        """What the last point covers, by sealed names."""
        return _marks.decode(_opened(next((row[0] for row in self.run("SELECT marks FROM last")), None)))

    def ends(self, page: int) -> dict[str, int]:
        """How far each file is covered by the pages up to that one, by sealed names."""
        found: dict[str, int] = {}
        for (ranges,) in self.run("SELECT ranges FROM pages WHERE page <= ? ORDER BY page", (page,)):
            found |= {part.name: part.end for part in _ranges.decode(_opened(ranges))}
        return found

    def point(self, until: str = LAST) -> tuple[int, Snapshot] | None:
        """(page, snapshot) of the last point that holds nothing after the event `until`."""
        rows = self.run("SELECT page, board FROM points WHERE newest <= ? ORDER BY page DESC LIMIT 1", (until,))
        if not rows:
            return None
        page, board = rows[0]
        head, _, lines = _opened(board).partition(b"\n")
        known = _head.decode(head)
        events, bad = decode_block(lines)
        if bad:
            raise Stale(bad[0].reason)
        return page, Snapshot(known.newest, known.keys, known.sums, events)

    def kept(self) -> int:
        """How many bytes of the log the last kept point covers."""
        size = self.run("SELECT max(size) FROM points WHERE kept")[0][0]
        return size if isinstance(size, int) else 0

    # --- writing ---

    def begin(self, page: int) -> bool:
        """Go on after that page, in a transaction; False if somebody else did so before."""
        self.run("PRAGMA synchronous = NORMAL")
        self.run("BEGIN IMMEDIATE")
        return self.run("SELECT max(page) FROM points") == [(page,)]

    def add(self, number: int, page: Page) -> None:
        """One more page."""
        self.run("INSERT INTO pages VALUES (?, ?)", (number, _checked(msgspec.json.encode(page.ranges))))
        try:
            self._db.executemany("INSERT INTO keys VALUES (?, ?)", [(key, number) for key in sorted(page.entries)])
        except self._error as error:
            raise Stale(str(error)) from error

    def set(self, number: int, snapshot: Snapshot, size: int, kept: bool) -> None:
        """The last point from now on, in place of the one before unless that one is kept. `size`: the bytes of the log
        that it covers.
        """
        head = msgspec.json.encode(_Head(snapshot.newest, snapshot.keys, snapshot.sums))
        lines = b"".join([encode(event, LONGEST_READ) for event in snapshot.events])
        self.run("DELETE FROM points WHERE NOT kept")
        values = (number, snapshot.newest, kept, size, _checked(head + b"\n" + lines))
        self.run("INSERT INTO points VALUES (?, ?, ?, ?, ?)", values)

    def cover(self, marks: Mapping[str, Mark]) -> None:
        """What the last point covers, by sealed names."""
        self.run("DELETE FROM last")
        self.run("INSERT INTO last VALUES (?)", (_checked(msgspec.json.encode(marks)),))

    def commit(self) -> None:
        """All of it, or nothing."""
        self.run("COMMIT")


class Shelf:
    """The archive of a board (`projections.Archive`): the first so many pages of a store, and what is not yet there."""

    def __init__(self, directory: str, store: Store, page: int) -> None:
        self._directory, self._store, self.page = directory, store, page
        self._last = page
        self._pending: dict[int, Page] = {}
        self._slots = bytearray(0 if page else _SLOTS)  # not 0: a key of this hash is there. Most keys are new

    def close(self) -> None:
        """Close the file."""
        self._store.close()

    def put(self, page: Page) -> int:
        """One more page, not yet in the store; its number."""
        self._last += 1
        self._pending[self._last] = page
        for key in page.entries if self._slots else ():
            self._slots[hash(key) % _SLOTS] = 1
        return self._last

    def add(self, store: Store, page: Page) -> int:
        """One more page, at once into the store; its number."""
        number = self.put(page)
        self.written(self.write(store, number))
        return number

    def write(self, store: Store, last: int) -> list[int]:
        """Add the pages up to that one to the store; which these are."""
        numbers = [number for number in sorted(self._pending) if number <= last]
        for number in numbers:
            store.add(number, self._pending[number])
        return numbers

    def written(self, numbers: Iterable[int]) -> None:
        """They are safe in the store."""
        numbers = list(numbers)
        self.page = max([self.page, *numbers])
        for number in numbers:
            del self._pending[number]

    # --- the archive ---

    def recall(self, key: str) -> list[Event[Any]]:
        """All events of that key. Raises Stale if the log is not what it was; the store is discarded then."""
        if self._slots and not self._slots[hash(key) % _SLOTS]:
            return []
        try:
            where = [part for ranges in self._pages(key) for part in ranges]
            return [event for part in where for event in _events(self._read(part), key)]
        except Stale:
            self._store.discard()
            raise

    def between(self, first: str, last: str) -> list[str]:
        """The keys from `first` up to, and without, `last`, in order."""
        rows = self._store.run(
            "SELECT DISTINCT key FROM keys WHERE key >= ? AND key < ? AND page <= ?", (first, last, self.page)
        )
        return self._with_pending(rows, lambda key: first <= key < last)

    def ending(self, end: str) -> list[str]:
        """The keys that end so."""
        rows = self._store.run(
            "SELECT DISTINCT key FROM keys WHERE substr(key, ?) = ? AND page <= ?", (-len(end), end, self.page)
        )
        return self._with_pending(rows, lambda key: key.endswith(end))

    def _with_pending(self, rows: list[Any], wanted: Callable[[str], bool]) -> list[str]:
        pending = {key for page in list(self._pending.values()) for key in page.entries if wanted(key)}
        return sorted(pending.union(row[0] for row in rows))

    def _pages(self, key: str) -> Iterator[list[Range]]:
        """Those that have events of that key: first what may be written and gone from here in the same moment."""
        pending = [page.ranges for page in list(self._pending.values()) if key in page.entries]
        rows = self._store.run(
            "SELECT ranges FROM keys JOIN pages USING (page) WHERE key = ? AND page <= ?", (key, self.page)
        )
        yield from pending
        for (ranges,) in rows:
            yield _ranges.decode(_opened(ranges))

    def _read(self, part: Range) -> bytes:
        for data in parts(self._directory, part.name, part.start, part.end):
            if crc32(data) == part.crc:
                return data
        raise Stale(f"{part.name} is not what it was")


def parts(directory: str, name: str, start: int, end: int) -> Iterator[bytes]:
    """These bytes of the file of that sealed name, and of the growing one that may still get it."""
    for here in (name, node_of_file(name) + SUFFIX):
        with suppress(OSError), open(os.path.join(directory, here), "rb") as file:
            file.seek(start)
            yield file.read(end - start)


def _events(data: bytes, key: str) -> list[Event[Any]]:
    """The events of that key in whole lines. Only those lines are decoded that may name it."""
    needles = (msgspec.json.encode(key)[1:-1], b"\\u" if _PLAIN.fullmatch(key) else b"\\")
    lines: dict[int, bytes] = {}
    for needle in needles:  # the second: other writers may have escaped what need not be
        at = data.find(needle)
        while at >= 0:
            start, end = data.rfind(b"\n", 0, at) + 1, data.find(b"\n", at)
            end = end if end >= 0 else len(data)
            lines[start] = data[start:end]
            at = data.find(needle, end + 1)
    found = (event for line in lines.values() for event in decode_block(line)[0])
    return [event for event in found if key_of(event) == key]


def _in_uri(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
