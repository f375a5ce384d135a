"""A log in memory, for pure rooms: `log.say(…)` appends, `log.board` is what the log comes to."""

import pytest

from swarm.eventlog.events import IssueAssigned, IssueOpened, MailSent, WorkRejected
from swarm.eventlog.fact import Fact
from swarm.eventlog.lines import envelope
from swarm.projections import Board, mail


class Told:
    """Ids are `0001`, `0002`, …: only their order counts here."""

    def __init__(self) -> None:
        self.board = Board(("agents", "issues", "mail"))
        self.count = 0

    def say(self, source: str, subject: str, fact: Fact) -> str:
        """Append one event; returns its id."""
        self.count += 1
        event = envelope(fact, id=f"{self.count:04}", time=f"at {self.count}", source=source, subject=subject)
        self.board.apply(event)
        return event.id

    def open(self, issue: str) -> str:
        return self.say("human", issue, IssueOpened(title=issue))

    def assign(self, issue: str, agent: str, number: int = 1, role: str = "builder") -> str:
        given = IssueAssigned(attempt=number, generation="g", agent=agent, role=role, runtime="shell")
        return self.say("coordinator", issue, given)

    def end(self, issue: str, number: int = 1) -> str:
        return self.say("builder", issue, WorkRejected(attempt=number, reason="no commits"))

    def send(self, source: str, *to: str, body: str = "x", priority: int = 3, issue: str = "") -> mail.Letter:
        sent = self.say(source, issue, MailSent(to=list(to), body=body, priority=priority, issue=issue))
        return self.board[mail.State].letters[sent]


@pytest.fixture
def log() -> Told:
    return Told()
