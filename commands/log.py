"""The log itself, one event per line: filter it, follow it, verify it."""

import os
import re
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import IssueAssigned
from ..eventlog.fact import Event, vocabulary
from ..eventlog.ids import time_of
from ..eventlog.lines import decode_block
from ..eventlog.tail import blocks, node_files
from ..eventlog.telling import named, short, tell
from ..mailbox.addresses import source_of
from ..world.clock import now
from . import Home, as_json, emit, put, say

GROUP = "Log"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

Line = tuple[Event[Any], bytes]
"""An event and the very line it was read from."""


@click.group(invoke_without_command=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@click.option("--type", "type_", default="", metavar="T", help="Types that begin so: merge, merge.landed.")
@click.option("--about", default="", metavar="X", help="An issue, a session, an agent, a letter, a run.")
@click.option("--by", default="", metavar="X", help="Authors that begin so: human, coordinator, agent-kim, session/…")
@click.option("--since", default="", metavar="ID|5m", help="After that event, or in the last 30s, 5m, 2h, 1d.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="The newest N of these.")
@click.option("--json", "json_", is_flag=True, help="The lines of the log as they are, one JSON document each.")
@click.pass_context
def command(
    context: click.Context,
    follow: bool,
    type_: str,
    about: str,
    by: str,
    since: str,
    limit: int | None,
    json_: bool,
) -> None:
    """The log, one event per line, in the order of ids.

    A line: the end of the event's id, by which `swarm why` and `--since` know it, its time (UTC), subject, type, words.
    """
    if context.invoked_subcommand:
        return
    reader = Reader(Home().place.log)
    found = reader.read()
    wanted = Wanted([event for event, _ in found], type_, about, by, since)
    shown = [line for line in found if wanted(line[0])]
    _show(shown[-limit:] if limit else shown, json_)
    if reader.bad:
        click.echo(f"swarm: {reader.bad} lines are no events; see: swarm log verify", err=True)
    if follow:
        _follow(reader, wanted, json_)


@command.command()
@as_json
def verify(json_: bool) -> int:
    """Look at every line: is the log what its writers wrote?

    Exit code 1 if a line was changed, taken out or cannot be read, or if what became of a letter does not add up. A
    fork of histories or an unfinished line is noted, and is no damage.
    """
    from ..eventlog.verify import LETTERS
    from ..eventlog.verify import verify as look

    report = look(Home().place.log)
    if json_:
        emit(report)
    else:
        for note in report.notes:
            say(f"note   {note}")
        for error in report.errors:
            say(f"wrong  {error}")
        counts = ", ".join(f"{report.letters[became]} {became}" for became in LETTERS)
        say(f"note   {sum(report.letters.values())} letters: {counts}")
        verdict = f"{len(report.errors)} errors" if report.errors else "the log is whole"
        say(f"{verdict}: {report.events} events in {report.files} files")
    return 1 if report.errors else 0


class Reader:
    """Reads every line with the event in it, each event once. `bad` counts the lines that are no events."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._places: dict[str, tuple[int, int]] = {}
        self._known: set[str] = set()
        self.bad = 0

    def read(self) -> list[Line]:
        """What came since the last call, in the order of ids. A file that was replaced is read again."""
        found: dict[str, Line] = {}
        for name in node_files(self.directory):
            for event, line in self._lines(name):
                if event.id not in self._known:
                    found[event.id] = event, line
        self._known |= found.keys()
        return [found[id_] for id_ in sorted(found)]

    def _lines(self, name: str) -> list[Line]:
        fd = os.open(os.path.join(self.directory, name), os.O_RDONLY | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            inode, end = self._places.get(name, (status.st_ino, 0))
            begin = end if inode == status.st_ino and end <= status.st_size else 0
            found: list[Line] = []
            for _, block, end in blocks(fd, begin, status.st_size):
                found += self._decoded(block)
                self._places[name] = status.st_ino, end
        finally:
            os.close(fd)
        return found

    def _decoded(self, block: bytes) -> list[Line]:
        lines = [line for line in block.split(b"\n") if line]
        events, bad = decode_block(block)
        if not bad:
            return list(zip(events, lines, strict=True))
        self.bad += len(bad)
        return [(event, line) for line in lines for event in decode_block(line)[0]]


class Wanted:
    """Which events were asked for. Raises UsageError for what cannot be meant."""

    def __init__(self, events: Sequence[Event[Any]], type_: str, about: str, by: str, since: str) -> None:
        self._type, self._about, self._by = type_, about, source_of(by)
        name = about.removeprefix("agent-")
        self._names = {about, name, f"agent-{name}"}
        self._after, self._from = "", 0.0
        self._attempts: set[tuple[str, int]] = set()
        if type_ and not any(kind.startswith(type_) for kind in (*vocabulary(), *(event.type for event in events))):
            nouns = sorted({kind.partition(".")[0] for kind in vocabulary()})
            raise UsageError(f"no type of event begins with {type_!r}", f"they begin with: {', '.join(nouns)}")
        if span := re.fullmatch(r"(\d{1,9})([smhd])", since):
            self._from = now() - int(span[1]) * _SECONDS[span[2]]
        elif since:
            self._after = named(events, since).id

    def __call__(self, event: Event[Any]) -> bool:
        """Ask in the order of the log: what an agent does follows from what it was given."""
        return (
            event.type.startswith(self._type)
            and (not self._by or event.source.startswith((self._by, f"agent/{self._by}")))
            and (not self._about or self._is_about(event))
            and event.id > self._after
            and time_of(event.id) >= self._from
        )

    def _is_about(self, event: Event[Any]) -> bool:
        about, data = self._about, event.data
        if isinstance(data, IssueAssigned) and data.agent in self._names:
            self._attempts.add((event.subject, data.attempt))
        named_in = [getattr(data, field, "") for field in ("session", "agent", "letter", "reader", "recipient")]
        attempt = event.subject, getattr(data, "attempt", 0)
        return (
            any(text.startswith((about, f"sw-{about}")) for text in (event.subject, getattr(data, "issue", "")))
            or about in (event.id, event.correlationid)
            or not self._names.isdisjoint((*named_in, *getattr(data, "to", ())))
            or short(event.id) == about
            or attempt in self._attempts
        )


def _show(lines: Sequence[Line], json_: bool) -> None:
    if json_:
        put(b"".join(line + b"\n" for _, line in lines))
    else:
        for event, _ in lines:
            say(f"{short(event.id)}  {tell(event)}")
        sys.stdout.flush()


def _follow(reader: Reader, wanted: Wanted, json_: bool) -> None:
    from ..eventlog.watcher import Watcher

    bell = threading.Event()
    with Watcher(reader.directory, bell.set):
        while True:
            bell.clear()
            _show([line for line in reader.read() if wanted(line[0])], json_)
            bell.wait()
