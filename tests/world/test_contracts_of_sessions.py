"""What actors rely on of sessions, asked of real hosts and of their double: the same suite runs over both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from swarm.eventlog.files import Log
from swarm.eventlog.tail import read_all
from swarm.world import Sessions, SessionSpec, clock

import doubles
from rig import Rig, rig
from waiting import until

__all__ = ["rig"]


class Theatre(Protocol):
    """Sessions, and what their programs and hosts do."""

    sessions: Sessions

    def spec(self, session: str) -> SessionSpec: ...
    def begin(self, session: str) -> None: ...
    def end(self, session: str, code: int, recorded: bool = True) -> None: ...
    def die(self, session: str) -> None: ...
    def events(self, kind: str) -> list[tuple[str, str]]: ...


class MemoryTheatre:
    """The double, on a real log."""

    def __init__(self, place: Path) -> None:
        self.folder = str(place / "log")
        (place / "log").mkdir()
        self.log = Log(self.folder, "n1", clock.now, clock.entropy)
        self.sessions = self.scripted = doubles.ScriptedSessions(self.log)

    def spec(self, session: str) -> SessionSpec:
        return SessionSpec(
            session=session, issue="a", attempt=1, kind="gate", argv=["x"], cwd="/", run_dir="/", log_dir="/"
        )

    def begin(self, session: str) -> None:
        self.sessions.start(self.spec(session), {})

    def end(self, session: str, code: int, recorded: bool = True) -> None:
        self.scripted.end(session, code, recorded)

    def die(self, session: str) -> None:
        self.scripted.die(session)

    def events(self, kind: str) -> list[tuple[str, str]]:
        return [(e.data.session, e.subject) for e in read_all(self.folder) if e.type == kind]


class RealTheatre:
    """Real hosts and processes: each program waits for a line that says its exit code."""

    def __init__(self, real: Rig) -> None:
        self.rig, self.sessions = real, real.sessions

    def spec(self, session: str) -> SessionSpec:
        return self.rig.spec(f"until read code < {session}.code; do sleep 0.01; done 2>/dev/null; exit $code", session)

    def begin(self, session: str) -> None:
        self.sessions.start(self.spec(session), self.rig.env)
        self.rig.started(session)

    def end(self, session: str, code: int, recorded: bool = True) -> None:
        if not recorded:  # its folder leads nowhere: the record is all it can leave
            self.rig.log_dir.rename(self.rig.place / "hidden")
        (self.rig.place / f"{session}.code").write_text(f"{code}\n")
        host = self.rig.host(session)
        until(lambda: not self.rig.sessions.alive(host), what="the host to go")
        if not recorded:
            (self.rig.place / "hidden").rename(self.rig.log_dir)

    def die(self, session: str) -> None:
        from swarm.world import processes

        host, program = self.rig.host(session), self.rig.started(session)
        processes.send(host, 9)
        processes.send(program, 9)
        until(lambda: not self.rig.running(), what="both to go")

    def events(self, kind: str) -> list[tuple[str, str]]:
        return [(e["data"]["session"], e["subject"]) for e in self.rig.lines() if e["type"] == kind]


@pytest.fixture(params=["double", "real"])
def theatre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Theatre]:
    if request.param == "real":
        yield RealTheatre(request.getfixturevalue("rig"))
        return
    made = MemoryTheatre(tmp_path)
    yield made
    made.log.close()


def test_a_session_runs_until_its_program_ends_and_says_both(theatre: Theatre) -> None:
    assert not theatre.sessions.running("s")
    theatre.begin("s")
    issue = theatre.spec("s").issue
    assert theatre.sessions.running("s")
    assert theatre.events("session.started") == [("s", issue)]
    assert not theatre.sessions.settle("s")
    theatre.end("s", 3)
    assert not theatre.sessions.running("s")
    assert theatre.events("session.exited") == [("s", issue)]


def test_a_session_starts_once(theatre: Theatre) -> None:
    theatre.begin("s")
    assert theatre.sessions.start(theatre.spec("s"), {}) == 0
    theatre.end("s", 0)
    assert theatre.sessions.start(theatre.spec("s"), {}) == 0
    assert len(theatre.events("session.started")) == 1


def test_an_end_that_could_not_be_logged_is_settled_once(theatre: Theatre) -> None:
    theatre.begin("s")
    theatre.end("s", 3, recorded=False)
    assert theatre.events("session.exited") == []
    assert not theatre.sessions.running("s")
    assert theatre.sessions.settle("s")
    assert theatre.sessions.settle("s")
    assert len(theatre.events("session.exited")) == 1


def test_a_host_that_died_runs_no_more_and_left_no_record(theatre: Theatre) -> None:
    theatre.begin("s")
    theatre.die("s")
    assert not theatre.sessions.running("s")
    assert not theatre.sessions.settle("s")
    assert theatre.sessions.start(theatre.spec("s"), {}) == 0


def test_killing_ends_what_runs_and_harms_nothing_else(theatre: Theatre) -> None:
    theatre.begin("s")
    theatre.sessions.kill("s")
    until(lambda: theatre.events("session.exited"), what="its end")
    until(lambda: not theatre.sessions.running("s"), what="its host to go")
    theatre.sessions.kill("s")
    theatre.sessions.kill("unheard-of")
    assert len(theatre.events("session.exited")) == 1
    assert not theatre.sessions.settle("unheard-of")


def test_an_interrupted_program_may_end_by_itself_and_interrupting_harms_nothing_else(theatre: Theatre) -> None:
    theatre.begin("s")
    theatre.sessions.interrupt("s")
    until(lambda: theatre.events("session.exited"), what="its end")
    until(lambda: not theatre.sessions.running("s"), what="its host to go")
    theatre.sessions.interrupt("s")
    theatre.sessions.interrupt("unheard-of")
    assert len(theatre.events("session.exited")) == 1
    assert theatre.sessions.settle("s")
    assert not theatre.sessions.settle("unheard-of")
