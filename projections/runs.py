"""Runs: when `swarm start` ran, with which settings, and how it ended. Rule: settings in force are a fact, so a
replay decides with the settings of then, not of now.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..eventlog.events import ActorCrashed, QueueHeld, QueueResumed, RunStarted, RunStopped, RunStopRequested
from ..eventlog.fact import Event, Fact
from . import Fold, Handler, Latest, fact, happened, keep


class Run(msgspec.Struct):
    """One run of the actors. `crashes` are the ids of the actor crashes in it."""

    id: str
    latest: Latest = msgspec.field(default_factory=dict)
    crashes: dict[str, Event[ActorCrashed]] = msgspec.field(default_factory=dict)

    @property
    def started(self) -> RunStarted | None:
        """Its settings and its process."""
        return fact(self.latest, RunStarted)

    @property
    def stopped(self) -> RunStopped | None:
        """How it ended; None while it runs, and for ever if it was killed."""
        return fact(self.latest, RunStopped)

    @property
    def stopping(self) -> RunStopRequested | None:
        """Set once a person asked it to stop."""
        return fact(self.latest, RunStopRequested)

    @property
    def ending(self) -> bool:
        """Whether a person wants the agents ended too: what is killed must not be started anew."""
        return bool(self.stopping and self.stopping.agents)

    @property
    def began(self) -> str:
        """The id of the event since which its gates are tried: what was broken before that may be mended."""
        return max(happened(self.latest, RunStarted), happened(self.latest, QueueResumed))

    @property
    def held(self) -> QueueHeld | None:
        """Why nothing is tested, landed or assigned now, unless somebody let it go on since."""
        return fact(self.latest, QueueHeld) if happened(self.latest, QueueHeld) > self.began else None


class State(Fold):
    """All runs. `here` is the node whose point of view it is; empty: nobody's."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, Run] = {}
        self._current: Run | None = None

    @property
    def current(self) -> Run | None:
        """The newest run, ended or not: of this node or of one that did not say its name, or of any where `here` is
        empty.
        """
        return self._current

    def begun(self, run: Run) -> None:
        """A run began: which is the newest is asked for each attempt, and there may be thousands."""
        if self._is_ours(run) and (self._current is None or _order(run) > _order(self._current)):
            self._current = run
        elif run is self._current:
            self._current = max(filter(self._is_ours, self.runs.values()), key=_order, default=None)

    @property
    def settings(self) -> RunStarted | None:
        """The settings in force."""
        return self.current.started if self.current else None

    @property
    def held(self) -> QueueHeld | None:
        """Why the current run holds its queue; None if it does not."""
        return self.current.held if self.current else None

    @property
    def ending(self) -> bool:
        """Whether a person wants the agents of the current run ended too."""
        return bool(self.current and self.current.ending)

    def events(self) -> Iterator[Event[Any]]:
        """What it holds, to fold again, in the order of ids."""
        held = [event for run in self.runs.values() for event in (*run.latest.values(), *run.crashes.values())]
        yield from sorted(held, key=lambda event: event.id)

    def _is_ours(self, run: Run) -> bool:
        return run.started is not None and (not self.here or run.started.node in ("", self.here))


def _order(run: Run) -> str:
    return happened(run.latest, RunStarted)


def _run_fact(state: State, event: Event[Any]) -> None:
    keep(state.runs.setdefault(event.subject, Run(event.subject)).latest, event)


def _started(state: State, event: Event[RunStarted]) -> None:
    _run_fact(state, event)
    state.begun(state.runs[event.subject])


def _crashed(state: State, event: Event[ActorCrashed]) -> None:
    run = state.runs.setdefault(event.correlationid, Run(event.correlationid))
    run.crashes[event.id] = event


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys((RunStopped, RunStopRequested, QueueHeld, QueueResumed), _run_fact),
    RunStarted: _started,
    ActorCrashed: _crashed,
}
