"""Is the log what its writers wrote, and can it have happened? Rule: an error is damage, or what cannot be; a note is
what may be (a fork, an event of another node that has not arrived, a newer version's types).

With the chain every line that was changed or taken out is found, but the last one of a node, which nothing names yet.
Letters are accounted for: each is in exactly one of `LETTERS`, and what is said of a letter is said of one in the log.
"""

import msgspec

from .chains import Break, Chains, each_file, each_line
from .claims import LETTERS, Claims
from .disk import REAL, Disk
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
    """One look at every byte of every file. `files`: name -> (the end of its last finished line, its size). Raises
    LogError if a file cannot be read.
    """

    def __init__(self, directory: str, disk: Disk = REAL) -> None:
        self.files: dict[str, tuple[int, int]] = {}
        self.chains = chains = Chains()
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

    def _excuse(self, gap: Break) -> str:
        if gap.prev in self.claims.gaps:
            return "was moved away by a repair"
        files = {gap.spot.file, gap.before.file if gap.before else ""}
        return "was refused when it came" if files & self.claims.refused else ""


def verify(directory: str, disk: Disk = REAL) -> Report:
    """Look at every byte of every node file. Raises LogError if one cannot be read."""
    look = Look(directory, disk)
    chains, claims = look.chains, look.claims
    report = Report(events=len(chains.ids), files=len(look.files), letters=claims.letters())
    report.errors += map(str, chains.bad)
    report.errors += [str(each) for each in chains.named if each.spot.file not in claims.repaired]
    _tell_breaks(look, report)
    report.errors += map(str, chains.disorder)
    report.errors += [
        f"{spot}: another event has the same id {id_}" for id_, spots in chains.doubles.items() for spot in spots
    ]
    report.errors += map(str, claims.faults)
    for fault, is_error in claims.unmet():
        (report.errors if is_error else report.notes).append(str(fault))
    report.notes += [f"{name}: {n} of its events are elsewhere too" for name, n in sorted(chains.copies.items())]
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
