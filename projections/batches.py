"""Batches: what is stacked, tested and landed together, and what is known of each stack. Rule: a batch is open until it
was dissolved, by landing or otherwise; a test counts for the exact commit that it judged; a tree on which a gate flaked
counts once for the gate's command, however often that was said.

What is decided by must not depend on what else is in memory: so decisions look at `recent` alone, which is always
there.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from heapq import nlargest
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.events import (
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    GateControlled,
    GateFlaked,
    ValidationFinished,
)
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import made_on
from . import Fold, Handler, Latest, fact, happened, keep

RECENT = 64
"""So many of the newest batches stay in memory: how large the next one is follows from what became of them."""

GOOD = ("passed", "none")

Member = tuple[str, int]
"""(issue, attempt)"""
Verdict = Event[BatchTested] | Event[GateControlled] | Event[ValidationFinished]


class Batch(msgspec.Struct):
    """One batch. `verdicts`: what gates and validations said of it, and gates of what it is stacked on, by the ids of
    the events. `flakes`: by gate, command and tree, that the gate failed on it and passed.
    """

    id: str
    latest: Latest = msgspec.field(default_factory=dict)
    verdicts: dict[str, Verdict] = msgspec.field(default_factory=dict)
    flakes: dict[tuple[str, str, str], Event[GateFlaked]] = msgspec.field(default_factory=dict)

    @property
    def formed(self) -> BatchFormed | None:
        """What was put together; None in a placeholder."""
        return fact(self.latest, BatchFormed)

    @property
    def stacked(self) -> BatchStacked | None:
        """The commit to test and to land."""
        return fact(self.latest, BatchStacked)

    @property
    def dissolved(self) -> BatchDissolved | None:
        """Why nothing more comes of it."""
        return fact(self.latest, BatchDissolved)

    @property
    def open(self) -> bool:
        """Whether something may still come of it."""
        return self.formed is not None and self.dissolved is None

    @property
    def landed(self) -> bool:
        """Whether it ended by landing."""
        return bool(self.stacked and self.dissolved and self.dissolved.tip == self.stacked.commit)

    @property
    def members(self) -> list[Member]:
        """Who is in it: of a stacked one, without those that conflict."""
        return list(self.owns) if self.stacked else list(self.formed.members) if self.formed else []

    @property
    def owns(self) -> dict[Member, str]:
        """Member -> the commit that brought its work, for those that are stacked."""
        formed, stacked = self.formed, self.stacked
        if formed is None or stacked is None:
            return {}
        return {(issue, n): own for (issue, n), own in zip(formed.members, stacked.commits, strict=False) if own}

    @property
    def tests(self) -> list[Event[BatchTested]]:
        """The gates' verdicts on the commit that it is stacked as, oldest first."""
        commit = self.stacked.commit if self.stacked else ""
        found = (event for _, event in sorted(self.verdicts.items()))
        return [event for event in found if isinstance(event.data, BatchTested) and event.data.commit == commit]

    @property
    def controls(self) -> list[Event[GateControlled]]:
        """What gates that could not judge it said of its base alone, oldest first."""
        found = (event for _, event in sorted(self.verdicts.items()))
        return [event for event in found if isinstance(event.data, GateControlled)]

    @property
    def validated(self) -> ValidationFinished | None:
        """The newest verdict on the target after it landed."""
        found = [event for _, event in sorted(self.verdicts.items()) if isinstance(event.data, ValidationFinished)]
        return found[-1].data if found else None


class State(Fold):
    """All batches. Where `here` names a node, only those that it formed are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.all: dict[str, Batch] = {}

    def batch(self, name: str) -> Batch:
        """The batch, made if nothing of it has been seen."""
        found = self.all.get(name)
        if found is None:
            found = self.all[name] = Batch(name)
        return found

    def open(self) -> list[Batch]:
        """Ours that are open, in the order in which they were formed: each after the one that it is stacked on."""
        return sorted((batch for batch in self._ours() if batch.open), key=_order)

    def recent(self) -> list[Batch]:
        """Ours that are open, those that these come from, and the newest; in the order in which they were formed."""
        begun = nlargest(RECENT, self._ours(), key=_order)
        found = {batch.id: batch for each in (*self.open(), *begun) for batch in (each, *self._behind(each))}
        return sorted(found.values(), key=_order)

    def lineage(self, batch: Batch) -> list[Batch]:
        """The batch, the one that it is a part of, and so on."""
        found = [batch]
        while found[-1].formed and (parent := self.all.get(found[-1].formed.of)) and parent not in found:
            found.append(parent)
        return found

    def holding(self, member: Member) -> Batch | None:
        """The open batch that the member is in, or was formed into."""
        of = (batch for batch in self.open() if batch.formed and tuple(member) in map(tuple, batch.formed.members))
        return next(of, None)

    def last_landed(self) -> Batch | None:
        """Of those that landed, the newest."""
        landed = [batch for batch in self.recent() if batch.landed]
        return max(landed, key=lambda batch: happened(batch.latest, BatchDissolved), default=None)

    def tip(self) -> tuple[str, str]:
        """The target's newest known tip: the id of the event that says it, and the commit. Empty if there is none."""
        known = [("", "")]
        for batch in self.recent():
            if batch.dissolved and batch.dissolved.tip:
                known.append((happened(batch.latest, BatchDissolved), batch.dissolved.tip))
            if batch.stacked and batch.formed and not batch.formed.after:
                known.append((happened(batch.latest, BatchStacked), batch.stacked.base))
        return max(known)

    def flakes(self) -> Counter[str]:
        """Test command -> on how many trees, of all batches, it failed and passed."""
        found = +Counter(self.sums)
        for name in self.all:
            found.update(self.count(name))
        return found

    def keys(self) -> Set[str]:
        """The batches in memory."""
        return self.all.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The batch's events."""
        batch = self.all.get(key, Batch(key))
        return chain(batch.latest.values(), batch.verdicts.values(), batch.flakes.values())

    def count(self, key: str) -> Mapping[str, int]:
        """The batch's flakes, by command."""
        return Counter(command for _, command, _ in self.all[key].flakes) if key in self.all else {}

    def busy(self) -> set[str]:
        """The recent ones, and the issues of those about which something may be due."""
        last = self.last_landed()
        concerned = [*self.open(), *([last] if last else [])]
        return {
            *(batch.id for batch in self.recent()),
            *(issue for batch in concerned if batch.formed for issue, _ in batch.formed.members),
        }

    def forget(self, key: str) -> None:
        """The batch."""
        self.all.pop(key, None)

    def _behind(self, batch: Batch) -> Iterator[Batch]:
        """What an open batch comes from: that on which it is stacked, and those that it is a part of."""
        if batch.open:
            yield from self.lineage(batch)
            if batch.formed and batch.formed.after in self.all:
                yield self.all[batch.formed.after]

    def _ours(self) -> Iterator[Batch]:
        formed = (batch for batch in self.all.values() if batch.formed)
        return (batch for batch in formed if not self.here or made_on(_order(batch), self.here))


def _order(batch: Batch) -> str:
    return happened(batch.latest, BatchFormed)


def _batch_fact(state: State, event: Event[Any]) -> None:
    keep(state.batch(event.subject).latest, event)


def _judged(state: State, event: Verdict) -> None:
    state.batch(event.subject).verdicts[event.id] = event


def _controlled(state: State, event: Event[GateControlled]) -> None:
    if not event.data.attempt:  # else it is about an issue
        _judged(state, event)


def _flaked(state: State, event: Event[GateFlaked]) -> None:
    """Said again after a kill that came before its verdict: the newest stays."""
    flakes, fact = state.batch(event.subject).flakes, event.data
    key = (fact.gate, fact.command, fact.tree)
    flakes[key] = max(flakes.get(key, event), event, key=lambda one: one.id)


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys((BatchFormed, BatchStacked, BatchDissolved), _batch_fact),
    **dict.fromkeys((BatchTested, ValidationFinished), _judged),
    GateControlled: _controlled,
    GateFlaked: _flaked,
}
