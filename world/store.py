"""The file of the archive, `cache/board.sqlite`, and that what is read of it is what was written. Rule: SQLite checks
nothing of what it reads, so all of that has a checksum; whatever is wrong is `Stale`.

The keys have one for each *cell* of them: a key that is not found may be a damaged one, but then the checksum of its
cell is not right.
"""

import os
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec

from ..eventlog.errors import LogError
from ..eventlog.lines import LONGEST_READ, decode_block, encode
from ..eventlog.tail import Mark
from ..projections import LAST, Snapshot

_TABLES = """
CREATE TABLE format (fingerprint TEXT);
CREATE TABLE pages (page INTEGER PRIMARY KEY, ranges BLOB);
CREATE TABLE keys (cell INTEGER, key TEXT, page INTEGER, PRIMARY KEY (cell, key, page)) WITHOUT ROWID;
CREATE TABLE points (page INTEGER PRIMARY KEY, newest TEXT, kept INTEGER, size INTEGER, board BLOB, sums BLOB);
CREATE TABLE last (marks BLOB);
"""
CELLS = 1 << 12


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


class Sums:
    """A checksum for each cell of the keys, over all (key, page) in it in whatever order. A cell is of all keys that
    have the same first word, and of some others.
    """

    def __init__(self, data: bytes = bytes(8 * CELLS)) -> None:
        self._sums = array("Q", data)

    def add(self, key: str, page: int) -> int:
        """There is one more. Returns its cell."""
        cell = cell_of(key)
        self._sums[cell] = (self._sums[cell] + _sum(key, page)) & _MOST
        return cell

    def check(self, rows: Iterable[tuple[int, Any, Any]], cells: Iterable[int]) -> None:
        """Raises Stale if these (cell, key, page) are not all that there are in those cells."""
        left = {cell: self._sums[cell] for cell in cells}
        try:
            for cell, key, page in rows:
                left[cell] -= _sum(key, page)
        except (KeyError, UnicodeEncodeError):
            raise Stale("it is damaged") from None
        if any(each & _MOST for each in left.values()):
            raise Stale("it is damaged")

    def data(self) -> bytes:
        """For the next one."""
        return self._sums.tobytes()


def cell_of(key: str) -> int:
    """The cell that the key is in."""
    return crc32(key.partition(" ")[0].encode("utf-8", "surrogatepass")) % CELLS


def _sum(key: Any, page: Any) -> int:
    return 1 + crc32(f"{page} {key}".encode())


class Point(msgspec.Struct, frozen=True):
    """The board after so many pages, and the checksums of the keys in them."""

    page: int
    snapshot: Snapshot
    sums: Sums


class _Head(msgspec.Struct):
    newest: str
    keys: list[str]
    sums: dict[str, dict[str, int]]


_MOST = (1 << 64) - 1
_marks = msgspec.json.Decoder(dict[str, Mark])
_ranges = msgspec.json.Decoder(list[Range])
_head = msgspec.json.Decoder(_Head)


def _checked(data: bytes, page: int) -> bytes:
    """With a checksum before it, of the page that it belongs to as well."""
    return crc32(data, page).to_bytes(4, "big") + data


def _opened(blob: Any, page: Any) -> bytes:
    """What was checked; raises Stale if it was changed since."""
    if not isinstance(blob, bytes) or crc32(blob[4:], page).to_bytes(4, "big") != blob[:4]:
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

    def last(self) -> tuple[Point, dict[str, Mark]] | None:
        """The last point, and what it covers, by sealed names."""
        self.run("BEGIN")  # both of one moment: somebody may be saving
        try:
            point = self.point()
            return (point, self.marks(point.page)) if point else None
        finally:
            self.run("COMMIT")

    def marks(self, page: int) -> dict[str, Mark]:
        """What the last point covers, which is after that page, by sealed names."""
        return _marks.decode(_opened(next((row[0] for row in self.run("SELECT marks FROM last")), None), page))

    def ends(self, page: int) -> dict[str, int]:
        """How far each file is covered by the pages up to that one, by sealed names."""
        found: dict[str, int] = {}
        rows = self.run("SELECT page, ranges FROM pages WHERE page <= ? ORDER BY page", (page,))
        if [number for number, _ in rows] != list(range(1, page + 1)):
            raise Stale("it is damaged")
        for number, ranges in rows:
            found |= {part.name: part.end for part in _ranges.decode(_opened(ranges, number))}
        return found

    def pages(self, pages: Iterable[int]) -> list[list[Range]]:
        """What these pages are."""
        found = []
        for page in pages:
            rows = self.run("SELECT ranges FROM pages WHERE page = ?", (page,))
            found.append(_ranges.decode(_opened(rows[0][0] if rows else None, page)))
        return found

    def point(self, until: str = LAST) -> Point | None:
        """The last point that holds nothing after the event `until`."""
        rows = self.run("SELECT page, board, sums FROM points WHERE newest <= ? ORDER BY page DESC LIMIT 1", (until,))
        if not rows:
            return None
        page, board, sums = rows[0]
        head, _, lines = _opened(board, page).partition(b"\n")
        known = _head.decode(head)
        events, bad = decode_block(lines)
        if bad or known.newest > until:
            raise Stale(bad[0].reason if bad else "it is damaged")
        return Point(page, Snapshot(known.newest, known.keys, known.sums, events), Sums(_opened(sums, page)))

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

    def add(self, number: int, page: Page, sums: Sums) -> None:
        """One more page; its keys are added to the sums."""
        self.run("INSERT INTO pages VALUES (?, ?)", (number, _checked(msgspec.json.encode(page.ranges), number)))
        try:
            rows = sorted((sums.add(key, number), key, number) for key in page.entries)
            self._db.executemany("INSERT INTO keys VALUES (?, ?, ?)", rows)
        except (self._error, UnicodeEncodeError) as error:
            raise Stale(str(error)) from error

    def set(self, point: Point, size: int, kept: bool) -> None:
        """The last point from now on, in place of the one before unless that one is kept. `size`: the bytes of the log
        that it covers.
        """
        number, snapshot = point.page, point.snapshot
        head = msgspec.json.encode(_Head(snapshot.newest, snapshot.keys, snapshot.sums))
        lines = b"".join([encode(event, LONGEST_READ) for event in snapshot.events])
        self.run("DELETE FROM points WHERE NOT kept")
        blobs = [_checked(blob, number) for blob in (head + b"\n" + lines, point.sums.data())]
        self.run("INSERT INTO points VALUES (?, ?, ?, ?, ?, ?)", (number, snapshot.newest, kept, size, *blobs))

    def cover(self, page: int, marks: Mapping[str, Mark]) -> None:
        """What the last point covers, which is after that page, by sealed names."""
        self.run("DELETE FROM last")
        self.run("INSERT INTO last VALUES (?)", (_checked(msgspec.json.encode(marks), page),))

    def commit(self) -> None:
        """All of it, or nothing."""
        self.run("COMMIT")


def _in_uri(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
