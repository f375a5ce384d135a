"""The one fold of a running system, shared by its actors. Rule: nobody reads the board but under its lock, and nobody
holds the lock while acting on the world.

One fold instead of one per actor: the log is decoded once however many actors there are.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from ..eventlog.fact import Event
from ..eventlog.files import Draft, Log
from ..eventlog.tail import Tail
from ..projections import Board
from .command import Decide, Said

T = TypeVar("T")


class Ledger:
    """Reads the log to its end before every answer, and appends what actors say and decide."""

    def __init__(self, log: Log, tail: Tail, run: str, now: Callable[[], float]) -> None:
        self._log, self._tail, self._run, self._now = log, tail, run, now
        self._board = Board()
        self._lock = threading.RLock()
        self.listeners: list[Callable[[Event[Any]], None]] = []
        self.catch_up()

    def catch_up(self) -> None:
        """Fold what has been appended since."""
        with self._lock:
            for event in self._tail.read():
                self._board.apply(event)
                self._log.observe(event.id)
                for listener in self.listeners:
                    listener(event)

    def ask(self, question: Callable[[Board, float], T]) -> T:
        """The answer to a question on the state as of now."""
        with self._lock:
            self.catch_up()
            return question(self._board, self._now())

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
            now, seen = self._now(), dict(self._tail.seen)
            return [
                Draft(c.fact, source, c.subject, causationid=c.cause, correlationid=self._run, seen=seen, now=now)
                for c in due(self._board, now)
                if isinstance(c, Decide)
            ]

        with self._lock:
            return len(self._log.append_if(ask))
