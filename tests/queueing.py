"""The Merger alone with a queue: a board, a repository in memory, and tests that judge the files they see. Rule: every
event goes through the board, and nothing is decided here but what a test says.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from swarm.actors import merger
from swarm.actors.command import Command, Decide
from swarm.actors.hands import Hands
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    BatchDissolved,
    BatchTested,
    Gate,
    GateFinished,
    IssueAssigned,
    IssueOpened,
    MergeConflicted,
    MergeLanded,
    MergePolicy,
    MergeQueued,
    MergeRejected,
    RunStarted,
    SessionExited,
    WorkSecured,
    WorktreePrepared,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.ids import Minter, node_bits, rfc3339
from swarm.eventlog.lines import envelope
from swarm.projections import Board
from swarm.world import SessionSpec

from doubles import ROOT, MemoryRepository, hands
from history import BEGIN

Files = Mapping[str, str]
Says = Callable[[Files, int], int]
"""What a test says of the files it sees, in its n-th run (from 0): an exit code."""


class Programs:
    """Satisfies the Protocol `Sessions`: what was started runs until the test of the Merger lets it end."""

    def __init__(self) -> None:
        self.open: dict[str, SessionSpec] = {}
        self.most = 0

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        assert spec.cwd not in [other.cwd for other in self.open.values()], "two tests in one worktree"
        self.open[spec.session] = spec
        self.most = max(self.most, len(self.open))
        return 7

    def running(self, session: str) -> bool:
        return session in self.open

    def settle(self, session: str) -> bool:
        return session not in self.open

    def kill(self, session: str) -> None:
        self.open.pop(session, None)

    def interrupt(self, session: str) -> None:
        """Nobody asks for that here."""


class Queue:
    """A run of the Merger with these settings. `runs`: the trees that were tested, one entry for each run."""

    def __init__(self, says: Says, gates: tuple[Gate, ...] = (Gate("test", "make test"),), **policy: Any) -> None:
        self.now, self.numbers = BEGIN, 0
        self.board, self.events = Board(), list[Event[Any]]()
        self._minter = Minter(node_bits("n1"), lambda: self.now, self._next)
        self.repository, self.programs = MemoryRepository({"README": "hello\n"}), Programs()
        self.hands: Hands = hands(self.repository, self.programs, "/log")  # type: ignore[arg-type]
        self.says, self.runs = says, list[str]()
        self.merge = MergePolicy(**policy)
        self.gates, self.target = gates, "main"
        self.start()

    def _next(self) -> int:
        self.numbers += 1
        return self.numbers

    def start(self) -> None:
        """`swarm start`: the runs are `run-1`, `run-2`, …"""
        self.run = f"run-{len(self.of(RunStarted)) + 1}"
        self.hands = msgspec.structs.replace(self.hands, run=self.run)
        self.add(
            RunStarted(1, "boot", 1, "0", self.target, "shell", 4, 1, gates=list(self.gates), merge=self.merge),
            self.run,
        )

    def add(self, fact: Fact, subject: str, cause: str = "") -> str:
        """One more event."""
        self.now += 0.001
        id_ = self._minter.mint(self.board.newest)
        made = envelope(
            fact, id=id_, time=rfc3339(id_), source="s", subject=subject, causationid=cause, correlationid=self.run
        )
        self.events.append(made)
        self.board.apply(made)
        return id_

    def branch(self, issue: str, files: Files, priority: int = 3) -> None:
        """An attempt with these changes passed its own test, and is to be queued."""
        opened = self.add(IssueOpened(f"Do {issue}", priority=priority), issue)
        path, name, base = f"w/{issue}", f"swarm/builder-1/{issue}-1", self.repository.tip("main")
        self.repository.prepare(path, name, base)
        self.repository.write(path, files)
        done = self.repository.secure(path, name, base, f"refs/heads/{name}", f"Do {issue}", "kim")
        self.add(IssueAssigned(1, opened, "builder-1", "builder", "shell"), issue)
        self.add(WorktreePrepared(1, path, name, base), issue)
        self.add(WorkSecured(1, done.ref, done.commit, base, done.commits, done.files), issue)
        self.add(MergeQueued(1, name, done.commit), issue, self.add(GateFinished(1, done.commit, "passed"), issue))

    def settle(self, between: Callable[[], object] = lambda: None) -> "Queue":
        """Until nothing is due any more and no test runs; `between` is called after every round."""
        for _ in range(3000):
            if not self.round() and not self.finish():
                return self
            between()
        raise AssertionError("it does not come to an end")

    def round(self) -> bool:
        """What is due is done; whether anything was."""
        due = merger.due(self.board, self.now)
        decided = [command for command in due if isinstance(command, Decide)]
        for each in decided:
            self.add(each.fact, each.subject, each.cause)
        said = [] if decided else [one for command in due for one in self.perform(command)]
        for one in said:
            self.add(one.fact, one.subject, one.cause)
        return bool(decided or said)

    def perform(self, command: Command) -> Any:
        """As a shell does."""
        try:
            return merger.perform(command, self.hands)
        except SwarmError as error:
            return merger.refused(command, error)

    def finish(self) -> bool:
        """The test that was begun first ends; False if none runs."""
        for name, spec in list(self.programs.open.items()):
            path = spec.cwd.removeprefix(f"{ROOT}/")
            there = self.repository.worktrees[path]
            code = self.says(there.files, len(self.runs))
            self.runs.append(there.head)
            del self.programs.open[name]
            self.add(SessionExited(name, spec.attempt, code, code == 0, 1.0, tail="E" if code else ""), spec.issue)
            return True
        return False

    # --- what came of it ---

    def of(self, kind: type[Fact]) -> list[Event[Any]]:
        """The events of that kind."""
        return [event for event in self.events if isinstance(event.data, kind)]

    def issues(self, kind: type[Fact]) -> list[str]:
        """What they are about."""
        return [event.subject for event in self.of(kind)]

    @property
    def landed(self) -> list[str]:
        """The issues that landed, in order."""
        return self.issues(MergeLanded)

    @property
    def rejected(self) -> list[str]:
        """The issues that were rejected, in order."""
        return self.issues(MergeRejected)

    @property
    def conflicted(self) -> list[str]:
        """The issues that did not merge."""
        return self.issues(MergeConflicted)

    @property
    def words(self) -> list[str]:
        """The verdicts, in order."""
        return [event.data.verdict for event in self.of(BatchTested)]

    def failed(self) -> list[int]:
        """The sizes of the batches of the queue in which a culprit was found."""
        formed = {event.subject: event.data for event in self.events if event.type == "batch.formed"}
        ended = [event for event in self.of(BatchDissolved) if event.data.failed]
        return [len(formed[event.subject].members) for event in ended if not formed[event.subject].of]


def replaced(queue: Queue, **policy: Any) -> None:
    """Other settings, as of the next start."""
    queue.merge = msgspec.structs.replace(queue.merge, **policy)


def good(_files: Files, _run: int) -> int:
    """Everything passes."""
    return 0


def unless(*bad: str) -> Any:
    """Fails if one of these is there."""
    return lambda files, _run: int(any(name in files for name in bad))


def queue_of(count: int, says: Any = good, **policy: Any) -> Queue:
    """So many branches `i0`, `i1`, … that each write a file of their own name."""
    queue = Queue(says, **policy)
    for number in range(count):
        queue.branch(f"i{number}", {f"i{number}": "x\n"})
    return queue


def until_test(queue: Queue) -> None:
    """Until nothing is due but the end of a test."""
    while queue.round():
        pass
    assert queue.programs.open
