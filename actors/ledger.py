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
from ..world.shelf import Stale
from .command import Decide, Said

T = TypeVar("T")


class Fold(Protocol):
    """A board that is kept up with the log: a `checkpoints.Keeper`."""

    board: Board
    tail: Tail

    def read(self) -> list[Event[Any]]:
        """Fold what came since the last call; returns it."""

    def anew(self) -> None:
        """Fold everything again."""

    def draft(self) -> checkpoints.Draft | None:
        """The board as a checkpoint, if there is anything to save."""

    def write(self, draft: checkpoints.Draft) -> None:
        """Save it; may run beside everything else."""


class Whole:
    """The plain fold of everything that a tail reads, with no checkpoints."""

    def __init__(self, tail: Tail, here: str = "") -> None:
        self.board, self.tail = Board(here=here), tail

    def read(self) -> list[Event[Any]]:
        """Fold what came since the last call; returns it."""
        found = self.tail.read()
        self.board.fold(found)
        return found

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
        if fold.board.newest:
            log.observe(fold.board.newest)

    def catch_up(self) -> None:
        """Fold what has been appended since."""
        with self._lock:
            for event in self._fold.read():
                self._log.observe(event.id)
                for listener in self.listeners:
                    listener(event)

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
