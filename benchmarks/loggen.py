"""A log as a swarm of some weeks leaves it: `python loggen.py FOLDER EVENTS [NODES]`.

Rule: every line is one that the writer itself could have written, in files that it could have left: sealed segments of
about 1 MiB and a growing file per node. Issues live their whole life (one in eight fails and is tried again), all but
about 50 of them are done; seven lines in ten are signs of life and accounts of use. The same arguments give the same
bytes.
"""

import heapq
import os
import sys
from collections.abc import Iterator
from random import Random
from typing import Any

from swarm.eventlog.events import (
    AttemptRetried,
    GateFinished,
    IssueAssigned,
    IssueClosed,
    IssueOpened,
    MailAcked,
    MailDelivered,
    MailSent,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeTested,
    RunStarted,
    SessionExited,
    SessionProgressed,
    SessionRequested,
    SessionStarted,
    UsageReported,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import node_bits, rfc3339
from swarm.eventlog.lines import digest, encode, envelope
from swarm.eventlog.segments import FULL, SUFFIX, sealed_name

BEGIN = 1_760_000_000_000
"""Unix milliseconds of the first event."""
AT_ONCE = 12
"""Agents at work."""
LIVE = 50
"""Issues that are not done at the end: those at work, and those that wait."""
BASE = "ba5e" * 10

Step = tuple[str, str, Fact]
"""(source, subject, fact); `{id}` in a letter's fact stands for the letter's own id."""


SIGNS = (20, 100)
"""How many signs of life a session gives, from few to many."""


def write(folder: str, events: int, nodes: int = 1, seed: int = 1) -> int:
    """Write so many events (some more: no attempt is cut in two by the end) into the folder; returns their bytes."""
    os.makedirs(folder, exist_ok=True)
    writers = [_Writer(folder, f"n{number:012x}", Random(seed + number)) for number in range(1, nodes + 1)]
    try:
        while sum(writer.count for writer in writers) < events:
            min(writers, key=lambda writer: writer.now).go_on()
    finally:
        for writer in writers:
            writer.close()
    return sum(writer.bytes for writer in writers)


class _Writer:
    """One node's files. Its clock moves some milliseconds with every event."""

    def __init__(self, folder: str, node: str, chance: Random) -> None:
        self._folder, self._node, self._chance = folder, node, chance
        self._path = os.path.join(folder, node + SUFFIX)
        self._low = f"{8 << 60 | node_bits(node) << 46:016x}"[:6]
        self._prev, self._run = "", f"run-{chance.getrandbits(32):08x}"
        self._lines: list[bytes] = []
        self._size, self._first = 0, ""
        self._turns: list[tuple[float, int, Iterator[Step]]] = []
        self._issues = 0
        self.now, self.count, self.bytes = float(BEGIN), 0, 0
        self._say("system", self._run, _run(node))
        for _ in range(LIVE):
            self._open()

    def go_on(self) -> None:
        """The next event of the issue whose turn it is."""
        when, number, life = heapq.heappop(self._turns)
        step = next(life, None)
        if step is None:
            self._open()
            return
        self._say(*step)
        heapq.heappush(self._turns, (when + self._chance.random(), number, life))

    def close(self) -> None:
        """Write what is left into the growing file."""
        with open(self._path, "ab") as file:
            file.write(b"".join(self._lines))
        self._lines = []

    def _open(self) -> None:
        """One more issue; the swarm comes to it when as many are done as agents are at work."""
        self._issues += 1
        issue = f"sw-{self._chance.getrandbits(32):08x}"
        opened = IssueOpened(title=f"Make part {self._issues} work", body="As the note says.\n" * 3)
        generation = self._say("human", issue, opened)
        begin = self._turns[0][0] if self._turns else 0.0
        wait = self._issues / AT_ONCE * 60 if self._issues <= LIVE else LIVE / AT_ONCE * 60
        life = self._life(issue, f"builder-{self._issues % AT_ONCE + 1}", generation)
        heapq.heappush(self._turns, (begin + wait, self._issues, life))

    def _say(self, source: str, subject: str, fact: Fact) -> str:
        self.now += 1 + self._chance.random() * 40
        at = int(self.now)
        low = f"{self._low[:4]}-{self._low[4:6]}{self.count:010x}"
        id_ = f"{at >> 16:08x}-{at & 0xFFFF:04x}-7{self.count & 0xFFF:03x}-{low}"
        event = envelope(
            fact,
            id=id_,
            time=rfc3339(id_),
            source=source,
            subject=subject,
            correlationid=self._run,
            prev=self._prev,
        )
        line = encode(event)
        self._prev = digest(line)
        self._first = self._first or id_
        self._lines.append(line)
        self._size += len(line)
        self.bytes += len(line)
        self.count += 1
        if self._size >= FULL:
            self.close()
            os.rename(self._path, os.path.join(self._folder, sealed_name(self._node, self._first)))
            self._size, self._first = 0, ""
        return id_

    # --- an issue's life ---

    def _life(self, issue: str, agent: str, generation: str) -> Iterator[Step]:
        number = 1
        while True:
            good = self._chance.random() > 1 / 8
            yield from self._attempt(issue, number, agent, generation, good)
            if good:
                closed = IssueClosed(generation=generation, reason="landed", commit=_sha(f"merge {issue}"))
                yield "coordinator", issue, closed
                break
            yield "watchdog", issue, AttemptRetried(attempt=number, reason="the tests fail (exit code 1)")
            number += 1
        secured = _sha(f"{issue}-{number}")
        yield "builder", issue, WorktreeRemoved(attempt=number, path=_path(issue, number), secured=secured)

    def _attempt(self, issue: str, number: int, agent: str, generation: str, good: bool) -> Iterator[Step]:
        commit = _sha(f"{issue}-{number}")
        branch = f"swarm/{agent}/{issue}-{number}"
        yield "coordinator", issue, IssueAssigned(number, generation, agent, "builder", "pi", node=self._node)
        yield "builder", issue, WorktreePrepared(number, _path(issue, number), branch, BASE)
        yield from self._session(issue, number, f"{issue}-{number}", "agent", agent)
        yield "builder", issue, WorkSecured(number, f"refs/heads/{branch}", commit, BASE, 2, ["a.py", "b.py"])
        yield from self._session(issue, number, f"{issue}-{number}-gate", "gate", "")
        if not good:
            yield "builder", issue, GateFinished(number, commit, "failed", "make test", 1, "2 failed\n")
            yield "builder", issue, WorkRejected(number, "the tests fail (exit code 1)", "2 failed\n")
            yield "builder", issue, WorktreeRemoved(number, _path(issue, number), commit)
            return
        yield "builder", issue, GateFinished(number, commit, "passed", "make test", 0, "80 passed\n")
        yield "merger", issue, MergeQueued(number, branch, commit)
        merge = _sha(f"merge {issue}")
        yield "merger", issue, MergePrepared(number, BASE, merge, BASE)
        yield from self._session(issue, number, f"{issue}-{number}-land-{merge[:8]}", "landing", "")
        yield "merger", issue, MergeTested(number, BASE, merge, "passed", "make test", 0, "80 passed\n")
        yield "merger", issue, MergeLanded(number, "main", BASE, merge)

    def _session(self, issue: str, number: int, name: str, kind: str, agent: str) -> Iterator[Step]:
        """A session; an agent's own shows life, uses a model, and writes two letters."""
        host = f"session/{name}"
        pid = self._chance.getrandbits(16)
        yield "builder", issue, SessionRequested(session=name, attempt=number, kind=kind, host_pid=pid)
        yield host, issue, SessionStarted(name, number, kind, "b007" * 9, pid + 1, 7, pid, 6)
        if agent:
            signs = self._chance.randint(*SIGNS)
            for sign in range(1, signs + 1):
                yield host, issue, SessionProgressed(name, number, sign * 900, sign, f"edits part {sign}")
                if sign % 3 == 0:
                    use = UsageReported(name, number, "m1", "runtime", sign, sign * 2000, sign * 90, 0, sign / 1000)
                    yield host, issue, use
                if sign == signs // 2:
                    yield from self._letter(f"agent/{agent}", issue, "human", "Half of it is there.")
            yield from self._letter(f"agent/{agent}", issue, "coordinator", "It works, over to you.")
        yield host, issue, SessionExited(name, number, 0, True, 60.0, report="All is well.", output=90_000)

    def _letter(self, source: str, issue: str, to: str, body: str) -> Iterator[Step]:
        """A letter and what became of it: it is written here, for what follows names its id."""
        letter = self._say(source, issue, MailSent(to=[to], body=body, kind="progress", issue=issue))
        yield to, letter, MailDelivered(letter=letter, reader=to)
        if to == "coordinator":
            yield to, letter, MailAcked(letter=letter, reader=to)


def _run(node: str) -> RunStarted:
    return RunStarted(1, "b007" * 9, 1, "0", "main", "pi", AT_ONCE, 2, test="make test", node=node)


def _path(issue: str, number: int) -> str:
    return f".swarm/worktrees/{issue}-{number}"


def _sha(of: str) -> str:
    return digest(of.encode()).ljust(40, "0")


if __name__ == "__main__":
    arguments: list[Any] = sys.argv[1:]
    print(write(arguments[0], int(arguments[1]), int(arguments[2]) if len(arguments) > 2 else 1), "bytes")
