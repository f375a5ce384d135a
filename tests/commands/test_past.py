"""A log to look back into: what it says of events is what reading all of it says, however the files lie."""

import os
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.commands._moments import END
from swarm.commands._past import Past
from swarm.commands._spans import KEPT, Spans
from swarm.eventlog.disk import REAL
from swarm.eventlog.events import IssueOpened
from swarm.eventlog.fact import Event
from swarm.eventlog.ids import Minter, node_bits, rfc3339
from swarm.eventlog.lines import encode, envelope
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.tail import read_all

from meanwhile import Meanwhile

START = 1_800_000_000.0
GARBAGE = (b"garbage\n", b'{"type":"issue.opened","id":"torn\n', b"\n")


class Node:
    """A node that writes a line each second or so."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self._random, self._now = name, Random(seed), START + seed / 7
        self._mint = Minter(node_bits(name), lambda: self._now, lambda: self._random.getrandbits(64))
        self.lines: list[tuple[str, bytes]] = []

    def write(self, count: int) -> None:
        for _ in range(count):
            self._now += self._random.random() * 2
            id_ = self._mint.mint()
            event: Event[Any] = envelope(IssueOpened(f"é}}\n{{{id_}"), id=id_, time=rfc3339(id_), source="human")
            self.lines.append((id_, encode(event)))

    def keep(self, folder: Path, cuts: list[int]) -> None:
        """As segments cut there; what is left is the growing file."""
        for first, last in pairwise([0, *cuts]):
            name = sealed_name(self.name, self.lines[first][0])
            (folder / name).write_bytes(b"".join(line for _, line in self.lines[first:last]))
        rest = self.lines[cuts[-1] if cuts else 0 :]
        (folder / f"{self.name}.jsonl").write_bytes(b"".join(line for _, line in rest))


class Unreadable:
    """The real disk, but nobody may read what is in a file."""

    def __getattr__(self, name: str) -> Any:
        assert name != "pread"
        return getattr(REAL, name)


def check(folder: Path, random: Random) -> None:
    """Everything that it answers is what the whole log says."""
    events = read_all(str(folder))
    ids = [event.id for event in events]
    past = Past(str(folder))
    assert past.newest() == (ids[-1] if ids else "")
    assert [past.nth(number) for number in range(len(ids) + 2)] == ["", *ids, ""]
    assert [event.id for event in past.between("", END)] == ids
    for _ in range(8):
        one, two = sorted(random.choice(["", END, *ids]) for _ in range(2))
        assert [event.id for event in past.between(one, two)] == [id_ for id_ in ids if one < id_ <= two]
        assert past.number(one) == (sum(id_ <= one for id_ in ids), len(ids))
        found = past.event(one)
        assert (found.id if found else None) == (one if one in ids else None)
        assert past.board(two).newest == max([id_ for id_ in ids if id_ <= two], default="")
        for words in (one[:9], one[-8:], one[-3:]):
            called = [id_ for id_ in ids if words and (id_.startswith(words) or id_.endswith(words))]
            assert past.called(words) == (called if one != END else past.called(words))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3), st.booleans())
def test_it_says_what_the_whole_log_says(
    tmp_path_factory: pytest.TempPathFactory, seed: int, nodes: int, torn: bool
) -> None:
    folder, random = tmp_path_factory.mktemp("log"), Random(seed)
    for number in range(nodes):
        node = Node(f"n{number}", random.randrange(99))
        node.write(random.randrange(40))
        if torn and node.lines:
            place = random.randrange(len(node.lines))
            id_, line = node.lines[place]
            node.lines[place] = id_, line + random.choice(GARBAGE[1:])
        count = len(node.lines)
        node.keep(folder, sorted(random.sample(range(1, count), min(count - 1, random.randrange(4)))) if count else [])
    check(folder, random)


@pytest.mark.parametrize("seed", range(4))
def test_copies_forks_and_files_of_others_are_noticed_and_everything_is_read(tmp_path: Path, seed: int) -> None:
    one, other, random = Node("n1", seed), Node("n2", seed + 5), Random(seed)
    one.write(30)
    other.write(12)
    one.keep(tmp_path, [10, 20])
    lines = [line for _, line in one.lines]
    strange = {
        0: {"third.jsonl": lines[::-1]},
        1: {sealed_name("n1", one.lines[15][0]): lines[15:25]},
        2: {"n2.jsonl": [*lines[5:9], *(line for _, line in other.lines)]},
        3: {"n1.jsonl": [line for _, line in other.lines], sealed_name("n9", other.lines[0][0]): lines[3:4]},
    }[seed]
    for name, content in strange.items():
        (tmp_path / name).write_bytes(b"".join(content))
    check(tmp_path, random)


def test_a_file_that_is_sealed_after_the_first_look_is_still_read(tmp_path: Path) -> None:
    node = Node("n1", 1)
    node.write(20)
    node.keep(tmp_path, [10])
    past = Past(str(tmp_path))
    assert past.newest() == node.lines[-1][0]
    (tmp_path / "n1.jsonl").rename(tmp_path / sealed_name("n1", node.lines[10][0]))
    later = Node("n1", 1)
    later.write(25)
    (tmp_path / "n1.jsonl").write_bytes(later.lines[24][1])
    assert [event.id for event in past.between("", END)] == [id_ for id_, _ in node.lines]


@pytest.mark.parametrize("listing", [1, 2])
def test_a_file_that_is_sealed_during_the_first_look_is_read_once(tmp_path: Path, listing: int) -> None:
    node = Node("n1", 1)
    node.write(25)
    node.keep(tmp_path, [10])
    (tmp_path / "n1.jsonl").write_bytes(b"".join(line for _, line in node.lines[10:24]))

    def seal() -> None:
        (tmp_path / "n1.jsonl").rename(tmp_path / sealed_name("n1", node.lines[10][0]))
        (tmp_path / "n1.jsonl").write_bytes(node.lines[24][1])

    disk = Meanwhile(seal, listing)
    spans = Spans(str(tmp_path), disk=disk)
    assert disk.done
    found = [event.id for name in spans.all for event in spans.events(name)]
    assert found[:24] == [id_ for id_, _ in node.lines[:24]]
    assert spans.tidy()
    assert sum(spans.count(name) for name in spans.all) == len(found) <= 25


def test_of_a_long_log_only_the_files_around_are_read(tmp_path: Path) -> None:
    node = Node("n1", 1)
    node.write(40)
    node.keep(tmp_path, [10, 20, 30])
    past = Past(str(tmp_path))
    assert past.number(node.lines[14][0]) == (15, 40)
    for first in (0, 30):  # what is not needed may be gone
        name = sealed_name("n1", node.lines[first][0]) if first == 0 else "n1.jsonl"
        (tmp_path / name).unlink()
    event = past.event(node.lines[14][0])
    assert event
    assert event.id == node.lines[14][0]
    assert len(list(past.between(node.lines[9][0], node.lines[24][0]))) == 15


def test_what_sealed_files_hold_is_found_out_once(tmp_path: Path) -> None:
    log, cache, node = tmp_path / "log", tmp_path / "cache", Node("n1", 1)
    for folder in (log, cache):
        folder.mkdir()
    node.write(40)
    node.keep(log, [10, 20, 30])
    asked = node.lines[14][0]
    assert Past(str(log), str(cache)).number(asked) == (15, 40)
    (log / "n1.jsonl").unlink()
    counted = Spans(str(log), str(cache), disk=Unreadable())
    assert [counted.count(name) for name in counted.all] == [10, 10, 10]
    assert [span.last for span in counted.all.values()] == [node.lines[n][0] for n in (9, 19, 29)]


def test_what_is_kept_of_a_file_is_not_believed_once_it_was_changed_though_its_time_was_kept(tmp_path: Path) -> None:
    log, node = tmp_path / "log", Node("n1", 1)
    log.mkdir()
    node.write(40)
    node.keep(log, [10, 20, 30])
    assert Past(str(log), str(tmp_path)).number(node.lines[14][0]) == (15, 40)
    path = log / sealed_name("n1", node.lines[10][0])
    status, lines = path.stat(), path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:9], b"x" * (len(lines[9]) - 1) + b"\n"]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Past(str(log), str(tmp_path)).number(node.lines[14][0]) == (15, 39)


@pytest.mark.parametrize("cache", [b"", b"{}", b"garbage\xff", b'{"n1.jsonl":7}', None])
def test_a_cache_that_is_damaged_or_cannot_be_written_changes_nothing(tmp_path: Path, cache: bytes | None) -> None:
    log, node = tmp_path / "log", Node("n1", 1)
    log.mkdir()
    node.write(40)
    node.keep(log, [10, 20, 30])
    if cache is not None:
        (tmp_path / KEPT).write_bytes(cache)
    past = Past(str(log), str(tmp_path if cache is not None else tmp_path / "missing"))
    assert past.number(node.lines[14][0]) == (15, 40)


def test_a_file_that_has_changed_is_looked_at_again(tmp_path: Path) -> None:
    """Another clone's tail becomes longer under the same name."""
    log, node = tmp_path / "log", Node("n1", 1)
    log.mkdir()
    node.write(40)
    node.keep(log, [10, 20, 30])
    assert Past(str(log), str(tmp_path)).number(node.lines[14][0]) == (15, 40)
    (log / "n1.jsonl").unlink()
    longer = b"".join(line for _, line in node.lines[20:])
    (log / sealed_name("n1", node.lines[20][0])).write_bytes(longer)
    assert Past(str(log), str(tmp_path)).number(node.lines[36][0]) == (37, 40)


def test_an_empty_log_has_nothing(tmp_path: Path) -> None:
    check(tmp_path, Random(1))
    (tmp_path / "n1.jsonl").write_bytes(b"")
    check(tmp_path, Random(1))
