"""The log as an archive: where the events of a key are, in one SQLite file of `cache/` (`store.py`). Rule: it is
disposable: whatever is wrong with it is `Stale`, and then everything is folded again.

A *page* is about a megabyte of the log: some ranges of its files, and the keys that events in them are about. A *point*
is a snapshot of the board after so many pages: the last one is where the next process begins, and some on the way
are kept, for those who look back. What is written is never changed, except that the last point is replaced, so a
reader need not lock anything.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from zlib import crc32

import msgspec

from ..eventlog.fact import Event
from ..eventlog.lines import decode_block
from ..eventlog.segments import SUFFIX, node_of_file
from ..projections import key_of
from .store import CELLS, Page, Range, Stale, Store, Sums, cell_of

_PLAIN = re.compile("[0-9A-Za-z_:@. -]*")
_SLOTS = 1 << 22


class Shelf:
    """The archive of a board (`projections.Archive`): the first so many pages of a store, and what is not yet there."""

    def __init__(self, directory: str, store: Store, page: int, sums: Sums) -> None:
        self._directory, self._store, self._last = directory, store, page
        self._known = page, sums  # one thread may save while another looks
        self._checked: Sums | None = None
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
        self.written(*self.write(store, number))
        return number

    def write(self, store: Store, last: int) -> tuple[list[int], Sums]:
        """Add the pages up to that one to the store; which these are, and the sums with them."""
        numbers, sums = [number for number in sorted(self._pending) if number <= last], Sums(self.sums.data())
        for number in numbers:
            store.add(number, self._pending[number], sums)
        return numbers, sums

    def written(self, numbers: Iterable[int], sums: Sums) -> None:
        """They are safe in the store."""
        numbers = list(numbers)
        self._known = max([self.page, *numbers]), sums
        for number in numbers:
            del self._pending[number]

    @property
    def page(self) -> int:
        """How many pages of the store there are, as far as it looks."""
        return self._known[0]

    @property
    def sums(self) -> Sums:
        """Those of the keys in these pages."""
        return self._known[1]

    # --- the archive ---

    def recall(self, key: str) -> list[Event[Any]]:
        """All events of that key. Raises Stale if the log is not what it was; the store is discarded then."""
        if self._slots and not self._slots[hash(key) % _SLOTS]:
            return []
        with self._discarding():
            where = [part for ranges in self._pages(key) for part in ranges]
            return [event for part in where for event in _events(self._read(part), key)]

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except Stale:
            self._store.discard()
            raise

    def between(self, first: str, last: str) -> list[str]:
        """The keys from `first` up to, and without, `last`, in order. Raises Stale as `recall` does."""
        pending = self._in_pending(lambda key: first <= key < last)
        (word, space, _), (other, also, _) = first.partition(" "), last.partition(" ")
        if space and also and word == other:
            with self._discarding():
                return sorted(pending.union(key for key, _ in self._in_cell(word) if first <= key < last))
        statement = "SELECT DISTINCT key FROM keys WHERE key >= ? AND key < ? AND page <= ?"
        return sorted(pending.union(self._keys(statement, (first, last))))

    def ending(self, end: str) -> list[str]:
        """The keys that end so. Raises Stale as `recall` does."""
        pending = self._in_pending(lambda key: key.endswith(end))
        statement = "SELECT DISTINCT key FROM keys WHERE substr(key, ?) = ? AND page <= ?"
        return sorted(pending.union(self._keys(statement, (-len(end), end))))

    def _in_pending(self, wanted: Callable[[str], bool]) -> set[str]:
        """To be asked for before what is written: a page may be written, and gone from here, in between."""
        return {key for page in list(self._pending.values()) for key in page.entries if wanted(key)}

    def _in_cell(self, key: str) -> list[tuple[str, int]]:
        """The (key, page) in the cell of that key."""
        (page, sums), cell = self._known, cell_of(key)
        rows = self._store.run("SELECT cell, key, page FROM keys WHERE cell = ? AND page <= ?", (cell, page))
        sums.check(rows, [cell])
        return [(found, number) for _, found, number in rows]

    def _keys(self, statement: str, values: tuple[Any, ...]) -> list[str]:
        """The keys that a statement gives which looks at all; the first time these are checked."""
        page, sums = self._known
        with self._discarding():
            if self._checked is not sums:
                sums.check(self._store.run("SELECT cell, key, page FROM keys WHERE page <= ?", (page,)), range(CELLS))
                self._checked = sums
            return [key for (key,) in self._store.run(statement, (*values, page))]

    def _pages(self, key: str) -> Iterator[list[Range]]:
        """Those that have events of that key: first what may be written and gone from here in the same moment."""
        pending = [page.ranges for page in list(self._pending.values()) if key in page.entries]
        numbers = [number for found, number in self._in_cell(key) if found == key]
        yield from pending
        yield from self._store.pages(numbers)

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
