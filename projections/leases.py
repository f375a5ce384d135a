"""Leases: which node alone may start an issue, and until when. Rule: of a generation's leases the one with the greatest
id is in force, for each was pushed on top of all that were before it.

A node prolongs its lease by a new one that names the old in `after`. So what was begun under a lease may go on under a
later one, as long as no other node had the issue in between.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain, pairwise
from typing import Any

import msgspec

from ..eventlog.events import LeaseAcquired, LeaseReleased
from ..eventlog.fact import Event, Fact
from . import Fold, Handler

MARGIN = 60.0
"""Seconds by which the clocks of two nodes may differ: a lease is taken over only so long after it ran out."""

Lease = Event[LeaseAcquired]


class Leases(msgspec.Struct):
    """All leases there were on one issue, and their releasings by their ids."""

    acquired: dict[str, Lease] = msgspec.field(default_factory=dict)
    released: dict[str, Event[LeaseReleased]] = msgspec.field(default_factory=dict)


class State(Fold):
    """Issue -> its leases."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Leases] = {}

    def newest(self, issue: str, generation: str) -> Lease | None:
        """The lease in force, or the one that was last: None if there never was one, or it was given up."""
        known = self.of.get(issue, Leases())
        mine = [lease for lease in known.acquired.values() if lease.data.generation == generation]
        last = max(mine, key=lambda lease: lease.id, default=None)
        return None if last is None or last.id in known.released else last

    def holder(self, issue: str, generation: str, now: float) -> Lease | None:
        """The lease in force at that time (Unix seconds); None if anybody may acquire one.

        Its node may act under it only until it runs out; the others keep off a little longer.
        """
        last = self.newest(issue, generation)
        return last if last and now <= last.data.until + MARGIN else None

    def covers(self, issue: str, generation: str, lease: str) -> bool:
        """Whether the newest lease is that one, or prolongs it."""
        last, known = self.newest(issue, generation), self.of.get(issue, Leases()).acquired
        while last and last.id != lease:
            before = known.get(last.data.after)
            last = before if before and before.id < last.id and before.data.node == last.data.node else None
        return last is not None

    def takeovers(self, issue: str) -> int:
        """How often a lease on the issue ran out and went to another node: what the one before did may be known to
        nobody.
        """
        known = self.of.get(issue, Leases())
        kept = [lease for _, lease in sorted(known.acquired.items()) if lease.id not in known.released]
        return sum(one.data.node != other.data.node for one, other in pairwise(kept))

    def held(self, node: str) -> Iterator[tuple[str, Lease]]:
        """(issue, lease) for each newest lease of that node, run out or not, by issue and generation."""
        for issue, known in sorted(self.of.items()):
            for generation in sorted({lease.data.generation for lease in known.acquired.values()}):
                last = self.newest(issue, generation)
                if last and last.data.node == node:
                    yield issue, last

    def keys(self) -> Set[str]:
        """The issues in memory."""
        return self.of.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The issue's leases."""
        known = self.of.get(key, Leases())
        return chain(known.acquired.values(), known.released.values())

    def forget(self, key: str) -> None:
        """The issue's leases."""
        self.of.pop(key, None)


def _acquired(state: State, event: Lease) -> None:
    state.of.setdefault(event.subject, Leases()).acquired[event.id] = event


def _released(state: State, event: Event[LeaseReleased]) -> None:
    released = state.of.setdefault(event.subject, Leases()).released
    held = released.get(event.data.lease)
    if held is None or held.id < event.id:
        released[event.data.lease] = event


ON: Mapping[type[Fact], Handler] = {LeaseAcquired: _acquired, LeaseReleased: _released}
