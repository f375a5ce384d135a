"""What it costs that an event survives a loss of power. Rule: the baseline writes and syncs the same bytes, as many
processes to one file.
"""

import time
from collections.abc import Callable
from functools import partial

from swarm.eventlog.files import FSYNC, GROUP, NONE

import scratch
from append import LETTER, appender, line_in, log_in
from crowd import Did, rate, together
from measuring import Row, Size, Times, compared, in_turns, per_second
from peers import Raw

PROCESSES = (1, 2, 4, 8, 16)
WITHIN = 0.05
"""Seconds within which a running system syncs what anybody appended."""


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    last = 0.1 if size.quick else 0.4
    rounds = size.of(9, 1)
    rows = [_synced(count, in_turns(rounds, _sides(count, last))) for count in PROCESSES]
    found = in_turns(rounds, {how: partial(_rate, how, last) for how in (FSYNC, GROUP, NONE)})
    for how, when in ((GROUP, f"a sync every {1000 * WITHIN:.0f} ms"), (FSYNC, "a sync at each")):
        what = f'append with durability "{how}" ({when})'
        rows.append(compared(what, '"none"', found[how], found[NONE], per_second, None, True))
    return rows


def _synced(count: int, found: Times) -> Row:
    what = f"durable append, {count} process{'es' if count > 1 else ''}"
    return compared(what, "raw write + fdatasync", found["log"], found["raw"], per_second, 0.85, more_is_better=True)


def _sides(count: int, last: float) -> dict[str, Callable[[], float]]:
    return {"log": lambda: rate(_log(count, last)), "raw": lambda: rate(_raw(count, last))}


def _log(count: int, last: float) -> list[Did]:
    with scratch.folder() as folder:
        return together(count, last, partial(appender, folder, FSYNC))


def _raw(count: int, last: float) -> list[Did]:
    with scratch.folder() as folder:
        line = line_in(folder / "line")
        return together(count, last, lambda: Raw(f"{folder}/raw", line).append_durably)


def _rate(how: str, last: float) -> float:
    """One process; with "group", it also does what a running system does for all."""
    with scratch.folder() as folder:
        log, appended = log_in(folder, how), 0
        begun = synced = now = time.perf_counter()
        while now - begun < last:
            log.append([LETTER])
            appended += 1
            now = time.perf_counter()
            if how == GROUP and now - synced >= WITHIN:
                log.sync()
                now = synced = time.perf_counter()
        log.close()
        return appended / (time.perf_counter() - begun)
