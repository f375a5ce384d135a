"""How a log grows: events and bytes by type, author, day and issue. Rule: the heads of the lines are enough.

A line that begins as a writer of ours begins it is not decoded; any other is, and is `bad` if it is no event. What
stands in the log twice is counted twice: these are the figures of the files, not of what happened.
"""

import re
from collections.abc import Iterable

import msgspec

from .chains import each_block, each_file
from .disk import REAL, Disk
from .events import IssueOpened, MailAcked, MailDeadLettered, MailDelivered, MailSent
from .ids import rfc3339
from .lines import decode_block
from .segments import is_sealed

SESSIONS = "session"
"""All sessions are one author: each is one for a few lines only."""

_head = re.compile(
    rb'\{"type":"([a-z._]+)","id":"([0-9a-f]{8}-[0-9a-f]{4})-7[0-9a-f-]{21}","time":"[^"\\]*",'
    rb'"source":"(session(?=/)|[^"\\]*)[^"\\]*"(?:,"subject":"([^"\\]*)"|(?!,"subject"))'
).match
_DAY = 86_400_000
_WINDOW = 1 << 16
_LETTERS = [kind.type for kind in (MailSent, MailDelivered, MailAcked, MailDeadLettered)]
_ABOUT_LETTERS = {kind.encode() for kind in _LETTERS[1:]}
_OPENED = IssueOpened.type.encode()
_LARGEST = 10

Head = tuple[bytes, bytes, bytes, bytes]
"""type, the first twelve digits of the id, author, subject."""


class Size(msgspec.Struct):
    """So many events, and the bytes of their lines."""

    events: int = 0
    bytes: int = 0

    def add(self, events: int, size: int) -> None:
        """That many more."""
        self.events += events
        self.bytes += size


class Growth(msgspec.Struct):
    """What one issue adds to the log: the middle one of all issues, the one that a tenth exceeds, the largest ones."""

    issues: int = 0
    median: Size = msgspec.field(default_factory=Size)
    p90: Size = msgspec.field(default_factory=Size)
    largest: dict[str, Size] = {}


class Stats(msgspec.Struct):
    """The figures; of several, the largest first, but days in order (UTC, by the ids). `bytes` are those of the files.
    `letters`: type of event -> how many.
    """

    events: int = 0
    bytes: int = 0
    files: int = 0
    sealed: int = 0
    bad: int = 0
    by_type: dict[str, Size] = {}
    by_author: dict[str, Size] = {}
    by_day: dict[str, Size] = {}
    letters: dict[str, int] = {}
    per_issue: Growth = msgspec.field(default_factory=Growth)


def stats(directory: str, disk: Disk = REAL) -> Stats:
    """Count every line of every file. Raises LogError if one cannot be read."""
    count, found = _Count(), Stats()
    for name, fd, size in each_file(directory, disk):
        found.files += 1
        found.sealed += is_sealed(name)
        found.bytes += size
        for _, block, _ in each_block(name, fd, size, disk):
            count.take(block.split(b"\n"))
    found.bad = count.bad
    for (kind, author, day), (events, bytes_) in count.sizes.items():
        found.events += events
        for table, key in ((found.by_type, kind), (found.by_author, author), (found.by_day, _date(day))):
            table.setdefault(key.decode(errors="replace") if isinstance(key, bytes) else key, Size()).add(
                events, bytes_
            )
    found.by_type, found.by_author = _sorted(found.by_type), _sorted(found.by_author)
    found.by_day = dict(sorted(found.by_day.items()))
    found.letters = {kind: found.by_type.get(kind, Size()).events for kind in _LETTERS}
    found.per_issue = _growth({subject: count.subjects[subject] for subject in count.issues})
    return found


class _Count:
    """Events and bytes by (type, author, day since 1970) and by subject."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[bytes, bytes, int], list[int]] = {}
        self.subjects: dict[bytes, list[int]] = {}
        self.issues: set[bytes] = set()
        self.bad = 0
        self._days: dict[bytes, int] = {}

    def take(self, lines: Iterable[bytes]) -> None:
        """Some lines more; empty ones are nothing."""
        days = self._days
        for line in lines:
            if match := _head(line):
                kind, id_, author, subject = match.groups()
            elif line and (head := self._decoded(line)):
                kind, id_, author, subject = head
            else:
                continue
            day = days.get(id_[:8])
            if day is None:
                day = self._day(id_)
            size = len(line) + 1
            entry = self.sizes.get(key := (kind, author, day))
            if entry is None:
                entry = self.sizes[key] = [0, 0]
            entry[0] += 1
            entry[1] += size
            if subject and kind not in _ABOUT_LETTERS:
                entry = self.subjects.get(subject)
                if entry is None:
                    entry = self.subjects[subject] = [0, 0]
                entry[0] += 1
                entry[1] += size
                if kind == _OPENED:
                    self.issues.add(subject)

    def _decoded(self, line: bytes) -> Head | None:
        events, bad = decode_block(line)
        self.bad += len(bad)
        if not events:
            return None
        event = events[0]
        author = SESSIONS if event.source.startswith(f"{SESSIONS}/") else event.source
        return event.type.encode(), event.id[:13].encode(), author.encode(), event.subject.encode()

    def _day(self, id_: bytes) -> int:
        """The first eight digits of an id stand for a minute or so; where that lies in one day, it is kept."""
        first = int(id_[:8], 16) * _WINDOW
        if first // _DAY == (first + _WINDOW - 1) // _DAY:
            self._days[id_[:8]] = first // _DAY
        return int(id_[:8] + id_[9:], 16) // _DAY


def _date(day: int) -> str:
    milliseconds = day * _DAY
    return rfc3339(f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}")[:10]


def _sorted(table: dict[str, Size]) -> dict[str, Size]:
    return dict(sorted(table.items(), key=lambda entry: (-entry[1].bytes, entry[0])))


def _growth(sizes: dict[bytes, list[int]]) -> Growth:
    if not sizes:
        return Growth()
    events, bytes_ = (sorted(size[which] for size in sizes.values()) for which in (0, 1))
    middle, most = (len(sizes) - 1) // 2, -(-len(sizes) * 9 // 10) - 1
    named = {issue.decode(errors="replace"): Size(*size) for issue, size in sizes.items()}
    return Growth(
        len(sizes),
        Size(events[middle], bytes_[middle]),
        Size(events[most], bytes_[most]),
        dict(list(_sorted(named).items())[:_LARGEST]),
    )
