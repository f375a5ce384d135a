"""P3 and P4: no event counts twice, and the same events are the same state, however their lines lie and arrive.

That each projection converges is in `tests/projections/test_convergence.py`, and what git does to the files in
`tests/world/test_carrier_histories.py`. Here is what stands between: files, their names, and the reading of them.
"""

import os
import random
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.eventlog.disk import REAL
from swarm.eventlog.events import MailSent
from swarm.eventlog.fact import Event
from swarm.eventlog.files import NONE, Draft, Log
from swarm.eventlog.lines import decode_block
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.tail import Tail, read_all, standing
from swarm.projections import Board

from arbitrary import Lives, visible
from garbage import chained, good_lines, mutant
from soak import amount

SEEDS = st.integers(0, 2**32)
EXAMPLES = amount(ci=60, full=3_000)


def lines_of(events: list[Event[Any]]) -> list[bytes]:
    return [line + b"\n" for line in chained(events)]


# --- P3 -------------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_p3_a_line_that_is_in_several_files_or_several_times_in_one_counts_once(
    tmp_path_factory: Any, seed: int
) -> None:
    """A copied file, cherry-picked lines, a file that was doubled."""
    chance, folder = random.Random(seed), tmp_path_factory.mktemp("log")
    events = Lives(seed, chance.randint(1, 60)).events
    lines = lines_of(events)
    (folder / "n1.jsonl").write_bytes(b"".join(lines))
    wanted = visible(Board().fold(Tail(str(folder)).read()))
    ways: list[Callable[[], list[bytes]]] = [
        lambda: lines,
        lambda: chance.choices(lines, k=5),
        lambda: lines + lines,
        lambda: lines[::-1],
        lambda: lines[chance.randrange(len(lines)) :],
    ]
    for node in ("n0", "n2", f"n3-{events[0].id}", f"n1-{events[0].id}"):
        (folder / f"{node}.jsonl").write_bytes(b"".join(chance.choice(ways)()))
    tail = Tail(str(folder))
    assert visible(Board().fold(tail.read())) == wanted
    assert [event.id for event in read_all(str(folder))] == [event.id for event in events]


# --- P4 -------------------------------------------------------------------------------------------


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_p4_the_same_events_show_the_same_in_whichever_files_and_order_and_portions(
    tmp_path_factory: Any, seed: int
) -> None:
    """Clones hold the lines in other files and in another order, some twice; and files grow as they are read."""
    chance, events = random.Random(seed), Lives(seed, 80).events
    lines = lines_of(events)
    wanted = visible(Board().fold(events))
    for clone in range(2):
        folder = tmp_path_factory.mktemp(f"clone-{clone}")
        todo, board, tail = lines * chance.randint(1, 2), Board(), Tail(str(folder))
        chance.shuffle(todo)
        while todo:
            size = chance.randint(1, len(todo))
            with (folder / f"n{chance.randrange(4)}.jsonl").open("ab") as file:
                file.write(b"".join(todo[:size]))
            todo = todo[size:]
            if chance.random() < 0.5:
                board.fold(tail.read())
        assert visible(board.fold(tail.read())) == wanted


class Growing:
    """A node's file that grows by any number of bytes, is sealed now and then, and is read at any moment."""

    def __init__(self, folder: Path, content: bytes, chance: random.Random) -> None:
        self.folder, self.rest, self.chance = folder, content, chance
        self.path, self.sealed = folder / "n1.jsonl", 0
        self.path.touch()

    def grow(self) -> None:
        size = self.chance.choice((1, 2, 10, 300, 3_000, 70_000))
        with self.path.open("ab") as file:
            file.write(self.rest[:size])
        self.rest = self.rest[size:]

    def seal(self) -> None:
        """Only at the end of a line, as its writer does."""
        here = self.path.read_bytes()
        if here.endswith(b"\n"):
            self.sealed += 1
            self.path.rename(self.folder / sealed_name("n1", f"019aa3c1-0000-7000-8000-{self.sealed:012d}"))
            self.path.touch()


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_p4_however_the_bytes_come_each_line_is_read_once_and_whole(tmp_path_factory: Any, seed: int) -> None:
    """Good lines, bad ones, long ones and empty ones."""
    chance, folder = random.Random(seed), tmp_path_factory.mktemp("log")
    good = good_lines(seed % 5)
    lines = [mutant(line, good, chance) if chance.random() < 0.2 else line for line in chance.choices(good, k=40)]
    lines += [b"x" * chance.choice((10, 65_530, 65_536, 1_100_000)) for _ in range(chance.randrange(3))]
    chance.shuffle(lines)
    content = b"\n".join(lines) + b"\n"
    wanted, bad = decode_block(content)
    growing, tail, found = Growing(folder, content, chance), Tail(str(folder)), list[Event[Any]]()
    while growing.rest:
        growing.grow()
        if chance.random() < 0.5:
            found += tail.read()
        if chance.random() < 0.1:
            growing.seal()
    found += tail.read()
    assert found == wanted
    assert [one.reason for one in tail.bad] == [one.reason for one in bad]
    assert [one.reason for one in one_read(folder)] == [one.reason for one in bad]
    assert tail.read() == []


def one_read(folder: Path) -> list[Any]:
    """The bad lines as someone sees them who comes later."""
    tail = Tail(str(folder))
    tail.read()
    return tail.bad


@settings(max_examples=EXAMPLES, deadline=None)
@given(SEEDS)
def test_p4_readers_that_come_at_any_moment_have_read_the_same_in_the_end(tmp_path_factory: Any, seed: int) -> None:
    """Of a log that its writers append to and seal. Some go on from the marks that another one left."""
    chance, folder = random.Random(seed), str(tmp_path_factory.mktemp("log"))
    writers = [Log(folder, node, lambda: 1e9, lambda: chance.getrandbits(64), NONE) for node in ("n1", "n1", "n2")]
    readers: list[tuple[Tail, list[Event[Any]]]] = [(Tail(folder), [])]
    for number in range(40):
        log = chance.choice(writers)
        log.append([Draft(MailSent(to=["human"], body=f"{number}" * chance.choice((1, 2_000))), "agent/kim")])
        if chance.random() < 0.2:
            log.seal(1)
        if chance.random() < 0.2:
            readers.append((Tail(folder), []))
        for at, (tail, found) in enumerate(readers):
            if chance.random() < 0.1 and (marks := standing(folder, tail.marks)) is not None:
                readers[at] = Tail(folder, start=marks), found
            elif chance.random() < 0.3:
                found += tail.read()
    for log in writers:
        log.close()
    wanted = read_all(folder)
    for tail, found in readers:
        found += tail.read()
        assert sorted(found, key=lambda event: event.id) == wanted
    assert len(wanted) == 40


class Meddled:
    """The real disk, on which something is done before its `call`-th call."""

    def __init__(self, call: int, deed: Callable[[], object]) -> None:
        self.left, self._deed = call, deed

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                self._deed()
            return getattr(REAL, name)(*args)

        return call


@pytest.mark.parametrize("seals", [1, 2])
def test_p4_a_file_that_is_sealed_in_the_midst_of_a_read_leaves_no_gap_in_what_was_read(
    tmp_path: Path, seals: int
) -> None:
    """At each call that the reader makes. (It may read some lines again.)"""
    for call in range(1, 100):
        folder, number = str(tmp_path / f"{call}"), count()
        os.mkdir(folder)
        log = Log(folder, "n1", lambda: 1e9, lambda: 7, NONE)

        def append(log: Log = log, number: Any = number) -> None:
            log.append([Draft(MailSent(to=["human"], body=f"{next(number)}"), "agent/kim")])

        def meddle(log: Log = log, append: Callable[[], None] = append) -> None:
            for _ in range(seals):
                append()
                log.seal(1)
                append()

        append()
        disk = Meddled(call, meddle)
        tail, found = Tail(folder, disk=disk), set[int]()
        for _ in range(3):
            found |= {int(event.data.body) for event in tail.read()}
            assert found == {*range(max(found) + 1)}
            append()
        meddled, disk.left = disk.left < 1, 0
        found |= {int(event.data.body) for event in tail.read()}
        log.close()
        assert found == {*range(4 + 2 * seals * meddled)}
        if not meddled:
            assert call > 15
            break
