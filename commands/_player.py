"""Playing a log as it happened: every event when its time has come. Rule: time is a port, so that a test does not wait.

Gaps are those between the ids' times, divided by the speed, without a cap. What drawing takes is not added to them:
an event is due so long after the first one was shown, not after the one before.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from ..eventlog.fact import Event
from ..eventlog.ids import time_of
from ..eventlog.text import printable
from ..projections import Board

LEAST = 0.04
"""Seconds that a picture stands at least, if another is to follow."""


class Clock(msgspec.Struct, frozen=True):
    """Seconds that only go forward, and waiting for so many; an interrupt ends it."""

    now: Callable[[], float]
    wait: Callable[[float], None]


class View(Protocol):
    """Where it is played."""

    def show(self, event: Event[Any]) -> None:
        """It has happened: it is on the board."""

    def rest(self) -> None:
        """Nothing happens for a while, or ever again."""


def play(board: Board, events: Iterable[Event[Any]], speed: float, view: View, clock: Clock) -> None:
    """Fold and show the events, in their order; the gaps between them divided by `speed`, none where it is 0."""
    began, first = clock.now(), 0.0
    for event in events:
        first = first or time_of(event.id)
        wait = (time_of(event.id) - first) / speed - (clock.now() - began) if speed else 0.0
        if wait > 0:
            view.rest()
            clock.wait(wait)
        board.apply(event)
        view.show(event)
    view.rest()


class Lines:
    """One line for each event: for a file, a pipe, or a terminal that cannot do more."""

    def __init__(self, tell: Callable[[Event[Any]], str], write: Callable[[str], None]) -> None:
        self._tell, self._write = tell, write

    def show(self, event: Event[Any]) -> None:
        """Write its line."""
        self._write(f"{printable(self._tell(event))}\n")

    def rest(self) -> None:
        """There is nothing left to write."""


class Picture:
    """The board drawn over itself on a terminal, at most every 40 ms, and always before a pause.

    `draw` gives its lines, no more of them and no longer than the terminal has room for.
    """

    def __init__(self, draw: Callable[[Event[Any]], list[str]], write: Callable[[str], None], clock: Clock) -> None:
        self._draw, self._write, self._clock = draw, write, clock
        self._newest: Event[Any] | None = None
        self._drawn = 0.0
        self._wipe = "\x1b[2J"

    def show(self, event: Event[Any]) -> None:
        """Draw it, unless the last picture has only just been drawn."""
        self._newest = event
        if self._wipe or self._clock.now() - self._drawn >= LEAST:
            self.rest()

    def rest(self) -> None:
        """Draw what is not drawn yet: from the top left, each line to its end, and nothing below."""
        if self._newest is None:
            return
        lines = [f"{printable(line)}\x1b[K\r\n" for line in self._draw(self._newest)]
        self._write(f"{self._wipe}\x1b[H{''.join(lines)}\x1b[J")
        self._newest, self._wipe, self._drawn = None, "", self._clock.now()
