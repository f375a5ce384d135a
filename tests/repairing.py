"""A log that is spoilt and repaired. Rule: it is done by somebody who has just come, with the real disk."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.events import IssueOpened, LogRepaired
from swarm.eventlog.fact import Event
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.repair import Plan, plan, repair
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify

OpenLog = Callable[..., Log]


def opened(*titles: str) -> list[Draft]:
    return [Draft(IssueOpened(title), "human", f"sw-{title}") for title in titles]


class Bench:
    """The log of node n1, and what is done to it."""

    def __init__(self, folder: Path, open_log: OpenLog) -> None:
        self.folder, self.quarantine = folder, folder.parent / "quarantine"
        self.quarantine.mkdir()
        self.open_log = open_log
        self.log = open_log(str(folder))
        self.file = folder / "n1.jsonl"

    def write(self, *titles: str) -> list[bytes]:
        """Append issues with these titles; the lines of the growing file."""
        self.log.append(opened(*titles))
        return self.lines

    @property
    def lines(self) -> list[bytes]:
        return self.file.read_bytes().splitlines(keepends=True)

    def put(self, *lines: bytes) -> None:
        """Have the growing file say that, as an editor would."""
        self.file.write_bytes(b"".join(lines))

    def repair(self, stamp: str = "1") -> Plan:
        """By somebody who has just come."""
        return repair(self.open_log(str(self.folder)), str(self.quarantine), stamp, "human")

    def moved(self) -> dict[str, bytes]:
        """What is in quarantine."""
        return {path.name: path.read_bytes() for path in sorted(self.quarantine.iterdir())}

    def titles(self) -> list[str]:
        return [event.data.title for event in self.events() if isinstance(event.data, IssueOpened)]

    def events(self) -> list[Event[Any]]:
        return read_all(str(self.folder))

    def facts(self) -> list[LogRepaired]:
        return [event.data for event in self.events() if isinstance(event.data, LogRepaired)]

    def is_whole(self) -> bool:
        """Whether verify has no error, and a second repair nothing to do."""
        report = verify(str(self.folder))
        assert report.errors == []
        return not plan(str(self.folder), "n1.jsonl")


@pytest.fixture
def bench(folder: str, open_log: OpenLog) -> Bench:
    """Import it into a test module to use it."""
    return Bench(Path(folder), open_log)
