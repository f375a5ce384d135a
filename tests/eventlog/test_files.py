"""What was acknowledged is in the log, once and whole, whoever is killed and whatever the disk does."""

import errno
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.disk import REAL
from swarm.eventlog.errors import LogError, NotDurable
from swarm.eventlog.events import MailSent
from swarm.eventlog.fact import Event
from swarm.eventlog.files import FSYNC, Draft, Log
from swarm.eventlog.ids import DAY, Minter
from swarm.eventlog.lines import digest
from swarm.eventlog.tail import Tail, read_all
from swarm.eventlog.verify import verify

OpenLog = Callable[..., Log]


def letter(body: str, size: int = 0) -> Draft:
    return Draft(MailSent(to=["human"], body=body.ljust(size, ".")), source="agent/kim", subject="sw-1")


def bodies(folder: str) -> list[str]:
    return [event.data.body.rstrip(".") for event in read_all(folder)]


def claim(log: Log, folder: str, subject: str) -> list[Event[Any]]:
    def ask() -> Sequence[Draft]:
        taken = any(event.subject == subject for event in Tail(folder).read())
        return [] if taken else [Draft(MailSent(to=["human"], body=""), source="claimer", subject=subject)]

    return log.append_if(ask)


def test_what_append_returns_is_what_readers_find(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    draft = Draft(MailSent(to=["human"], body="a"), "kim", "sw-1", "", "run-1", {"n1": "x"}, 1.5)
    written = log.append([draft, letter("b")]) + log.append([letter("c")])
    assert read_all(folder) == written
    first = written[0]
    assert (first.source, first.subject, first.correlationid, first.seen, first.now) == (
        "kim", "sw-1", "run-1", {"n1": "x"}, 1.5,
    )  # fmt: skip
    lines = Path(log.path).read_bytes().splitlines()
    assert [event.prev for event in written] == ["", digest(lines[0]), digest(lines[1])]
    assert log.append([]) == []
    assert os.stat(log.path).st_mode & 0o777 == 0o600


def test_a_decision_on_an_empty_log_writes_of_what_it_saw_nothing(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([Draft(MailSent(to=["human"], body="a"), "kim", seen={}, now=1.5)])
    assert b'"now":1.5' in (line := Path(log.path).read_bytes())
    assert b'"seen"' not in line


def test_a_second_log_goes_on_where_the_first_ended_even_with_a_clock_years_behind(
    folder: str, open_log: OpenLog
) -> None:
    open_log(folder).append([letter("a")])
    open_log(folder, now=lambda: 1.0).append([letter("b")])
    open_log(folder).append([letter("c")])
    assert bodies(folder) == ["a", "b", "c"]
    assert verify(folder).errors == []


def test_an_event_sorts_after_what_its_author_observed(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    ahead = Minter(1, lambda: time.time() + 3600, lambda: 0).mint()
    far = Minter(1, lambda: time.time() + DAY + 60, lambda: 0).mint()
    assert log.observe(ahead)
    assert not log.observe(far)
    assert ahead < log.append([letter("a")])[0].id < far


def test_a_batch_with_a_line_too_long_writes_nothing(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    with pytest.raises(LogError, match="bytes long"):
        log.append([letter("a"), letter("b", 65536)])
    assert bodies(folder) == []
    log.append([letter("c")])
    assert bodies(folder) == ["c"]


def test_eight_processes_lose_tear_and_double_nothing(folder: str, open_log: OpenLog, children: Any) -> None:
    """Pain 31: no file is edited by two; lines are appended."""

    def work(name: str) -> None:
        log = open_log(folder)
        for n in range(250):
            log.append([letter(f"{name} {n}"), letter(f"{name} {n} again", n)])

    pids = [children.run(lambda name=name: work(name)) for name in "abcdefgh"]
    assert [children.wait(pid) for pid in pids] == [0] * 8
    found = bodies(folder)
    assert len(found) == 4000
    for name in "abcdefgh":
        mine = [body for body in found if body.startswith(name)]
        assert mine == [text for n in range(250) for text in (f"{name} {n}", f"{name} {n} again")]
    report = verify(folder)
    assert (report.errors, report.notes, report.events) == ([], [], 4000)


def test_threads_and_a_forked_child_share_one_log_object(folder: str, open_log: OpenLog, children: Any) -> None:
    log = open_log(folder)
    log.append([letter("before the fork")])

    def work() -> None:
        for n in range(300):
            log.append([letter(f"{n}")])

    pids = [children.run(work), children.run(work)]
    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [children.wait(pid) for pid in pids] == [0, 0]
    report = verify(folder)
    assert (report.errors, report.notes, report.events) == ([], [], 1 + 5 * 300)


def test_garbage_at_the_end_is_passed_over(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([letter("a")])
    with open(log.path, "ab") as file:
        file.write(b"garbage\n" + b"x" * 100_000 + b"\n\0\0\0\0")
    log.append([letter("b")])
    assert bodies(folder) == ["a", "b"]
    report = verify(folder)
    assert len(report.errors) == 3
    assert all("no event" in error for error in report.errors)


def test_of_two_processes_that_want_what_one_can_have_exactly_one_gets_it(
    folder: str, open_log: OpenLog, children: Any
) -> None:
    starts, (heard, answer) = [os.pipe() for _ in range(2)], os.pipe()

    def work(start: int) -> None:
        log = open_log(folder)
        while turn := os.read(start, 1):
            os.write(answer, b"1" if claim(log, folder, f"round {turn[0]}") else b"0")

    for _, begin in starts:
        os.set_inheritable(begin, False)
    pids = []
    for start, _ in starts:

        def play(start: int = start) -> None:
            for _, begin in starts:
                os.close(begin)
            work(start)

        pids.append(children.run(play))
    for turn in range(50):
        for _, begin in starts:
            os.write(begin, bytes([turn]))
        assert sorted(os.read(heard, 1) + os.read(heard, 1)) == list(b"01"), turn
    for pair in (*starts, (heard, answer)):
        os.close(pair[0])
        os.close(pair[1])
    assert [children.wait(pid) for pid in pids] == [0, 0]
    assert sorted(event.subject for event in read_all(folder)) == sorted(f"round {turn}" for turn in range(50))


def test_to_answer_nothing_appends_nothing(folder: str, open_log: OpenLog) -> None:
    assert open_log(folder).append_if(list) == []
    assert bodies(folder) == []


def test_a_question_that_raises_or_appends_gives_the_lock_up(folder: str, open_log: OpenLog) -> None:
    log, other = open_log(folder), open_log(folder)

    def wrong() -> list[Draft]:
        log.append([letter("inside")])
        return []

    with pytest.raises(RuntimeError, match="return the drafts"):
        log.append_if(wrong)
    with pytest.raises(ZeroDivisionError):
        log.append_if(lambda: [letter(str(1 // 0))])
    other.append([letter("a")])
    log.append([letter("b")])
    assert bodies(folder) == ["a", "b"]


def test_a_question_may_observe_what_it_reads(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    ahead = Minter(1, lambda: time.time() + 3600, lambda: 0).mint()

    def ask() -> list[Draft]:
        assert log.observe(ahead)
        return [letter("a")]

    assert log.append_if(ask)[0].id > ahead


# --- the file at the path ---


class Clocked:
    """The real disk, with a clock that stands still but for sleeps, and for what a test adds to `time`."""

    def __init__(self) -> None:
        self.time = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def test_a_file_that_was_replaced_or_removed_by_hand_is_opened_again_a_moment_later(
    folder: str, open_log: OpenLog
) -> None:
    disk = Clocked()
    log = open_log(folder, disk=disk)
    log.append([letter("a"), letter("b")])
    first = Path(log.path).read_bytes().splitlines(keepends=True)[0]
    Path(folder, "new").write_bytes(first)
    os.rename(Path(folder, "new"), log.path)
    disk.time += 0.01
    log.append([letter("c")])
    assert bodies(folder) == ["a", "c"]
    assert verify(folder).errors == []
    os.unlink(log.path)
    disk.time += 0.01
    log.append([letter("d")])
    assert bodies(folder) == ["d"]
    os.rename(log.path, Path(folder, "away"))
    disk.time += 0.01
    log.append([letter("e")])
    assert bodies(folder) == ["e"]


def test_a_file_sealed_by_another_is_noticed_at_once_though_its_size_is_as_it_was(
    folder: str, open_log: OpenLog
) -> None:
    disk = Clocked()
    one, two = open_log(folder, disk=disk), open_log(folder, disk=disk)
    for n in range(5):
        two.append([letter(f"{n} two")])
        before = one.append([letter(f"{n} one")])[0]
        name = two.seal(1)
        content = Path(folder, name).read_bytes()
        after = one.append([letter(f"{n} after")])[0]
        assert Path(folder, name).read_bytes() == content, "what is sealed is never written again"
        assert (after.id > before.id, after.prev) == (True, digest(content.splitlines()[-1]))
        assert name
    assert len(bodies(folder)) == 15
    assert verify(folder).errors == []


@pytest.mark.parametrize("way", ["remove", "replace"])
def test_a_file_that_is_taken_away_under_the_lock_is_noticed_at_once_by_all(
    folder: str, open_log: OpenLog, way: str
) -> None:
    disk = Clocked()
    one, two = open_log(folder, disk=disk), open_log(folder, disk=disk)
    two.append([letter("a")])
    one.append([letter("b")])

    def take() -> None:
        if way == "remove":
            os.unlink(one.path)
        else:
            Path(folder, "new").write_bytes(b"")
            os.rename(Path(folder, "new"), one.path)

    two.append_if(list, take)
    one.append([letter("c")])
    two.append([letter("d")])
    two.append_if(list, take)
    two.append([letter("e")])
    one.append([letter("f")])
    assert bodies(folder) == ["e", "f"]


def test_what_is_appended_and_cannot_be_synced_is_said_to_be_in_the_log(folder: str, open_log: OpenLog) -> None:
    class Broken(Clocked):
        def fdatasync(self, fd: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    disk = Broken()
    log = open_log(folder, durability=FSYNC, disk=disk)
    with pytest.raises(NotDurable, match="may not survive a loss of power") as caught:
        log.append([letter("a"), letter("b")])
    assert list(caught.value.events) == read_all(folder) != []
    with pytest.raises(NotDurable) as again:
        log.sync()
    assert again.value.events == ()
    disk.fdatasync = REAL.fdatasync  # type: ignore[method-assign]
    log.append([letter("c")])
    assert bodies(folder) == ["a", "b", "c"]


def test_no_program_that_is_started_inherits_the_file(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    log.append([letter("a")])
    listed = subprocess.run(["ls", "-l", "/proc/self/fd"], close_fds=False, capture_output=True, text=True, check=True)
    assert log.path not in listed.stdout
