"""The one fold of a running system, shared by its actors. Rule: nobody reads the board but under its lock, and nobody
holds the lock while acting on the world.

One fold instead of one per actor: the log is decoded once however many actors there are.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ..eventlog.fact import Event
from ..eventlog.files import Draft, Log
from ..eventlog.tail import Tail
from ..projections import Board
from ..world import checkpoints
from ..world.store import Stale
from .command import Decide, Said

T = TypeVar("T")


class Fold(Protocol):
    """A board that is kept up with the log: a `checkpoints.Keeper`."""

    board: Board
    tail: Tail

    def anew(self) -> None:
        """Fold everything again, into another board; the tail stays where it is."""

    def draft(self) -> checkpoints.Draft | None:
        """The board as a checkpoint, if there is anything to save."""

    def write(self, draft: checkpoints.Draft) -> None:
        """Save it; may run beside everything else."""


class Whole:
    """The plain fold of everything that a tail reads, with no checkpoints."""

    def __init__(self, tail: Tail, here: str = "") -> None:
        self.board, self.tail = Board(here=here), tail

    def anew(self) -> None:
        """Nothing can be wrong with it."""

    def draft(self) -> None:
        """It saves nothing."""

    def write(self, draft: checkpoints.Draft) -> None:
        """It saves nothing."""


class Ledger:
    """Reads the log to its end before every answer, and appends what actors say and decide."""

    def __init__(self, log: Log, fold: Fold, run: str, now: Callable[[], float]) -> None:
        self._log, self._fold, self._run, self._now = log, fold, run, now
        self._lock = threading.RLock()
        self.listeners: list[Callable[[Event[Any]], None]] = []
        self.catch_up()
        for newest in filter(None, (fold.board.newest, *fold.tail.seen.values())):
            log.observe(newest)  # of what the fold began with; where one is refused, the others count

    def catch_up(self) -> None:
        """Fold what has been appended since, some hundreds at a time: what is folded and dropped while it is still in
        the processor's cache takes half the time.
        """
        with self._lock:
            for found in self._fold.tail.batches():
                try:
                    self._fold.board.fold(found)
                except Stale:
                    self._fold.anew()
                self._observe(found)
                for listener in self.listeners:
                    for event in found:
                        listener(event)

    def _observe(self, found: Sequence[Event[Any]]) -> None:
        """Sort after all of these from now on. Where the newest of all is too far ahead, each is asked about: one that
        is refused must not hide the others.
        """
        if not self._log.observe(self._fold.board.newest):
            for event in found:
                self._log.observe(event.id)

    def ask(self, question: Callable[[Board, float], T]) -> T:
        """The answer to a question on the state as of now."""
        with self._lock:
            self.catch_up()
            return self._answer(question)

    def save(self) -> None:
        """Save a checkpoint of the board: under the lock it is only drawn up."""
        with self._lock:
            draft = self._fold.draft()
        if draft is not None:
            self._fold.write(draft)

    def _answer(self, question: Callable[[Board, float], T]) -> T:
        """An answer may need what rests; where that is not what it was, all is folded again."""
        try:
            return question(self._fold.board, self._now())
        except Stale:
            self._fold.anew()
            return question(self._fold.board, self._now())

    def say(self, source: str, said: Sequence[Said]) -> None:
        """Append what came of a command."""
        drafts = [Draft(s.fact, source, s.subject, causationid=s.cause, correlationid=self._run) for s in said]
        if drafts:
            self._log.append(drafts)

    def decide(self, source: str, due: Callable[[Board, float], Sequence[Any]]) -> int:
        """Lock the log, fold its tail, ask what is due, append every decision in the answer. Returns how many there
        were.
        """

        def ask() -> list[Draft]:
            self.catch_up()
            return self._answer(decided)

        def decided(board: Board, now: float) -> list[Draft]:
            seen = dict(self._fold.tail.seen)
            return [
                Draft(c.fact, source, c.subject, causationid=c.cause, correlationid=self._run, seen=seen, now=now)
                for c in due(board, now)
                if isinstance(c, Decide)
            ]

        with self._lock:
            return len(self._log.append_if(ask))
