"""The swarm in one thread on a clock that a test moves, in a world in memory: its crashes are chosen, not awaited."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from random import Random
from types import MappingProxyType
from typing import Any

from swarm.actors.command import Command, Decide, Said
from swarm.actors.ledger import Ledger, Whole
from swarm.actors.shell import Actor
from swarm.actors.system import ACTORS
from swarm.actors.watchdog import START_GRACE
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    BatchTested,
    IssueClosed,
    IssueOpened,
    IssueReopened,
    MergeLanded,
    RunStarted,
    SessionKillRequested,
    WorkSecured,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import Tail, read_all
from swarm.projections import Board, agents, issues, runs

from doubles import ROOT, MemoryRepository, ScriptedSessions, hands
from history import BEGIN, snapshot

CLEAN = {"README": "hello\n"}
WORKS = ("well", "fails", "nothing", "breaks", "clashes", "dies", "unrecorded", "dirty failure")
"""What an agent may do with its issue, each time; or, in a list, one after the other."""


class Crashed(Exception):
    """The swarm was killed."""


class Driver:
    """The swarm and its world. `crashes` are the numbers of the deeds after which it is killed and cannot say so."""

    def __init__(
        self, folder: str, works: dict[str, list[str]], crashes: frozenset[int], slow: bool, agents_: int
    ) -> None:
        self.folder, self.works, self.crashes = folder, works, crashes
        self.now, random = BEGIN, Random(1)
        self.log = Log(folder, "n1", self.tick, lambda: random.getrandbits(64))
        self.repository = MemoryRepository(CLEAN)
        self.sessions = ScriptedSessions(self.log, slow)
        self.hands = hands(self.repository, self.sessions, folder)
        self.deeds = count(1)
        self.most = 0
        self.max_agents = agents_
        self.boot()

    def tick(self) -> float:
        self.now += 0.001
        return self.now

    def boot(self) -> None:
        """`swarm start`."""
        self.vain: set[Command] = set()
        self.ledger = Ledger(self.log, Whole(Tail(self.folder)), "run-1", self.tick)
        started = RunStarted(
            1,
            "boot",
            1,
            "0",
            "main",
            "shell",
            max_agents=self.max_agents,
            max_retries=1,
            test="make test",
            keep_failed=0,
        )
        self.ledger.say("system", [Said("run-1", started)])

    def person(self, fact: Fact, subject: str) -> None:
        self.log.append([Draft(fact, "human", subject)])

    # --- the swarm ---

    def round(self) -> bool:
        """Each actor once; whether anything came of it."""
        before = self.ledger.ask(lambda board, _: board.newest)
        for actor in ACTORS:
            self.act(actor)
        return self.ledger.ask(lambda board, _: board.newest) != before

    def act(self, actor: Actor) -> None:
        """Decide, then do."""
        while self.ledger.decide(actor.NAME, actor.due):
            pass
        done = set()
        for command in self.ledger.ask(actor.due):
            if isinstance(command, Decide) or command in self.vain or command.key in done:
                continue
            done.add(command.key)
            said = self.perform(actor, command)
            if next(self.deeds) in self.crashes:
                raise Crashed
            self.ledger.say(actor.NAME, said)
            if not said:
                self.vain.add(command)

    def perform(self, actor: Actor, command: Command) -> list[Said]:
        try:
            return actor.perform(command, self.hands)
        except SwarmError as error:
            return actor.refused(command, error)

    # --- the world ---

    def move(self, choice: Random) -> bool:
        """Let one thing happen out there; False if nothing can. Hosts that are slow begin, programs end."""
        pending, running = self.sessions.pending(), self.sessions.open()
        if pending and choice.random() < 0.5:
            self.sessions.begin(choice.choice(pending))
        elif running:
            self.end(choice.choice(running))
        elif pending and choice.random() < 0.8:
            self.sessions.begin(choice.choice(pending))
        else:
            return False
        return True

    def end(self, session: str) -> None:
        spec = self.sessions.specs[session]
        path = spec.cwd.removeprefix(f"{ROOT}/")
        if spec.kind != "agent":
            broken = any("broken" in text for text in self.repository.worktrees[path].files.values())
            self.sessions.end(session, 1 if broken else 0)
            return
        plan = self.works[spec.issue]
        work = plan[min(spec.attempt, len(plan)) - 1]
        text = {"breaks": "broken\n", "clashes": f"{spec.issue}\n"}.get(work, "fine\n")
        if work not in ("fails", "nothing"):
            self.repository.write(path, {"README" if work == "clashes" else spec.issue: text})
        if work == "dies":
            self.sessions.die(session)
        else:
            self.sessions.end(session, 1 if "fail" in work else 0, recorded=work != "unrecorded")

    def meddle(self, act: str, choice: Random) -> None:
        """What a person may do meanwhile."""
        issue = choice.choice(sorted(self.works))
        generation = self.board()[issues.State].all[issue].generation
        running = self.sessions.open()
        if act == "kill" and running:
            name = choice.choice(running)
            spec = self.sessions.specs[name]
            self.person(SessionKillRequested(name, spec.attempt, "enough"), spec.issue)
        elif act == "commit":
            self.repository.commit("main", {"person": f"{self.now}\n"})
        elif act in ("close", "reopen"):
            self.person(IssueClosed(generation) if act == "close" else IssueReopened(), issue)

    def run(self, choice: Random, acts: Mapping[int, str] = MappingProxyType({})) -> None:
        """Until nothing is left to do. A crash is followed by a start. At the turns in `acts` a person meddles."""
        waited = False
        for turn in range(2000):
            self.meddle(acts.get(turn, ""), choice)
            try:
                if self.round():
                    waited = False
                    self.check_limit()
                    continue
            except Crashed:
                self.boot()
                continue
            self.vain.clear()
            if not self.move(choice):
                if waited and self.board()[runs.State].held:  # tests were lost: a person starts it again
                    self.boot()
                    waited = False
                    continue
                if waited:
                    return
                self.now += START_GRACE + 1  # what was asked for long ago and never came up is lost
                waited = True
        raise AssertionError("it does not come to an end")

    def check_limit(self) -> None:
        kinds = [self.sessions.specs[name].kind for name in self.sessions.open()]
        assert kinds.count("agent") <= self.max_agents
        assert kinds.count("landing") <= 1

    # --- what came of it ---

    def board(self) -> Board:
        return Board().fold(read_all(self.folder))

    def events(self, kind: type[Fact], issue: str = "") -> list[Event[Any]]:
        return [e for e in read_all(self.folder) if isinstance(e.data, kind) and issue in ("", e.subject)]

    def status(self, issue: str) -> str:
        return self.board()[issues.State].all[issue].status


@contextmanager
def driver(
    works: dict[str, list[str]],
    needs: dict[str, list[str]] | None = None,
    crashes: frozenset[int] = frozenset(),
    slow: bool = False,
    agents_: int = 2,
) -> Iterator[Driver]:
    """A swarm with these issues."""
    with tempfile.TemporaryDirectory() as folder:
        made = Driver(folder, works, crashes, slow, agents_)
        try:
            for issue in works:
                made.person(IssueOpened(f"Do {issue}", "true", needs=(needs or {}).get(issue, [])), issue)
            yield made
        finally:
            made.log.close()


def check(d: Driver) -> None:
    """What holds after every run, whatever happened in it."""
    board, events = d.board(), read_all(d.folder)
    assert not list(board[agents.State].sessions())
    prepared = {e.data.path for e in events if e.type == "worktree.prepared"}
    # (One that was made in a crash, of an attempt that was called off before the next start, is not known to the log.)
    assert not d.repository.worktrees.keys() & prepared, "worktrees are left"
    for issue in board[issues.State].known():
        waits = board[issues.State].waiting(issue)
        assert issue.status in (issues.DONE, issues.BLOCKED) or waits, f"{issue.id} is {issue.status}"
        assert issue.failures <= 2
    assigned = Counter((e.subject, e.data.attempt) for e in events if e.type == "issue.assigned")
    assert set(assigned.values()) <= {1}, "an attempt was given out twice"
    assert set(Counter(d.sessions.begun).values()) <= {1}, "a session was started twice"
    landed = [e for e in events if isinstance(e.data, MergeLanded)]
    generations = {(e.subject, e.data.attempt): e.data.generation for e in events if e.type == "issue.assigned"}
    times = Counter((e.subject, generations[e.subject, e.data.attempt]) for e in landed)
    assert set(times.values()) <= {1}, "an issue landed twice"
    assert set(Counter(d.repository.moves).values()) <= {1}
    assert set(d.repository.moves) == {e.data.commit for e in landed}, "the target moved otherwise"
    for event in landed:
        passed = [e for e in events if isinstance(e.data, BatchTested) and e.data.verdict == "passed"]
        good = {(e.data.base, e.data.commit) for e in passed if isinstance(e.data, BatchTested) and e.id < event.id}
        assert (event.data.base, event.data.commit) in good, "what landed was not tested"
    target = d.repository.files(d.repository.tip("main"))
    assert "broken" not in "".join(target.values())
    for event in events:
        if event.type == "worktree.removed":
            saved = [e for e in events if isinstance(e.data, WorkSecured) and e.id < event.id]
            assert event.data.secured in [e.data.commit for e in saved], "removed before it was secured"


def check_replay(d: Driver) -> None:
    """The log alone, in any order, shows what the running system saw."""
    seen = d.ledger.ask(lambda board, _: snapshot(board))
    events = read_all(d.folder)
    assert snapshot(Board().fold(events)) == seen
    twice = events * 2
    Random(2).shuffle(twice)
    assert snapshot(Board().fold(twice)) == seen
