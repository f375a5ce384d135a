"""Words in, words out: one file per noun or verb. This door holds what they share: the repository's log, and
printing.

Rules. A command appends facts or folds them; it never acts on the world except through `actors/` and `world/`.
Reading never appends. Everything that came from the log is made printable before it reaches a terminal. `--json`
prints one document. Heavy imports stand inside the function that needs them.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar, cast

import click
import msgspec

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.fact import Event, Fact
from ..eventlog.files import Draft
from ..eventlog.place import Place, find, known_node
from ..eventlog.text import printable
from ..world.node import open_log

if TYPE_CHECKING:
    from ..projections import Board
    from ..world.checkpoints import Keeper

F = TypeVar("F", bound=Callable[..., Any])
LONGEST = 60_000
"""Bytes of one text, as JSON: a line of the log has 65,536, and the rest of the event needs room too."""


class Home:
    """The log of the repository one stands in, and who one is there."""

    def __init__(self, place: Place | None = None) -> None:
        self.place = place or find(os.getcwd(), os.environ)
        self._folds: dict[tuple[tuple[str, ...], bool], Keeper] = {}
        self._newest = ""
        if context := click.get_current_context(silent=True):
            context.call_on_close(self.close)

    def board(self, only: Iterable[str] = (), whole: bool = False) -> "Board":
        """The state of everything, or of the named projections alone (the other events are not even decoded).

        What rests is recalled when it is asked for by its name; with `whole` all of it is there, to be listed. Asked
        again, it folds what came since into the same board.
        """
        fold = self._fold(tuple(only), whole)
        fold.read()
        self._newest = max(self._newest, fold.board.newest)
        return fold.board

    def save(self) -> None:
        """Keep the board for those who come next, if it took long: after everything was printed."""
        for fold in self._folds.values():
            fold.save()

    def close(self) -> None:
        """Close what was opened; so does the end of the command that made it."""
        for fold in self._folds.values():
            fold.close()

    def _fold(self, names: tuple[str, ...], whole: bool) -> "Keeper":
        from ..world.checkpoints import Keeper

        if (names, whole) not in self._folds:
            cache = "" if whole else self.place.cache
            self._folds[names, whole] = Keeper(self.place.log, cache, names, here=known_node(self.place))
        return self._folds[names, whole]

    def append(self, source: str, pairs: Sequence[tuple[str, Fact]], cause: str = "") -> list[Event[Any]]:
        """Append (subject, fact) pairs; returns the events."""
        return self.append_if(lambda: [Draft(fact, source, subject, causationid=cause) for subject, fact in pairs])

    def decide(self, only: Iterable[str], ask: "Callable[[Board], Sequence[Draft]]") -> list[Event[Any]]:
        """Ask what to append with the log locked and those projections up to date, and append it.

        The log is folded before the lock is taken, so that under it only the newest lines are left to fold.
        """
        names = tuple(only)
        self.board(names)
        return self.append_if(lambda: ask(self.board(names)))

    def append_if(self, ask: Callable[[], Sequence[Draft]]) -> list[Event[Any]]:
        """Lock the log, ask what to append, append it. Errors raised by `ask` pass through and nothing is written.

        What is appended sorts after everything that `board` has shown.
        """
        log = open_log(self.place)

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
        from ..mailbox.addresses import agent_name

        return f"agent/{agent_name(agent)}"
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
    put(msgspec.json.encode(document) + b"\n")


def put(data: bytes) -> None:
    """Write out and flush. It returns only when everything has left this process; BrokenPipeError passes through.

    Raises SwarmError where standard output cannot be written.
    """
    out = cast("TextIO | None", sys.stdout)  # None where it was closed before we began
    if out is None:
        raise SwarmError("standard output is closed")
    try:
        out.buffer.write(data)
        out.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())  # else Python tries again at exit
        raise SwarmError(f"standard output cannot be written: {error.strerror}") from error


def say(text: str = "") -> None:
    """Print one line, made safe for a terminal."""
    click.echo(printable(text))


def table(rows: Sequence[Sequence[object]], head: Sequence[str]) -> None:
    """Print rows under a head, columns as wide as they need; on a terminal, lines are cut to its width."""
    import shutil

    cells = [[" ".join(printable(str(cell)).split()) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    room = shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize
    for row in cells:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        click.echo(line if len(line) <= room else line[: max(room - 1, 20)] + "…")


def body_of(text: str | None, what: str = "body") -> str:
    """The text given with an option, or standard input for `-`. Raises UsageError if it does not fit into the log."""
    if text == "-":
        if cast("TextIO | None", sys.stdin) is None:
            raise UsageError(f"the {what} is to come from standard input, and that is closed")
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    return fitting(text or "", what)


def fitting(text: str, what: str) -> str:
    """The text itself, from within a session without its secrets; raises UsageError if it is not UTF-8 or too long for
    a line of the log.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the {what} is not UTF-8, from character {error.start} on", "write it in UTF-8") from None
    if os.environ.get("SWARM_SESSION"):
        from ..world.redaction import Redactor

        text = Redactor(os.environ).text(text)
    size = len(msgspec.json.encode(text))
    if size > LONGEST:
        raise UsageError(
            f"the {what} takes {size:,} bytes in the log, and there is room for {LONGEST:,}",
            "put it into a file of the repository, and name the file",
        )
    return text
