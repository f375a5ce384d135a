"""Several nodes at work on one list of issues, each in its own clone, on one clock: whatever is cut off, killed or
slow, no two have a lease on the same issue at once, and nothing lands without one (pain 19, across nodes).
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from swarm.actors.command import Said
from swarm.actors.ledger import Ledger, Whole
from swarm.eventlog.events import IssueAssigned, IssueOpened, LeaseAcquired, MergeLanded, RunStarted
from swarm.eventlog.fact import Event
from swarm.eventlog.files import Log
from swarm.eventlog.ids import time_of
from swarm.eventlog.lines import decode_block
from swarm.eventlog.tail import Tail, read_all
from swarm.projections import issues
from swarm.projections.leases import MARGIN

from doubles import MemoryCarrier, MemoryHub, MemoryRepository, ScriptedSessions, hands
from driver import CLEAN, Driver
from history import BEGIN, snapshot
from soak import amount

LEASE = 600.0
INTERLEAVINGS = amount(ci=60, full=1000)


class Clock:
    """The time, for everybody."""

    def __init__(self) -> None:
        self.now = BEGIN

    def tick(self) -> float:
        self.now += 0.001
        return self.now


class Node(Driver):
    """A driver whose log is shared, and whose clock is everybody's."""

    def __init__(self, folder: str, node: str, hub: MemoryHub, clock: Clock, works: dict[str, list[str]]) -> None:
        random = Random(node)
        self.folder, self.node, self.works, self.crashes = folder, node, works, frozenset()
        self.tick = clock.tick  # type: ignore[method-assign]
        self.log = Log(folder, node, self.tick, lambda: random.getrandbits(64), "none")
        self.repository = MemoryRepository(CLEAN)
        self.sessions = ScriptedSessions(self.log)
        self.carrier = MemoryCarrier(folder, node, hub, LEASE, self.tick, lambda: random.getrandbits(64))
        self.hands = hands(self.repository, self.sessions, folder, carrier=self.carrier)
        self.deeds = count(1)
        self.max_agents = 2
        self.boot()

    def boot(self) -> None:
        self.vain = set()
        self.ledger = Ledger(self.log, Whole(Tail(self.folder), here=self.node), "run-1", self.tick)
        settings = RunStarted(
            1,
            "boot",
            1,
            "0",
            "main",
            "shell",
            self.max_agents,
            1,
            test="make test",
            node=self.node,
            sync="hub",
            lease=LEASE,
        )
        self.ledger.say("system", [Said(f"run-{self.node}", settings)])

    def turn(self, choice: Random) -> None:
        """Its actors have a look, and something happens out there."""
        self.vain.clear()
        self.round()
        self.check_limit()
        if choice.random() < 0.7:
            self.move(choice)


class Team:
    """Some nodes, and the issues that a person has written in the first one's clone."""

    def __init__(self, folder: Path, seed: int, number: int = 2, several: int = 4) -> None:
        self.random, self.clock, self.hub = Random(seed), Clock(), MemoryHub()
        self.holders: dict[tuple[str, str], Event[LeaseAcquired]] = {}
        works = {f"sw-{name}": ["well"] for name in range(several)}
        self.nodes: list[Node] = []
        for each in range(number):
            where = folder / f"n{each}"
            where.mkdir()
            self.nodes.append(Node(str(where), f"n{each}", self.hub, self.clock, works))
        for issue in works:
            self.nodes[0].person(IssueOpened(f"Do {issue}", "true"), issue)

    def run(self, troubles: bool) -> None:
        """Until all is done. With troubles: nodes are cut off and killed, and stand still for longer than a lease."""
        for _ in range(120 if troubles else 0):
            node = self.random.choice(self.nodes)
            if self.random.random() < 0.2:
                self.trouble(node)
            self.turn(node)
        for node in self.nodes:
            node.carrier.away = False
        for _ in range(1000):
            self.turn(self.random.choice(self.nodes))
            if self.done():
                break
        else:
            raise AssertionError("it does not come to an end")
        known = -1
        while known != (known := len(self.events())):  # what is left to tidy up
            for node in self.nodes * 2:
                node.turn(self.random)

    def turn(self, node: Node) -> None:
        node.turn(self.random)
        self.clock.now += self.random.random() * 10
        self.check_now()

    def trouble(self, node: Node) -> None:
        what = self.random.random()
        if what < 0.5:
            node.carrier.away = not node.carrier.away
        elif what < 0.8:
            node.boot()
        else:
            self.clock.now += LEASE + MARGIN + 1

    def done(self) -> bool:
        return all(not node.ledger.ask(lambda board, _: board[issues.State].live) for node in self.nodes)

    def events(self) -> list[Event[Any]]:
        found = {event.id: event for node in self.nodes for event in read_all(node.folder)}
        return [found[id_] for id_ in sorted(found)]

    def check_now(self) -> None:
        """An issue has one holder at most."""
        lines = [line for author, known in self.hub.files.items() if author[0] == "l" for line in known.values()]
        for lease in decode_block(b"".join(lines))[0]:
            if isinstance(lease.data, LeaseAcquired) and lease.data.until > self.clock.now:
                held = self.holders.setdefault((lease.subject, lease.data.generation), lease)
                free = held.data.until <= self.clock.now or held.data.node == lease.data.node
                assert free, f"{lease.subject} is held by {held.data.node} and {lease.data.node}"
                self.holders[lease.subject, lease.data.generation] = max(held, lease, key=lambda one: one.id)

    def check(self, once: bool) -> None:
        """What holds at the end. `once`: nobody was cut off for longer than a lease."""
        events = self.events()
        for node in self.nodes[1:]:
            assert snapshot(node.board())[1:] == snapshot(self.nodes[0].board())[1:]
        assigned: dict[tuple[str, int], set[str]] = {}
        for event in events:
            if isinstance(event.data, IssueAssigned):
                assigned.setdefault((event.subject, event.data.attempt), set()).add(event.data.node)
                lease = next(one for one in events if one.id == event.data.lease)
                assert isinstance(lease.data, LeaseAcquired)
                assert (lease.subject, lease.data.node) == (event.subject, event.data.node)
                assert event.now < lease.data.until
        assert all(len(who) == 1 for who in assigned.values()), "two nodes gave an attempt the same number"
        landed = [event for event in events if isinstance(event.data, MergeLanded)]
        for event in landed:
            lease = next(one for one in events if one.id == event.data.lease)
            assert (lease.subject, lease.data.node) == (event.subject, self.node_of(event))
            assert time_of(event.id) < lease.data.until + 1
        assert {event.subject for event in landed} == set(self.nodes[0].works)
        assert sum(len(node.repository.moves) for node in self.nodes) == len({event.data.commit for event in landed})
        if once:
            assert len(landed) == len(self.nodes[0].works)

    def node_of(self, landed: Event[MergeLanded]) -> str:
        """Who moved its target."""
        (node,) = [node.node for node in self.nodes if landed.data.commit in node.repository.moves]
        return node


@contextmanager
def team(seed: int, number: int = 2, several: int = 4) -> Iterator[Team]:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        made = Team(Path(folder), seed, number, several)
        for node in made.nodes:
            stack.callback(node.log.close)
        yield made


def test_whatever_is_cut_off_or_killed_leases_are_held_by_one_and_all_comes_to_an_end() -> None:
    twice = 0
    for seed in range(INTERLEAVINGS // 2):
        with team(seed, number=3, several=3) as made:
            made.run(troubles=True)
            made.check(once=False)
            twice += any(event.data.attempt > 1000 for event in made.events() if isinstance(event.data, IssueAssigned))
    assert twice, "somebody took an issue over, at least once"


def test_each_issue_lands_on_one_node_however_their_turns_fall() -> None:
    both = 0
    for seed in range(INTERLEAVINGS // 2):
        with team(seed) as made:
            made.run(troubles=False)
            made.check(once=True)
            both += all(node.repository.moves for node in made.nodes)
    assert both, "both had something to do, at least once"
