"""Merges: what waits to land, what was tested on which base, what landed. Rule: only the newest preparation counts,
and a test counts for the exact commit it judged: ids order them, for every event sorts after what its author had
seen.
"""

from collections.abc import Mapping
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
from . import Handler, Latest, fact, happened, keep

_ENDS = (MergeLanded, MergeConflicted, MergeRejected, AttemptCancelled)


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
        return any(kind in self.latest for kind in _ENDS)

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


class State:
    """All merges. `waiting` are those that have not left the queue."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, int], Merge] = {}
        self.waiting: dict[tuple[str, int], Merge] = {}

    def queue(self) -> list[Merge]:
        """First in, first out."""
        return sorted(self.waiting.values(), key=lambda merge: happened(merge.latest, MergeQueued))

    def history(self) -> list[Merge]:
        """Everything that was ever queued, oldest first."""
        queued = (merge for merge in self.all.values() if merge.queued)
        return sorted(queued, key=lambda merge: happened(merge.latest, MergeQueued))


def _merge_fact(state: State, event: Event[Any]) -> None:
    key = (event.subject, event.data.attempt)
    merge = state.all.setdefault(key, Merge(*key))
    keep(merge.latest, event)
    if merge.queued and not merge.ended:
        state.waiting[key] = merge
    else:
        state.waiting.pop(key, None)


ON: Mapping[type[Fact], Handler] = dict.fromkeys(
    (MergeQueued, MergePrepared, MergeTested, MergeRequeued, LandingHeld, *_ENDS), _merge_fact
)
