"""P1: an event whose append returned is in the log, once and whole, whoever is killed and whenever.

Writers append for ever; each tells when an append has returned. What is left of a writer that was killed is then
exactly what it was told it has written, and at most the one letter more that it was writing.
"""

import os
import random
import select
import signal
from collections import Counter
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.disk import REAL, Disk
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.segments import files
from swarm.eventlog.tail import Tail
from swarm.eventlog.verify import verify

from soak import amount

OpenLog = Callable[..., Log]
HEAD = b'{"type":"mail.sent","id":"'
ENVELOPE = 220
"""Bytes of a line beside its body."""
PATIENCE = 30


def letter(body: str, size: int = 0) -> Draft:
    """One whose line is about so long."""
    return Draft(MailSent(to=["human"], body=body.ljust(size - ENVELOPE, ".")), source="agent/kim")


class Mortal:
    """The real disk, whose process is killed at its `call`-th call; if that writes, in the midst of it."""

    def __init__(self, call: int) -> None:
        self.left = call

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    os.write(args[0], args[1][: random.randrange(len(args[1]) + 1)])
                os.kill(os.getpid(), signal.SIGKILL)
            return getattr(REAL, name)(*args)

        return call


class Crowd:
    """Processes that append letters `<number of the process> <number of the letter>`, each until it is killed.

    `acknowledged`: how many of its appends returned, by the number of the process.
    """

    def __init__(self, folder: str, open_log: OpenLog, children: Any, size: int, seals: float) -> None:
        self.folder, self.open_log, self.children, self.size, self.seals = folder, open_log, children, size, seals
        self.acknowledged: Counter[int] = Counter()
        self.lives: list[int] = []
        self.killed = 0
        self._heard, self._say = os.pipe()

    def start(self, disk: Disk = REAL) -> int:
        """One more; its pid."""
        number = len(self.lives)
        self.lives.append(self.children.run(lambda: self._work(number, disk)))
        return self.lives[-1]

    def _work(self, number: int, disk: Disk) -> None:
        log, chance, say = self.open_log(self.folder, disk=disk), random.Random(number), number.to_bytes(4, "little")
        for n in count():
            if chance.random() < self.seals:
                log.seal(1)
            log.append([letter(f"{number} {n} ", self.size)])
            os.write(self._say, say)

    def hear(self, many: int = 0) -> None:
        """Take in what was acknowledged; with `many`, wait until it is so much more."""
        while select.select([self._heard], [], [], PATIENCE if many > 0 else 0)[0]:
            many -= self._take_in()
            if many <= 0:
                return
        assert many <= 0, "nobody appends any more"

    def _take_in(self) -> int:
        said = memoryview(os.read(self._heard, 65536)).cast("I")
        self.acknowledged.update(said)
        return len(said)

    def kill(self, pid: int) -> None:
        self.children.kill(pid)
        self.killed += 1

    def died(self, pid: int) -> None:
        """Wait for one to die of itself."""
        assert self.children.wait(pid) == -signal.SIGKILL
        self.killed += 1

    def end(self) -> None:
        os.close(self._say)
        while self._take_in():
            pass
        os.close(self._heard)
        self.open_log(self.folder).append([letter("end")])


def check(crowd: Crowd) -> int:
    """Nothing acknowledged is lost, nothing is there twice, no torn line is glued to another. How many were torn."""
    tail, found, last = Tail(crowd.folder), Counter[int](), ""
    for batch in tail.batches():
        for event in batch:
            assert event.id > last, "the node's events are in order"
            last, words = event.id, event.data.body.split()[:2]
            if words[0] != "end":
                life, n = map(int, words)
                assert n == found[life], "each of a writer's letters comes once, after the one before"
                found[life] += 1
    unsaid = [found[life] - crowd.acknowledged[life] for life in range(len(crowd.lives))]
    assert set(unsaid) <= {0, 1}, "what was acknowledged is there, and at most the letter that it was killed in"
    for bad in tail.bad:
        torn = Path(crowd.folder, bad.file).read_bytes()[bad.offset : bad.offset + bad.length]
        assert torn[: len(HEAD)] == HEAD[: len(torn)]
        assert torn.count(b'"type"') <= 1, "it is the beginning of one line"
    report = verify(crowd.folder)
    assert [error for error in report.errors if "no event" not in error] == []
    assert (len(report.errors), report.notes, report.events) == (len(tail.bad), [], found.total() + 1)
    assert len(tail.bad) <= crowd.killed
    return len(tail.bad)


@pytest.mark.parametrize("size", [200, 3_000, 30_000])
def test_p1_kill_9_of_any_writer_at_any_moment_loses_and_doubles_nothing_acknowledged(
    folder: str, open_log: OpenLog, children: Any, size: int
) -> None:
    chance, crowd = random.Random(size), Crowd(folder, open_log, children, size, seals=0.02)
    alive = [crowd.start() for _ in range(4)]
    for _ in range(amount(ci=60, full=1_000)):
        crowd.hear(chance.randrange(1, 20))
        crowd.kill(alive.pop(chance.randrange(len(alive))))
        alive.append(crowd.start())
    for pid in alive:
        crowd.kill(pid)
    crowd.end()
    check(crowd)
    assert len(files(os.listdir(folder))) > 3, "files were sealed meanwhile"


@pytest.mark.parametrize("size", [200, 30_000])
def test_p1_kill_9_at_any_call_of_the_disk_also_while_sealing_loses_and_doubles_nothing_acknowledged(
    folder: str, open_log: OpenLog, children: Any, size: int
) -> None:
    """Between the sync and the rename, between that and the new file, in the midst of a line: at every call there is,
    again and again. Three at a time, so that each dies in what another has left."""
    crowd = Crowd(folder, open_log, children, size, seals=0.5)
    for first in range(0, amount(ci=120, full=1_200), 3):
        for pid in [crowd.start(Mortal(1 + call % 40)) for call in range(first, first + 3)]:
            crowd.died(pid)
        crowd.hear()
    crowd.end()
    assert check(crowd) > 0, "lines were torn"


def test_p1_sixteen_processes_append_much_and_are_killed_at_random(
    folder: str, open_log: OpenLog, children: Any
) -> None:
    chance, crowd, wanted = random.Random(1), Crowd(folder, open_log, children, 250, seals=0), amount(20_000, 1_000_000)
    alive = [crowd.start() for _ in range(16)]
    while crowd.acknowledged.total() < wanted:
        crowd.hear(chance.randrange(wanted // 40))
        crowd.kill(alive.pop(chance.randrange(len(alive))))
        alive.append(crowd.start())
    for pid in alive:
        crowd.kill(pid)
    crowd.end()
    check(crowd)
