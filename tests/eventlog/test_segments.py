"""A full file is sealed under the lock: nothing is lost, torn or doubled by it, and readers go on in it."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog import lines
from swarm.eventlog.disk import REAL
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import FSYNC, GROUP, NONE, Draft, Log
from swarm.eventlog.lines import digest
from swarm.eventlog.segments import FULL, files, first_of_file, is_sealed, node_of_file, sealed_name
from swarm.eventlog.tail import Tail, read_all, standing

OpenLog = Callable[..., Log]
ID = "019aa3c1-0000-7000-8000-000000000000"


def letter(body: str, size: int = 0) -> Draft:
    return Draft(MailSent(to=["human"], body=body.ljust(size, ".")), source="agent/kim", subject="sw-1")


def bodies(events: list[Any]) -> list[str]:
    return [event.data.body.rstrip(".") for event in events]


def fill(log: Log, count: int, name: str = "") -> list[str]:
    """So many letters of 30 kB: 35 of them fill a file."""
    for n in range(count):
        log.append([letter(f"{name}{n}", 30_000)])
    return [f"{name}{n}" for n in range(count)]


# --- names ---


@given(st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True))
def test_a_name_says_whose_it_is_and_sorts_before_the_growing_file(node: str) -> None:
    sealed = sealed_name(node, ID)
    assert (node_of_file(sealed), first_of_file(sealed), is_sealed(sealed)) == (node, ID, True)
    assert (node_of_file(f"{node}.jsonl"), first_of_file(f"{node}.jsonl"), is_sealed(f"{node}.jsonl")) == (
        node, "", False,
    )  # fmt: skip
    later = sealed_name(node, ID.replace("c1", "c2"))
    assert files([f"{node}.jsonl", later, sealed, "x.txt", ".hidden.jsonl"]) == [sealed, later, f"{node}.jsonl"]


# --- sealing ---


def test_a_full_file_is_sealed_under_the_name_of_its_first_event(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    wanted = fill(log, 100)
    events = read_all(folder)
    assert bodies(events) == wanted
    names = files(os.listdir(folder))
    assert len(names) == 3
    for name in names[:-1]:
        assert FULL <= os.path.getsize(os.path.join(folder, name)) < FULL + 31_000
        assert first_of_file(name) == next(e.id for e in Tail(folder).read() if e.id >= first_of_file(name))
    assert names[-1] == "n1.jsonl"
    lines = b"".join(Path(folder, name).read_bytes() for name in names).splitlines()
    assert [event.prev for event in events] == ["", *map(digest, lines[:-1])]


def test_a_new_writer_goes_on_after_the_sealed_files_though_the_growing_one_is_empty_or_gone(
    folder: str, open_log: OpenLog
) -> None:
    last = open_log(folder).append([letter("a")])[0]
    name = open_log(folder).seal(1)
    assert name == sealed_name("n1", last.id)
    for growing in ("gone", "empty", "torn"):
        if growing == "gone":
            Path(folder, "n1.jsonl").unlink()
        if growing == "torn":
            Path(folder, "n1.jsonl").write_bytes(b"half a line")
        after = open_log(folder, now=lambda: 1.0).append([letter(growing)])[0]
        assert after.id > last.id
        assert after.prev == digest(Path(folder, name).read_bytes().splitlines()[-1])
        Path(folder, "n1.jsonl").write_bytes(b"")


def test_a_torn_line_is_ended_before_its_file_is_sealed(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([letter("a")])
    with Path(log.path).open("ab") as file:
        file.write(b'{"type":"mail.s')
    name = log.seal(1)
    assert Path(folder, name).read_bytes().endswith(b'{"type":"mail.s\n')
    log.append([letter("b")])
    assert bodies(read_all(folder)) == ["a", "b"]


def test_what_is_too_small_or_has_no_event_is_not_sealed(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    assert log.seal(1) == ""
    Path(log.path).write_bytes(b"no event\n" * 10)
    assert log.seal(1) == ""
    size = os.path.getsize(log.path)
    log.append([letter("a")])
    assert log.seal(1_000_000) == ""
    assert os.path.getsize(log.path) > size
    assert log.seal(size)


def test_a_file_is_not_sealed_over_one_that_has_its_name(folder: str, open_log: OpenLog) -> None:
    """Its own history may have come back from elsewhere."""
    log = open_log(folder)
    first = log.append([letter("a")])[0]
    there = Path(folder, sealed_name("n1", first.id))
    there.write_bytes(b"precious\n")
    assert log.seal(1) == ""
    assert there.read_bytes() == b"precious\n"
    log.append([letter("b")])
    assert bodies(read_all(folder)) == ["a", "b"]


def test_processes_that_seal_and_append_at_once_lose_and_double_nothing(
    folder: str, open_log: OpenLog, children: Any
) -> None:
    def work(name: str) -> None:
        log, rng = open_log(folder), random.Random(name)
        for n in range(60):
            log.append([letter(f"{name} {n}", 20_000)])
            if rng.random() < 0.3:
                log.seal(1)

    pids = [children.run(lambda name=name: work(name)) for name in "abcdef"]
    assert [children.wait(pid) for pid in pids] == [0] * 6
    events = [event for name in files(os.listdir(folder)) for event in Tail(folder).read() if name == "n1.jsonl"]
    assert sorted(bodies(events)) == sorted(f"{name} {n}" for name in "abcdef" for n in range(60))
    assert [event.id for event in events] == sorted({event.id for event in events})
    assert len(files(os.listdir(folder))) > 8


def test_a_decision_is_not_made_on_a_file_that_was_sealed_meanwhile(folder: str, open_log: OpenLog) -> None:
    """What `ask` sees is what stands before the answer, in whichever file."""
    one, two = open_log(folder), open_log(folder)
    fill(one, 40)

    def ask() -> list[Draft]:
        known = bodies(Tail(folder).read())
        return [] if "taken" in known else [letter("taken")]

    assert len(one.append_if(ask)) + len(two.append_if(ask)) == 1


# --- readers ---


def test_a_reader_goes_on_in_a_file_that_was_sealed(folder: str, open_log: OpenLog) -> None:
    log, tail, found = open_log(folder), Tail(folder), list[Any]()
    rng = random.Random(1)
    for n in range(120):
        log.append([letter(f"{n}", 20_000)])
        if rng.random() < 0.4:
            found += tail.read()
        if rng.random() < 0.1:
            log.seal(1)
    found += tail.read()
    assert bodies(found) == [f"{n}" for n in range(120)]
    assert tail.seen == {"n1": found[-1].id}
    assert tail.read() == []


def test_bad_lines_are_told_under_the_name_that_their_file_has_now(folder: str, open_log: OpenLog) -> None:
    log, tail = open_log(folder), Tail(folder)
    log.append([letter("a")])
    with Path(log.path).open("ab") as file:
        file.write(b"garbage\n")
    tail.read()
    name = log.seal(1)
    log.append([letter("b")])
    assert bodies(tail.read()) == ["b"]
    assert [bad.file for bad in tail.bad] == [name]


# --- marks ---


@given(st.integers(0, 10_000), st.sampled_from(["grow", "seal", "both", "nothing"]))
def test_a_reader_that_starts_at_marks_reads_only_what_came_since(tmp_path_factory: Any, seed: int, then: str) -> None:
    folder = str(tmp_path_factory.mktemp("log"))
    random_ = random.Random(seed)
    log = Log(folder, "n1", lambda: 1e9, lambda: random_.getrandbits(64), NONE)
    for n in range(random_.randrange(1, 20)):
        log.append([letter(f"{n}")])
        if random_.random() < 0.3:
            log.seal(1)
    first = Tail(folder)
    first.read()
    new = []
    if then in ("grow", "both"):
        new += log.append([letter("new"), letter("newer")])
    if then in ("seal", "both"):
        log.seal(1)
    if then == "both":
        new += log.append([letter("newest")])
    marks = standing(folder, first.marks)
    assert marks is not None
    again = Tail(folder, start=marks)
    assert again.read() == new
    assert again.seen == {"n1": (new or read_all(folder))[-1].id}
    log.close()


def test_a_mark_does_not_stand_on_a_file_that_was_changed_cut_or_removed(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    for n in range(3):
        log.append([letter(f"{n}", 5_000)])
        log.seal(1)
    log.append([letter("last", 50_000)])
    tail = Tail(folder)
    tail.read()
    assert standing(folder, tail.marks) == tail.marks
    for name in files(os.listdir(folder)):
        path = Path(folder, name)
        whole = path.read_bytes()
        for changed in (whole[:100] + b"?" + whole[101:], whole[:-1], b"", None):
            path.unlink()
            if changed is not None:
                path.write_bytes(changed)
            assert standing(folder, tail.marks) is None
        path.write_bytes(whole)
        assert standing(folder, tail.marks) == tail.marks, "the same bytes in another inode at another time"


def test_a_writer_needs_no_decoder_not_even_to_seal(folder: str, open_log: OpenLog) -> None:
    """To make it takes milliseconds, and who seals holds the lock for which all others wait."""
    open_log(folder).append([letter("a")])
    lines._decoder.cache_clear()
    log = open_log(folder)
    log.append([letter("b")])
    assert log.seal(1)
    log.append([letter("c")])
    assert lines._decoder.cache_info().misses == 0


# --- durability ---


class Counting:
    """The real disk, with its syncs counted."""

    def __init__(self) -> None:
        self.synced = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def fdatasync(self, fd: int) -> None:
        self.synced += 1
        REAL.fdatasync(fd)


def counting(folder: str, durability: str) -> tuple[Log, Counting]:
    disk = Counting()
    return Log(folder, "n1", lambda: 1e9, lambda: 7, durability, disk), disk


def test_fsync_syncs_every_append_group_once_at_the_close_and_none_never(folder: str) -> None:
    wanted = {FSYNC: [1, 2, 2], GROUP: [0, 0, 1], NONE: [0, 0, 0]}
    for durability, counts in wanted.items():
        log, disk = counting(folder, durability)
        found = []
        for step in (lambda: log.append([letter("a")]), lambda: log.append([letter("b")] * 50), log.close):  # noqa: B023
            step()
            found.append(disk.synced)
        assert found == counts, durability


def test_sync_reaches_what_another_process_appended_even_in_a_new_file(folder: str, open_log: OpenLog) -> None:
    log, disk = counting(folder, GROUP)
    log.sync()
    assert disk.synced == 0, "there is no file yet"
    other = open_log(folder)
    other.append([letter("a")])
    log.sync()
    other.seal(1)
    other.append([letter("b")])
    log.sync()
    assert disk.synced == 2
    log.close()
