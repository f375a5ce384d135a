"""Appending and reading events, as rates beside a plain `os.write` and a plain `json.loads` of the same bytes.

Rule: each pair is measured in turns within one run, so that the ratio holds on a busy machine where the rates do not.
"""

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import Tail

ROUNDS = 15
EVENTS = 2000
LETTER = Draft(
    MailSent(to=["coordinator"], body="The tests pass; over to you."), source="agent/kim", subject="sw-7f3a91c2"
)


def measure() -> list[dict[str, Any]]:
    """Rows for the table: medians of rates."""
    with tempfile.TemporaryDirectory() as folder:
        log = Log(folder, "n1", time.time, lambda: int.from_bytes(os.urandom(8), "big"))
        log.append([LETTER])
        log.append([LETTER])  # a line as most are: with `prev`
        fd = os.open(os.path.join(folder, "raw"), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with open(log.path, "rb") as file:
                line = file.readlines()[-1]
            alone = _compare(partial(_repeat, log.append, [LETTER], 1), partial(_repeat_write, fd, line, 1))
            batch = _compare(
                partial(_repeat, log.append, [LETTER] * 100, 100), partial(_repeat_write, fd, line * 100, 100)
            )
            events = len(Tail(folder).read())
            read = _compare(lambda: Tail(folder).read(), partial(_loads, log.path), events)
        finally:
            os.close(fd)
            log.close()
    return [
        _row("append one event of 250 B in process", "os.write of the same bytes", *alone, goal=0.08),
        _row("append 100 events at once", "os.write of the same bytes", *batch),
        _row("read and decode", "json.loads of each line", *read),
    ]


def _row(what: str, baseline: str, ours: float, theirs: float, goal: float | None = None) -> dict[str, Any]:
    return {
        "what": what,
        "baseline": baseline,
        "measured": f"{ours:,.0f}/s",
        "base": f"{theirs:,.0f}/s",
        "ratio": ours / theirs,
        "goal": goal,
        "more_is_better": True,
    }


def _compare(ours: Callable[[], object], theirs: Callable[[], object], events: int = EVENTS) -> tuple[float, float]:
    rates: tuple[list[float], list[float]] = ([], [])
    for turn in range(ROUNDS):
        for which in (0, 1) if turn % 2 else (1, 0):
            started = time.perf_counter()
            (ours, theirs)[which]()
            rates[which].append(events / (time.perf_counter() - started))
    return statistics.median(rates[0]), statistics.median(rates[1])


def _repeat(append: Callable[[list[Draft]], object], drafts: list[Draft], size: int) -> None:
    for _ in range(EVENTS // size):
        append(drafts)


def _repeat_write(fd: int, block: bytes, size: int) -> None:
    for _ in range(EVENTS // size):
        os.write(fd, block)


def _loads(path: str) -> list[object]:
    with open(path, "rb") as file:
        return [json.loads(line) for line in file]


if __name__ == "__main__":
    for row in measure():
        print(row)
