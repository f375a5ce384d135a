"""Checkpoints: the board as of some position in the log, so that nobody folds a long log twice.

Rule: they are disposable. Deleting `cache/`, changing the code that folds, or changing the log under them costs time
and nothing else, and what cannot be saved is no error. A late event, of another clone, needs no new fold: folds are
commutative, and what it is about is recalled if it had left memory (`projections`).

A checkpoint is the events that still matter, with an index of the others (`shelf.py`). Whoever folded much saves one: a
running system in the background, a command after its output. One process at a time holds `board.lock`, and saves; the
others read.
"""

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from functools import cache as once
from functools import partial
from itertools import chain
from typing import Any
from zlib import crc32

import msgspec

from .. import eventlog, projections
from ..eventlog.fact import Event
from ..eventlog.hashes import blake2b
from ..eventlog.tail import Mark, Tail
from ..projections import Board, Snapshot, types
from .shelf import Shelf, parts
from .store import Page, Point, Range, Stale, Store, Sums
from .sweep import Here, compare, extend, sealed, sweep

FILE, LOCK = "board.sqlite", "board.lock"
SMALL = 4 << 20
"""Bytes of a log that is folded as quickly as a checkpoint of it is loaded."""
LONG = 6 << 20
"""Bytes of a log that are rather saved than folded by one process after the other."""
PAGE = 1 << 20
"""Bytes of a log in a page of its index."""
CHAPTER = 16 << 20
"""Bytes of a log between two points that are kept."""
MANY = 1000
"""Events after which it is time for a new checkpoint."""
PATIENCE = 30.0
"""Seconds to wait for another process that is saving."""


class Draft(msgspec.Struct, frozen=True):
    """A checkpoint that is to be written: the board after so many pages, and what they cover (`size`: in bytes)."""

    page: int
    snapshot: Snapshot
    marks: dict[str, Mark]
    size: int
    kept: bool


class _Base(msgspec.Struct, frozen=True):
    """A checkpoint that is true, what it covers by the names of `sweep`, and how the log stands to that."""

    store: Store
    point: Point
    marks: dict[str, Mark]
    here: Here


class Keeper:
    """A board that is kept up with the log in `directory` by the help of checkpoints in the folder `cache` (none if it
    is empty).

    `only`, `here`: as for `Board`; where a whole one had to be made, it is that. `owner`: it saves as long as it is
    open, so nobody else does. One thread at a time; `write` may run beside the others.
    """

    def __init__(
        self, directory: str, cache: str = "", only: Iterable[str] = (), here: str = "", owner: bool = False
    ) -> None:
        self._directory, self._cache, self._only, self._here = directory, cache, tuple(only), here
        self._path = os.path.join(cache, FILE)
        self._lock = _lock(cache, PATIENCE) if owner and cache else -1
        self._shelf: Shelf | None = None
        self._ends: dict[str, int] = {}
        self._renewed: dict[str, Mark] = {}
        self._saved = self._kept = 0
        self.fresh = 0
        self._plain()
        if cache:
            self._begin()

    def read(self) -> list[Event[Any]]:
        """Fold what has been appended since the last call; returns it."""
        found = self.tail.read()
        self.fresh += len(found)
        try:
            self.board.fold(found)
        except Stale:
            self.anew()
        return found

    def anew(self) -> None:
        """Fold everything again, without the cache: it is not to be trusted. The tail stays where it is."""
        with suppress(OSError):
            os.unlink(self._path)
        self.close()
        self._shelf = None
        whole = Tail(self._directory, self._types())
        self.board = Board(self._only, self._here).fold(chain.from_iterable(whole.batches()))

    def close(self) -> None:
        """Let others save. What rests can no longer be recalled."""
        if self._shelf is not None:
            self._shelf.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # --- saving ---

    def save(self) -> None:
        """Save a checkpoint if it is time for one."""
        if self.fresh > MANY and (draft := self.draft()):
            self.write(draft)
        elif self._renewed:
            self._with_lock(self._renew)

    def draft(self) -> Draft | None:
        """The board as a checkpoint; None if nothing has happened since the last one, or if it cannot be saved."""
        if self._shelf is None or self._only:
            return None
        try:
            marks = sealed(self._directory, self.tail.marks)
            ranges = [
                self._range(name, self._ends.get(name, 0), mark.offset)
                for name, mark in marks.items()
                if mark.offset != self._ends.get(name, 0)
            ]
        except Stale:
            return None  # a file is being changed: whoever reads it next notices
        if not ranges:
            return None
        number = self._shelf.put(Page(ranges, self.board.turn()))
        self._ends = {name: mark.offset for name, mark in marks.items()}
        self.fresh, size = 0, sum(self._ends.values())
        kept = size - self._kept >= CHAPTER
        if kept:
            self._kept = size
            self.board.retire()
        return Draft(number, self.board.snapshot(), marks, size, kept)

    def write(self, draft: Draft) -> None:
        """Write it down, and the pages before it. What hinders it is no error: the next one has all of that too."""
        self._with_lock(partial(self._write, draft))

    def _with_lock(self, write: Callable[[], None]) -> None:
        lock = self._lock if self._lock >= 0 else _lock(self._cache)
        try:
            if lock >= 0:
                write()
        except (Stale, OSError):
            pass
        finally:
            if lock >= 0 and lock != self._lock:
                os.close(lock)

    def _write(self, draft: Draft) -> None:
        shelf, store = self._shelf, Store(self._path, writable=True)
        try:
            if shelf and store.begin(self._saved):
                numbers, sums = shelf.write(store, draft.page)
                store.set(Point(draft.page, draft.snapshot, sums), draft.size, draft.kept)
                store.cover(draft.page, draft.marks)
                store.commit()
                self._saved, self._renewed = draft.page, {}
                shelf.written(numbers, sums)
        finally:
            store.close()

    def _renew(self) -> None:
        """Mark the files anew that have another time and were seen to be what they were, as all are in a copy of the
        repository: so the next one need not read them.
        """
        store = Store(self._path, writable=True)
        try:
            if store.begin(self._saved):
                held = store.marks(self._saved)
                same = {
                    name: mark
                    for name, mark in self._renewed.items()
                    if name in held and (held[name].offset, held[name].crc) == (mark.offset, mark.crc)
                }
                store.cover(self._saved, held | same)
                store.commit()
                self._renewed = {}
        finally:
            store.close()

    def _range(self, name: str, start: int, end: int) -> Range:
        for data in parts(self._directory, name, start, end) if start < end else ():
            if len(data) == end - start:
                return Range(name, start, end, crc32(data))
        raise Stale(f"{name} has shrunk")

    # --- where to begin ---

    def _types(self) -> tuple[str, ...]:
        return types(self._only) if self._only else ()

    def _plain(self) -> None:
        self._shelf = None
        self.board, self.tail = Board(self._only, self._here), Tail(self._directory, self._types())

    def _begin(self) -> None:
        base = _load(self._directory, self._path)
        missing = base.here.missing if base else compare(self._directory, {}).missing
        if missing > (LONG if base else SMALL) or (self._lock >= 0 and not base):
            if self._advance(base):
                return
            base = base and _load(self._directory, self._path)
        try:
            if base:
                self._go_on(base)
        except Stale:
            self._plain()

    def _go_on(self, base: _Base) -> None:
        self._shelf = Shelf(self._directory, base.store, base.point.page, base.point.sums)
        self.board = Board(self._only, self._here, self._shelf).restore(base.point.snapshot)
        self.tail = Tail(self._directory, self._types(), base.here.now, folder=base.here.folder)
        self._ends = {name: mark.offset for name, mark in base.marks.items()}
        self._saved, self._kept, self._renewed = base.point.page, base.store.kept(), base.here.fresh

    def _advance(self, base: _Base | None) -> bool:
        """Fold all that the base does not cover, saving points on the way; False if that cannot be saved now."""
        lock = self._lock if self._lock >= 0 else _lock(self._cache)
        if lock < 0:
            return False
        new = f"{self._path}.new"
        try:
            store = Store(self._path, writable=True) if base else Store.fresh(new, fingerprint())
            try:
                if base and not store.begin(base.point.page):
                    raise Stale("another process was quicker")
                with _no_collection():
                    self._fold(store, base)
                store.commit()
                if not base:
                    _settle(new, self._path)
            except BaseException:
                store.close()
                raise
        except (Stale, OSError):
            self._plain()
            return False
        else:
            return True
        finally:
            if lock != self._lock:
                os.close(lock)

    def _fold(self, store: Store, base: _Base | None) -> None:
        page, marks, sums = (base.point.page, dict(base.marks), base.point.sums) if base else (0, {}, Sums())
        shelf = self._shelf = Shelf(self._directory, store, page, sums)
        board = self.board = Board((), self._here, shelf)
        if base:
            board.restore(base.point.snapshot)
        ranges: list[Range] = []
        size = turned = sum(mark.offset for mark in marks.values())
        kept = store.kept()
        for piece in sweep(self._directory, marks):
            board.fold(piece.events)
            extend(ranges, piece)
            marks[piece.name] = piece.mark
            size += piece.mark.offset - piece.start
            if size - turned >= PAGE:
                page, turned, ranges = shelf.add(store, Page(ranges, board.turn())), size, []
                if size - kept >= CHAPTER:
                    board.retire()
                    store.set(Point(page, board.snapshot(), shelf.sums), size, kept=True)
                    kept = size
        page = shelf.add(store, Page(ranges, board.turn()))
        store.set(Point(page, board.snapshot(), shelf.sums), size, kept=False)
        store.cover(page, marks)
        self.tail, self._only = Tail(self._directory, (), compare(self._directory, marks).now), ()
        self._ends = {name: mark.offset for name, mark in marks.items()}
        self._saved, self._kept = page, kept


def as_of(directory: str, cache: str, until: str, here: str = "") -> Board:
    """The board after every event that does not sort after the id `until`. A long log is folded once to have points on
    the way. Raises LogError if the log cannot be read, Stale if it was changed.
    """
    path = os.path.join(cache, FILE)
    base = _load(directory, path)
    if base is None and compare(directory, {}).missing > SMALL:
        Keeper(directory, cache).close()
        base = _load(directory, path)
    board, marks = Board((), here), dict[str, Mark]()
    if base and (point := base.store.point(until)):
        board = Board((), here, Shelf(directory, base.store, point.page, point.sums)).restore(point.snapshot)
        marks = {name: Mark(end, 0, 0) for name, end in base.store.ends(point.page).items()}
    for piece in sweep(directory, marks, until):
        board.fold(event for event in piece.events if event.id <= until)
    return board


@once
def fingerprint() -> str:
    """Of the code that folds, and that reads and writes what is folded: with any other, a checkpoint is worth nothing.

    Raises OSError if there is no source to be read.
    """
    sources = blake2b(digest_size=16)
    rooms = [os.path.dirname(str(room.__file__)) for room in (eventlog, projections)]
    here = os.path.dirname(__file__)
    paths = [os.path.join(room, name) for room in rooms for name in sorted(os.listdir(room)) if name.endswith(".py")]
    for path in (*paths, *(os.path.join(here, f"{name}.py") for name in ("checkpoints", "shelf", "store", "sweep"))):
        with open(path, "rb") as file:
            sources.update(file.read())
    return sources.hexdigest()


def _load(directory: str, path: str) -> _Base | None:
    """The last checkpoint, if there is one and it is true."""
    if not os.path.exists(path):
        return None
    with suppress(Stale, OSError):
        store = Store(path)
        if store.fingerprint() == fingerprint() and (last := store.last()):
            point, marks = last
            here = compare(directory, marks)
            if here.true:
                return _Base(store, point, marks, here)
        store.close()
    return None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without looking for garbage that goes round in circles: a fold makes much that stays, and no circles."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _lock(folder: str, patience: float = 0.0) -> int:
    """A descriptor that holds the right to save until it is closed; -1 if somebody else has it, or nobody can."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        fd = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return -1
    until = time.monotonic() + patience
    while True:
        try:
            flock(fd, LOCK_EX | LOCK_NB)
        except OSError:
            if time.monotonic() >= until:
                os.close(fd)
                return -1
            time.sleep(0.05)
        else:
            return fd


def _settle(new: str, path: str) -> None:
    """Put a whole new file in its place: after a power loss too, it is there whole or not at all."""
    fd = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
    os.replace(new, path)
