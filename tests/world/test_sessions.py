"""HostedSessions: one run per folder, whoever dies."""

import os
import pty
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from swarm.eventlog.errors import UsageError
from swarm.world import Identity, processes
from swarm.world.recorder import open_log
from swarm.world.runfolder import NOBODY, ExitRecord, RunFolder
from swarm.world.sessions import HostedSessions

from rig import Rig, rig
from waiting import until

__all__ = ["rig"]

STARTER = """
import sys, msgspec
from swarm.world import SessionSpec
from swarm.world.recorder import open_log
from swarm.world.sessions import HostedSessions
runs, log, env, spec = sys.argv[1:]
sessions = HostedSessions(runs, open_log(log))
sessions.start(msgspec.json.decode(spec, type=SessionSpec), msgspec.json.decode(env))
sys.stdin.read()
"""


def starter(rig: Rig, script: str) -> list[str]:
    """The command of another process that starts this session and then waits."""
    runs, log = str(rig.place / "runs"), str(rig.log_dir)
    env, spec = msgspec.json.encode(rig.env).decode(), msgspec.json.encode(rig.spec(script)).decode()
    return [sys.executable, "-I", "-c", STARTER, runs, log, env, spec]


def waiter(rig: Rig, code: int) -> str:
    """A script that waits for `release`."""
    os.mkfifo(rig.place / "fifo")
    return f"cat fifo; exit {code}"


def release(rig: Rig) -> None:
    with open(rig.place / "fifo", "w"):
        pass


def test_a_session_outlives_its_killed_starter_and_is_still_recorded(rig: Rig) -> None:
    with subprocess.Popen(starter(rig, waiter(rig, 9)), stdin=subprocess.PIPE) as process:
        program = rig.started()
        process.kill()
    assert rig.sessions.alive(program)
    release(rig)
    assert rig.exited()["code"] == 9


def test_a_session_outlives_the_terminal_it_was_started_from(rig: Rig) -> None:
    command = starter(rig, waiter(rig, 8))
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(command[0], command)
    program = rig.started()
    assert os.getsid(rig.host().pid) != os.getsid(pid)
    os.close(terminal)
    assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    assert rig.sessions.alive(program)
    release(rig)
    assert rig.exited()["code"] == 8


def test_starters_that_race_run_the_program_once(rig: Rig) -> None:
    spec = rig.spec("echo run >> runs.txt")
    gate = threading.Barrier(4)

    def start() -> None:
        gate.wait()
        rig.sessions.start(spec, rig.env)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rig.exited()
    until(lambda: not rig.running())
    assert (rig.place / "runs.txt").read_text() == "run\n"
    assert len(rig.events("session.started")) == len(rig.events("session.exited")) == 1


def test_a_claimed_session_is_not_started_again(rig: Rig) -> None:
    assert not rig.sessions.claimed("sw-1")
    rig.run("echo run >> runs.txt")
    assert rig.sessions.claimed("sw-1")
    assert rig.start("echo again >> runs.txt") == 0
    assert (rig.place / "runs.txt").read_text() == "run\n"


def test_the_pid_returned_is_the_hosts(rig: Rig) -> None:
    pid = rig.start("true")
    assert rig.host().pid == pid
    rig.exited()


def test_no_zombie_is_left_of_hosts_that_ended(rig: Rig) -> None:
    hosts = [rig.start("true", session=f"s{n}") for n in range(3)]
    for n in range(3):
        rig.exited(f"s{n}")
    assert not [pid for pid in hosts if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("name", ["", "../x", "-x", "x-", "A", "a/b", "x" * 81, "x\n"])
def test_a_name_that_could_leave_the_folder_is_refused(rig: Rig, name: str) -> None:
    for ask in (rig.sessions.claimed, rig.sessions.settle, rig.sessions.kill, rig.sessions.orphans):
        with pytest.raises(UsageError, match="session's name"):
            ask(name)
    with pytest.raises(UsageError, match="session's name"):
        rig.start("true", session=name)


def test_a_session_without_a_command_is_refused(rig: Rig) -> None:
    with pytest.raises(UsageError, match="no command"):
        rig.start("", argv=[])
    assert not rig.sessions.claimed("sw-1")


def test_ending_what_never_was_or_is_over_is_fine(rig: Rig) -> None:
    rig.sessions.kill("sw-never")
    rig.run("true")
    rig.sessions.kill("sw-1")
    assert len(rig.events("session.exited")) == 1


def test_a_session_ended_before_it_began_never_runs(rig: Rig) -> None:
    rig.folder().create(rig.spec("echo run >> runs.txt"))
    rig.sessions.kill("sw-1")
    assert rig.start("echo run >> runs.txt") == 0
    assert rig.sessions.settle("sw-1")
    assert rig.events("session.exited")[0]["ended_by"] == "killed"
    assert not (rig.place / "runs.txt").exists()


def test_a_killed_host_leaves_no_record_and_its_orphans_can_be_ended(rig: Rig) -> None:
    adopted, bare = "(setsid sleep 86420 &)", "env -i sleep 86422 &"
    rig.start(f"{adopted}; {bare} trap '' HUP; echo ready; while :; do sleep 1; done")
    program, host = rig.started(), rig.host()
    until(lambda: rig.output() == b"ready\n")
    assert processes.send(host, signal.SIGKILL)
    until(lambda: not rig.sessions.alive(host))
    assert rig.sessions.alive(program)
    assert not rig.sessions.settle("sw-1")
    orphans = until(lambda: len(found := rig.sessions.orphans("sw-1")) == 4 and found)
    rig.sessions.kill("sw-1")
    assert not [orphan for orphan in orphans if rig.sessions.alive(orphan)]
    assert rig.sessions.orphans("sw-1") == []
    assert rig.running() == []
    assert rig.events("session.exited") == []


def test_a_stranger_with_the_pid_of_a_dead_host_or_program_is_left_alone(rig: Rig) -> None:
    with subprocess.Popen(["sleep", "86421"]) as stranger:
        who = processes.identity(stranger.pid)
        assert who is not None
        former = Identity(who.boot_id, who.pid, who.start_ticks - 1)
        rig.folder().create(rig.spec("true"))
        assert rig.folder().claim(former)
        rig.folder().keep_program(former)
        rig.sessions.kill("sw-1")
        assert rig.sessions.orphans("sw-1") == []
        assert stranger.poll() is None
        stranger.kill()


def test_in_a_copied_folder_nobody_runs_and_the_original_is_left_alone(rig: Rig) -> None:
    """`cp -r` of a clone at work: whoever ends, adopts or sweeps in the copy has no business with the original."""
    rig.start(f"(setsid sleep 86423 &); {waiter(rig, 9)}")
    program, host = rig.started(), rig.host()
    until(lambda: len(rig.running()) == 4 and rig.folder().program(), what="sleep, sh, cat and the host")
    before = rig.running()
    shutil.copytree(rig.place / "runs", rig.place / "copy" / "runs")
    (rig.place / "copy" / "swarm" / "log").mkdir(parents=True)
    log = open_log(str(rig.place / "copy" / "swarm" / "log"))
    try:
        copy = HostedSessions(str(rig.place / "copy" / "runs"), log)
        assert RunFolder(str(rig.place / "copy" / "runs" / "sw-1")).owner() == NOBODY
        assert copy.claimed("sw-1"), "it ran once: it is not begun again"
        assert not copy.running("sw-1")
        assert not copy.settle("sw-1")
        assert copy.orphans("sw-1") == []
        copy.kill("sw-1")
    finally:
        log.close()
    assert rig.sessions.running("sw-1")
    assert rig.running() == before
    assert rig.sessions.alive(program)
    assert rig.sessions.alive(host)
    release(rig)
    assert (rig.exited()["code"], "ended_by" in rig.events("session.exited")[0]) == (9, False)


def test_in_a_copy_not_even_the_orphans_of_a_killed_host_are_touched(rig: Rig) -> None:
    rig.start("(setsid sleep 86424 &); sleep 86425")
    program, host = rig.started(), rig.host()
    until(lambda: len(rig.running()) == 4 or len(rig.sessions.orphans("sw-1")) >= 3, what="both sleepers")
    until(rig.folder().program, what="program.json")
    processes.send(host, signal.SIGKILL)
    until(lambda: not rig.sessions.alive(host))
    shutil.copytree(rig.place / "runs", rig.place / "copy")
    copy = HostedSessions(str(rig.place / "copy"), rig.log)
    assert copy.orphans("sw-1") == []
    copy.kill("sw-1")
    assert rig.sessions.alive(program)
    rig.sessions.kill("sw-1")
    assert rig.running() == []


def test_a_renamed_clone_still_knows_its_own_host(rig: Rig) -> None:
    rig.start(waiter(rig, 0))
    rig.started()
    (rig.place / "runs").rename(rig.place / "renamed")
    renamed = HostedSessions(str(rig.place / "renamed"), rig.log)
    assert renamed.running("sw-1")
    (rig.place / "renamed").rename(rig.place / "runs")
    release(rig)
    rig.exited()


@pytest.fixture
def crashed(rig: Rig) -> Rig:
    """A host that died between exit.json and its event: made from one that did not, under another name."""
    rig.run("exit 4", session="sw-0")
    record = rig.folder("sw-0").exit_record()
    assert record is not None
    rig.folder().create(rig.spec("exit 4"))
    assert rig.folder().claim(Identity("former boot", 1, 1))
    rig.folder().keep_exit(ExitRecord(msgspec.structs.replace(record.exited, session="sw-1")))
    return rig


def test_an_exit_record_without_its_event_is_appended_once(crashed: Rig) -> None:
    assert crashed.sessions.settle("sw-1")
    assert crashed.sessions.settle("sw-1")
    assert [end["code"] for end in crashed.events("session.exited")] == [4]
    event = crashed.lines()[-1]
    assert (event["source"], event["subject"], event["correlationid"]) == ("session/sw-1", "sw-7f3a91c2", "run-1")


def test_an_end_whose_line_was_damaged_is_appended_again(crashed: Rig) -> None:
    """The log is believed, not a marker beside it: else the session would never end."""
    assert crashed.sessions.settle("sw-1")
    file = next(crashed.log_dir.glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b'"type":"session.exited"', b'"type":"session.exi###"'))
    assert not crashed.events("session.exited")
    assert crashed.sessions.settle("sw-1")
    assert len(crashed.events("session.exited")) == 1


def test_settlers_that_race_append_once(crashed: Rig) -> None:
    gate = threading.Barrier(4)

    def settle() -> None:
        gate.wait()
        assert crashed.sessions.settle("sw-1")

    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(crashed.events("session.exited")) == 1


def test_a_record_whose_host_lives_is_left_to_the_host(crashed: Rig) -> None:
    os.unlink(crashed.folder().file("claimed"))
    me = processes.identity(os.getpid())
    assert me is not None
    assert crashed.folder().claim(me)
    assert crashed.sessions.settle("sw-1")
    assert crashed.events("session.exited") == []


def test_a_record_that_is_not_whole_is_none(crashed: Rig) -> None:
    record = Path(crashed.folder().file("exit.json"))
    record.write_bytes(record.read_bytes()[:-3])
    assert not crashed.sessions.settle("sw-1")


def test_nobody_is_never_alive(rig: Rig) -> None:
    assert not rig.sessions.alive(NOBODY)
