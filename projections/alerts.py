"""Alerts: what somebody outside is to hear of, and what came of telling them. Rule: whoever appended an event raises
the alert about it, in the order of ids; so the newest event of a node about which there is an alert says of all before
it that they need none any more.

What happened in a run that had nobody to tell is never raised later. What a run could not raise or deliver is left to
the next. What goes on until an event says that it is over (a provider without quota, a held queue) calls for one alert,
however often it is said meanwhile.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.events import (
    ActorCrashed,
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    BudgetExceeded,
    GateFinished,
    IssueHeld,
    LandingHeld,
    LeakDetected,
    MergeConflicted,
    MergeRejected,
    QueueHeld,
    QueueResumed,
    QuotaExhausted,
    QuotaResumed,
    RunStarted,
    RunStopped,
    ValidationFinished,
)
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import is_id, node_bits_of
from . import Fold, Handler, key_of

TRIES = 12
"""So often a channel is tried, until it is given up."""

_QUEUE = {"infrastructure": "pipeline_failed", "conflict": "merge_conflict"}
_KINDS: Mapping[type[Fact], Callable[[Any], str]] = {
    MergeConflicted: lambda _: "merge_conflict",
    GateFinished: lambda f: "tests_failed" if f.verdict == "failed" else "",
    MergeRejected: lambda f: "" if f.final else "tests_failed",
    QueueHeld: lambda f: _QUEUE.get(f.kind, ""),
    ActorCrashed: lambda f: "pipeline_failed" if f.gave_up else "",
    RunStopped: lambda f: "pipeline_failed" if f.code == 1 else "",
    BudgetExceeded: lambda _: "budget_exceeded",
    ValidationFinished: lambda f: "validate_failed" if f.verdict in ("failed", "broken") else "",
    IssueHeld: lambda f: "retry_exhausted" if f.attempt else "",
    LandingHeld: lambda f: "" if f.others or f.known else "landing_held",
    LeakDetected: lambda _: "leak_detected",
    QuotaExhausted: lambda _: "quota_exhausted",
}
_ENDS: Mapping[type[Fact], type[Fact]] = {QuotaResumed: QuotaExhausted, QueueResumed: QueueHeld}
"""What says that a trouble of that kind, with the same subject, is over."""

Trouble = tuple[type[Fact], str]
"""(kind of fact, subject)"""


def kind_of(event: Event[Any]) -> str:
    """The kind of alert that the event calls for; empty if none. A person knows what he did himself: what no run
    brought about calls for none.
    """
    find = _KINDS.get(type(event.data))
    return find(event.data) if find and event.correlationid else ""


class Alert(msgspec.Struct):
    """One of them. `delivered` and `failed` (the newest) by channel."""

    raised: Event[AlertRaised] | None = None
    delivered: dict[str, Event[AlertDelivered]] = msgspec.field(default_factory=dict)
    failed: dict[str, Event[AlertFailed]] = msgspec.field(default_factory=dict)

    def tries(self, channel: str) -> int:
        """How often that channel did not take it."""
        failed = self.failed.get(channel)
        return failed.data.tries if failed else 0

    def settled(self, channel: str) -> bool:
        """Whether it took it, or was given up."""
        return channel in self.delivered or self.tries(channel) >= TRIES


class State(Fold):
    """`alerts` by their ids; `waiting` has the events that may call for one. `marks`: by the bits of a node, the alert
    about its newest event. `started`: (run, whether it has somebody to tell) -> its beginning. `lasting`: what was said
    of a trouble that is not over, by ids; `over`: what ended one last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.alerts: dict[str, Alert] = {}
        self.waiting: dict[str, Event[Any]] = {}
        self.marks: dict[int, Event[AlertRaised]] = {}
        self.started: dict[tuple[str, bool], Event[RunStarted]] = {}
        self.lasting: dict[Trouble, dict[str, Event[Any]]] = {}
        self.over: dict[Trouble, Event[Any]] = {}

    def pending(self) -> list[Event[Any]]:
        """The events about which an alert is to be raised, in order."""
        found = (event for event in self.waiting.values() if self._has_ears(event) and not self._is_known(event))
        return sorted(found, key=lambda event: event.id)

    def _has_ears(self, event: Event[Any]) -> bool:
        return (event.correlationid, True) in self.started

    def _is_known(self, event: Event[Any]) -> bool:
        """Whether somebody was, or is to be, told of the same trouble."""
        said = self.lasting.get(_trouble(event), {}).values()
        before = (other for other in said if other.id < event.id and kind_of(other) == kind_of(event))
        return any(map(self._has_ears, before))

    def undelivered(self) -> Iterator[tuple[str, Alert, list[str]]]:
        """Alerts (id, alert, channels) that the channels of their run have not all taken, oldest first."""
        for id_, alert in sorted(self.alerts.items()):
            if left := [channel for channel in self._channels(alert) if not alert.settled(channel)]:
                yield id_, alert, left

    def _channels(self, alert: Alert) -> list[str]:
        """The channels that the alert was raised for."""
        started = self.started.get((alert.raised.correlationid, True)) if alert.raised else None
        return started.data.alerts if started else []

    def needs_none(self, event: Event[Any]) -> bool:
        """Whether its run has nobody to tell, or an alert about it, or a later one, was raised; or it is over."""
        mark, over = self.marks.get(node_bits_of(event.id)), self.over.get(_trouble(event))
        raised = mark is not None and event.id <= mark.data.about
        return raised or (event.correlationid, False) in self.started or (over is not None and event.id < over.id)

    def events(self) -> Iterable[Event[Any]]:
        """How runs began, the marks, and the troubles, in the order of ids."""
        lasting = chain.from_iterable(said.values() for said in self.lasting.values())
        found = chain(self.started.values(), self.marks.values(), self.over.values(), lasting)
        return sorted(found, key=lambda event: event.id)

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The alert's events, and what waits."""
        alert = self.alerts.get(key) or Alert()
        own = [alert.raised] if alert.raised else []
        waiting = (event for event in self.waiting.values() if key_of(event) == key)
        return chain(own, alert.delivered.values(), alert.failed.values(), waiting)

    def keys(self) -> Set[str]:
        """The alerts in memory, and what those that wait are about."""
        return self.alerts.keys() | set(map(key_of, self.waiting.values()))

    def busy(self) -> set[str]:
        """What is to be raised or delivered."""
        return {id_ for id_, _, _ in self.undelivered()}.union(map(key_of, self.waiting.values()))

    def forget(self, key: str) -> None:
        """The alert."""
        self.alerts.pop(key, None)

    def prune(self) -> None:
        """Let go of what needs no alert."""
        for id_ in [id_ for id_, event in self.waiting.items() if self.needs_none(event)]:
            del self.waiting[id_]


def _noticed(state: State, event: Event[Any]) -> None:
    if kind_of(event) and not state.needs_none(event):
        state.waiting[event.id] = event


def _lasts(state: State, event: Event[Any]) -> None:
    over = state.over.get(_trouble(event))
    if kind_of(event) and not (over and event.id < over.id):
        state.lasting.setdefault(_trouble(event), {})[event.id] = event
    _noticed(state, event)


def _ended(state: State, event: Event[Any]) -> None:
    trouble = _ENDS[type(event.data)], event.subject
    held = state.over.get(trouble)
    if held is None or held.id < event.id:
        state.over[trouble] = event
        state.lasting[trouble] = {id_: one for id_, one in state.lasting.get(trouble, {}).items() if id_ > event.id}
        state.prune()


def _trouble(event: Event[Any]) -> Trouble:
    return type(event.data), event.subject


def _started(state: State, event: Event[RunStarted]) -> None:
    """Other nodes tell of what they do themselves."""
    ours = not state.here or event.data.node in ("", state.here)
    key = (event.subject, ours and bool(event.data.alerts))
    held = state.started.get(key)
    if held is None or held.id < event.id:
        state.started[key] = event
    state.prune()


def _raised(state: State, event: Event[AlertRaised]) -> None:
    state.alerts.setdefault(event.id, Alert()).raised = event
    about = event.data.about
    if not is_id(about) or about > event.id:
        return
    bits = node_bits_of(about)
    held = state.marks.get(bits)
    if held is None or (held.data.about, held.id) < (about, event.id):
        state.marks[bits] = event
        state.prune()


def _delivered(state: State, event: Event[AlertDelivered]) -> None:
    _newest(state.alerts.setdefault(event.subject, Alert()).delivered, event)


def _failed(state: State, event: Event[AlertFailed]) -> None:
    _newest(state.alerts.setdefault(event.subject, Alert()).failed, event)


def _newest(events: dict[str, Any], event: Event[Any]) -> None:
    held = events.get(event.data.channel)
    if held is None or held.id < event.id:
        events[event.data.channel] = event


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys(_KINDS, _noticed),
    **dict.fromkeys(_ENDS.values(), _lasts),
    **dict.fromkeys(_ENDS, _ended),
    RunStarted: _started,
    AlertRaised: _raised,
    AlertDelivered: _delivered,
    AlertFailed: _failed,
}
