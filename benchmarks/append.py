"""Appending one event: as a rate beside `os.write` of the same bytes, and by its median beside two databases.

Rule: ours is the whole way (id, encoding, `prev`, lock, look at the tail, write); the others get the bytes ready made.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from swarm.eventlog.events import MailSent
from swarm.eventlog.files import GROUP, NONE, Draft, Log
from swarm.world import clock

import scratch
from measuring import Row, Size, compared, in_turns, microseconds, p50, per_second
from peers import Raw, Recorder, Sqlite

LETTER = Draft(
    MailSent(to=["coordinator"], body="The tests pass; over to you."), source="agent/kim", subject="sw-7f3a91c2"
)
BATCH = 100
WARM = 2


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    with scratch.folder() as folder:
        return [*rates(folder, size), *medians(folder, size)]


def log_in(folder: Path, durability: str) -> Log:
    """The log in that folder, made if it is missing."""
    folder.mkdir(exist_ok=True)
    return Log(str(folder), "n1", clock.now, clock.entropy, durability)


def appender(folder: Path, durability: str) -> Callable[[], object]:
    """Appends one event. What a process does but once is done: it has looked at the end of the file, as it does after
    every append of another, and has synced the file's name.
    """
    log = log_in(folder, durability)
    for _ in range(WARM):
        log.append([LETTER])
        log.close()
    log.append([LETTER])
    return partial(log.append, [LETTER])


def line_in(folder: Path) -> bytes:
    """A line as most are: with `prev`."""
    log = log_in(folder, NONE)
    log.append([LETTER, LETTER])
    log.close()
    return Path(log.path).read_bytes().splitlines(keepends=True)[1]


def rates(folder: Path, size: Size) -> list[Row]:
    """Neither side syncs."""
    events = size.of(2_000, 200)
    line = line_in(folder / "line")
    log, raw, raws = log_in(folder / "log", NONE), Raw(f"{folder}/raw", line), Raw(f"{folder}/raws", line * BATCH)
    one, many = [LETTER], [LETTER] * BATCH
    found = in_turns(
        size.of(25, 2),
        {
            "log": partial(_rate, partial(log.append, one), events),
            "raw": partial(_rate, raw.append, events),
            "batch": partial(_rate, partial(log.append, many), events // BATCH, BATCH),
            "raws": partial(_rate, raws.append, events // BATCH, BATCH),
        },
    )
    for each in (log, raw, raws):
        each.close()
    what = f"append one event of {len(line)} B in process"
    write = "os.write of the same bytes"
    return [
        compared(what, write, found["log"], found["raw"], per_second, 0.08, more_is_better=True),
        compared(f"append {BATCH} events at once", write, found["batch"], found["raws"], per_second, None, True),
    ]


def _rate(step: Callable[[], object], times: int, each: int = 1) -> float:
    begun = time.perf_counter()
    for _ in range(times):
        step()
    return times * each / (time.perf_counter() - begun)


def medians(folder: Path, size: Size) -> list[Row]:
    """Nobody syncs at every event: `group` here, NORMAL there. The quicker, the greater is the ratio."""
    events = size.of(1_000, 100)
    line = line_in(folder / "line")
    log = log_in(folder / "grouped", GROUP)
    sqlite, recorder = Sqlite(f"{folder}/sqlite.db", data_of(line)), Recorder(f"{folder}/recorder.db", line)
    steps = {"log": partial(log.append, [LETTER]), "sqlite": sqlite.append, "recorder": recorder.append}
    found = in_turns(size.of(15, 2), {name: partial(p50, step, events) for name, step in steps.items()})
    for each in (log, sqlite, recorder):
        each.close()
    return [
        _quicker("SQLite, WAL, synchronous = NORMAL", found["log"], found["sqlite"], 4),
        _quicker("eventsourcing's SQLite recorder", found["log"], found["recorder"], 15),
    ]


def data_of(line: bytes) -> str:
    """The fact in a line, as JSON."""
    return line[line.index(b'"data":') + 7 : -2].decode()


def _quicker(baseline: str, mine: list[float], theirs: list[float], goal: float) -> Row:
    """How many times quicker: the ratio is theirs to ours."""
    row = compared("append one event, p50: times quicker", baseline, theirs, mine, microseconds, goal, True)
    return row | {"measured": row["base"], "base": row["measured"]}
