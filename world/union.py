"""Versions of one file of the log put together. Rule: this is pure, and no line that is an event is lost, in whatever
order versions meet.

A file has one author, who only appends. So one version is nearly always the beginning of another; where it is not (a
restored backup, a merge by hand), the union of their lines is in the order of the ids, which is that of the writing.
What a repair has moved away is in the union like any other line, but in no clone's folder (eventlog/moved.py).
"""

from collections.abc import Iterable, Iterator

import msgspec

from ..eventlog.events import LogRepaired
from ..eventlog.ids import too_far
from ..eventlog.lines import BLOCK, decode_block, digest
from ..eventlog.moved import Moved, is_out, learn

Lines = dict[bytes, str]
"""Lines without their newlines -> the ids of their events."""


class Version(msgspec.Struct):
    """What one version holds: `events`; those whose ids are too `far` ahead; and lines that are no events, with the id
    of the event before them, and `why` the first of these is none.
    """

    events: Lines = {}
    far: Lines = {}
    bad: Lines = {}
    why: str = ""

    @property
    def all(self) -> Lines:
        """Every event."""
        return self.events | self.far


def read(data: bytes, now: float) -> Version:
    """Look at every line; `now` is Unix time. An unfinished last line counts as one."""
    found, last = Version(), ""
    for block in _blocks(data.replace(b"\r\n", b"\n")):  # a person's git may write its files so
        events, bad = decode_block(block)
        broken, good = {each.offset: each.reason for each in bad}, iter(events)
        for offset, line in _lines(block):
            if offset in broken:
                found.bad[line] = last
                found.why = found.why or broken[offset]
            else:
                last = next(good).id
                (found.far if too_far(last, now) else found.events)[line] = last
    return found


def heard(data: bytes, now: float, moved: Moved) -> None:
    """Add to `moved` what the repairs in these lines have moved."""
    if LogRepaired.type.encode() in data:  # hardly ever
        for event in decode_block(data, (LogRepaired.type,))[0]:
            if isinstance(event.data, LogRepaired) and not too_far(event.id, now):
                learn(moved, event.data)


def out(events: Lines, moved: Moved) -> Lines:
    """Those of a file's events that were moved away for good."""
    marks = {line: mark for line in events if (mark := digest(line)) in moved} if moved else {}
    named: set[str] = set()
    if not all(moved[mark] for mark in marks.values()):
        for block in _blocks(b"\n".join(events) + b"\n"):
            named.update(event.prev for event in decode_block(block)[0])
    return {line: events[line] for line, mark in marks.items() if is_out(mark, moved, named)}


def joined(events: Iterable[Lines], bad: Lines) -> bytes:
    """All these lines as a file, each once; what is no event stays behind the event that it stood behind."""
    placed = {(id_, 0, line) for lines in events for line, id_ in lines.items()}
    placed |= {(id_, 1, line) for line, id_ in bad.items()}
    return b"".join([line + b"\n" for _, _, line in sorted(placed)])


def _blocks(data: bytes) -> Iterator[bytes]:
    """Whole lines, about 64 KiB at a time: so they are decoded fastest."""
    start = 0
    while start < len(data):
        end = data.find(b"\n", start + BLOCK) + 1 or len(data)
        yield data[start:end]
        start = end


def _lines(block: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, line) of the lines that are not empty."""
    offset = 0
    for line in block.split(b"\n"):
        if line:
            yield offset, line
        offset += len(line) + 1
