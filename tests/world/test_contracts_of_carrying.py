"""What actors rely on of a carrier, asked of real git and of its double: the same suite runs over both."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Protocol

import pytest

from swarm.eventlog.events import IssueOpened, LeaseAcquired, LeaseReleased
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import read_all
from swarm.projections.leases import MARGIN
from swarm.world import Carrier
from swarm.world.clock import entropy, now

from clones import Clone, Hub
from doubles import MemoryCarrier, MemoryHub

HOUR = 3600.0
A, B = ("sw-a", "g1"), ("sw-b", "g2")


class Side(Protocol):
    """A clone. `ahead`: seconds by which its clock is."""

    carrier: Carrier
    node: str
    ahead: float

    def say(self, fact: Fact, about: str) -> str: ...
    def events(self) -> list[Event[Any]]: ...


class Ground(Protocol):
    """Two clones, and what is between them."""

    one: Side
    other: Side

    def cut(self, away: bool) -> None: ...


class MemorySide:
    def __init__(self, folder: Path, node: str, hub: MemoryHub) -> None:
        folder.mkdir()
        self.folder, self.node, self.ahead = str(folder), node, 0.0
        self.log = Log(self.folder, node, self.now, entropy, "none")
        self.carrier: Carrier = MemoryCarrier(self.folder, node, hub, HOUR, self.now, entropy)

    def now(self) -> float:
        return now() + self.ahead

    def say(self, fact: Fact, about: str) -> str:
        return self.log.append([Draft(fact, "human", about)])[0].id

    def events(self) -> list[Event[Any]]:
        return read_all(self.folder)


class MemoryGround:
    """The double."""

    def __init__(self, folder: Path) -> None:
        self.hub = MemoryHub()
        self.sides = [MemorySide(folder / node, node, self.hub) for node in ("n1", "n2")]
        self.one: Side
        self.other: Side
        self.one, self.other = self.sides

    def cut(self, away: bool) -> None:
        self.hub.away = away

    def close(self) -> None:
        for side in self.sides:
            side.log.close()


class RealSide:
    def __init__(self, clone: Clone) -> None:
        self.clone, self.node = clone, clone.node
        self.carrier: Carrier = clone.carrier

    @property
    def ahead(self) -> float:
        return self.clone.ahead

    @ahead.setter
    def ahead(self, seconds: float) -> None:
        self.clone.ahead = seconds

    def say(self, fact: Fact, about: str) -> str:
        return self.clone.say(fact, about=about)[0].id

    def events(self) -> list[Event[Any]]:
        return self.clone.events()


class RealGround:
    """Real git."""

    def __init__(self, folder: Path) -> None:
        self.hub = Hub(folder)
        self.one: Side = RealSide(self.hub.clone("one"))
        self.other: Side = RealSide(self.hub.clone("other"))

    def cut(self, away: bool) -> None:
        bare = self.hub.bare
        if away:
            bare.rename(bare.with_name("away"))
        else:
            bare.with_name("away").rename(bare)

    def close(self) -> None:
        self.hub.close()


@pytest.fixture(params=[RealGround, MemoryGround])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    with closing(request.param(tmp_path)) as made:
        yield made


def held(side: Side) -> list[tuple[str, str]]:
    """(issue, node) of the leases there, oldest first."""
    return [(event.subject, event.data.node) for event in side.events() if isinstance(event.data, LeaseAcquired)]


def settle(ground: Ground) -> None:
    for side in (ground.one, ground.other, ground.one):
        assert side.carrier.share(()) == ""
    assert [event.id for event in ground.one.events()] == [event.id for event in ground.other.events()]


def test_what_one_says_the_other_hears(ground: Ground) -> None:
    first = ground.one.say(IssueOpened("a"), "sw-a")
    second = ground.other.say(IssueOpened("b"), "sw-b")
    settle(ground)
    third = ground.one.say(IssueOpened("c"), "sw-c")
    settle(ground)
    assert {event.id for event in ground.other.events()} == {first, second, third}


def test_a_lease_is_one_nodes(ground: Ground) -> None:
    ground.one.carrier.share([A])
    ground.other.carrier.share([A, B])
    ground.one.carrier.share([A, B])
    settle(ground)
    assert held(ground.other) == [("sw-a", ground.one.node), ("sw-b", ground.other.node)]


def test_a_lease_is_prolonged_when_half_of_it_is_over(ground: Ground) -> None:
    for ahead in (0.0, 0.4, 0.6, 0.9, 1.2):
        ground.one.ahead = ahead * HOUR
        ground.one.carrier.share([A])
    found = [event for event in ground.one.events() if isinstance(event.data, LeaseAcquired)]
    assert len(found) == 3
    assert [event.data.after for event in found] == ["", found[0].id, found[1].id]


def test_another_nodes_lease_is_left_alone_until_it_has_run_out_for_a_while(ground: Ground) -> None:
    ground.one.carrier.share([A])
    for ahead in (0.6 * HOUR, HOUR + 1, HOUR + MARGIN - 1):
        ground.other.ahead = ahead
        ground.other.carrier.share([A])
    assert held(ground.other) == [("sw-a", ground.one.node)]


def test_a_lease_that_ran_out_is_taken_over_and_one_that_was_given_up_is_free(ground: Ground) -> None:
    ground.one.carrier.share([A, B])
    first, second = [event for event in ground.one.events() if isinstance(event.data, LeaseAcquired)]
    ground.one.say(LeaseReleased(second.id), "sw-b")
    ground.one.carrier.share(())
    ground.other.carrier.share([A, B])
    assert held(ground.other)[2:] == [("sw-b", ground.other.node)]
    ground.other.ahead = HOUR + MARGIN + 1
    ground.other.carrier.share([A])
    last = ground.other.events()[-1]
    assert (last.subject, last.data.node, last.data.after) == ("sw-a", ground.other.node, first.id)


def test_a_failure_is_told_once_and_nothing_is_acquired_meanwhile(ground: Ground) -> None:
    ground.cut(away=True)
    assert ground.one.carrier.share([A])
    assert ground.one.carrier.share([A]) == ""
    assert held(ground.one) == []
    ground.cut(away=False)
    assert ground.one.carrier.share([A]) == ""
    assert held(ground.one) == [("sw-a", ground.one.node)]
    ground.cut(away=True)
    assert ground.one.carrier.share(())
    ground.cut(away=False)


def test_time_is_its_own_clocks(ground: Ground) -> None:
    assert ground.one.carrier.in_time(now() + 60)
    ground.one.ahead = 61
    assert not ground.one.carrier.in_time(now() + 60)
