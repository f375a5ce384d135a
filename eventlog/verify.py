"""Is the log what its writers wrote? Rule: an error is damage; a note is what may be (a fork, a newer version's types).

Each line names the one that its writer saw before it (`prev`). Where the named line stands elsewhere in the same
file, the file is two histories that a union merge put together: divergence, no damage. Where no line is the named
one, a line was changed or taken out.

Letters are accounted for: each is in exactly one of `LETTERS`, and what is said of a letter is said of one in the log.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from .errors import LogError
from .events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from .fact import Event, Unknown
from .lines import decode_block, digest
from .tail import blocks, node_files

UNREAD, DEAD, DELIVERED, ACKED = LETTERS = ("unread", "dead", "delivered", "acked")
"""What may have become of a letter, the furthest last."""


class Report(msgspec.Struct):
    """What was found; with no `errors` the log is whole. One sentence each, with the file and the offset in bytes.

    `letters`: what became of them -> how many; each is counted once, as the furthest that it got with any reader.
    """

    errors: list[str] = []
    notes: list[str] = []
    events: int = 0
    files: int = 0
    letters: dict[str, int] = msgspec.field(default_factory=lambda: dict.fromkeys(LETTERS, 0))


class _Line(msgspec.Struct):
    """One line: a bad one has no id but a reason. `after_bad`: the line before it in the file is a bad one.
    `became`: what it says of `letter` for `reader`, one of `LETTERS`, or empty.
    """

    where: str
    id: str = ""
    digest: str = ""
    prev: str = ""
    cause: str = ""
    unknown: str = ""
    reason: str = ""
    after_bad: bool = False
    became: str = ""
    letter: str = ""
    reader: str = ""


def verify(directory: str) -> Report:
    """Look at every byte of every node file. Raises LogError if one cannot be read."""
    report = Report()
    everything: list[_Line] = []
    for name in node_files(directory):
        report.files += 1
        lines = list(_lines(directory, name, report))
        report.errors += [f"{line.where}: no event, passed over: {line.reason}" for line in lines if line.reason]
        good = [line for line in lines if not line.reason]
        _check_chain(good, report)
        everything += good
    report.events = len({line.id for line in everything})
    _check_ids(everything, report)
    _check_causes(everything, report)
    _check_letters(everything, report)
    unknown = Counter(line.unknown for line in everything if line.unknown)
    report.notes += [
        f"{n} of {name}: a type, or data, that this version does not know" for name, n in sorted(unknown.items())
    ]
    return report


def _check_chain(lines: list[_Line], report: Report) -> None:
    """Within one file: each `prev` is the line before it, and ids grow."""
    digests = {line.digest for line in lines}
    before = _Line("")
    for line in lines:
        if line.prev == before.digest:
            if line.id <= before.id:
                report.errors.append(
                    f"{line.where}: its id {line.id} does not sort after {before.id}, the one before it"
                )
        elif line.prev in digests or not line.prev:
            report.notes.append(
                f"{line.where}: a fork: {line.id} was written after another line than the one before it"
            )
        elif not line.after_bad:
            report.errors.append(f"{line.where}: the line that {line.id} was written after was changed or taken out")
        before = line


def _check_ids(lines: list[_Line], report: Report) -> None:
    """Across the files: an id is one event."""
    first: dict[str, _Line] = {}
    for line in lines:
        held = first.setdefault(line.id, line)
        if held.digest != line.digest:
            report.errors.append(f"{line.where}: another event than at {held.where} has the same id {line.id}")
        elif held is not line:
            report.notes.append(f"{line.where}: the same event as at {held.where}")


def _check_causes(lines: list[_Line], report: Report) -> None:
    """Across the files: what led to an event is in the log."""
    ids = {line.id for line in lines}
    report.errors += [
        f"{line.where}: {line.id} was caused by {line.cause}, which is not in the log"
        for line in lines
        if line.cause and line.cause not in ids
    ]


def _check_letters(lines: list[_Line], report: Report) -> None:
    """Across the files: a letter that was read or called dead was sent, and for no reader it was both."""
    ids = {line.id for line in lines}
    furthest = {line.letter: UNREAD for line in lines if line.became == UNREAD}
    dead = {(line.letter, line.reader) for line in lines if line.became == DEAD}
    for line in lines:
        if not line.became:
            continue
        if line.letter in furthest:
            furthest[line.letter] = max(furthest[line.letter], line.became, key=LETTERS.index)
        elif line.letter in ids or line.cause != line.letter:  # else `_check_causes` has said it
            report.errors.append(f"{line.where}: {line.became} is {line.letter}, and no such letter is in the log")
        if line.became in (DELIVERED, ACKED) and (line.letter, line.reader) in dead:
            report.errors.append(f"{line.where}: {line.letter} was {line.became} and is dead for {line.reader}")
    report.letters.update(Counter(furthest.values()))


def _lines(directory: str, name: str, report: Report) -> Iterator[_Line]:
    path = os.path.join(directory, name)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from error
    try:
        size, read, bad = os.fstat(fd).st_size, 0, False
        for offset, block, end in blocks(fd, 0, size):
            read = end
            for line in block[:-1].split(b"\n"):
                found = _line(line, f"{name}:{offset}")
                offset += len(line) + 1
                if found is not None:
                    found.after_bad, bad = bad, bool(found.reason)
                    yield found
        if read < size:
            report.notes.append(
                f"{name}:{read}: {size - read} bytes of a line that is not finished; the next append ends it"
            )
    finally:
        os.close(fd)


def _line(line: bytes, where: str) -> _Line | None:
    events, bad = decode_block(line)
    if bad:
        return _Line(where, reason=bad[0].reason)
    return _described(events[0], digest(line), where) if events else None


def _described(event: Event[Any], line_digest: str, where: str) -> _Line:
    unknown = event.type if isinstance(event.data, Unknown) else ""
    line = _Line(where, event.id, line_digest, event.prev, event.causationid, unknown)
    match event.data:
        case MailDelivered(letter=letter, reader=reader):
            line.became, line.letter, line.reader = DELIVERED, letter, reader
        case MailAcked(letter=letter, reader=reader):
            line.became, line.letter, line.reader = ACKED, letter, reader
        case MailDeadLettered(letter=letter, recipient=reader):
            line.became, line.letter, line.reader = DEAD, letter, reader
        case _ if event.type == MailSent.type:  # by its name: a newer version's letter is one too
            line.became, line.letter = UNREAD, event.id
    return line
