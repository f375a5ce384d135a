"""A history of a log that several clones share, as the node n1 sees it, and what its actors make of that."""

from swarm.actors import coordinator, merger
from swarm.actors.coordinator import Share
from swarm.actors.landing import Land
from swarm.eventlog.events import (
    AttemptCancelled,
    IssueAssigned,
    LeaseAcquired,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import Minter, node_bits
from swarm.projections import Board

from history import History, decided

HOUR = 3600.0
HERE, THERE = "n1", "n2"
SHARED = {"node": HERE, "sync": "origin", "lease": HOUR}


class Shared(History):
    """A history as the node n1 sees it."""

    def board(self) -> Board:
        return Board(here=HERE).fold(self.events)

    def lease(self, issue: str = "a", node: str = HERE, until: float = 0.0, after: str = "") -> str:
        """Somebody acquires or prolongs a lease, for an hour from now on if nothing else is said."""
        fact = LeaseAcquired(node, self.generation(issue), until or self.now + HOUR, after)
        return self.add(fact, issue, "carrier")

    def walk(self, stage: str, issue: str = "a", attempt: int = 1, node: str = HERE, lease: str = "") -> str:
        """An attempt of that node gets so far; that node writes it down."""
        ours, self._minter = self._minter, self.minter(node)
        self.to("assigned", issue, attempt, node=node, lease=lease, agent=f"builder-1-{node}")
        last = self.to(stage, issue, attempt) if stage != "assigned" else self.events[-1].id
        self._minter = ours
        return last

    def minter(self, node: str) -> Minter:
        """What makes that node's ids."""
        return Minter(node_bits(node), lambda: self.now, lambda: len(self.events))


def wanted(h: History, now: float = 0.0) -> list[str]:
    """The issues that are to be leased."""
    found = [command for command in coordinator.due(h.board(), now or h.now) if isinstance(command, Share)]
    return [issue for share in found for issue, _ in share.wanted]


def given(h: History, now: float = 0.0) -> list[tuple[str, IssueAssigned]]:
    return [(s, f) for s, f in decided(coordinator.due(h.board(), now or h.now)) if isinstance(f, IssueAssigned)]


def cancelled(h: History) -> list[tuple[str, Fact]]:
    return [(s, f) for s, f in decided(coordinator.due(h.board(), h.now)) if isinstance(f, AttemptCancelled)]


def lands(h: History, now: float = 0.0) -> list[Land]:
    return [command for command in merger.due(h.board(), now or h.now) if isinstance(command, Land)]


def landing(h: History) -> list[str]:
    """The issues that are to land."""
    return [one.issue for land in lands(h) for one in land.members]
