"""Words in, words out: one file per noun or verb. This door holds what they share: the repository's log, and
printing.

Rules. A command appends facts or folds them; it never acts on the world except through `actors/` and `world/`.
Reading never appends. Everything that came from the log is made printable before it reaches a terminal. `--json`
prints one document. Heavy imports stand inside the function that needs them.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
import msgspec

from ..eventlog.fact import Event, Fact
from ..eventlog.files import Draft, Log
from ..eventlog.place import Place, find, node_of
from ..eventlog.tail import Tail
from ..eventlog.text import printable
from ..projections import Board, types
from ..world.clock import entropy, now

F = TypeVar("F", bound=Callable[..., Any])


class Home:
    """The log of the repository one stands in, and who one is there."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or find(os.getcwd(), os.environ)
        self._newest = ""

    def board(self, only: Iterable[str] = ()) -> Board:
        """The state of everything, or of the named projections alone (the other events are not even decoded)."""
        names = tuple(only)
        board = Board(names).fold(Tail(self.place.log, types(names)).read())
        self._newest = max(self._newest, board.newest)
        return board

    def append(self, source: str, pairs: Sequence[tuple[str, Fact]], cause: str = "") -> list[Event[Any]]:
        """Append (subject, fact) pairs; returns the events."""
        return self.append_if(lambda: [Draft(fact, source, subject, causationid=cause) for subject, fact in pairs])

    def append_if(self, ask: Callable[[], Sequence[Draft]]) -> list[Event[Any]]:
        """Lock the log, ask what to append, append it. Errors raised by `ask` pass through and nothing is written.

        What is appended sorts after everything that `board` has shown.
        """
        log = Log(self.place.log, node_of(self.place, entropy), now, entropy)

        def asked() -> Sequence[Draft]:
            drafts = ask()
            if self._newest:
                log.observe(self._newest)
            return drafts

        try:
            return log.append_if(asked)
        finally:
            log.close()


def whoami(place: Place) -> str:
    """The `source` one writes under: the agent whose environment or worktree one is in, else the person."""
    agent = os.environ.get("SWARM_AGENT")
    if agent:
        return f"agent/{agent}"
    here, worktrees = os.path.realpath(os.getcwd()), os.path.realpath(place.worktrees)
    if here.startswith(worktrees + os.sep):
        name = here[len(worktrees) + 1 :].split(os.sep)[0]
        issue, _, number = name.rpartition("-")
        from ..projections import agents

        board = Home(place).board(("agents",))
        attempt = board[agents.State].attempts.get((issue, int(number) if number.isdigit() else 0))
        if attempt and attempt.agent:
            return f"agent/{attempt.agent}"
    return "human"


def as_json(function: F) -> F:
    """The `--json` flag that every reading command has."""
    return click.option("--json", "json_", is_flag=True, help="Print one JSON document.")(function)


def emit(document: Any) -> None:
    """Print one JSON document."""
    sys.stdout.buffer.write(msgspec.json.encode(document) + b"\n")
    sys.stdout.buffer.flush()


def say(text: str = "") -> None:
    """Print one line, made safe for a terminal."""
    click.echo(printable(text))


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows under a head, columns as wide as they need; the last column is cut to the terminal's width."""
    import shutil

    cells = [[" ".join(printable(str(cell)).split()) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    room = shutil.get_terminal_size((160, 24)).columns
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if len(line) <= room else line[: max(room - 1, 20)] + "…")


def body_of(text: str | None) -> str:
    """The text given with an option, or standard input for `-`."""
    if text == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    return text or ""
