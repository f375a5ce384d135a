"""Identities and ends of real processes."""

import os
import signal
import subprocess
from collections.abc import Iterator

import msgspec
import pytest

from swarm.world import processes

from waiting import until


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, marked as the session in the folder `/x`."""
    with subprocess.Popen(["sleep", "86410"], env={"PATH": os.environ["PATH"], processes.MARK: "/x"}) as process:
        yield process
        process.kill()


def test_a_running_process_is_alive_under_its_identity(sleeper: subprocess.Popen[bytes]) -> None:
    who = processes.identity(sleeper.pid)
    assert who is not None
    assert (who.pid, who.boot_id) == (sleeper.pid, processes.boot_id())
    assert processes.alive(who)


@pytest.mark.parametrize("other", [{"start_ticks": 1}, {"boot_id": "another boot"}, {"pid": 1}])
def test_the_same_pid_at_another_time_is_another_process(
    sleeper: subprocess.Popen[bytes], other: dict[str, object]
) -> None:
    who = processes.identity(sleeper.pid)
    assert who is not None
    stranger = msgspec.structs.replace(who, **other)
    assert not processes.alive(stranger)
    assert not processes.send(stranger, signal.SIGKILL)
    assert sleeper.poll() is None


def test_a_zombie_is_not_alive_and_gets_no_signal(sleeper: subprocess.Popen[bytes]) -> None:
    who = processes.identity(sleeper.pid)
    assert who is not None
    assert processes.send(who, signal.SIGKILL)
    until(lambda: not processes.alive(who))
    assert processes.identity(sleeper.pid) == who
    assert not processes.send(who, signal.SIGKILL)
    assert sleeper.wait() == -9
    assert processes.identity(sleeper.pid) is None


def test_descendants_are_found_at_any_depth_parents_first() -> None:
    with subprocess.Popen(["sh", "-c", "sh -c 'sleep 86411 & wait' & wait"]) as top:
        found = until(lambda: len(f := processes.descendants(top.pid)) == 2 and f)
        assert processes.descendants(found[0].pid) == [found[1]]
        top.kill()
        assert processes.end(lambda: [p for p in found if processes.alive(p)])


def test_the_mark_is_found_only_for_exactly_that_run_folder(sleeper: subprocess.Popen[bytes]) -> None:
    until(lambda: [p.pid for p in processes.marked("/x")] == [sleeper.pid])
    for other in ("/x2", "/copy/x", "x", ""):
        assert processes.marked(other) == []


def test_end_gives_up_on_what_cannot_be_ended() -> None:
    init = processes.identity(1)
    assert init is not None
    assert processes.end(lambda: [msgspec.structs.replace(init, start_ticks=0, pid=2**22 + 1)], seconds=0.05) is False
