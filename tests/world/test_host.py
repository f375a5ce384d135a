"""The host, by what it leaves: the log, the raw output, and no process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.world import processes

from rig import Rig, rig
from waiting import until

__all__ = ["rig"]

ESCAPE = """
import os, signal, subprocess, sys
mark = sys.argv[1]
subprocess.Popen(["sleep", mark])
subprocess.Popen(["sleep", mark], start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execve("/bin/sleep", ["sleep", mark], {})
    os._exit(0)
signal.pause()
"""


def sleepers(mark: str) -> list[int]:
    """Processes `sleep <mark>`, by their arguments: one of them has no environment to know it by."""
    found = []
    for pid in (name for name in os.listdir("/proc") if name.isdigit()):
        try:
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[1:2] == [mark.encode()]:
            found.append(int(pid))
    return found


@pytest.fixture
def escape(rig: Rig) -> str:
    (rig.place / "escape.py").write_text(ESCAPE)
    return "python3 escape.py"


def test_the_exit_code_and_both_streams_are_recorded(rig: Rig) -> None:
    end = rig.run("echo out; echo err >&2; exit 7")
    assert (end["code"], end["ok"], end["why"]) == (7, False, "exit code 7")
    assert (rig.output(), rig.output("stderr")) == (b"out\n", b"err\n")
    assert end["output"] == 8
    assert set(end["tail"].split()) == {"out", "err"}
    assert "ended_by" not in end


def test_a_gate_that_exits_zero_is_ok(rig: Rig) -> None:
    assert rig.run("true")["ok"] is True


MANY = 'for i in $(seq 400); do echo "   Compiling crate-$i v0.1.0"; done'
NONE = "echo 'running 0 tests'; echo; echo 'test result: ok. 0 passed; 0 failed'"


@pytest.mark.parametrize(
    ("script", "empty"),
    [
        (f"{MANY}; {NONE}", "cargo"),
        (f"echo 'running 3 tests'; {MANY}; {NONE}", ""),
        (f"echo 'running 3 tests' >&2; {MANY}; {NONE}", ""),
        (f"{MANY}; {NONE}; exit 1", ""),
        (MANY, ""),
        (NONE, ""),  # the event has all of it
    ],
)
def test_a_runner_that_ran_no_test_is_found_however_much_was_printed(rig: Rig, script: str, empty: str) -> None:
    assert rig.run(script).get("empty", "") == empty


def test_where_the_cap_kept_something_out_a_test_may_have_run(rig: Rig) -> None:
    assert rig.run(f"{MANY}; {NONE}", cap=5000).get("empty", "") == ""


def test_events_say_who_wrote_them_what_they_are_about_and_what_led_to_them(rig: Rig) -> None:
    rig.run("true")
    assert [event["type"] for event in rig.lines()] == ["session.started", "session.exited"]
    for event in rig.lines():
        assert event["source"] == "session/sw-1"
        assert event["subject"] == "sw-7f3a91c2"
        assert event["correlationid"] == "run-1"
        assert event["causationid"] == "cause-1"


def test_death_by_a_signal_is_a_negative_code(rig: Rig) -> None:
    end = rig.run("kill -9 $$")
    assert (end["code"], end["ok"]) == (-9, False)
    assert "SIGKILL" in end["why"]


def test_the_started_event_names_the_very_process(rig: Rig) -> None:
    os.mkfifo(rig.place / "fifo")
    rig.start("echo $$ > pid; exec cat fifo")
    program = rig.started()
    assert until(lambda: (rig.place / "pid").exists() and (rig.place / "pid").read_text()) == f"{program.pid}\n"
    assert rig.sessions.alive(program)
    with open(rig.place / "fifo", "w"):
        pass
    assert rig.exited()["code"] == 0
    assert not rig.sessions.alive(program)


def test_children_that_hide_in_sessions_of_their_own_die_with_the_program(rig: Rig, escape: str) -> None:
    mark = f"86401.{os.getpid()}"  # `sleep` takes fractions: no other run has this one
    rig.start(f"{escape} {mark}")
    until(lambda: len(sleepers(mark)) == 3, what="three sleepers")
    rig.sessions.kill("sw-1")
    assert rig.exited()["ended_by"] == "killed"
    assert sleepers(mark) == []


def test_children_that_outlive_the_program_are_ended_and_do_not_hold_its_end_back(rig: Rig) -> None:
    mark = f"86402.{os.getpid()}"
    end = rig.run(f"sleep {mark} & setsid sleep {mark} & echo bye")
    assert (end["code"], rig.output()) == (0, b"bye\n")
    assert end["seconds"] < 5
    assert sleepers(mark) == []


def test_a_program_that_ignores_sigterm_dies_after_the_grace(rig: Rig) -> None:
    rig.start("trap '' TERM; echo ready; while :; do sleep 1; done")
    until(lambda: rig.folder().owner() and rig.output() == b"ready\n")
    rig.sessions.kill("sw-1")
    end = rig.exited()
    assert (end["code"], end["ended_by"], end["ok"]) == (-9, "killed", False)
    assert 0.5 <= end["seconds"] < 5


def test_a_program_that_heeds_sigterm_may_finish_but_is_not_ok(rig: Rig) -> None:
    rig.start("trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.01; done", grace=30.0)
    until(lambda: rig.folder().owner() and rig.output() == b"ready\n")
    rig.sessions.kill("sw-1")
    end = rig.exited()
    assert (end["code"], end["ended_by"], end["ok"]) == (0, "killed", False)
    assert rig.output() == b"ready\nsaved\n"


def test_a_stopped_program_hears_the_request_too(rig: Rig) -> None:
    rig.start("kill -STOP $$; exit 1", grace=30.0)
    program = rig.started()
    until(lambda: Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    rig.sessions.kill("sw-1")
    assert rig.exited()["code"] == -signal.SIGTERM


def test_what_runs_too_long_is_ended(rig: Rig) -> None:
    end = rig.run("sleep 86403", timeout=0.2)
    assert (end["ended_by"], end["code"], end["ok"]) == ("timeout", -15, False)
    assert "0.2 s" in end["why"]


def test_output_beyond_the_cap_is_counted_and_its_end_is_still_known(rig: Rig) -> None:
    os.mkfifo(rig.place / "fifo")
    rig.start("head -c 30000000 /dev/zero | tr '\\0' x; echo THE END; cat fifo", cap=1_000_000)
    started = until(lambda: rig.events("session.started"))[0]
    until(lambda: len(rig.output()) == 1_000_000)
    with open(rig.place / "fifo", "w"):
        status = Path(f"/proc/{started['host_pid']}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    end = rig.exited()
    assert len(rig.output()) == 1_000_000
    assert end["output"] == 30_000_008
    assert end["dropped"] == 29_000_008
    assert end["tail"].endswith("xTHE END")
    assert len(end["tail"]) <= 4096
    assert peak < 50_000


@pytest.mark.parametrize("runtime", ["", "shell"])
def test_beyond_the_cap_the_end_that_is_kept_holds_no_secret_either(rig: Rig, runtime: str) -> None:
    rig.env["A_TOKEN"] = "correct-horse-battery"
    script = """yes "$A_TOKEN" | head -c 300000; printf 'correct-horse'; sleep 0.1; echo '-battery'; echo THE END"""
    end = rig.run(script, cap=10_000, runtime=runtime)
    assert end["output"] == 300_030
    assert end["tail"].endswith("[redacted:A_TOKEN]\nTHE END")
    record = (rig.place / "runs" / "sw-1" / "exit.json").read_bytes()
    for kept in (rig.output(), record, b"".join(path.read_bytes() for path in rig.log_dir.iterdir())):
        assert b"[redacted:A_TOKEN]" in kept
        assert b"correct-horse-battery" not in kept


def test_input_that_nobody_reads_does_not_block(rig: Rig) -> None:
    assert rig.run("exit 3", stdin="x" * 5_000_000)["code"] == 3


def test_a_program_that_stops_reading_does_not_make_its_host_deaf(rig: Rig) -> None:
    end = rig.run("head -c 9000 >/dev/null; sleep 86404", stdin="x" * 5_000_000, timeout=0.3)
    assert end["ended_by"] == "timeout"


def test_input_arrives_whole_and_ends(rig: Rig) -> None:
    text = "é\n" * 700_000
    rig.run("cat", stdin=text, cap=10_000_000)
    assert rig.output().decode() == text


def test_without_input_standard_input_is_empty(rig: Rig) -> None:
    assert rig.run("cat; echo over")["tail"] == "over"


@pytest.mark.parametrize(("terminal", "verdict"), [(True, b"tty"), (False, b"no tty")])
def test_a_terminal_is_one_where_it_was_asked_for(rig: Rig, terminal: bool, verdict: bytes) -> None:
    rig.run("test -t 0 && test -t 1 && test -t 2 && echo tty && stty size || echo no tty", terminal=terminal)
    assert rig.output().split(b"\r\n") == [b"tty", b"40 120", b""] if terminal else rig.output() == b"no tty\n"


def test_a_terminal_session_is_fed_exact_bytes_and_an_end(rig: Rig) -> None:
    rig.run("test -t 1 && cat | wc -c", terminal=True, stdin="x" * 100_000)
    assert rig.output().strip() == b"100000"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"argv": ["no-such-agent", "x"]}, "cannot run 'no-such-agent': it is not on the PATH"),
        ({"argv": ["/no/such"]}, "cannot run '/no/such': No such file or directory"),
        ({"argv": ["/etc/passwd"]}, "cannot run '/etc/passwd': Permission denied"),
        ({"cwd": "/no/where"}, "its folder /no/where cannot be entered: No such file or directory"),
        ({"runtime": "nosuch"}, "there is no runtime 'nosuch'"),
    ],
)
def test_a_program_that_cannot_be_started_is_an_exit_with_words(
    rig: Rig, changes: dict[str, object], words: str
) -> None:
    end = rig.run("true", **changes)
    assert (end["code"], end["ended_by"], end["ok"]) == (127, "missing", False)
    assert words in end["why"]
    assert not rig.events("session.started")


def test_the_program_is_looked_up_on_its_own_path(rig: Rig) -> None:
    tool = rig.place / "bin" / "own-tool"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho found\n")
    tool.chmod(0o755)
    rig.env["PATH"] += f":{tool.parent}"
    assert rig.run("", argv=["own-tool"])["tail"] == "found"


def test_the_program_gets_the_given_environment_and_nothing_else(rig: Rig) -> None:
    rig.run("", argv=["/usr/bin/env"])
    given = rig.env | {"SWARM_SESSION": "sw-1", "SWARM_RUN_DIR": rig.folder().path}
    assert dict(line.split("=", 1) for line in rig.output().decode().splitlines()) == given


def test_the_program_has_our_umask_and_the_run_folder_is_private(rig: Rig) -> None:
    before = os.umask(0o027)
    try:
        rig.run("umask; : > made")
    finally:
        os.umask(before)
    assert rig.output() == b"0027\n"
    assert (rig.place / "made").stat().st_mode & 0o777 == 0o640
    folder = rig.place / "runs" / "sw-1"
    assert folder.stat().st_mode & 0o777 == 0o700
    names = "claimed exit.json host.err program.json spec.json stderr.log stdout.log"
    assert sorted(file.name for file in folder.iterdir()) == names.split()
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert (folder / "host.err").read_bytes() == b""


def test_signals_that_the_host_ignores_reach_the_program(rig: Rig) -> None:
    rig.run("grep SigIgn /proc/self/status")
    ignored = int(rig.output().split()[1], 16)
    assert ignored & (1 << 31) - 1 == 0  # above are the C library's own


def test_the_tail_is_clean_text_whatever_was_printed(rig: Rig) -> None:
    end = rig.run(r"printf '\033[31mred\033[0m\033]0;title\007 \377\000\010.\n'")
    assert end["tail"] == "red \ufffd."


def test_the_runtimes_reader_gives_the_verdict_and_the_usage(rig: Rig) -> None:
    answer = {
        "role": "assistant",
        "stopReason": "stop",
        "model": "m",
        "usage": {"input": 5, "output": 2},
        "content": [{"type": "text", "text": "all done"}],
    }
    lines = [{"type": "session", "id": "s-1"}, {"type": "message_end", "message": answer}]
    (rig.place / "stream").write_text("\n".join(map(json.dumps, lines)))  # the last line has no end
    end = rig.run("cat stream", runtime="pi")
    assert (end["ok"], end["report"], end["resume"]) == (True, "all done", "s-1")
    used = rig.events("usage.reported")
    assert [(u["model"], u["origin"], u["calls"], u["input_tokens"], u["output_tokens"]) for u in used] == [
        ("m", "runtime", 1, 5, 2)
    ]
    kinds = [event["type"] for event in rig.lines()]
    assert kinds == ["session.started", "usage.reported", "session.exited"]


def test_signs_of_life_are_few_and_only_for_output(rig: Rig) -> None:
    os.mkfifo(rig.place / "fifo")
    rig.start("for i in 1 2 3 4 5; do echo $i; sleep 0.01; done; cat fifo", runtime="shell")
    progress = until(lambda: rig.events("session.progressed"))
    assert [(p["output"], p["note"]) for p in progress] == [(10, "5")]
    with open(rig.place / "fifo", "w"):
        pass
    rig.exited()
    assert len(rig.events("session.progressed")) == 1


def test_a_log_that_cannot_be_written_leaves_the_exit_record(rig: Rig) -> None:
    for file in rig.log_dir.iterdir():
        file.unlink()
    os.rmdir(rig.log_dir)
    rig.log_dir.write_text("in the way")
    rig.start("exit 5", log_dir=str(rig.log_dir / "below"))
    host = rig.host()
    until(lambda: not rig.sessions.alive(host))
    record = rig.folder().exit_record()
    assert record is not None
    assert record.exited.code == 5


def test_orphans_that_end_early_leave_no_zombies_below_the_host(rig: Rig) -> None:
    others = processes.descendants(os.getpid())  # a proxy that other tests use
    os.mkfifo(rig.place / "fifo")
    rig.start("for i in 1 2 3; do (setsid true &) ; done; echo ready; cat fifo")
    host = rig.host()
    until(lambda: rig.started() and rig.output() == b"ready\n")

    def below() -> list[str]:
        stats = [Path(f"/proc/{pid}/stat") for pid in os.listdir("/proc") if pid.isdigit()]
        rows = [stat.read_text().rpartition(")")[2].split() for stat in stats if stat.exists()]
        return [row[0] for row in rows if row[1] == str(host.pid)]

    until(lambda: below() == ["S"], what="only the program to be below its host")
    with open(rig.place / "fifo", "w"):
        pass
    rig.exited()
    assert processes.descendants(os.getpid()) == others


def test_a_host_imports_nothing_heavy() -> None:
    script = "import sys, swarm.world.host; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True).stdout
    heavy = {"subprocess", "asyncio", "click", "git", "httpx", "pykka", "socket", "watchdog"}
    assert not heavy & set(loaded.split())
