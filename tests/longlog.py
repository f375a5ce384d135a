"""A long log with its checkpoints, and what can be seen of a board: for the tests of checkpoints.

Rule: it is made once in a run of the tests, by the generator of the benchmarks; a test that changes it has a copy.
"""

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path
from typing import Any

from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import encode, envelope
from swarm.eventlog.segments import is_sealed
from swarm.eventlog.tail import Tail, node_files
from swarm.mailbox import screen, views
from swarm.projections import Board, issues
from swarm.world.checkpoints import FILE, Keeper

EVENTS = 60_000
"""20 MB: a log with a point on the way."""


def write(folder: Path, events: int = EVENTS) -> None:
    """The long log, of two nodes."""
    path = Path(__file__).parents[1] / "benchmarks" / "loggen.py"
    spec = util.spec_from_file_location("loggen", path)
    assert spec
    assert spec.loader
    loggen = util.module_from_spec(spec)
    spec.loader.exec_module(loggen)
    loggen.write(str(folder), events, 2)


def shown(board: Board) -> list[str]:
    """What people see of it, and what is not on the screen."""
    more = [str(views.costs_view(board)), str([issue.id for issue in board[issues.State].ready()]), board.newest]
    return [*screen.screen(board, "head", width=400), *more]


def opened(log: str, cache: str, **options: Any) -> Keeper:
    """A keeper that has read all there is."""
    keeper = Keeper(log, cache, **options)
    keeper.read()
    return keeper


def whole(log: str) -> Board:
    """A fold of everything."""
    return Board().fold(Tail(log).read())


def line(fact: Fact, number: int, subject: str, at: str = "", source: str = "human") -> bytes:
    """An event of its own, at the time of the id `at` or after all others; `id_of` says its id."""
    id_ = id_of(number, at)
    return encode(envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject))


def id_of(number: int, at: str = "") -> str:
    """The id of the line of that number."""
    return f"{at[:13] or '01a00000-0000'}-7fff-8fff-{number:012x}"


def add(log: str, name: str, *lines: bytes) -> None:
    """Append to that file."""
    with open(os.path.join(log, name), "ab") as file:
        file.write(b"".join(lines))


def growing(log: str) -> str:
    """The file of the first node that is not sealed."""
    return next(name for name in node_files(log) if not is_sealed(name))


def some_done(log: str, count: int = 3) -> list[str]:
    """Issues that have been done for long."""
    return [issue.id for issue in whole(log)[issues.State].known() if issue.status == issues.DONE][:count]


@contextmanager
def reading(folder: str) -> Iterator[list[str]]:
    """The names of the files in the folder that anybody in this process opens meanwhile, in that order."""
    if not _readers:
        sys.addaudithook(_notice)  # it stays for as long as the process does
    names = _readers[folder] = []
    try:
        yield names
    finally:
        _readers[folder] = []


_readers: dict[str, list[str]] = {}


def _notice(event: str, values: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(values[0], str):
        folder, _, name = values[0].rpartition("/")
        if folder in _readers:
            _readers[folder].append(name)


def points(cache: str) -> int:
    """How many points are kept."""
    db = sqlite3.connect(os.path.join(cache, FILE))
    try:
        return int(db.execute("SELECT count(*) FROM points WHERE kept").fetchone()[0])
    finally:
        db.close()
