"""Quotas: which provider refuses, until when, and who tries whether it answers again. Rule: what a provider said counts
until it answered; of several refusals since somebody last tried, the longest counts.

The key is the provider. There are few, and what is known of each is little: none is forgotten.
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any

import msgspec

from ..eventlog.events import QuotaExhausted, QuotaProbed, QuotaResumed
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import rfc3339
from . import Fold, Handler

_OWN = {"pi": "llm"}
"""Runtimes that have no provider of their own name: pi asks the proxy."""
_DAY = 86_400


def provider(runtime: str, model: str) -> str:
    """Whose quota an attempt uses: the model's prefix (`openai/gpt-5` is openai's), else `llm` for pi, else the
    runtime's name. A script's is always `shell`: nobody knows what it calls.
    """
    prefix, slash, _ = model.partition("/")
    return prefix if slash and prefix and runtime != "shell" else _OWN.get(runtime, runtime)


def clock(until: float, now: float) -> str:
    """That Unix time as `15:04 UTC`, with its date if it is a day ahead or more."""
    milliseconds = int(min(max(until, 0.0), 1e11) * 1000)
    text = rfc3339(f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}")
    return f"{text[:10] + ' ' if until - now >= _DAY else ''}{text[11:16]} UTC"


class Provider(msgspec.Struct):
    """What is known since it last answered. `refusals`: those since it was last tried; `probes`: all tries."""

    name: str
    resumed: Event[QuotaResumed] | None = None
    refusals: dict[str, Event[QuotaExhausted]] = msgspec.field(default_factory=dict)
    probes: dict[str, Event[QuotaProbed]] = msgspec.field(default_factory=dict)

    @property
    def until(self) -> float:
        """Nothing is begun with it before that (Unix time); 0 if it answers, or is being tried."""
        return max((event.data.until for event in self.refusals.values()), default=0.0)

    @property
    def probe(self) -> Event[QuotaProbed] | None:
        """The newest try, if there was no answer since, and no refusal."""
        return None if self.refusals else max(self.probes.values(), key=lambda event: event.id, default=None)

    @property
    def newest(self) -> str:
        """The id of the newest event about it; empty if it never refused."""
        return max([*self.refusals, *self.probes, self.resumed.id if self.resumed else ""])

    def prune(self) -> None:
        """Forget what an answer, or a later try, has settled."""
        answered = self.resumed.id if self.resumed else ""
        self.probes = {id_: event for id_, event in self.probes.items() if id_ > answered}
        tried = max(self.probes, default=answered)
        self.refusals = {id_: event for id_, event in self.refusals.items() if id_ > tried}


class State(Fold):
    """Name -> provider, of those that have ever refused."""

    def __init__(self) -> None:
        super().__init__()
        self.of: dict[str, Provider] = {}

    def find(self, name: str) -> Provider:
        """What is known of it; nothing is, of one that never refused."""
        return self.of.get(name) or Provider(name)

    def events(self) -> Iterator[Event[Any]]:
        """What it holds, in the order of ids."""
        found: list[Event[Any]] = []
        for known in self.of.values():
            found += [*known.refusals.values(), *known.probes.values(), *([known.resumed] if known.resumed else [])]
        yield from sorted(found, key=lambda event: event.id)

    def busy(self) -> set[str]:
        """The issues that are tried with."""
        return {known.probe.data.issue for known in self.of.values() if known.probe}

    def keys(self) -> Set[str]:
        """None: what it holds, it holds for ever."""
        return frozenset()


def _provider(state: State, event: Event[Any]) -> Provider:
    return state.of.setdefault(event.subject, Provider(event.subject))


def _exhausted(state: State, event: Event[QuotaExhausted]) -> None:
    known = _provider(state, event)
    known.refusals[event.id] = event
    known.prune()


def _probed(state: State, event: Event[QuotaProbed]) -> None:
    known = _provider(state, event)
    known.probes[event.id] = event
    known.prune()


def _resumed(state: State, event: Event[QuotaResumed]) -> None:
    known = _provider(state, event)
    if known.resumed is None or known.resumed.id < event.id:
        known.resumed = event
    known.prune()


ON: Mapping[type[Fact], Handler] = {QuotaExhausted: _exhausted, QuotaProbed: _probed, QuotaResumed: _resumed}
