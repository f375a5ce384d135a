"""The state of everything at one event, rebuilt from the log alone."""

from collections.abc import Sequence
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.fact import Event
from ..eventlog.tail import read_all
from ..eventlog.telling import clock, named, sentence
from ..mailbox import screen, views
from ..projections import Board
from . import Home, as_json, emit, say

GROUP = "Log"


@click.command()
@click.option("--at", default="", metavar="ID|INDEX", help="The event to stop after; 0 is before the first.")
@as_json
def command(at: str, json_: bool) -> None:
    """The state of everything at that event (the newest, if none is named), rebuilt from the log alone.

    Events are counted from 1 in the order of their ids. What only the machine knows, as whether a process still runs,
    is no part of it.
    """
    events = read_all(Home().place.log)
    index = _index(events, at)
    board = Board().fold(events[:index])
    event = events[index - 1] if index else None
    if json_:
        emit(_document(board, event, index))
    else:
        what = f"{clock(event.id)}, {event.type}: {sentence(event)}" if event else "before the first"
        for line in screen.screen(board, f"event {index} of {len(events)}, {what}"):
            say(line)


def _index(events: Sequence[Event[Any]], at: str) -> int:
    """How many events that is; raises UsageError if there are not so many, or no such event."""
    if not at:
        return len(events)
    if at.isascii() and at.isdigit():
        if len(at) < 10 and int(at) <= len(events):
            return int(at)
        if not any(event.id.startswith(at) or event.id.endswith(at) for event in events):
            raise UsageError(f"there is no event number {at}", f"the log has {len(events)} events: 0 to {len(events)}")
    found = named(events, at)
    return next(index for index, event in enumerate(events, 1) if event.id == found.id)


def _document(board: Board, event: Event[Any] | None, index: int) -> dict[str, Any]:
    return {
        "at": event.id if event else "",
        "index": index,
        "issues": views.issues_view(board),
        "agents": views.agents_view(board),
        "mail": views.mail_view(board),
        "merges": views.merges_view(board),
        "costs": views.costs_view(board),
    }
