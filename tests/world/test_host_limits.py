"""What a session may take, enforced by its host on real processes; interrupts; and what it costs to be watched."""

import json
import os
import signal
from pathlib import Path

import pytest

from swarm.eventlog.ids import time_of
from swarm.world import processes
from swarm.world.host import REPORT_EVERY
from swarm.world.limits import Bounds, memory

from rig import Rig, rig
from waiting import until

__all__ = ["rig"]

EATER = "import sys, time; held = bytearray(b'x') * int(sys.argv[1]); print('full', flush=True); time.sleep(600)"
SHARER = """
import os, time
held = bytearray(b'x') * 60_000_000
for _ in range(3):
    if os.fork() == 0:
        time.sleep(600)
print('full', flush=True)
time.sleep(600)
"""

HOPPERS = """
import os, time
for _ in range(60):
    if os.fork() == 0:
        while True:
            if os.fork():
                os._exit(0)
            time.sleep(0.03)
time.sleep(600)
"""


def eat(megabytes: int) -> str:
    return f'python3 -c "{EATER}" {megabytes * 1_000_000}'


@pytest.fixture
def fifo(rig: Rig) -> Path:
    """Programs that read from it go on when it is opened."""
    os.mkfifo(rig.place / "fifo")
    return rig.place / "fifo"


def cpu(pid: int) -> int:
    """Clock ticks that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


# --- memory, processes, output ---


def test_memory_is_that_of_all_that_it_started(rig: Rig) -> None:
    """Neither has too much alone."""
    end = rig.run(f"{eat(60)} & {eat(60)} & wait", memory=100_000_000, grace=30.0)
    assert (end["ended_by"], end["ok"]) == ("memory", False)
    assert "with all that it started, and may use 100" in end["why"]
    assert end["seconds"] < 20, "it was not waited for"


def test_what_processes_share_counts_once(rig: Rig, fifo: Path) -> None:
    (rig.place / "sharer.py").write_text(SHARER)
    rig.start("python3 sharer.py", memory=150_000_000)
    until(lambda: rig.output() == b"full\n")
    below = processes.descendants(rig.host().pid)
    assert memory(below, 10**12) > 220_000_000
    assert 60_000_000 < memory(below, 150_000_000) < 150_000_000
    rig.sessions.kill("sw-1")
    assert rig.exited()["ended_by"] == "killed"


def test_too_many_processes_are_ended_wherever_they_hide(rig: Rig) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 600 &); done; sleep 600"
    end = rig.run(script, processes=6, grace=30.0)
    assert (end["ended_by"], end["ok"]) == ("processes", False)
    assert "it had 1" in end["why"]
    assert "and may have 6" in end["why"]
    assert rig.running() == []


def test_processes_that_never_stay_the_same_are_counted_and_ended(rig: Rig) -> None:
    (rig.place / "hoppers.py").write_text(HOPPERS)
    end = rig.run("python3 hoppers.py", processes=50)
    assert end["ended_by"] == "processes"
    assert rig.running() == []


def test_who_prints_too_much_is_ended_while_it_prints(rig: Rig) -> None:
    end = rig.run("trap '' TERM; yes", output=3_000_000, cap=1000)
    assert (end["ended_by"], end["ok"]) == ("output", False)
    assert end["why"] == "it printed more than 3 MB"
    assert end["output"] > 3_000_000


def test_within_its_limits_nothing_happens(rig: Rig) -> None:
    end = rig.run("sleep 1.5; seq 1000", memory=500_000_000, processes=10, output=1_000_000)
    assert (end["code"], end["ok"]) == (0, True)
    assert "ended_by" not in end


def test_who_has_no_limits_is_not_looked_at(rig: Rig) -> None:
    spec = rig.spec("true", timeout=7.0)
    assert Bounds(spec, 100.0).next == 107.0
    assert Bounds(rig.spec("true", timeout=7.0, memory=1), 100.0).next == 101.0
    rig.start("echo ready; sleep 2.5; echo more; sleep 600")
    until(lambda: rig.output() == b"ready\n")
    before = cpu(rig.host().pid)
    until(lambda: rig.output() == b"ready\nmore\n")
    assert cpu(rig.host().pid) - before <= 3
    rig.sessions.kill("sw-1")
    rig.exited()


def test_a_watching_host_stays_small(rig: Rig) -> None:
    rig.start("sleep 2.2; echo ready; sleep 600", memory=10**12, processes=10**6, output=10**12)
    until(lambda: rig.output() == b"ready\n")
    status = Path(f"/proc/{rig.host().pid}/status").read_text()
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak < 50_000
    rig.sessions.kill("sw-1")
    rig.exited()


# --- interrupts ---


def test_an_interrupt_is_what_ctrl_c_sends_and_the_end_is_judged_as_usual(rig: Rig) -> None:
    rig.start("trap 'echo saved; exit 0' INT; echo ready; while :; do sleep 0.01; done", runtime="shell")
    until(lambda: rig.output() == b"ready\n")
    rig.sessions.interrupt("sw-1")
    end = rig.exited()
    assert (end["code"], end["ok"], end["report"]) == (0, True, "ready\nsaved")
    assert "ended_by" not in end


def test_an_interrupt_reaches_what_the_program_waits_for(rig: Rig) -> None:
    rig.start("sh -c 'echo ready; sleep 600'; exit 5", runtime="shell")
    until(lambda: rig.output() == b"ready\n")
    rig.sessions.interrupt("sw-1")
    end = rig.exited()
    assert end["code"] in (-signal.SIGINT, 5)
    assert not end["ok"]


def test_who_ignores_interrupts_goes_on(rig: Rig, fifo: Path) -> None:
    rig.start("trap '' INT; echo ready; cat fifo; echo done")
    until(lambda: rig.output() == b"ready\n")
    rig.sessions.interrupt("sw-1")
    rig.sessions.interrupt("sw-1")
    with open(fifo, "w"):
        pass
    assert rig.exited()["code"] == 0
    assert rig.output() == b"ready\ndone\n"


def test_a_stopped_program_is_woken_by_an_interrupt(rig: Rig) -> None:
    rig.start("kill -STOP $$; exit 1", grace=30.0)
    program = rig.started()
    until(lambda: Path(f"/proc/{program.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    rig.sessions.interrupt("sw-1")
    assert rig.exited()["code"] == -signal.SIGINT


# --- saying that it waits ---


def states(rig: Rig) -> list[str]:
    return [data.get("state", "") for data in rig.events("session.progressed")]


def test_who_begins_to_wait_is_known_at_once_and_says_nothing_more_until_it_goes_on(rig: Rig, fifo: Path) -> None:
    rig.start("echo 'swarm: waiting for input'; cat fifo; echo on; cat fifo", runtime="shell")
    until(lambda: states(rig) == ["waiting_input"])
    began, said = (time_of(line["id"]) for line in rig.lines())
    assert said - began < REPORT_EVERY
    with open(fifo, "w"):
        pass
    until(lambda: len(states(rig)) == 2, what="that it goes on")
    assert states(rig) == ["waiting_input", ""]
    rig.sessions.kill("sw-1")
    rig.exited()


def test_repeating_that_it_waits_is_no_news(rig: Rig, fifo: Path) -> None:
    script = "for i in 1 2 3 4 5; do echo 'swarm: rate limited'; sleep 0.6; done; cat fifo"
    rig.start(script, runtime="shell")
    until(lambda: rig.output().count(b"\n") == 5)
    assert states(rig) == ["rate_limited"]
    rig.sessions.kill("sw-1")
    rig.exited()


def test_who_changes_its_mind_with_each_line_does_not_flood_the_log(rig: Rig) -> None:
    script = "for i in $(seq 300); do echo 'swarm: rate limited'; sleep 0.002; echo on; sleep 0.002; done"
    rig.run(script, runtime="shell")
    assert len(states(rig)) <= 4


def test_time_in_which_it_waits_is_not_counted(rig: Rig, fifo: Path) -> None:
    rig.start("echo 'swarm: waiting for input'; cat fifo; echo on; sleep 600", runtime="shell", timeout=1.0)
    until(lambda: states(rig) == ["waiting_input"])
    until(lambda: cpu(rig.started().pid) >= 0 and _age(rig) > 2.0, what="more than its time to pass")
    assert rig.events("session.exited") == []
    with open(fifo, "w"):
        pass
    end = rig.exited()
    assert (end["ended_by"], end["why"]) == ("timeout", "it ran longer than 1 s")


def _age(rig: Rig) -> float:
    """Seconds since the program began."""
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    return uptime - rig.started().start_ticks / os.sysconf("SC_CLK_TCK")


def test_the_providers_pause_is_read_from_pis_own_events(rig: Rig, fifo: Path) -> None:
    retry = {"type": "auto_retry_start", "attempt": 1, "errorMessage": '429: {"message": "slow down"}'}
    (rig.place / "stream").write_text(json.dumps(retry) + "\n")
    rig.start('cat stream; cat fifo; echo \'{"type":"agent_start"}\'; cat fifo', runtime="pi")
    until(lambda: states(rig) == ["rate_limited"])
    with open(fifo, "w"):
        pass
    until(lambda: states(rig) == ["rate_limited", ""])
    rig.sessions.kill("sw-1")
    rig.exited()
