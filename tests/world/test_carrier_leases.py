"""Leases: one node has an issue, because its push got through; whenever it is killed, that stays so."""

import threading

import pytest

from swarm.eventlog.events import LeaseAcquired, LeaseReleased
from swarm.eventlog.fact import Event
from swarm.eventlog.segments import node_of_file
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify
from swarm.projections import leases
from swarm.projections.leases import MARGIN
from swarm.world.carrier import SEAL

from clones import Clone, Hub, Killed, Steps, hub, same

__all__ = ["hub"]

WISH = ("sw-a", "g1")
HOUR = 3600.0


def of(clone: Clone) -> list[Event[LeaseAcquired]]:
    """The leases that are in a clone's folder, oldest first."""
    return [event for event in read_all(clone.place.log, ["lease.acquired"]) if isinstance(event.data, LeaseAcquired)]


def holder(clone: Clone, issue: str = "sw-a", generation: str = "g1") -> str:
    """The node that holds it, as that clone sees it."""
    found = clone.board()[leases.State].holder(issue, generation, clone.now())
    return found.data.node if found else ""


def test_a_lease_is_acquired_by_a_push_and_stands_in_a_file_of_its_own(hub: Hub) -> None:
    one = hub.clone("one")
    a, b = one.issue("sw-a", "sw-b")
    begin = one.now()
    assert one.carrier.share([("sw-a", a), ("sw-b", b)]) == ""
    first, second = of(one)
    assert (first.subject, first.data.node, first.data.generation, first.data.after) == ("sw-a", one.node, a, "")
    assert begin + HOUR - 1 <= first.data.until <= one.now() + HOUR
    assert (first.source, first.causationid) == ("carrier", a)
    assert (second.subject, second.data.generation) == ("sw-b", b)
    assert first.id > b, "it sorts after what its author had seen"
    author = f"l{one.node[1:]}"
    assert len(hub.lines(author)) == 2
    assert [node_of_file(name) for name in one.files()] == [author, one.node]
    assert verify(one.place.log).errors == []


def test_what_one_node_holds_no_other_acquires(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.carrier.share([WISH])
    other.carrier.share([WISH, ("sw-b", "g2")])
    one.carrier.share([WISH, ("sw-b", "g2")])
    assert [(lease.subject, lease.data.node) for lease in of(one)] == [("sw-a", one.node), ("sw-b", other.node)]
    assert same(hub.clones)


def test_a_generation_has_leases_of_its_own(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.carrier.share([WISH])
    other.carrier.share([("sw-a", "g2")])
    one.carrier.sync()
    assert (holder(one), holder(one, generation="g2")) == (one.node, other.node)


def test_of_two_that_want_the_same_at_once_one_gets_it(hub: Hub) -> None:
    clones = [hub.clone(f"c{number}") for number in range(4)]
    wishes = [(f"sw-{number}", "g") for number in range(3)]
    start = threading.Barrier(4)
    told: list[str] = []

    def work(clone: Clone) -> None:
        carrier = clone.carry()
        start.wait()
        told.append(carrier.share(wishes))

    threads = [threading.Thread(target=work, args=(clone,)) for clone in clones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == [""] * 4
    hub.settle()
    assert same(hub.clones)
    assert sorted(lease.subject for lease in of(clones[0])) == ["sw-0", "sw-1", "sw-2"]


def test_a_lease_is_prolonged_once_less_than_half_of_it_is_left(hub: Hub) -> None:
    one = hub.clone("one")
    one.carrier.share([WISH])
    one.ahead = 0.4 * HOUR
    one.carrier.share([WISH])
    assert len(of(one)) == 1
    one.ahead = 0.6 * HOUR
    one.carrier.share([WISH])
    one.carrier.share([WISH])
    first, second = of(one)
    assert second.data.after == first.id
    assert second.data.until > first.data.until
    assert one.board()[leases.State].covers("sw-a", "g1", first.id)


def test_one_that_ran_out_is_taken_over_by_a_lease_that_names_it(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.carrier.share([WISH])
    other.ahead = HOUR + MARGIN / 2
    other.carrier.share([WISH])
    assert holder(other) == one.node, "clocks differ"
    other.ahead = HOUR + MARGIN + 1
    other.carrier.share([WISH])
    one.carrier.share([WISH])
    first, second = of(one)
    assert (second.data.node, second.data.after) == (other.node, first.id)
    state = one.board()[leases.State]
    assert not state.covers("sw-a", "g1", first.id)
    assert state.takeovers("sw-a") == 1


def test_one_that_was_given_up_may_be_acquired_by_anybody(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.carrier.share([WISH])
    one.say(LeaseReleased(of(one)[0].id), about="sw-a")
    one.carrier.sync()
    other.carrier.share([WISH])
    one.carrier.sync()
    assert holder(one) == holder(other) == other.node
    assert of(other)[1].data.after == ""
    assert one.board()[leases.State].takeovers("sw-a") == 0, "nothing was begun under the one that was given up"


def test_offline_nothing_is_acquired(hub: Hub) -> None:
    one = hub.clone("one")
    one.carrier.share([WISH])
    hub.bare.rename(hub.bare.with_name("away"))
    assert "cannot reach" in one.carrier.share([WISH, ("sw-b", "g2")])
    assert [lease.subject for lease in of(one)] == ["sw-a"]
    hub.bare.with_name("away").rename(hub.bare)
    one.carrier.share([WISH, ("sw-b", "g2")])
    assert [lease.subject for lease in of(one)] == ["sw-a", "sw-b"]


def test_where_a_lease_cannot_be_believed_none_is_acquired(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.ahead = 3 * 86_400
    one.carrier.share([WISH])
    assert "a clock is a day ahead" in other.carrier.share([WISH])
    assert of(other) == []
    one.ahead = 0


def test_leases_go_on_in_another_file_when_one_is_large(hub: Hub) -> None:
    one = hub.clone("one")
    author, count = f"l{one.node[1:]}", 0
    while len(hub.files(author)) < 3:
        names = [f"sw-{number}" for number in range(count, count + 60)]
        one.carrier.share(list(zip(names, one.issue(*names), strict=True)))
        count += 60
    assert all((one.folder / name).stat().st_size <= SEAL for name in hub.files(author))
    assert len(of(one)) == len(hub.lines(author)) == count
    report = verify(one.place.log)
    assert report.errors == report.notes == []


# --- killed at any step ---------------------------------------------------------------------------


def play(one: Clone, other: Clone, steps: Steps) -> list[tuple[str, str]]:
    """A sync that brings several files, takes some, and acquires two leases of three; what it wanted."""
    names = [f"sw-{steps.at}-{end}" for end in ("a", "b", "held")]
    wishes = list(zip(names, one.issue(*names), strict=True))
    one.carrier.sync()
    one.issue("sw-c")
    one.log.seal(1)
    one.issue("sw-d")
    other.issue("sw-e")
    other.carrier.share(wishes[2:])
    try:
        one.carry(steps).share(wishes)
    except Killed:
        pass
    return wishes


@pytest.mark.parametrize("late", [False, True])
def test_whenever_it_is_killed_nothing_is_lost_and_one_node_at_most_holds_a_lease(hub: Hub, late: bool) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    through: list[bool] = []
    while True:
        steps = Steps(len(through) + 1, late)
        wishes = play(one, other, steps)
        mark = f'"subject":"sw-{steps.at}-'.encode()
        pushed = [line for line in hub.lines(f"l{one.node[1:]}") if mark in line]
        written = [lease for lease in of(one) if lease.data.node == one.node and lease.subject in dict(wishes)]
        assert len(written) <= len(pushed), "no line that was not pushed"
        other.carrier.share(wishes)
        one.carry().share(wishes)
        other.carrier.sync()
        assert same(hub.clones)
        winner = one.node if pushed else other.node
        found = {lease.subject: lease.data.node for lease in of(other) if lease.subject in dict(wishes)}
        assert found == dict(zip(dict(wishes), (winner, winner, other.node), strict=True))
        assert len(one.ids()) == 9 * steps.at
        if steps.count < steps.at:
            break
        through.append(bool(pushed))
    assert verify(one.place.log).errors == verify(other.place.log).errors == []
    assert through == sorted(through)
    assert through.count(True) >= 2, "killed after its push"
    assert through.count(False) >= 8, "and before it"
