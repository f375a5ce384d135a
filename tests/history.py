"""Histories for unit tests: given these events. Rule: real envelopes and real ids, and a clock that a test moves."""

from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from typing import Any

import msgspec

from swarm.actors.command import Command, Decide
from swarm.eventlog.events import (
    BatchFormed,
    BatchStacked,
    BatchTested,
    CheckoutSeen,
    GateFinished,
    IssueAssigned,
    IssueOpened,
    MailSent,
    MergeLanded,
    MergeQueued,
    RunStarted,
    SessionExited,
    SessionLost,
    SessionRequested,
    SessionStarted,
    WorkSecured,
    WorktreePrepared,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.ids import Minter, node_bits, rfc3339
from swarm.eventlog.lines import envelope
from swarm.projections import Board, agents, alerts, batches, budgets, costs, issues, mail, merges, runs

BEGIN = 1_800_000_000.0
BASE = "ba5e" * 10
STATES = (
    *(agents.State, alerts.State, batches.State, budgets.State, costs.State),
    *(issues.State, mail.State, merges.State, runs.State),
)
STAGES = (
    "assigned",
    "prepared",
    "seen",
    "requested",
    "started",
    "exited",
    "secured",
    "gate_requested",
    "gate_exited",
    "gated",
    "queued",
    "formed",
    "stacked",
    "test_requested",
    "test_exited",
    "tested",
    "landed",
)
"""An attempt's way, as `History.to` walks it."""


def commit(of: str) -> str:
    """Some commit's id."""
    return blake2b(of.encode(), digest_size=20).hexdigest()


class History:
    """The events so far. Each comes a second after the one before; every method that adds one returns its id."""

    def __init__(self) -> None:
        numbers = count(1)
        self.now = BEGIN
        self.events: list[Event[Any]] = []
        self._minter = Minter(node_bits("n1"), lambda: self.now, lambda: next(numbers))
        self._reached: dict[tuple[str, int], int] = {}

    def add(self, fact: Fact, subject: str = "", source: str = "human", cause: str = "", run: str = "run-1") -> str:
        """One more event."""
        self.now += 1
        id_ = self._minter.mint(self.events[-1].id if self.events else "")
        made = envelope(
            fact,
            id=id_,
            time=rfc3339(id_),
            source=source,
            subject=subject,
            causationid=cause,
            correlationid=run,
        )
        self.events.append(made)
        return id_

    def board(self) -> Board:
        """The state of everything after them."""
        return Board().fold(self.events)

    def generation(self, issue: str) -> str:
        """The issue's, as of now."""
        known = self.board()[issues.State].all.get(issue)
        return known.generation if known else ""

    # --- runs and issues ---

    def run(self, run: str = "run-1", **settings: Any) -> str:
        """`swarm start` with 4 agents, 1 retry, a test command, and nothing kept of failures, unless told otherwise."""
        given: dict[str, Any] = {
            "pid": 1,
            "boot_id": "boot",
            "start_ticks": 1,
            "version": "0",
            "target": "main",
            "runtime": "shell",
            "max_agents": 4,
            "max_retries": 1,
            "test": "make test",
            "keep_failed": 0.0,
        }
        return self.add(RunStarted(**(given | settings)), run, "system", run=run)

    def issue(self, issue: str = "a", **words: Any) -> str:
        """A person opens an issue."""
        given: dict[str, Any] = {"title": f"Do {issue}", "body": "true"}
        return self.add(IssueOpened(**(given | words)), issue)

    def letter(self, *to: str, source: str = "human", **words: Any) -> str:
        """Somebody writes a letter."""
        given: dict[str, Any] = {"to": list(to), "body": "hello"}
        return self.add(MailSent(**(given | words)), words.get("issue", ""), source)

    # --- an attempt's way ---

    def to(self, stage: str, issue: str = "a", attempt: int = 1, **changes: Any) -> str:
        """Walk the attempt on to that stage; `changes` are of its last fact. Returns the last event's id."""
        begin, end = self._reached.get((issue, attempt), 0), STAGES.index(stage) + 1
        assert begin < end, f"{issue}-{attempt} has passed {stage}"
        self._reached[issue, attempt] = end
        id_ = ""
        for number in range(begin, end):
            step: Callable[..., str] = getattr(self, STAGES[number])
            id_ = step(issue, attempt, **(changes if number == end - 1 else {}))
        return id_

    def assigned(self, issue: str, attempt: int, **changes: Any) -> str:
        given: dict[str, Any] = {
            "attempt": attempt,
            "generation": self.generation(issue),
            "agent": "builder-1",
            "role": "builder",
            "runtime": "shell",
        }
        return self.add(IssueAssigned(**(given | changes)), issue, "coordinator")

    def prepared(self, issue: str, attempt: int, **changes: Any) -> str:
        given = WorktreePrepared(
            attempt=attempt,
            path=f".swarm/worktrees/{issue}-{attempt}",
            branch=f"swarm/builder-1/{issue}-{attempt}",
            base=BASE,
        )
        return self.add(msgspec.structs.replace(given, **changes), issue, "builder")

    def seen(self, issue: str, attempt: int) -> str:
        return self.add(CheckoutSeen(attempt, BASE, "main", ""), issue, "builder")

    def requested(self, issue: str, attempt: int, **changes: Any) -> str:
        given = SessionRequested(session=f"{issue}-{attempt}", attempt=attempt, kind="agent", host_pid=7)
        return self.add(msgspec.structs.replace(given, **changes), issue, "builder")

    def started(self, issue: str, attempt: int, **changes: Any) -> str:
        given = SessionStarted(f"{issue}-{attempt}", attempt, "agent", "boot", 8, 1, 7, 1)
        fact = msgspec.structs.replace(given, **changes)
        return self.add(fact, issue, f"session/{fact.session}")

    def exited(self, issue: str, attempt: int, **changes: Any) -> str:
        given = SessionExited(f"{issue}-{attempt}", attempt, 0, ok=True, seconds=2.0, report="All is well.")
        fact = msgspec.structs.replace(given, **changes)
        return self.add(fact, issue, f"session/{fact.session}")

    def lost(self, issue: str, attempt: int, session: str = "") -> str:
        return self.add(SessionLost(session or f"{issue}-{attempt}", attempt, "gone"), issue, "watchdog")

    def secured(self, issue: str, attempt: int, **changes: Any) -> str:
        name = f"{issue}-{attempt}"
        given = WorkSecured(
            attempt=attempt,
            ref=f"refs/heads/swarm/builder-1/{name}",
            commit=commit(name),
            base=BASE,
            commits=1,
            files=["a.py"],
        )
        return self.add(msgspec.structs.replace(given, **changes), issue, "builder")

    def gate_requested(self, issue: str, attempt: int, **changes: Any) -> str:
        return self.requested(issue, attempt, **({"session": f"{issue}-{attempt}-gate", "kind": "gate"} | changes))

    def gate_exited(self, issue: str, attempt: int, **changes: Any) -> str:
        return self.exited(issue, attempt, **({"session": f"{issue}-{attempt}-gate", "report": ""} | changes))

    def gated(self, issue: str, attempt: int, verdict: str = "passed") -> str:
        fact = GateFinished(attempt=attempt, commit=commit(f"{issue}-{attempt}"), verdict=verdict)
        return self.add(fact, issue, "builder")

    def queued(self, issue: str, attempt: int) -> str:
        name = f"{issue}-{attempt}"
        fact = MergeQueued(attempt=attempt, branch=f"swarm/builder-1/{name}", commit=commit(name))
        return self.add(fact, issue, "merger")

    def formed(self, issue: str, attempt: int, **changes: Any) -> str:
        given = BatchFormed(members=[(issue, attempt)])
        return self.add(msgspec.structs.replace(given, **changes), batch(issue, attempt), "merger")

    def stacked(self, issue: str, attempt: int, base: str = BASE) -> str:
        made = commit(f"merge of {issue}-{attempt} into {base}")
        given = BatchStacked("main", base, made, commit(f"tree of {issue}-{attempt} on {base}"), [made])
        return self.add(given, batch(issue, attempt), "merger")

    def test_requested(self, issue: str, attempt: int, **changes: Any) -> str:
        given = {"session": self.landing(issue, attempt), "kind": "landing"}
        return self.requested(issue, attempt, **(given | changes))

    def test_exited(self, issue: str, attempt: int, **changes: Any) -> str:
        return self.exited(issue, attempt, **({"session": self.landing(issue, attempt), "report": ""} | changes))

    def tested(self, issue: str, attempt: int, verdict: str = "passed", **changes: Any) -> str:
        stacked, exited = self._stacked(issue, attempt), self.events[-1].id
        given = BatchTested(stacked.base, stacked.commit, stacked.tree, verdict, "test", "make test")
        return self.add(msgspec.structs.replace(given, **changes), batch(issue, attempt), "merger", exited)

    def landed(self, issue: str, attempt: int) -> str:
        stacked = self._stacked(issue, attempt)
        fact = MergeLanded(
            attempt, "main", stacked.base, stacked.commit, batch=batch(issue, attempt), own=stacked.commit
        )
        return self.add(fact, issue, "merger")

    def landing(self, issue: str, attempt: int) -> str:
        """The session that tests the merge."""
        return f"{batch(issue, attempt)}-test-1"

    def _stacked(self, issue: str, attempt: int) -> BatchStacked:
        found = self.board()[batches.State].all[batch(issue, attempt)].stacked
        assert found
        return found


def batch(issue: str, attempt: int = 1) -> str:
    """The batch of this attempt alone."""
    return f"b-{commit(f'batch of {issue}-{attempt}')[:12]}"


def decided(due: list[Command]) -> list[tuple[str, Fact]]:
    """The decisions in what is due: (subject, fact)."""
    return [(command.subject, command.fact) for command in due if isinstance(command, Decide)]


def deeds(due: list[Command]) -> list[Command]:
    """The rest of it."""
    return [command for command in due if not isinstance(command, Decide)]


def snapshot(board: Board) -> Any:
    """All that a board holds, as plain values to compare."""
    return board.newest, [_plain(board[state]) for state in STATES]


def _plain(value: Any) -> Any:
    if isinstance(value, Event):
        return value.id
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__ if name[0] != "_"}
    return _plain(vars(value)) if hasattr(value, "__dict__") else value
