"""The log played again: the board as of any moment, what changed between two, a run at any speed, every decision."""

import shutil
import sys
import time
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.fact import Event
from ..eventlog.telling import clock, sentence, tell
from ..mailbox import changes, screen, views
from ..projections import Board, key_of
from ..world.clock import monotonic, now
from . import Home, as_json, emit, put, say
from ._moments import START, resolve
from ._past import Past
from ._player import Clock, Lines, Picture, View, play

GROUP = "Log"
FASTEST = 0.0


def _speed(_context: click.Context, _option: click.Parameter, words: str | None) -> float | None:
    """The number that was given; 0 for `max`. Raises click.BadParameter if it is none."""
    if words is None:
        return None
    try:
        found = FASTEST if words == "max" else float(words)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise click.BadParameter(f"{words!r} is no speed: give a number (60: a minute in a second), or max")
    return found


@click.command()
@click.option("--at", default="", metavar="WHEN", help="The moment to look at; the newest, if none is named.")
@click.option("--diff", nargs=2, metavar="WHEN WHEN", help="What changed between two moments.")
@click.option("--follow", is_flag=True, help="Play it in the terminal.")
@click.option("--speed", callback=_speed, metavar="N", help="Divide the real gaps by N (default 1); max or 0: none.")
@click.option("--verify", is_flag=True, help="Have today's actors decide again; exit 1 at the first difference.")
@click.option("--from", "from_", default="", metavar="WHEN", help="With --follow and --verify: what came after that.")
@as_json
def command(
    at: str, diff: tuple[str, str] | None, follow: bool, speed: float | None, verify: bool, from_: str, json_: bool
) -> int:
    """The state of everything at that event (the newest, if none is named), rebuilt from the log alone.

    WHEN is an event (its id, or either end of it), its number in the order of ids (0 is before the first), or a time:
    2026-11-21T04:20:09Z, 04:20 on the newest day in the log (UTC), 5m ago. What only the machine knows, as whether a
    process still runs, is no part of it.
    """
    _check(bool(at), bool(diff), follow, verify, speed is not None, bool(from_), json_)
    place = Home().place
    past = Past(place.log, place.cache)
    click.get_current_context().call_on_close(past.close)
    if diff:
        return _diff(past, *diff, json_)
    if follow:
        return _follow(past, _moment(past, from_) if from_ else START, 1.0 if speed is None else speed)
    if verify:
        from ._verify import verify as ask_again

        return ask_again(past.directory, _moment(past, from_) if from_ else START, json_)
    return _show(past, at, json_)


def _check(at: bool, diff: bool, follow: bool, verify: bool, speed: bool, from_: bool, json_: bool) -> None:
    """Raise UsageError where options do not go together."""
    modes = {"--at": at, "--diff": diff, "--follow": follow, "--verify": verify}
    given = [name for name, is_given in modes.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} do not go together", "give one of them")
    if speed and not follow:
        raise UsageError("--speed says how fast to play", "swarm replay --follow --speed 60")
    if from_ and not (follow or verify):
        raise UsageError("--from goes with --follow and --verify", "swarm replay --verify --from ID")
    if json_ and follow:
        raise UsageError("--follow draws, it has no --json", "swarm log --json")


def _moment(past: Past, words: str) -> str:
    found = resolve(words, past, now())
    if found == words.lower() and past.event(found) is None:
        raise UsageError(f"there is no event {words!r}", "see them with: swarm log")
    return found


# --- one moment -----------------------------------------------------------------------------------


def _show(past: Past, at: str, json_: bool) -> int:
    until = _moment(past, at) if at else past.newest()
    board = past.board(until, whole=json_)  # the document lists everything, the screen what it has room for
    event, index, count = past.event(board.newest), *past.number(board.newest)
    if json_:
        emit(_document(board, index))
    else:
        for line in screen.screen(board, f"event {index} of {count}, {_told(event)}"):
            say(line)
    return 0


def _told(event: Event[Any] | None) -> str:
    return f"{clock(event.id)}, {event.type}: {sentence(event)}" if event else "before the first"


def _document(board: Board, index: int) -> dict[str, Any]:
    return {
        "at": board.newest,
        "index": index,
        "issues": views.issues_view(board),
        "agents": views.agents_view(board),
        "mail": views.mail_view(board),
        "merges": views.merges_view(board),
        "costs": views.costs_view(board),
    }


# --- two moments ----------------------------------------------------------------------------------


def _diff(past: Past, one: str, other: str, json_: bool) -> int:
    """What changed from the earlier of them to the later."""
    begin, end = sorted((_moment(past, one), _moment(past, other)))
    board = past.board(begin)
    for key in {key_of(event) for event in past.between(begin, end)}:
        board.recall(key)  # what changes is to be in memory before it does
    first, before = board.newest, changes.shot(board)
    found = changes.changes(before, changes.shot(board.fold(past.between(begin, end))))
    if json_:
        emit({"from": first, "to": board.newest, "changes": found})
        return 0
    say(f"from      {_told(past.event(first))}")
    say(f"to        {_told(past.event(board.newest))}")
    for line in [*changes.words(found)] or ["nothing changed"]:
        say(line)
    return 0


# --- all of them ----------------------------------------------------------------------------------


def _follow(past: Past, after: str, speed: float) -> int:
    board = past.board(after)
    hands = Clock(monotonic, time.sleep)
    view: View = Lines(tell, _write)
    if sys.stdout.isatty():
        view = Picture(lambda event: _picture(board, event), _write, hands)
    play(board, past.between(after), speed, view, hands)
    return 0


def _picture(board: Board, event: Event[Any]) -> list[str]:
    columns, rows = shutil.get_terminal_size()
    return [line[:columns] for line in screen.screen(board, tell(event), width=columns)[: rows - 1]]


def _write(text: str) -> None:
    put(text.encode())
