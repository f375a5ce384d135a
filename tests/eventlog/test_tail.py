"""A reader gets every whole line once, and reads again what is not what it was."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.errors import LogError
from swarm.eventlog.events import IssueOpened, MailSent
from swarm.eventlog.fact import Event
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.lines import Bad
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.tail import Tail, node_files, read_all

import strangers
from meanwhile import Meanwhile

OpenLog = Callable[..., Log]


def letter(body: str) -> Draft:
    return Draft(MailSent(to=["human"], body=body), source="agent/kim")


def bodies(events: list[Event[Any]]) -> list[str]:
    return [event.data.body for event in events]


def test_each_read_gives_what_is_new(folder: str, open_log: OpenLog) -> None:
    log, tail = open_log(folder), Tail(folder)
    assert tail.read() == []
    written = log.append([letter("a"), letter("b")])
    assert tail.read() == written
    assert tail.read() == []
    last = log.append([letter("c")])
    assert tail.read() == last
    assert tail.seen == {"n1": last[0].id}


def test_new_node_files_are_noticed_and_others_ignored(folder: str, open_log: OpenLog) -> None:
    tail = Tail(folder)
    open_log(folder, "n2").append([letter("b")])
    Path(folder, "notes.txt").write_text("no log")
    Path(folder, ".hidden.jsonl").write_text("no log")
    assert bodies(tail.read()) == ["b"]
    open_log(folder, "n1").append([letter("a")])
    assert bodies(tail.read()) == ["a"]
    assert sorted(tail.seen) == ["n1", "n2"]
    assert tail.bad == []


def test_a_partial_last_line_waits_for_its_end(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([letter("a"), letter("b")])
    whole = Path(log.path).read_bytes()
    first = whole.index(b"\n") + 1
    copy = Path(folder, "n2.jsonl")
    log.close()
    os.rename(log.path, Path(folder, "n1.away"))
    tail, found = Tail(folder), []
    for end in range(len(whole) + 1):
        copy.write_bytes(whole[:end])
        found.append(bodies(tail.read()))
    assert found == [["a"] if end == first else ["b"] if end == len(whole) else [] for end in range(len(whole) + 1)]
    assert tail.bad == []


def test_a_file_that_shrank_is_read_again(folder: str, open_log: OpenLog) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a"), letter("b")])
    first = Path(log.path).read_bytes().index(b"\n") + 1
    assert bodies(tail.read()) == ["a", "b"]
    os.truncate(log.path, first)
    assert bodies(tail.read()) == ["a"]
    log.append([letter("c")])
    assert bodies(tail.read()) == ["c"]


def test_a_file_that_was_replaced_is_read_again(folder: str, open_log: OpenLog, tmp_path: Path) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a")])
    tail.read()
    longer = open_log(str(tmp_path))
    longer.append([letter("x"), letter("y")])
    os.rename(longer.path, log.path)
    assert bodies(tail.read()) == ["x", "y"]


def replaced(path: str, by: bytes) -> None:
    """As `sync` does."""
    Path(f"{path}.new").write_bytes(by)
    os.rename(f"{path}.new", path)


@pytest.mark.parametrize("sealed", [True, False])
def test_a_file_that_is_replaced_by_one_that_begins_with_it_is_gone_on_with(
    folder: str, open_log: OpenLog, tmp_path: Path, sealed: bool
) -> None:
    other = open_log(str(tmp_path), "n2")
    first = other.append([letter("a"), letter("b" * 9000)])[0].id
    name = sealed_name("n2", first) if sealed else "n2.jsonl"
    here, tail = os.path.join(folder, name), Tail(folder)
    Path(here).write_bytes(Path(other.path).read_bytes())
    assert len(tail.read()) == 2
    for body in ("c", "d"):
        other.append([letter(body)])
        replaced(here, Path(other.path).read_bytes())
        assert bodies(tail.read()) == [body]
    replaced(here, Path(other.path).read_bytes().replace(b'"a"', b'"A"'))
    assert [body[:1] for body in bodies(tail.read())] == ["A", "b", "c", "d"]
    assert len(tail.seen) == 1


def test_a_file_that_is_sealed_by_another_that_begins_with_it_is_gone_on_with(
    folder: str, open_log: OpenLog, tmp_path: Path
) -> None:
    """So `sync` seals the file of a node that grows, with what came of it from elsewhere."""
    other = open_log(str(tmp_path), "n2")
    first = other.append([letter("a")])[0].id
    here, tail = os.path.join(folder, "n2.jsonl"), Tail(folder)
    Path(here).write_bytes(Path(other.path).read_bytes())
    tail.read()
    other.append([letter("b")])
    replaced(os.path.join(folder, sealed_name("n2", first)), Path(other.path).read_bytes())
    os.unlink(here)
    assert bodies(tail.read()) == ["b"]
    assert bodies(tail.read()) == []


@pytest.mark.parametrize("more", [False, True])
def test_no_event_is_missed_because_its_file_is_sealed_meanwhile(folder: str, open_log: OpenLog, more: bool) -> None:
    log = open_log(folder)
    written = log.append([letter("a"), letter("b")])

    def seal() -> None:
        os.rename(log.path, os.path.join(folder, sealed_name("n1", written[0].id)))
        if more:
            open_log(folder).append([letter("c")])

    assert Tail(folder, disk=Meanwhile(seal)).read()[-2:] == written


def test_only_regular_files_are_read(folder: str, open_log: OpenLog, tmp_path: Path) -> None:
    open_log(folder).append([letter("a")])
    Path(tmp_path, "elsewhere").write_bytes(Path(folder, "n1.jsonl").read_bytes().replace(b'"a"', b'"b"'))
    strangers.put(folder)
    Path(folder, "link.jsonl").symlink_to(tmp_path / "elsewhere")
    assert node_files(folder) == ["link.jsonl", "n1.jsonl"]
    assert sorted(bodies(Tail(folder).read())) == ["a", "b"]


def test_a_replaced_file_is_read_again_even_if_it_ends_as_the_old_one_did(
    folder: str, open_log: OpenLog, tmp_path: Path
) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a"), letter("b" * 10_000)])
    tail.read()
    (tmp_path / "new").write_bytes(Path(log.path).read_bytes().replace(b'"a"', b'"A"'))
    os.rename(tmp_path / "new", log.path)
    assert bodies(tail.read()) == ["A", "b" * 10_000]


def test_a_file_that_was_rewritten_in_place_is_read_again_though_its_inode_is_the_same(
    folder: str, open_log: OpenLog
) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("aaaa"), letter("bbbb")])
    tail.read()
    content = Path(log.path).read_bytes()
    inode = os.stat(log.path).st_ino
    Path(log.path).write_bytes(content.replace(b"bbbb", b"cccc") + content.splitlines(keepends=True)[0])
    assert os.stat(log.path).st_ino == inode
    assert bodies(tail.read()) == ["aaaa", "cccc", "aaaa"]


def test_a_file_that_went_away_is_forgotten(folder: str, open_log: OpenLog) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a")])
    tail.read()
    os.unlink(log.path)
    assert tail.read() == []
    assert tail.seen == {}


def test_bad_lines_are_named_with_file_and_offset_and_hide_nothing(folder: str, open_log: OpenLog) -> None:
    """Pain 30: one bad line does not hide the rest."""
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a")])
    size = os.path.getsize(log.path)
    with open(log.path, "ab") as file:
        file.write(b"garbage\n")
    log.append([letter("b")])
    assert bodies(tail.read()) == ["a", "b"]
    assert tail.bad == [Bad(size, 7, tail.bad[0].reason, "n1.jsonl")]
    Path(log.path).write_bytes(Path(log.path).read_bytes().replace(b"garbage\n", b""))
    assert bodies(tail.read()) == ["a", "b"]
    assert tail.bad == []


@pytest.mark.parametrize("size", [65_535, 65_536, 200_000, 1_000_000, 1_048_576, 1_048_577, 5_000_000])
def test_a_line_of_any_length_hides_nothing(folder: str, open_log: OpenLog, size: int) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a")])
    content = Path(log.path).read_bytes()
    Path(log.path).write_bytes(content + b"x" * size)
    assert bodies(tail.read()) == ["a"]
    assert tail.bad == []
    with open(log.path, "ab") as file:
        file.write(b"\n" + content.replace(b'"a"', b'"b"'))
    assert bodies(tail.read()) == ["b"]
    assert [bad.offset for bad in tail.bad] == [len(content)]


def test_lines_are_whole_wherever_the_blocks_end(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    written = log.append([letter(str(n) * (n % 97)) for n in range(3000)])
    assert os.path.getsize(log.path) > 5 * 65_536
    assert Tail(folder).read() == written


def test_a_reader_may_want_some_types_only(folder: str, open_log: OpenLog) -> None:
    log, tail = open_log(folder), Tail(folder, only=("issue.",))
    opened = log.append([letter("a"), Draft(IssueOpened(title="b"), source="human"), letter("c")])[1]
    assert tail.read() == [opened]
    assert read_all(folder, only=("issue.",)) == [opened]


def test_reading_all_gives_each_event_once_in_the_order_of_ids(folder: str, open_log: OpenLog) -> None:
    n1, n2 = open_log(folder, "n1"), open_log(folder, "n2")
    written = [log.append([letter(str(n))])[0] for n, log in enumerate([n2, n1, n2, n1])]
    expected = sorted(written, key=lambda event: event.id)
    Path(folder, "n3.jsonl").write_bytes(Path(n1.path).read_bytes() * 2)
    assert read_all(folder) == expected


def test_a_folder_that_is_not_there_fails_with_words(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="cannot read the log"):
        Tail(str(tmp_path / "nowhere")).read()


def test_reading_writes_nothing(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([letter("a")])
    before = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(folder)]
    Tail(folder).read()
    assert [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_size) for entry in os.scandir(folder)] == before
