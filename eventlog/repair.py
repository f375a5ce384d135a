"""Moving out of the log what is bad. Rule: nothing is deleted: what is moved lies, byte for byte, in a quarantine file
that is safe from a loss of power before any file of the log is without it.

Bad is a line that is no event; the torn end of the growing file; of two events with one id the one that no later line
names; and an event that no line vouches for, because the line after it was written after another one that is nowhere:
it was changed (or that other one was taken out: which of the two, nobody can tell); an event whose id and time belie
each other; and one that was moved before and came back. What an event says by which it is known to be bad, its copies
say too: they go with it, and no clone keeps it (moved.py).

An id that is too far ahead is not moved for that: by a clock that was set back years the whole log would be bad. Set
the clock, or wait until its time has come.

The order of doing, all under the log's lock: the quarantine, then the fact that says so, then the files, each by
rename. Wherever that is cut off, it can be done again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from zlib import crc32

import msgspec

from .chains import Line, Spot, each_file, each_line, where
from .disk import REAL, Disk
from .errors import LogError
from .events import LogRepaired
from .files import Draft, Log
from .segments import node_of_file, sealed_name
from .text import printable
from .verify import Look

UNFINISHED = "a line that is not finished"
UNVOUCHED = "the next line was not written after it: it was changed, or one between them was taken out"
DOUBLE = "another event has the same id, and that one stays"
RETURNED = "a repair has moved it away before"

_BLOCK = 1 << 20
_GAPS = 1000
"""How many of them one event names: a line has its bounds."""


class Plan(msgspec.Struct):
    """What is to be done, or was. `moves`: what is moved -> why; `marks`: those of them that are events -> their
    hashes. `gaps`: file -> hashes that its lines name and that no line will have. `names`: file -> the name that it
    should have.
    """

    moves: dict[Spot, str] = {}
    marks: dict[Spot, str] = {}
    gaps: dict[str, list[str]] = {}
    names: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self.moves or self.gaps or self.names)

    def moved(self) -> dict[str, list[Spot]]:
        """File -> what is moved of it, in order."""
        found: dict[str, list[Spot]] = {}
        for spot in sorted(self.moves):
            found.setdefault(spot.file, []).append(spot)
        return found


# --- looking --------------------------------------------------------------------------------------


def plan(directory: str, own: str, disk: Disk = REAL) -> Plan:
    """What there is to repair; `own` is the file that grows here. Raises LogError if a file cannot be read."""
    look, found = Look(directory, disk), Plan()
    for fault in look.chains.bad:
        found.moves[fault.spot] = fault.words
    end, size = look.files.get(own, (0, 0))
    if end < size:
        found.moves[Spot(own, end, size - end)] = UNFINISHED
    bad = _plan_gaps(found, look) | dict.fromkeys(look.returned(), RETURNED)
    if look.chains.doubles or look.chains.disorder or look.chains.belied:
        bad |= _plan_suspects(found, look, directory, disk)
    for mark, spots in where(directory, set(bad), disk)[0].items() if bad else ():
        found.moves |= dict.fromkeys(spots, bad[mark])
        found.marks |= dict.fromkeys(spots, mark)
    damaged = {*found.moved(), *found.gaps, *look.claims.repaired}
    for fault in look.chains.named:
        name = sealed_name(node_of_file(fault.spot.file), fault.id)
        if fault.spot.file not in damaged and name not in look.files:
            found.names[fault.spot.file] = name
    return found


def _plan_gaps(found: Plan, look: Look) -> dict[str, str]:
    """The line before a gap is moved unless another line names it. Where it is the end of another file, what is missing
    is rather what came after it. The hashes of what is to be moved -> why.
    """
    bad = dict[str, str]()
    named = {each.prev for each in look.chains.breaks}
    for gap, excuse in look.gaps():
        if excuse:
            continue
        found.gaps.setdefault(gap.spot.file, []).append(gap.prev)
        before = gap.before
        if before and before.file == gap.spot.file and not gap.garbled and gap.digest not in named:
            bad[gap.digest] = UNVOUCHED
    return bad


class _Suspect(msgspec.Struct):
    """A line. `vouched`: another was written after exactly this one."""

    spot: Spot
    digest: str
    vouched: bool


def _plan_suspects(found: Plan, look: Look, directory: str, disk: Disk) -> dict[str, str]:
    """Events that share an id, those whose ids do not grow, and those that belie themselves: who vouches for them takes
    one more look. The same.
    """
    bad = dict[str, str]()
    disorder = {fault.spot: fault for fault in look.chains.disorder}
    belied = {fault.spot: fault for fault in look.chains.belied}
    ids = {*look.chains.doubles, *(fault.id for fault in [*disorder.values(), *belied.values()])}
    for id_, suspects in _suspects(ids, {each.prev for each in look.chains.breaks}, directory, disk).items():
        true = [each for each in suspects if each.spot not in belied]
        stays = next((each for each in true if each.vouched), true[0] if true else None)
        for each in suspects:
            if each.spot in belied:
                bad[each.digest] = belied[each.spot].words
            elif stays and each.digest != stays.digest and id_ in look.chains.doubles:
                bad[each.digest] = DOUBLE
            elif each.spot in disorder and not each.vouched:
                bad[each.digest] = disorder[each.spot].words
            if each.digest in bad:  # the next event may name it, if only the one that tells of this
                found.gaps.setdefault(each.spot.file, []).append(each.digest)
    return bad


def _suspects(ids: set[str], named: set[str], directory: str, disk: Disk) -> dict[str, list[_Suspect]]:
    found: dict[str, list[_Suspect]] = {}
    before: _Suspect | None = None
    last: Line | None = None
    for name, fd, size in each_file(directory, disk):
        for line in each_line(name, fd, size, disk):
            if line.event is None:
                continue
            if before is not None and line.follows(last, before.digest):
                before.vouched = True
            before, last = None, line
            if line.event.id in ids:
                mark = line.digest
                before = _Suspect(Spot(name, line.offset, line.length), mark, mark in named)
                found.setdefault(line.event.id, []).append(before)
    return found


# --- doing ----------------------------------------------------------------------------------------


def repair(log: Log, quarantine: str, stamp: str, source: str, disk: Disk = REAL) -> Plan:
    """Do all that there is to do. What is moved of a file goes to `<file>.<stamp>` in the folder `quarantine`, which is
    there; `source` is who wants it. Returns what was done. Raises LogError; doing it again does the rest.
    """
    directory, own = os.path.split(log.path)
    work = _Work(directory, quarantine, stamp, disk)

    def ask() -> list[Draft]:
        work.plan = plan(directory, own, disk)
        work.quarantine()
        return [Draft(fact, source) for fact in work.facts()]

    def then() -> None:
        log.sync()
        work.rewrite()

    log.append_if(ask, then)
    return work.plan


class _Work:
    """A plan, and the hands that do it."""

    def __init__(self, directory: str, quarantine: str, stamp: str, disk: Disk) -> None:
        self.plan = Plan()
        self._directory, self._folder, self._stamp, self._disk = directory, quarantine, stamp, disk
        self._kept: dict[Spot, int] = {}

    def facts(self) -> Iterator[LogRepaired]:
        """What is to be said of it."""
        moved = self.plan.moved()
        for file in sorted({*moved, *self.plan.gaps}):
            kept = f"{os.path.basename(self._folder)}/{file}.{self._stamp}" if file in moved else ""
            lines, gaps = len(moved.get(file, ())), dict.fromkeys(self.plan.gaps.get(file, ()))
            marks = {self.plan.marks[spot]: None for spot in moved.get(file, ()) if spot in self.plan.marks}
            both = [mark for mark in marks if mark in gaps]  # first, so that one event says both of them
            named, gone = [*dict.fromkeys([*both, *gaps])], [*dict.fromkeys([*both, *marks])]
            for start in range(0, max(len(named), len(gone), 1), _GAPS):
                some = slice(start, start + _GAPS)
                yield LogRepaired(printable(file), printable(kept), lines, named[some], gone[some])
                lines = 0

    def quarantine(self) -> None:
        """Copy what will be moved, and sync the copies."""
        moved = self.plan.moved()
        for file, spots in moved.items():
            with self._opened(self._path(file), os.O_RDONLY) as source:
                path = os.path.join(self._folder, f"{file}.{self._stamp}")
                with self._opened(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND) as target:
                    for spot in spots:
                        self._kept[spot] = self._copy(source, spot.offset, spot.offset + spot.length, target)
                    self._disk.fsync(target)
        if moved:
            self._sync_names(self._folder)

    def rewrite(self) -> None:
        """Have the files without what was moved, and under their right names."""
        try:
            for file, spots in self.plan.moved().items():
                self._rewrite(file, spots)
            for file, name in self.plan.names.items():
                self._disk.rename(self._path(file), self._path(name))
            self._sync_names(self._directory)
        except OSError as error:
            what = error.strerror or str(error)
            raise LogError(f"{what}: not all of the log could be repaired", "mend that and run it again") from error

    def _rewrite(self, file: str, spots: list[Spot]) -> None:
        path, draft = self._path(file), self._path(f".{file}.repair")
        try:
            with (
                self._opened(path, os.O_RDONLY) as source,
                self._opened(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as target,
            ):
                at = 0
                for spot in spots:
                    end = spot.offset + spot.length
                    self._copy(source, at, spot.offset, target)
                    if self._copy(source, spot.offset, end) != self._kept[spot]:
                        raise LogError(f"{path} was changed meanwhile", "run it again")
                    at = end + (self.plan.moves[spot] == UNFINISHED)  # it was ended before the fact was appended
                self._copy(source, at, self._disk.fstat(source).st_size, target)
                self._disk.fsync(target)
            self._disk.rename(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise

    def _copy(self, source: int, start: int, end: int, target: int = -1) -> int:
        """Read these bytes, write them if there is somewhere to; returns their checksum."""
        mark = 0
        while start < end and (piece := self._disk.pread(source, min(_BLOCK, end - start), start)):
            start += len(piece)
            mark = crc32(piece, mark)
            while target >= 0 and piece:
                piece = piece[self._disk.write(target, piece) :]
        return mark

    def _path(self, file: str) -> str:
        return os.path.join(self._directory, file)

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        fd = self._disk.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            yield fd
        finally:
            self._disk.close(fd)

    def _sync_names(self, folder: str) -> None:
        with self._opened(folder, os.O_RDONLY | os.O_DIRECTORY) as fd:
            self._disk.fsync(fd)
