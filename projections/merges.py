"""Merges: each attempt's way through the queue. Rule: here stands what became of the attempt alone; what it is tested
with, and how that went, is its batch's (`mailbox/views.py` puts both together).

Until 0.3 one merge after the other was prepared and tested: of such logs only the newest preparation counts, and a
test counts for the exact commit it judged.
"""

from collections.abc import Iterable, Mapping, Set
from heapq import nlargest
from typing import Any

import msgspec

from ..eventlog.events import (
    AttemptCancelled,
    LandingHeld,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergePredicted,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeReverted,
    MergeTested,
)
from ..eventlog.fact import Event, Fact
from . import RECENT, Fold, Handler, Latest, fact, happened, keep

_WORDS: dict[type[Fact], str] = {
    MergeReverted: "reverted",
    MergeLanded: "landed",
    MergeConflicted: "conflicted",
    MergeRejected: "rejected",
    MergeDropped: "dropped",
    AttemptCancelled: "cancelled",
}
_ENDS = (MergeLanded, MergeConflicted, MergeRejected, MergeDropped, AttemptCancelled)
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
    def landed(self) -> MergeLanded | None:
        """Where it landed; also of one that was reverted since."""
        return fact(self.latest, MergeLanded)

    @property
    def predicted(self) -> MergePredicted | None:
        """What would come of merging it, when that was looked at last."""
        return fact(self.latest, MergePredicted)

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
        """Why it could not land when git was last asked, if git refused."""
        held = fact(self.latest, LandingHeld)
        stale = held and MergePrepared in self.latest and not (self.prepared and held.commit == self.prepared.commit)
        return None if stale else held

    @property
    def ended(self) -> bool:
        """Whether it has left the queue."""
        return not _ENDED.isdisjoint(self.latest)

    @property
    def status(self) -> str:
        """queued, held, landed, reverted, conflicted, rejected, dropped or cancelled; of old logs testing and tested
        too.
        """
        for kind, word in _WORDS.items():
            if kind in self.latest:
                return word
        if self.held:
            return "held"
        if self.tested:
            return "tested"
        return "testing" if self.prepared else "queued"

    @property
    def commit(self) -> str:
        """What landed, or what is to."""
        if self.landed:
            return self.landed.commit
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
    (
        MergeQueued,
        MergePredicted,
        MergePrepared,
        MergeTested,
        MergeRequeued,
        LandingHeld,
        MergeReverted,
        *_ENDS,
    ),
    _merge_fact,
)
