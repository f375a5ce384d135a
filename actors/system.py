"""The running system: boots the actors, wakes them, restarts those that crash, and stops. It alone wires the real
hands.

Rule: it holds no state that the log does not. A crashed actor is started anew from the board, at most `RESTARTS`
times in `WINDOW` seconds; then everything stops, with words, and the log is as it was. (That an actor watches over
crashes, as the design has it, cannot be: who would watch over that one?)
"""

import contextlib
import queue
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import msgspec

from ..eventlog.errors import SwarmError
from ..eventlog.events import ActorCrashed, RunStarted, RunStopped, RunStopRequested, SessionKillRequested
from ..eventlog.fact import Event
from ..eventlog.files import Log
from ..eventlog.watcher import Watcher
from ..mailbox import waits
from ..projections import Board, agents, runs
from ..world.checkpoints import Keeper
from . import admission, alerts, builder, coordinator, hindsight, merger, scout, watchdog
from .command import Decide, Said
from .hands import Hands
from .housekeeper import Housekeeper
from .ledger import Ledger
from .shell import Actor, Staff

ACTORS: tuple[Actor, ...] = (coordinator, scout, builder, merger, watchdog)
RESTARTS, WINDOW = 5, 60.0
FAREWELL = 5.0
"""Seconds that a run takes at its end to tell those outside."""
NAME = "system"


class ActorsFailed(SwarmError):
    """Raised when an actor crashed too often. It is our bug; the log is intact."""

    exit_code = 3


class Ending(msgspec.Struct, frozen=True):
    """Why the system came to rest: `idle`, `stopped` (somebody asked) or `interrupted` (Ctrl-C)."""

    reason: str


class System:
    """One run. `show` is called in `run`'s own thread with every event as it is folded."""

    def __init__(
        self,
        log: Log,
        log_dir: str,
        cache: str,
        hands: Hands,
        settings: RunStarted,
        now: Callable[[], float],
        show: Callable[[Event[Any]], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._log, self._now, self._show, self._settings = log, now, show, settings
        self._run, self._log_dir, self._repository = hands.run, log_dir, hands.repository
        self._carrier, self._hands, self._cache, self._monotonic = hands.carrier, hands, cache, monotonic
        self._fold = Keeper(log_dir, cache, here=settings.node, owner=True)
        self._ledger = Ledger(log, self._fold, hands.run, now)
        self._staff = Staff(self._ledger, hands, now, self._crashed)
        self._keeper = Housekeeper(log.sync, self._ledger.save, partial(self._crashed, "housekeeper"), monotonic)
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._news: queue.SimpleQueue[Event[Any]] = queue.SimpleQueue()
        self._crashes: queue.SimpleQueue[tuple[str, BaseException]] = queue.SimpleQueue()
        self._fallen: list[float] = []
        self._interrupted = False

    def interrupt(self) -> None:
        """Come to rest soon, leaving the agents at work. Safe in a signal handler."""
        self._interrupted = True
        self._wake.put(None)  # reentrant, which an Event is not: the handler may have interrupted its own wait

    def run(self, until_idle: bool) -> Ending:
        """Work until idle (if asked), until a stop is requested, or until interrupted; raises ActorsFailed or
        LogError.
        """
        self._ledger.listeners.append(self._news.put)
        self._say(self._settings)
        self._measure()
        for command in self._ledger.ask(hindsight.due):
            self._ledger.say(merger.NAME, hindsight.perform(command, self._repository))
        ending = Ending("failed")
        try:
            with self._at_work():
                ending = self._watch(until_idle)
            self._ledger.say(coordinator.NAME, self._ledger.ask(coordinator.leaving))
            self._repository.tidy()
        finally:
            try:
                self._ledger.catch_up()
                self._tell()
            finally:
                self._fold.close()
        return ending

    def stopped(self, reason: str, code: int) -> None:
        """Record the end of the run; `code` is the exit code. Whoever is to be told, and other clones, hear of it, if
        they can be reached.
        """
        self._say(RunStopped(reason=reason, code=code))
        if self._hands.alerts and self._settings.alerts:
            self._tell_outside()
        if self._carrier:
            self._carrier.share(())

    def _tell_outside(self) -> None:
        """Try once what was not told yet, for a few seconds; the next run sees to the rest. The board was closed: this
        is another.
        """
        fold = Keeper(self._log_dir, self._cache, here=self._settings.node)
        try:
            ledger = Ledger(self._log, fold, self._run, self._now)
            ledger.decide(watchdog.NAME, watchdog.due)
            until = self._monotonic() + FAREWELL
            for command in ledger.ask(alerts.due):
                if isinstance(command, alerts.SendAlert) and self._monotonic() < until:
                    ledger.say(watchdog.NAME, alerts.perform(command, self._hands))
        finally:
            fold.close()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        watcher = Watcher(self._log_dir, self._ring, tick=self._staff.beat)
        try:
            for actor in ACTORS:
                self._staff.hire(actor)
            with self._keeper, watcher:
                yield
        finally:
            self._staff.dismiss()

    def _measure(self) -> None:
        """Before anything is begun; later the Coordinator has it done."""
        for command in self._ledger.ask(admission.due):
            self._ledger.say(coordinator.NAME, coordinator.perform(command, self._hands))

    def _ring(self) -> None:
        self._staff.ring()
        self._wake.put(None)
        self._keeper.ring()  # last: who acts comes before who tidies up

    def _watch(self, until_idle: bool) -> Ending:
        hurried, comes_to_rest = "", until_idle
        while True:
            self._sleep(1.0 if comes_to_rest else None)
            self._ledger.catch_up()
            self._tell()
            self._mend()
            if self._interrupted:
                return Ending("interrupted")
            stop = self._ledger.ask(self._stop_requested)
            if stop and not stop.agents:
                return Ending("stopped")
            comes_to_rest = until_idle or stop is not None
            if comes_to_rest and self._ledger.ask(self._at_rest):
                newest = self._ledger.ask(lambda board, _: board.newest)
                if hurried == newest:
                    return Ending("stopped" if stop else "idle")
                hurried = newest  # what waits to be tried again gets one more chance
                self._staff.hurry()

    def _sleep(self, longest: float | None) -> None:
        """Until woken, `longest` seconds at most. However often it was woken meanwhile: one look answers all."""
        with contextlib.suppress(queue.Empty):
            self._wake.get(timeout=longest)
            while True:
                self._wake.get_nowait()

    def _tell(self) -> None:
        while True:
            try:
                self._show(self._news.get_nowait())
            except queue.Empty:
                return

    def _stop_requested(self, board: Board, _now: float) -> RunStopRequested | None:
        current = board[runs.State].current
        wish = current.stopping if current else None
        if wish and wish.agents:
            self._end_sessions(board)
        return wish

    def _end_sessions(self, board: Board) -> None:
        wishes = [
            Said(
                session.issue,
                SessionKillRequested(session=session.id, attempt=session.attempt, reason="swarm stop --now"),
            )
            for session in board[agents.State].sessions()
            if not session.killed
        ]
        self._ledger.say(NAME, wishes)

    def _at_rest(self, board: Board, now: float) -> bool:
        """Whether nothing runs, here or elsewhere, nothing is due but what led to nothing when last tried, and nothing
        waits for what comes by itself: a run of a night is to go on when there is quota again.
        """
        settings, state = board[runs.State].settings, board[agents.State]
        begins = settings is None or settings.max_agents > 0  # else it only lands what is there, whatever agents do
        if any(begins or session.kind != "agent" or state.resolves(session) for session in state.sessions()):
            return False
        run = board[runs.State].current
        if run and not (run.stopping or run.held):
            comes = (coordinator.at_work_elsewhere, coordinator.begins_later, waits.soon)
            if any(ask(board, now) for ask in (comes if begins else (coordinator.begins_later,))):
                return False
        due = [(actor, command) for actor in ACTORS for command in actor.due(board, now)]
        due = [one for one in due if not isinstance(one[1], alerts.SendAlert)]  # who is to be told, is not waited for
        return all(not isinstance(one, Decide) and one in self._staff.waiting(actor.NAME) for actor, one in due)

    def _crashed(self, name: str, error: BaseException) -> None:
        self._crashes.put((name, error))
        self._wake.put(None)

    def _mend(self) -> None:
        """Restart what crashed, unless it crashes all the time or the log itself cannot be written."""
        while not self._crashes.empty():
            name, error = self._crashes.get()
            if isinstance(error, SwarmError):
                raise error
            self._fallen = [when for when in self._fallen if when > self._now() - WINDOW] + [self._now()]
            actor = next((actor for actor in ACTORS if actor.NAME == name), None)
            gave_up = actor is None or len(self._fallen) > RESTARTS
            words = self._hands.redact(f"{type(error).__name__}: {error}")
            self._ledger.say(NAME, [Said(name, ActorCrashed(error=words, gave_up=gave_up))])
            if actor is None or gave_up:
                raise ActorsFailed(
                    f"the {name} crashed {len(self._fallen)} times within {WINDOW:.0f} s; the last time: {words}",
                    "the log is intact: `swarm start` goes on where it ends",
                ) from error
            self._staff.hire(actor)

    def _say(self, fact: RunStarted | RunStopped) -> None:
        self._ledger.say(NAME, [Said(self._run, fact)])
