"""Is the log what its writers wrote, and can it have happened? Rule: an error is damage, or what cannot be; a note is
what may be (a fork, an event of another node that has not arrived, a newer version's types).

With the chain every line that was changed or taken out is found, but the last one of a node, which nothing names yet.
Letters are accounted for: each is in exactly one of `LETTERS`, and what is said of a letter is said of one in the log.
"""

import msgspec

from .chains import Break, Chains, Spot, each_file, each_line, where
from .claims import LETTERS, Claims
from .disk import REAL, Disk
from .ids import END
from .moved import is_out
from .segments import is_sealed, node_of_file
from .text import printable


class Report(msgspec.Struct):
    """What was found; with no `errors` the log is whole. One sentence each, with the file and the offset in bytes.

    `letters`: what became of them -> how many; each is counted once, as the furthest that it got with any reader.
    """

    errors: list[str] = []
    notes: list[str] = []
    events: int = 0
    files: int = 0
    letters: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(LETTERS, 0))


class Look:
    """One look at every byte of every file, at `now` (Unix time). `files`: name -> (the end of its last finished line,
    its size). Raises LogError if a file cannot be read.
    """

    def __init__(self, directory: str, disk: Disk = REAL, now: float = END) -> None:
        self._directory, self._disk = directory, disk
        self.files: dict[str, tuple[int, int]] = {}
        self.chains = chains = Chains(now)
        self.claims = claims = Claims(chains.ids)
        for name, fd, size in each_file(directory, disk):
            chains.begin(name)
            claims.nodes.add(node_of_file(name))
            for line in each_line(name, fd, size, disk):
                if chains.take(line) and line.event is not None:
                    claims.take(line.event, name, line)
            self.files[name] = chains.end, size

    def gaps(self) -> list[tuple[Break, str]]:
        """Where the line that was written before is nowhere, and why that is no damage; empty if it is."""
        return [(each, self._excuse(each)) for each in self.chains.gaps()]

    def returned(self) -> dict[str, list[Spot]]:
        """Digest -> where it stands: the lines that a repair has moved away and that are there all the same."""
        moved = self.claims.moved
        here = self.chains.ids.named(set(moved))
        if not here:  # as nearly always: one look is enough
            return {}
        spots, named = where(self._directory, here, self._disk)
        return {mark: found for mark, found in spots.items() if is_out(mark, moved, named)}

    def _excuse(self, gap: Break) -> str:
        if gap.prev in self.claims.moved:
            return "was moved away by a repair"
        if gap.prev in self.claims.gaps:
            return "is missing; a repair noted it"
        files = {gap.spot.file, gap.before.file if gap.before else ""}
        return "was refused when it came" if files & self.claims.refused else ""


def verify(directory: str, disk: Disk = REAL, now: float = END) -> Report:
    """Look at every byte of every node file. An id over a day after `now` (Unix time) is an error. Raises LogError if a
    file cannot be read.
    """
    look = Look(directory, disk, now)
    chains, claims = look.chains, look.claims
    report = Report(events=len(chains.ids), files=len(look.files), letters=claims.letters())
    report.errors += map(str, chains.bad)
    report.errors += [str(each) for each in chains.named if each.spot.file not in claims.repaired]
    _tell_breaks(look, report)
    report.errors += [
        f"{spot}: a repair has moved this line away, and it is there again"
        for spots in look.returned().values()
        for spot in spots
    ]
    report.errors += [*map(str, chains.belied), *map(str, chains.far), *map(str, chains.disorder)]
    report.errors += [
        f"{spot}: another event has the same id {id_}" for id_, spots in chains.doubles.items() for spot in spots
    ]
    report.errors += map(str, claims.faults)
    for fault, is_error in claims.unmet():
        (report.errors if is_error else report.notes).append(str(fault))
    report.notes += [f"{name}: {n} of its events are elsewhere too" for name, n in sorted(chains.copies.items())]
    report.notes += [f"{name}: {n} of its lines end with CR LF" for name, n in sorted(chains.returns.items())]
    report.notes += [
        f"{n} of {name}: a type, or data, that this version does not know" for name, n in sorted(claims.unknown.items())
    ]
    report.notes += [_unfinished(name, end, size) for name, (end, size) in look.files.items() if end < size]
    report.errors, report.notes = [*map(printable, report.errors)], [*map(printable, report.notes)]
    return report


def _tell_breaks(look: Look, report: Report) -> None:
    gaps = {each.spot: excuse for each, excuse in look.gaps()}
    forks: dict[str, list[Break]] = {}
    for each in look.chains.breaks:
        if each.spot not in gaps:
            forks.setdefault(each.spot.file, []).append(each)
        elif excuse := gaps[each.spot]:
            report.notes.append(f"{each.spot}: the line that {each.id} was written after {excuse}")
        elif not each.garbled:  # else the garbled line has been told
            report.errors.append(f"{each.spot}: the line that {each.id} was written after was changed or taken out")
    for name, here in forks.items():
        more = f" (and {len(here) - 1} more in {name})" if here[1:] else ""
        words = f"a fork: {here[0].id} was written after another line than the one before it"
        report.notes.append(f"{here[0].spot}: {words}{more}")


def _unfinished(name: str, end: int, size: int) -> str:
    then = "the rest of it has not arrived" if is_sealed(name) else "the next append ends it"
    return f"{name}:{end}: {size - end} bytes of a line that is not finished; {then}"
