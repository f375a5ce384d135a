"""`swarm stop --now` where no swarm runs: when it returns, nothing is left."""

import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import SessionExited
from swarm.eventlog.files import Log
from swarm.eventlog.place import node_of
from swarm.eventlog.tail import read_all
from swarm.projections import agents
from swarm.world import Identity, SessionSpec, processes
from swarm.world.clock import entropy, now
from swarm.world.runfolder import ExitRecord, RunFolder
from swarm.world.sessions import HostedSessions, end_all

from waiting import until

ISSUE, SESSION = "sw-aaa1", "sw-aaa1-1"
STUBBORN = "trap '' TERM; (setsid sleep 86430 &); while :; do sleep 1; done"


@pytest.fixture
def launch(home: Home, at_work: Callable[..., str]) -> Iterator[Callable[[str], Identity]]:
    """Runs a script as the agent's session and returns its process; nothing of it is left running."""
    at_work("builder-1", ISSUE)
    log = Log(home.place.log, node_of(home.place, entropy), now, entropy)
    sessions, folder = HostedSessions(home.place.runs, log), os.path.join(home.place.runs, SESSION)

    def launch(script: str) -> Identity:
        spec = SessionSpec(session=SESSION, issue=ISSUE, attempt=1, kind="agent", argv=["sh", "-c", script], grace=0.3,
                           cwd=home.place.root, run_dir=folder, log_dir=home.place.log)  # fmt: skip
        sessions.start(spec, {"PATH": os.environ["PATH"]})
        data = until(lambda: said(home, "session.started"), what="the session's start")[0].data
        until(RunFolder(folder).program, what="program.json")
        return Identity(data.boot_id, data.pid, data.start_ticks)

    yield launch
    sessions.kill(SESSION)
    until(lambda: not processes.marked(folder), what="the session's end")
    log.close()


def said(home: Home, kind: str) -> list[Any]:
    return [event for event in read_all(home.place.log) if event.type == kind]


def host(home: Home) -> Identity:
    found = RunFolder(os.path.join(home.place.runs, SESSION)).owner()
    assert found
    return found


def left(home: Home) -> list[Identity]:
    return processes.marked(os.path.join(home.place.runs, SESSION))


def test_it_returns_when_an_agent_that_ignores_sigterm_is_gone_with_all_its_children(
    swarm: Any, home: Home, launch: Callable[[str], Identity]
) -> None:
    launch(STUBBORN)
    until(lambda: len(left(home)) == 4, what="the host, sh and both sleepers")
    result = swarm("stop", "--now")
    assert left(home) == []
    assert result.code == 0, result.err
    assert "ended 1 session" in result.out
    assert [event.data.ended_by for event in said(home, "session.exited")] == ["killed"]
    assert [event.data.reason for event in said(home, "session.kill_requested")] == ["swarm stop --now"]


def test_it_ends_what_a_killed_host_left_behind(swarm: Any, home: Home, launch: Callable[[str], Identity]) -> None:
    launch(STUBBORN)
    until(lambda: len(left(home)) == 4, what="the host, sh and both sleepers")
    who = host(home)
    assert processes.send(who, signal.SIGKILL)
    until(lambda: not processes.alive(who))
    assert swarm("stop", "--now").code == 0
    assert left(home) == []
    assert swarm("stop", "--now").code == 0
    assert len(said(home, "session.kill_requested")) == 1, "what was asked once is not asked again"


def test_it_writes_down_the_end_that_a_dead_host_could_not(
    swarm: Any, home: Home, launch: Callable[[str], Identity]
) -> None:
    process = launch("sleep 86431")
    who = host(home)
    assert processes.send(who, signal.SIGKILL)
    until(lambda: not processes.alive(who))
    exited = SessionExited(session=SESSION, attempt=1, code=3, ok=False, seconds=1.0)
    RunFolder(os.path.join(home.place.runs, SESSION)).keep_exit(ExitRecord(exited))
    assert swarm("stop", "--now").code == 0
    assert not processes.alive(process)
    assert [event.data.code for event in said(home, "session.exited")] == [3]


def test_what_cannot_be_ended_in_time_is_an_error_that_names_it(home: Home, launch: Callable[[str], Identity]) -> None:
    launch(STUBBORN)
    until(lambda: len(left(home)) == 4, what="the host, sh and both sleepers")
    sessions = list(home.board(("agents",))[agents.State].sessions())
    with pytest.raises(SwarmError, match=SESSION) as error:
        end_all(home.place, sessions, patience=0.05)  # its grace is longer
    assert str(host(home).pid) in error.value.hint


def test_where_nothing_runs_there_is_nothing_to_end(swarm: Any, home: Home) -> None:
    result = swarm("stop", "--now")
    assert (result.code, result.out) == (0, "no swarm runs on this repository\n")
    assert read_all(home.place.log) == []
