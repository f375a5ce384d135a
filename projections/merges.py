"""Merges: what waits to land, what was tested on which base, what landed. Rule: only the newest preparation counts,
and a test counts for the exact commit it judged: ids order them, for every event sorts after what its author had
seen.
"""

from collections.abc import Iterable, Mapping, Set
from heapq import nlargest
from typing import Any

import msgspec

from ..eventlog.events import (
    AttemptCancelled,
    LandingHeld,
    MergeConflicted,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeTested,
)
from ..eventlog.fact import Event, Fact
from . import RECENT, Fold, Handler, Latest, fact, happened, keep

_ENDS = (MergeLanded, MergeConflicted, MergeRejected, AttemptCancelled)
_ENDED = frozenset(_ENDS)


class Merge(msgspec.Struct):
    """One attempt's way through the queue."""

    issue: str
    attempt: int
    latest: Latest = msgspec.field(default_factory=dict)

    @property
    def queued(self) -> MergeQueued | None:
        """What is to land."""
        return fact(self.latest, MergeQueued)

    @property
    def prepared(self) -> MergePrepared | None:
        """The merge commit to test and land, unless the target has moved since."""
        if happened(self.latest, MergeRequeued) > happened(self.latest, MergePrepared):
            return None
        return fact(self.latest, MergePrepared)

    @property
    def tested(self) -> MergeTested | None:
        """The verdict on exactly that commit."""
        tested = fact(self.latest, MergeTested)
        return tested if tested and self.prepared and tested.commit == self.prepared.commit else None

    @property
    def held(self) -> LandingHeld | None:
        """Why it cannot land now, if git refused."""
        held = fact(self.latest, LandingHeld)
        return held if held and self.prepared and held.commit == self.prepared.commit else None

    @property
    def ended(self) -> bool:
        """Whether it has left the queue."""
        return not _ENDED.isdisjoint(self.latest)

    @property
    def status(self) -> str:
        """queued, testing, tested, held, landed, conflicted, rejected or cancelled."""
        words = {MergeLanded: "landed", MergeConflicted: "conflicted", MergeRejected: "rejected"}
        for kind, word in words.items():
            if kind in self.latest:
                return word
        if AttemptCancelled in self.latest:
            return "cancelled"
        if self.held:
            return "held"
        if self.tested:
            return "tested"
        return "testing" if self.prepared else "queued"

    @property
    def commit(self) -> str:
        """What landed, or what is to."""
        landed = fact(self.latest, MergeLanded)
        if landed:
            return landed.commit
        return self.prepared.commit if self.prepared else (self.queued.commit if self.queued else "")


class State(Fold):
    """All merges. `waiting` are those that have not left the queue."""

    def __init__(self) -> None:
        super().__init__()
        self.all: dict[tuple[str, int], Merge] = {}
        self.of: dict[str, dict[int, Merge]] = {}
        self.waiting: dict[tuple[str, int], Merge] = {}

    def merge(self, issue: str, attempt: int) -> Merge:
        """The merge, made if nothing of it has been seen."""
        found = self.all.get((issue, attempt))
        if found is None:
            found = self.all[issue, attempt] = Merge(issue, attempt)
            self.of.setdefault(issue, {})[attempt] = found
        return found

    def queue(self) -> list[Merge]:
        """First in, first out."""
        return sorted(self.waiting.values(), key=_order)

    def history(self) -> list[Merge]:
        """Everything in memory that was ever queued, oldest first: all that waits, and at least the newest
        `RECENT`.
        """
        return sorted((merge for merge in self.all.values() if merge.queued), key=_order)

    def recent(self) -> list[Merge]:
        """All that waits and the newest `RECENT`, oldest first: the same whatever else is in memory."""
        found = {(merge.issue, merge.attempt): merge for merge in (*self.waiting.values(), *self._newest())}
        return sorted(found.values(), key=_order)

    def landed(self) -> int:
        """How many have landed, ever."""
        return self.sums["landed"] + sum(merge.status == "landed" for merge in self.all.values() if merge.queued)

    def keys(self) -> Set[str]:
        """The issues in memory."""
        return self.of.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The events of the issue's merges."""
        return [event for merge in self.of.get(key, {}).values() for event in merge.latest.values()]

    def busy(self) -> set[str]:
        """What waits, and the newest."""
        return {merge.issue for merge in (*self.waiting.values(), *self._newest())}

    def _newest(self) -> list[Merge]:
        return nlargest(RECENT, (merge for merge in self.all.values() if merge.queued), key=_order)

    def count(self, key: str) -> Mapping[str, int]:
        """How many have landed."""
        return {"landed": sum(merge.status == "landed" for merge in self.of.get(key, {}).values() if merge.queued)}

    def forget(self, key: str) -> None:
        """The issue's merges."""
        for attempt in self.of.pop(key, ()):
            del self.all[key, attempt]
            self.waiting.pop((key, attempt), None)


def _order(merge: Merge) -> str:
    return happened(merge.latest, MergeQueued)


def _merge_fact(state: State, event: Event[Any]) -> None:
    merge = state.merge(event.subject, event.data.attempt)
    keep(merge.latest, event)
    key = (merge.issue, merge.attempt)
    if MergeQueued in merge.latest and not merge.ended:
        state.waiting[key] = merge
    else:
        state.waiting.pop(key, None)


ON: Mapping[type[Fact], Handler] = dict.fromkeys(
    (MergeQueued, MergePrepared, MergeTested, MergeRequeued, LandingHeld, *_ENDS), _merge_fact
)
