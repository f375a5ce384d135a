"""Costs: what was used, by whom, for what. Rule: reports are totals of a session so far, so the greatest id is the
truth and nothing is ever added twice. Where the proxy accounts for a session, the runtime's own account of it is not
counted.
"""

from collections.abc import Callable, Mapping

import msgspec

from ..eventlog.events import IssueAssigned, UsageReported
from ..eventlog.fact import Event, Fact
from . import Handler

PROXY = "proxy"


class Total(msgspec.Struct):
    """A sum. `cost` in dollars; `unpriced` counts sessions whose model has no known price, so `cost` is a lower bound
    then.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0

    def add(self, usage: UsageReported) -> None:
        """Count one session's use of one model."""
        self.calls += usage.calls
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        if usage.cost is None:
            self.unpriced += 1
        else:
            self.cost += usage.cost


class State:
    """Usage by session, origin and model; and which agent did which attempt."""

    def __init__(self) -> None:
        self.reports: dict[tuple[str, str, str], Event[UsageReported]] = {}
        self.agents: dict[tuple[str, int], tuple[str, str]] = {}

    def counted(self) -> list[Event[UsageReported]]:
        """The reports that count: the proxy's where there are any for a session, else the runtime's. In a fixed
        order.
        """
        proxied = {session for session, origin, _ in self.reports if origin == PROXY}
        keys = sorted(key for key in self.reports if key[1] == PROXY or key[0] not in proxied)
        return [self.reports[key] for key in keys]

    def agent(self, event: Event[UsageReported]) -> str:
        """Who used it."""
        return self.agents.get((event.subject, event.data.attempt), ("", ""))[1]

    def total(self) -> Total:
        """Everything."""
        return self.by(lambda _: "").get("", Total())

    def by(self, key: Callable[[Event[UsageReported]], str]) -> dict[str, Total]:
        """Totals per key, sorted by key."""
        sums: dict[str, Total] = {}
        for event in self.counted():
            sums.setdefault(key(event), Total()).add(event.data)
        return dict(sorted(sums.items()))


def _reported(state: State, event: Event[UsageReported]) -> None:
    key = (event.data.session, event.data.origin, event.data.model)
    held = state.reports.get(key)
    if held is None or held.id < event.id:
        state.reports[key] = event


def _assigned(state: State, event: Event[IssueAssigned]) -> None:
    key = (event.subject, event.data.attempt)
    state.agents[key] = max(state.agents.get(key, ("", "")), (event.id, event.data.agent))


ON: Mapping[type[Fact], Handler] = {UsageReported: _reported, IssueAssigned: _assigned}
