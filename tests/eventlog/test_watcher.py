"""An append wakes its readers, soon where the system helps and at the next heartbeat where it does not."""

import os
import resource
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import Tail
from swarm.eventlog.watcher import Watcher

import strangers
from waiting import until

OpenLog = Callable[..., Log]
NEVER = 3600.0
LETTER = Draft(MailSent(to=["human"], body="a"), source="agent/kim")


class Reader:
    """Reads the log when the bell rings, and counts."""

    def __init__(self, folder: str) -> None:
        self.rings = 0
        self.found: list[str] = []
        self._tail = Tail(folder)
        self._lock = threading.Lock()

    def ring(self) -> None:
        with self._lock:
            self.rings += 1
            self.found += [event.id for event in self._tail.read()]


def test_an_append_wakes_and_reading_does_not_ring_again(folder: str, open_log: OpenLog) -> None:
    reader, log = Reader(folder), open_log(folder)
    log.append([LETTER])
    with Watcher(folder, reader.ring, heartbeat=NEVER) as watcher:
        written = log.append([LETTER])
        until(lambda: written[0].id in reader.found)
        for _ in range(20):
            Tail(folder).read()
        more = log.append([LETTER])
        until(lambda: more[0].id in reader.found)
        assert watcher.degraded == ""
    assert reader.rings <= 4
    assert len(reader.found) == 3


@pytest.mark.parametrize("how", ["created", "moved", "deleted"])
def test_every_way_of_changing_wakes(folder: str, open_log: OpenLog, how: str) -> None:
    away = open_log(os.path.dirname(folder))
    away.append([LETTER])
    inside = open_log(folder, "n2")
    inside.append([LETTER])
    inside.close()
    rung = threading.Event()
    with Watcher(folder, rung.set, heartbeat=NEVER):
        if how == "created":
            open_log(folder, "n3").append([LETTER])
        elif how == "moved":
            os.rename(inside.path, os.path.join(folder, "n4.jsonl"))
        else:
            os.unlink(inside.path)
        assert rung.wait(20)


def test_a_burst_over_four_files_is_seen_to_its_end(folder: str, open_log: OpenLog) -> None:
    reader = Reader(folder)
    logs = [open_log(folder, f"n{n}") for n in range(4)]
    with Watcher(folder, reader.ring, heartbeat=0.2):
        for _ in range(1000):
            for log in logs:
                log.append([LETTER])
        until(lambda: len(reader.found) == 4000)
    assert len(set(reader.found)) == 4000


def test_what_is_told_while_a_bell_rings_rings_once_more(folder: str, open_log: OpenLog) -> None:
    logs = [open_log(folder, f"n{n}") for n in range(2)]
    rings, go_on = [], threading.Event()

    def bell() -> None:
        rings.append(1)
        assert go_on.wait(20)

    with Watcher(folder, bell, heartbeat=NEVER):
        for number in range(300):  # in turns, so that the kernel can join no two
            logs[number % 2].append([LETTER])
            until(lambda: rings)
        go_on.set()
        before = len(rings)
        until(lambda: len(rings) > before)
        logs[0].append([LETTER])
        until(lambda: len(rings) > before + 1)
    assert len(rings) <= 4


def test_more_than_the_kernel_keeps_is_found_all_the_same(folder: str, open_log: OpenLog) -> None:
    most = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    if most > 100_000:
        pytest.skip(f"the kernel keeps {most} events here")
    reader, logs, go_on = Reader(folder), [open_log(folder, f"n{n}") for n in range(2)], threading.Event()

    def bell() -> None:
        reader.ring()
        assert go_on.wait(20)

    def append(log: Log) -> None:
        written.append(log.append([LETTER])[0].id)

    def all_found() -> bool:
        return sorted(reader.found) == sorted(written)

    written: list[str] = []
    for log in logs:
        append(log)  # so that the first ring is for a line, and not for a new file
    with Watcher(folder, bell, heartbeat=NEVER):
        append(logs[0])
        until(all_found)
        for number in range(most + 2000):
            with open(logs[number % 2].path, "ab", 0) as file:
                file.write(b"\n")
        append(logs[1])
        go_on.set()
        until(all_found)
        for _ in range(20):  # and it goes on: all that was kept has been read before the last of these
            append(logs[0])
            until(all_found)


def test_where_the_system_gives_no_notification_the_heartbeat_finds_the_append(folder: str, open_log: OpenLog) -> None:
    reader, log = Reader(folder), open_log(folder)
    strangers.put(folder)  # of a link to nothing there is no size to be had
    watcher = Watcher(folder, reader.ring, heartbeat=0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        watcher.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        assert "no file notification" in watcher.degraded
        written = log.append([LETTER])
        until(lambda: written[0].id in reader.found)
    finally:
        watcher.stop()


def test_each_heartbeat_ticks_until_it_is_stopped(folder: str) -> None:
    ticks: list[int] = []
    with Watcher(folder, lambda: None, tick=lambda: ticks.append(1), heartbeat=0.01):
        until(lambda: len(ticks) >= 3)
    stopped = len(ticks)
    assert not any(thread.name == "log-heartbeat" for thread in threading.enumerate())
    assert len(ticks) == stopped


def test_a_silent_log_rings_no_bell(folder: str, open_log: OpenLog) -> None:
    open_log(folder).append([LETTER])
    rings, ticks = [], []
    with Watcher(folder, lambda: rings.append(1), tick=lambda: ticks.append(1), heartbeat=0.01):
        until(lambda: len(ticks) >= 5)
    assert rings == []


def test_a_folder_that_comes_later_is_found_by_the_heartbeat(folder: str, open_log: OpenLog) -> None:
    rung = threading.Event()
    os.rmdir(folder)
    with Watcher(folder, rung.set, heartbeat=0.02) as watcher:
        assert "No such file" in watcher.degraded
        os.mkdir(folder)
        open_log(folder).append([LETTER])
        assert rung.wait(20)
