"""Costs: what was used, by whom, for what. Rule: reports are totals of a session so far, so the greatest id is the
truth and nothing is ever added twice. Where the proxy accounts for a session, the runtime's own account of it is not
counted.

Money is added as whole millionths of a millionth of a dollar: a sum of floats would depend on the order.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from typing import Any

import msgspec

from ..eventlog.events import IssueAssigned, UsageReported
from ..eventlog.fact import Event, Fact
from . import Fold, Handler

PROXY = "proxy"
_DOLLAR = 10**12
_DEAREST = 1e9
"""Dollars: a report of more is not believed, and its price unknown."""


class Total(msgspec.Struct):
    """A sum of so many `reports`. `parts` of a dollar; `unpriced` counts sessions whose model has no known price, so
    `cost` is a lower bound then.
    """

    reports: int = 0
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    parts: int = 0
    unpriced: int = 0

    @property
    def cost(self) -> float:
        """Dollars."""
        return self.parts / _DOLLAR

    def add(self, usage: UsageReported) -> None:
        """Count one session's use of one model."""
        self.reports += 1
        self.calls += usage.calls
        self.input_tokens += usage.input_tokens
        self.output_tokens += usage.output_tokens
        self.cached_tokens += usage.cached_tokens
        if usage.cost is None or not -_DEAREST < usage.cost < _DEAREST:
            self.unpriced += 1
        else:
            self.parts += round(usage.cost * _DOLLAR)


class Account(msgspec.Struct):
    """What was used for one issue: by (session, origin, model); and who had each attempt."""

    reports: dict[tuple[str, str, str], Event[UsageReported]] = msgspec.field(default_factory=dict)
    assigned: dict[int, Event[IssueAssigned]] = msgspec.field(default_factory=dict)

    def counted(self) -> list[Event[UsageReported]]:
        """The reports that count: the proxy's where there are any for a session, else the runtime's. In a fixed
        order.
        """
        proxied = {session for session, origin, _ in self.reports if origin == PROXY}
        keys = sorted(key for key in self.reports if key[1] == PROXY or key[0] not in proxied)
        return [self.reports[key] for key in keys]

    def by_agent(self) -> dict[str, Total]:
        """Totals by agent; empty for an attempt that nobody is known to have had."""
        sums: dict[str, Total] = {}
        for event in self.counted():
            assigned = self.assigned.get(event.data.attempt)
            sums.setdefault(assigned.data.agent if assigned else "", Total()).add(event.data)
        return sums


class State(Fold):
    """Accounts by issue."""

    def __init__(self) -> None:
        super().__init__()
        self.accounts: dict[str, Account] = {}

    def account(self, issue: str) -> Account:
        """The issue's account, opened if there is none."""
        found = self.accounts.get(issue)
        if found is None:
            found = self.accounts[issue] = Account()
        return found

    def by_agent(self) -> dict[str, Total]:
        """What each agent has used, ever; sorted by name."""
        sums = Counter(self.sums)
        for issue in self.accounts:
            sums.update(self.count(issue))
        found: dict[str, Total] = {}
        for name, number in sums.items():
            what, _, agent = name.partition(" ")
            total = found.setdefault(agent, Total())
            setattr(total, what, getattr(total, what) + number)
        return dict(sorted((agent, total) for agent, total in found.items() if total.reports))

    def total(self) -> Total:
        """Everything, ever."""
        whole = Total()
        for total in self.by_agent().values():
            for name in Total.__struct_fields__:
                setattr(whole, name, getattr(whole, name) + getattr(total, name))
        return whole

    def keys(self) -> Set[str]:
        """The issues in memory."""
        return self.accounts.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The issue's reports and assignments."""
        account = self.accounts.get(key, Account())
        return (*account.reports.values(), *account.assigned.values())

    def count(self, key: str) -> Mapping[str, int]:
        """`<field of Total> <agent>` -> number."""
        account = self.accounts.get(key)
        totals = account.by_agent() if account else {}
        return {
            f"{name} {agent}": getattr(total, name)
            for agent, total in totals.items()
            for name in Total.__struct_fields__
        }

    def forget(self, key: str) -> None:
        """The issue's account."""
        self.accounts.pop(key, None)


def _reported(state: State, event: Event[UsageReported]) -> None:
    data = event.data
    reports = (state.accounts.get(event.subject) or state.account(event.subject)).reports
    key = (data.session, data.origin, data.model)
    held = reports.get(key)
    if held is None or held.id < event.id:
        reports[key] = event


def _assigned(state: State, event: Event[IssueAssigned]) -> None:
    assigned = state.account(event.subject).assigned
    held = assigned.get(event.data.attempt)
    if held is None or held.id < event.id:
        assigned[event.data.attempt] = event


ON: Mapping[type[Fact], Handler] = {UsageReported: _reported, IssueAssigned: _assigned}
