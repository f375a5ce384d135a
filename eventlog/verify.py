"""Is the log what its writers wrote? Rule: an error is damage; a note is what may be (a fork, a newer version's types).

Each line names the one that its writer saw before it (`prev`). Where the named line is another line of the same file, the
file is two histories that a union merge put together: divergence, no damage. Where no line is the named one, a line was
changed or taken out.
"""

import os
from collections import Counter
from typing import Any

import msgspec

from .fact import Event, Unknown
from .lines import Bad, decode_block, digest
from .tail import blocks, node_files


class Report(msgspec.Struct):
    """What was found; `errors` empty: the log is whole. One sentence each, with file and offset in bytes."""

    errors: list[str] = []
    notes: list[str] = []
    events: int = 0
    files: int = 0


def verify(directory: str) -> Report:
    """Look at every byte of every node file. Raises LogError if the folder cannot be read."""
    report = Report()
    known = _Known(report)
    for name in node_files(directory):
        report.files += 1
        _verify_file(os.path.join(directory, name), name, known, report)
    known.conclude()
    return report


class _Known:
    """What is looked at across the files: ids, and what refers to them."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._digests: dict[str, str] = {}
        self._causes: dict[str, str] = {}
        self._unknown: Counter[str] = Counter()

    def add(self, event: Event[Any], line_digest: str, where: str) -> None:
        """Take one event in."""
        held = self._digests.setdefault(event.id, line_digest)
        if held != line_digest:
            self._report.errors.append(f"{where}: a second, different event has the id {event.id}")
        elif self._digests_seen(event.id):
            self._report.notes.append(f"{where}: the event {event.id} is here once more, the same")
        if event.causationid:
            self._causes.setdefault(event.causationid, where)
        if isinstance(event.data, Unknown):
            self._unknown[event.type] += 1
