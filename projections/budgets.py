"""Budgets: what was said of each limit, and what a person allows beyond it. Rule: each is known by its subject, an axis
of costs and a value of it (`day:2026-11-21`, `agent:builder-1`); how much is used is not known here.
"""

from collections.abc import Iterable, Mapping, Set
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.events import BudgetExceeded, BudgetRaised, BudgetWarned
from ..eventlog.fact import Event, Fact
from . import Fold, Handler


class Budget(msgspec.Struct):
    """One of them. `said`: (kind of fact, unit, limit) -> the newest such event; `raises` by their ids."""

    said: dict[tuple[str, str, float], Event[Any]] = msgspec.field(default_factory=dict)
    raises: dict[str, Event[BudgetRaised]] = msgspec.field(default_factory=dict)

    def more(self, unit: str) -> float:
        """How much was allowed on top; in the order of ids, as a sum of floats depends on it."""
        return sum(event.data.more for _, event in sorted(self.raises.items()) if event.data.unit == unit)

    def was_said(self, kind: type[Fact], unit: str, limit: float) -> bool:
        """Whether that was said of that limit; a limit that was raised is another."""
        return (kind.type, unit, limit) in self.said


class State(Fold):
    """Budgets by their subjects: those of which something was said."""

    def __init__(self) -> None:
        super().__init__()
        self.budgets: dict[str, Budget] = {}

    def find(self, subject: str) -> Budget:
        """What is known of it, wherever that is."""
        self.recall(subject)
        return self.budgets.get(subject) or Budget()

    def keys(self) -> Set[str]:
        """The subjects in memory."""
        return self.budgets.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The subject's events."""
        budget = self.budgets.get(key) or Budget()
        return chain(budget.said.values(), budget.raises.values())

    def forget(self, key: str) -> None:
        """The budget."""
        self.budgets.pop(key, None)


def _said(state: State, event: Event[Any]) -> None:
    said = state.budgets.setdefault(event.subject, Budget()).said
    key = (event.data.type, event.data.unit, event.data.limit)
    held = said.get(key)
    if held is None or held.id < event.id:
        said[key] = event


def _raised(state: State, event: Event[BudgetRaised]) -> None:
    state.budgets.setdefault(event.subject, Budget()).raises[event.id] = event


ON: Mapping[type[Fact], Handler] = {BudgetWarned: _said, BudgetExceeded: _said, BudgetRaised: _raised}
