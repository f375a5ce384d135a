"""Admission: whether a node has room for one more agent. Rule: the newest answer counts; a node that never gave one has
room.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from ..eventlog.events import AdmissionClosed, AdmissionOpened
from ..eventlog.fact import Event, Fact
from . import Fold, Handler, Latest, fact, happened, keep


class State(Fold):
    """Node -> its newest answers."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Latest] = {}

    def closed(self, node: str) -> str:
        """What there is too little of; empty if there is room."""
        latest = self.of.get(node, {})
        if happened(latest, AdmissionOpened) > happened(latest, AdmissionClosed):
            return ""
        closed = fact(latest, AdmissionClosed)
        return closed.reason if closed else ""

    def since(self, node: str) -> str:
        """The id of its newest closing; empty if there was none."""
        return happened(self.of.get(node, {}), AdmissionClosed)

    def events(self) -> Iterator[Event[Any]]:
        """What it holds, in the order of ids."""
        held = [event for latest in self.of.values() for event in latest.values()]
        yield from sorted(held, key=lambda event: event.id)


def _answered(state: State, event: Event[Any]) -> None:
    keep(state.of.setdefault(event.subject, {}), event)


ON: Mapping[type[Fact], Handler] = dict.fromkeys((AdmissionClosed, AdmissionOpened), _answered)
