"""Given a run, and hands that are all in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.actors.hands import Hands
from swarm.eventlog.files import Log

from doubles import MemoryRepository, ScriptedSessions, hands
from history import BEGIN, History


class Bench:
    """Hands in memory, on a real log."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.log = Log(str(folder), "n1", lambda: BEGIN, lambda: 1)
        self.repository = MemoryRepository({"README": "hello\n"})
        self.sessions = ScriptedSessions(self.log)
        self.written: dict[str, str] = {}
        self.hands: Hands = hands(self.repository, self.sessions, str(folder), self.written)


@pytest.fixture
def h() -> History:
    """A run with 4 agents, 1 retry and a test command, and one open issue `a`."""
    made = History()
    made.run()
    made.issue("a")
    return made


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "log")
    yield made
    made.log.close()
