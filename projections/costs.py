"""Costs: what was used, by whom, for what, with which model, on which day, in which run. Rule: reports are totals of a
session so far, so the greatest id is the truth and nothing is ever added twice. Where the proxy accounts for a session,
the runtime's own account of it is not counted.

What a day or a run used of a session is what its last report has more than the last one before that day or run: so of
each only the newest report is kept, and their order does not matter.

Money is added as whole millionths of a millionth of a dollar: a sum of floats would depend on the order.
"""

from collections.abc import Iterable, Mapping, Set
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.events import IssueAssigned, UsageReported
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import day_of
from . import Fold, Handler

PROXY = "proxy"
AXES = ("agent", "role", "model", "day", "run")
"""By what is summed, besides by issue."""
WAY = "way"
"""One more axis: with what an attempt was begun, and what that used: `<runtime>\t<model>\t<model used>`."""
_DOLLAR = 10**12
_DAY = 86_400_000
"""Milliseconds, which an id begins with."""
_DEAREST = 1e9
"""Dollars: a report of more is not believed, and its price unknown; so is one of less than nothing."""

Slot = tuple[str, str, str, int, str]
"""Session, origin, model, day (since 1970), run."""


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

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.input_tokens + self.output_tokens

    def add(self, usage: UsageReported, before: UsageReported | None = None) -> None:
        """Count one session's use of one model; with `before`, only what came since that report."""
        self.reports += 1
        self.calls += _more(usage.calls, before.calls if before else 0)
        self.input_tokens += _more(usage.input_tokens, before.input_tokens if before else 0)
        self.output_tokens += _more(usage.output_tokens, before.output_tokens if before else 0)
        self.cached_tokens += _more(usage.cached_tokens, before.cached_tokens if before else 0)
        parts = _parts(usage)
        if parts is None:
            self.unpriced += 1
        else:
            self.parts += _more(parts, (_parts(before) if before else 0) or 0)

    def plus(self, other: "Total") -> "Total":
        """Add another sum; returns itself."""
        for name in _FIELDS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


_FIELDS = Total.__struct_fields__


def _more(now: int, before: int) -> int:
    """What a total took back was not used anew."""
    return max(now - before, 0)


def _parts(usage: UsageReported) -> int | None:
    """Its price, if that is known and can be true."""
    believed = usage.cost is not None and 0 <= usage.cost < _DEAREST
    return round(usage.cost * _DOLLAR) if believed and usage.cost is not None else None


class Account(msgspec.Struct):
    """What was used for one issue: the newest report of each slot; and who had each attempt."""

    reports: dict[Slot, Event[UsageReported]] = msgspec.field(default_factory=dict)
    assigned: dict[int, Event[IssueAssigned]] = msgspec.field(default_factory=dict)
    _used: dict[tuple[str, str], Total] | None = None

    def series(self) -> list[list[Event[UsageReported]]]:
        """The reports that count, by session and model, each in the order of their ids: the last one is the total. The
        proxy's where there are any for a session, else the runtime's.
        """
        proxied = {slot[0] for slot in self.reports if slot[1] == PROXY}
        found: dict[tuple[str, str, str], list[Event[UsageReported]]] = {}
        for slot in sorted(self.reports, key=lambda slot: self.reports[slot].id):
            if slot[1] == PROXY or slot[0] not in proxied:
                found.setdefault(slot[:3], []).append(self.reports[slot])
        return [found[key] for key in sorted(found)]

    def used(self) -> dict[tuple[str, str], Total]:
        """(axis, value) -> what was used; the agent and role are empty for an attempt that nobody is known to have
        had.
        """
        if self._used is None:
            self._used = {}
            for series in self.series():
                self._add(self._used, series)
        return self._used

    def _add(self, sums: dict[tuple[str, str], Total], series: list[Event[UsageReported]]) -> None:
        newest = series[-1].data
        assigned = self.assigned.get(newest.attempt)
        who = (assigned.data.agent, assigned.data.role) if assigned else ("", "")
        found = list(zip(AXES, (*who, newest.model), strict=False))
        if assigned:
            found.append((WAY, f"{assigned.data.runtime}\t{assigned.data.model}\t{newest.model}"))
        for where in found:
            sums.setdefault(where, Total()).add(newest)
        before = None
        for event in series:
            for where in (("day", day_of(event.id)), ("run", event.correlationid)):
                sums.setdefault(where, Total()).add(event.data, before)
            before = event.data

    def total(self) -> Total:
        """All of it."""
        whole = Total()
        for series in self.series():
            whole.add(series[-1].data)
        return whole

    def changed(self) -> None:
        """What was summed is not true any more."""
        self._used = None


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

    def by(self, axis: str) -> dict[str, Total]:
        """What was used, ever, by one of the `AXES`, or `WAY`; sorted by name."""
        found: dict[str, Total] = {}
        for name, number in self.sums.items():
            field, along, value = name.split(" ", 2)
            if along == axis:
                total = found.setdefault(value, Total())
                setattr(total, field, getattr(total, field) + number)
        for account in self.accounts.values():
            for (along, value), total in account.used().items():
                if along == axis:
                    found.setdefault(value, Total()).plus(total)
        return {value: total for value, total in sorted(found.items()) if total.reports}

    def one(self, axis: str, value: str) -> Total:
        """What one of them has used, ever."""
        found = Total(**{name: self.sums[f"{name} {axis} {value}"] for name in _FIELDS})
        for account in self.accounts.values():
            if total := account.used().get((axis, value)):
                found.plus(total)
        return found

    def by_agent(self) -> dict[str, Total]:
        """What each agent has used, ever; sorted by name."""
        return self.by("agent")

    def by_issue(self) -> dict[str, Total]:
        """What was used for each issue in memory; sorted."""
        return {issue: account.total() for issue, account in sorted(self.accounts.items()) if account.reports}

    def total(self) -> Total:
        """Everything, ever."""
        whole = Total()
        for total in self.by_agent().values():
            whole.plus(total)
        return whole

    def keys(self) -> Set[str]:
        """The issues in memory."""
        return self.accounts.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The issue's reports and assignments."""
        account = self.accounts.get(key, Account())
        return chain(account.reports.values(), account.assigned.values())

    def count(self, key: str) -> Mapping[str, int]:
        """`<field of Total> <axis> <value>` -> number."""
        account = self.accounts.get(key)
        used = account.used().items() if account else ()
        return {
            f"{name} {axis} {value}": number
            for (axis, value), total in used
            for name in _FIELDS
            if (number := getattr(total, name))
        }

    def forget(self, key: str) -> None:
        """The issue's account."""
        self.accounts.pop(key, None)


def _reported(state: State, event: Event[UsageReported]) -> None:
    data = event.data
    account = state.accounts.get(event.subject) or state.account(event.subject)
    id_ = event.id
    slot = (data.session, data.origin, data.model, int(id_[:8] + id_[9:13], 16) // _DAY, event.correlationid)
    held = account.reports.get(slot)
    if held is None or held.id < id_:
        account.reports[slot] = event
        account.changed()


def _assigned(state: State, event: Event[IssueAssigned]) -> None:
    account = state.account(event.subject)
    held = account.assigned.get(event.data.attempt)
    if held is None or held.id < event.id:
        account.assigned[event.data.attempt] = event
        account.changed()


ON: Mapping[type[Fact], Handler] = {UsageReported: _reported, IssueAssigned: _assigned}
