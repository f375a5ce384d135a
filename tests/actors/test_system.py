"""The system on real threads and a real log: it comes to rest, mends what crashes, and stops with words."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from swarm.actors.system import ACTORS, RESTARTS, ActorsFailed, Ending, System
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import (
    AttemptRetried,
    IssueOpened,
    LeaseAcquired,
    QueueHeld,
    QuotaExhausted,
    RunStarted,
    RunStopRequested,
    WorkRejected,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import read_all
from swarm.projections import Board, agents, issues, runs
from swarm.world import Landed, Moved, Refused, SessionSpec, clock

from doubles import ROOT, MemoryRepository, ScriptedSessions, hands
from history import History
from waiting import until

WRITER = """
import sys
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.world import clock
log = Log(sys.argv[1], "n1", clock.now, clock.entropy)
for line in sys.stdin:
    log.append([Draft(MailSent(["coordinator"], line), "human")])
"""


class Repository(MemoryRepository):
    """One in which preparing and landing do first what a test wants."""

    def __init__(self) -> None:
        super().__init__({"README": "hello\n"})
        self.before_prepare: Callable[[], object] = lambda: None
        self.before_land: Callable[[], object] = lambda: None

    def prepare(self, path: str, branch: str, base: str, work: str = "", resolve: bool = False) -> None:
        self.before_prepare()
        super().prepare(path, branch, base, work, resolve)

    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        self.before_land()
        return super().land(target, base, commit)


class Sessions(ScriptedSessions):
    """Programs that end as soon as they have begun, unless `endless`; an agent leaves a file."""

    def __init__(self, log: Log, repository: MemoryRepository) -> None:
        super().__init__(log)
        self.endless = False
        self.repository = repository

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        host = super().start(spec, env)
        if host and not self.endless:
            if spec.kind == "agent":
                self.repository.write(spec.cwd.removeprefix(f"{ROOT}/"), {spec.issue: "done\n"})
            self.end(spec.session)
        return host


class Scene:
    """A system, ready to run."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "log"
        self.folder.mkdir()
        self.log = Log(str(self.folder), "n1", clock.now, clock.entropy)
        self.now: Callable[[], float] = clock.now
        self.repository = Repository()
        self.sessions = Sessions(self.log, self.repository)
        self.shown: list[Event[Any]] = []
        self.settings = RunStarted(1, "boot", 1, "0", "main", "shell", 4, 1, test="make test")

    def system(self) -> System:
        made = hands(self.repository, self.sessions, str(self.folder))
        cache = str(self.folder.parent / "cache")
        return System(
            self.log, str(self.folder), cache, made, self.settings, self.now, self.shown.append, time.monotonic
        )

    def issue(self, name: str) -> None:
        self.say(IssueOpened(f"Do {name}", "true"), name)

    def say(self, fact: Fact, subject: str = "") -> None:
        self.log.append([Draft(fact, "human", subject)])

    def events(self, kind: str) -> list[Event[Any]]:
        return [event for event in read_all(str(self.folder)) if event.type == kind]

    def statuses(self) -> list[str]:
        return [issue.status for issue in Board().fold(read_all(str(self.folder)))[issues.State].known()]


class Running:
    """The system in a thread of its own, as in a process of its own."""

    def __init__(self, system: System, until_idle: bool = False) -> None:
        self.system, self.until_idle = system, until_idle
        self.ending: Ending | None = None
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.ending = self.system.run(self.until_idle)
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            self.error = error

    def __enter__(self) -> "Running":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.system.interrupt()
        self._thread.join()

    def join(self) -> Ending | None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()
        return self.ending


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    yield made
    made.log.close()


def fail_times(times: int) -> Callable[[], object]:
    """Raise so many times, then no more."""
    left = iter(range(times))

    def fail() -> None:
        if next(left, None) is not None:
            raise RuntimeError("our bug")

    return fail


def test_it_does_all_the_work_shows_every_event_once_and_comes_to_rest(scene: Scene) -> None:
    for name in "abc":
        scene.issue(name)
    system = scene.system()
    assert system.run(until_idle=True) == Ending("idle")
    system.stopped("idle", 0)
    assert scene.statuses() == ["done"] * 3
    assert scene.repository.files(scene.repository.tip("main")).keys() == {"README", "a", "b", "c"}
    shown = [event.id for event in scene.shown]
    assert shown == [event.id for event in read_all(str(scene.folder)) if event.id in shown]
    assert {"issue.assigned", "merge.landed", "issue.closed", "worktree.removed"} <= {e.type for e in scene.shown}
    assert (scene.events("run.stopped")[0].data.reason, scene.events("run.stopped")[0].data.code) == ("idle", 0)


def test_an_actor_that_crashes_is_started_anew_and_the_work_goes_on(scene: Scene) -> None:
    scene.issue("a")
    scene.repository.before_prepare = fail_times(RESTARTS)
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert scene.statuses() == ["done"]
    crashes = scene.events("actor.crashed")
    assert [(e.subject, e.data.error, e.data.gave_up) for e in crashes] == [
        ("builder", "RuntimeError: our bug", False)
    ] * RESTARTS


def test_one_that_crashes_all_the_time_stops_everything_with_words_and_the_log_goes_on(scene: Scene) -> None:
    scene.issue("a")
    scene.repository.before_prepare = fail_times(RESTARTS + 1)
    with pytest.raises(ActorsFailed, match=r"builder crashed 6 times within 60 s.*our bug") as caught:
        scene.system().run(until_idle=True)
    assert caught.value.exit_code == 3
    assert "swarm start" in caught.value.hint
    assert [e.data.gave_up for e in scene.events("actor.crashed")] == [False] * RESTARTS + [True]
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith(("builder", "Shell"))]
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert scene.statuses() == ["done"]


def test_crashes_that_lie_far_apart_are_not_added_up(scene: Scene) -> None:
    scene.issue("a")
    late = [0.0]
    scene.now = lambda: clock.now() + late[0]
    fail = fail_times(RESTARTS + 3)

    def fail_later() -> None:
        late[0] += 30.0
        fail()

    scene.repository.before_prepare = fail_later
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert len(scene.events("actor.crashed")) == RESTARTS + 3


def test_a_log_that_cannot_be_written_stops_everything(scene: Scene) -> None:
    scene.issue("a")
    hidden = scene.folder.with_name("hidden")
    scene.repository.before_prepare = lambda: scene.folder.rename(hidden)
    with pytest.raises(LogError):
        scene.system().run(until_idle=True)
    hidden.rename(scene.folder)
    scene.repository.before_prepare = lambda: None
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert scene.statuses() == ["done"]


def test_what_waits_to_be_tried_again_gets_one_more_chance_before_it_rests(scene: Scene) -> None:
    scene.issue("a")
    scene.repository.dirty.add("a")
    standing = clock.now()
    scene.now = lambda: standing  # no patience ever ends
    tries: list[int] = []

    def clear_at_third() -> None:
        tries.append(1)
        if len(tries) == 3:
            scene.repository.dirty.clear()

    scene.repository.before_land = clear_at_third
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert scene.statuses() == ["done"]


def test_a_landing_that_stays_held_does_not_keep_it_from_resting(scene: Scene) -> None:
    scene.issue("a")
    scene.repository.dirty.add("a")
    assert scene.system().run(until_idle=True) == Ending("idle")
    assert scene.statuses() == ["in_progress"]
    assert len(scene.events("landing.held")) == 1


def test_it_does_not_rest_while_an_agent_works(scene: Scene) -> None:
    scene.issue("a")
    scene.sessions.endless = True
    with Running(scene.system(), until_idle=True) as running:
        until(lambda: scene.sessions.open() == ["a-1"])
        scene.sessions.endless = False
        scene.repository.write(".swarm/worktrees/a-1", {"a": "done\n"})
        assert running.ending is None
        scene.sessions.end("a-1")
        assert running.join() == Ending("idle")
    assert scene.statuses() == ["done"]


def test_a_stop_leaves_the_agents_at_work_and_the_next_run_takes_them_over(scene: Scene) -> None:
    scene.issue("a")
    scene.sessions.endless = True
    with Running(scene.system()) as running:
        until(lambda: scene.events("session.requested"))
        scene.say(RunStopRequested(), "run-1")
        assert running.join() == Ending("stopped")
    assert scene.sessions.open() == ["a-1"]
    scene.sessions.endless = False
    scene.repository.write(".swarm/worktrees/a-1", {"a": "done\n"})
    scene.settings = msgspec.structs.replace(scene.settings, pid=2)
    with Running(scene.system(), until_idle=True) as running:
        until(lambda: len(scene.events("run.started")) == 2)
        scene.sessions.end("a-1")
        running.join()
    assert scene.sessions.begun.count("a-1") == 1


def test_stop_now_ends_the_agents_and_keeps_what_they_left(scene: Scene) -> None:
    scene.issue("a")
    scene.sessions.endless = True
    with Running(scene.system()) as running:
        until(lambda: scene.events("session.requested"))
        scene.repository.write(".swarm/worktrees/a-1", {"half": "done\n"})
        scene.say(RunStopRequested(agents=True), "run-1")
        assert running.join() == Ending("stopped")
    assert scene.sessions.open() == []
    secured = scene.repository.refs["refs/swarm/wip/builder-1/a-1"]
    assert scene.repository.files(secured)["half"] == "done\n"
    assert scene.repository.worktrees[".swarm/worktrees/a-1"].files["half"] == "done\n", "it can be looked at"
    attempt = Board().fold(read_all(str(scene.folder)))[agents.State].attempts["a", 1]
    assert attempt.stage == "cancelled"


def test_an_interrupt_from_a_signal_handler_ends_it_soon(scene: Scene) -> None:
    system = scene.system()
    begun: list[float] = []

    def interrupt(*_: object) -> None:
        begun.append(monotonic())
        system.interrupt()

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.3)
        assert system.run(until_idle=False) == Ending("interrupted")
        assert monotonic() - begun[0] < 20
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_what_another_process_appends_is_acted_on_without_waiting_for_the_heartbeat(scene: Scene) -> None:
    """Letters, each written after the one before was answered: by heartbeats alone most answers take a second."""
    command = [sys.executable, "-P", "-c", WRITER, str(scene.folder)]
    with Running(scene.system()), subprocess.Popen(command, stdin=subprocess.PIPE, env=dict(os.environ)) as writer:
        assert writer.stdin
        took = []
        for number in range(1, 12):
            begun = monotonic()
            writer.stdin.write(b"hello\n")
            writer.stdin.flush()
            until(lambda: len(scene.events("mail.acked")) == number, what=f"answer {number}")  # noqa: B023
            took.append(monotonic() - begun)
        assert sorted(took)[5] < 0.6, took
        writer.stdin.close()


@pytest.mark.parametrize("stop", [QueueHeld("infrastructure", "no test ran"), RunStopRequested(agents=True)])
@pytest.mark.parametrize("what", ["a pause", "a quota", "another node"])
def test_while_nothing_may_begin_what_comes_by_itself_is_not_waited_for(stop: Fact, what: str) -> None:
    h = History()
    shared = {"node": "n1", "sync": "origin", "lease": 60.0} if what == "another node" else {}
    h.run(**shared)
    generation = h.issue()
    if what == "a pause":
        h.to("assigned")
        h.add(WorkRejected(1, "it fails"), "a")
        h.add(AttemptRetried(1, "it fails", after=h.now + 100), "a")
    elif what == "a quota":
        h.add(QuotaExhausted(until=h.now + 100, reason="limit"), "shell")
    else:
        h.add(LeaseAcquired("n2", generation, h.now + 100), "a")
    due = {command for actor in ACTORS for command in actor.due(h.board(), h.now)}
    system = SimpleNamespace(
        _settings=h.board()[runs.State].settings, _staff=SimpleNamespace(waiting=lambda _name: due)
    )
    assert not System._at_rest(system, h.board(), h.now)  # type: ignore[arg-type]
    h.add(stop, "run-1")
    due |= {command for actor in ACTORS for command in actor.due(h.board(), h.now)}
    assert System._at_rest(system, h.board(), h.now)  # type: ignore[arg-type]
