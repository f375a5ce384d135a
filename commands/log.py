"""The log itself, one event per line: filter it, follow it, verify it, repair it, see how it grows."""

import os
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..eventlog.chains import each_file
from ..eventlog.disk import REAL, Disk
from ..eventlog.errors import LogError, UsageError
from ..eventlog.events import IssueAssigned
from ..eventlog.fact import Event, vocabulary
from ..eventlog.files import Log
from ..eventlog.ids import time_of
from ..eventlog.lines import decode_block
from ..eventlog.place import known_node, node_of
from ..eventlog.segments import SUFFIX
from ..eventlog.tail import blocks
from ..eventlog.telling import named, short, tell
from ..eventlog.text import many, printable
from ..mailbox.addresses import source_of
from ..world import running
from ..world.clock import entropy, now
from . import Home, as_json, emit, put, say, whoami

if TYPE_CHECKING:
    from ..eventlog.repair import Plan
    from ..eventlog.stats import Size

GROUP = "Log"
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FATES = {"dead": "dead-lettered"}

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

    And can it have happened? Exit code 1 if a line was changed, taken out or cannot be read, if its id cannot be
    believed, if an event rests on one that is not there, or if what became of a letter does not add up. A fork of
    histories, an unfinished line, or what has not arrived yet from another clone is noted, and is no damage.
    """
    from ..eventlog.verify import verify as look

    report = look(Home().place.log, now=now())
    if json_:
        emit(report)
    else:
        for note in report.notes:
            say(f"note   {note}")
        for error in report.errors:
            say(f"wrong  {error}")
        counts = ", ".join(f"{number} {_FATES.get(became, became)}" for became, number in report.letters.items())
        say(f"note   {many(sum(report.letters.values()), 'letter')}: {counts}")
        verdict = many(len(report.errors), "error") if report.errors else "the log is whole"
        say(f"{verdict}: {many(report.events, 'event')} in {many(report.files, 'file')}")
    return 1 if report.errors else 0


@command.command()
@click.option("--dry-run", is_flag=True, help="Only say what would be moved.")
@as_json
def repair(dry_run: bool, json_: bool) -> None:
    """Move what is bad out of the log, into a quarantine file; nothing is deleted.

    Bad is a line that is no event, one that was changed, and the torn end of the file that grows. That it was moved is
    said in the log, so that `swarm log verify` knows of the gap, and that the next `swarm sync` of each other clone
    moves it there too.
    """
    from ..eventlog.repair import plan
    from ..eventlog.repair import repair as mend

    home = Home()
    folder = home.place.quarantine
    stamp = "" if dry_run else str(int(now() * 1000))
    found = plan(home.place.log, known_node(home.place) + SUFFIX)
    if found and not dry_run:
        log = Log(home.place.log, node_of(home.place, entropy), now, entropy)
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            found = mend(log, folder, stamp, whoami(home.place))
        except OSError as error:
            raise LogError(f"cannot make {folder}: {error.strerror}", "mend that and run it again") from error
        finally:
            log.close()
    if json_:
        emit(_told(found, stamp))
    else:
        _tell(found, stamp)
    if found and not dry_run and running.holder(os.path.join(home.place.home, "run.lock")):
        click.echo("the running swarm still knows what was moved: swarm stop, then swarm start", err=True)


def _told(found: "Plan", stamp: str) -> dict[str, Any]:
    return {
        "moved": [
            {
                "file": printable(spot.file),
                "offset": spot.offset,
                "bytes": spot.length,
                "why": why,
                "to": printable(f"quarantine/{spot.file}.{stamp}") if stamp else "",
            }
            for spot, why in sorted(found.moves.items())
        ],
        "gaps": {printable(file): gaps for file, gaps in found.gaps.items()},
        "renamed": {printable(file): name for file, name in found.names.items()},
    }


def _tell(found: "Plan", stamp: str) -> None:
    would = "" if stamp else "would be "
    for spot, why in sorted(found.moves.items()):
        say(f"{would}moved  {spot}, {spot.length} bytes: {why}")
    for file, spots in found.moved().items():
        to = f"/{file}.{stamp}, beside the log's folder" if stamp else ""
        say(f"{len(spots)} of {file} {would}moved to quarantine{to}")
    for file, gaps in found.gaps.items():
        say(f"{many(len(gaps), 'gap')} in {file} {would}noted")
    for file, name in found.names.items():
        say(f"{file} {would}renamed to {name}")
    if not found:
        say("nothing to repair")
    elif stamp:
        say("see what is left with: swarm log verify")


@command.command()
@as_json
def stats(json_: bool) -> None:
    """How the log grows: events and bytes by type, author and day, and of an issue."""
    from ..eventlog.stats import stats as count

    found = count(Home().place.log)
    if json_:
        emit(found)
        return
    say(
        f"{many(found.events, 'event')}, {many(found.bytes, 'byte')},"
        f" {many(found.files, 'file')} ({found.sealed:,} sealed)"
    )
    if found.bad:
        say(f"{found.bad:,} lines are no events; see: swarm log verify")
    for head, sizes in (("type", found.by_type), ("author", found.by_author), ("day", found.by_day)):
        _show_sizes(head, sizes)
    say("\n" + ", ".join(f"{number:,} {kind}" for kind, number in found.letters.items()))
    growth = found.per_issue
    say(f"\nof {growth.issues:,} issues, one adds")
    _show_sizes("", {"median": growth.median, "9 of 10 at most": growth.p90})
    _show_sizes("the largest", growth.largest)


def _show_sizes(head: str, sizes: Mapping[str, "Size"]) -> None:
    say(f"\n{'events':>12}{'bytes':>16}  {head}")
    for name, size in sizes.items():
        say(f"{size.events:>12,}{size.bytes:>16,}  {name}")


class Reader:
    """Reads every line with the event in it, each event once. `bad` counts the lines that are no events."""

    def __init__(self, directory: str, disk: Disk = REAL) -> None:
        self.directory, self._disk = directory, disk
        self._places: dict[str, tuple[int, int]] = {}
        self._known: set[str] = set()
        self.bad = 0

    def read(self) -> list[Line]:
        """What came since the last call, in the order of ids. A file that was replaced is read again."""
        found: dict[str, Line] = {}
        for name, fd, size in each_file(self.directory, self._disk):
            for event, line in self._lines(name, fd, size):
                if event.id not in self._known:
                    found[event.id] = event, line
        self._known |= found.keys()
        return [found[id_] for id_ in sorted(found)]

    def _lines(self, name: str, fd: int, size: int) -> list[Line]:
        here = self._disk.fstat(fd).st_ino
        inode, end = self._places.get(name, (here, 0))
        begin = end if inode == here and end <= size else 0
        found: list[Line] = []
        try:
            for _, block, end in blocks(fd, begin, size, self._disk):
                found += self._decoded(block)
                self._places[name] = here, end
        except OSError as error:
            raise LogError(f"cannot read {name}: {error.strerror}") from error
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
