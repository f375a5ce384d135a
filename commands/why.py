"""The chain of causes of an event, or of what last happened to an issue."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.fact import Event
from ..eventlog.lines import LONGEST_READ, encode
from ..eventlog.tail import read_all
from ..eventlog.telling import named, short, tell
from ..projections import Board, issues
from . import Home, as_json, emit, say

GROUP = "Log"


@click.command()
@click.argument("id")
@as_json
def command(id: str, json_: bool) -> None:  # noqa: A002
    """The chain of causes of an event, the first one first.

    ID is an event's (any unique beginning or end of it, as `swarm log` shows) or an issue's: then what last happened
    to it.
    """
    events = read_all(Home().place.log)
    chain, missing, circle = _chain(events, _start(events, id))
    if json_:
        lost = [{"id": missing, "missing": True}] if missing else []
        emit([*lost, *(msgspec.Raw(encode(event, LONGEST_READ).rstrip()) for event in chain)])
        return
    if missing:
        say(f"{short(missing)}  (this cause is not in the log: {missing})")
    if circle:
        say(f"{short(circle)}  (a circle: the first event below was caused by a later one, {circle})")
    for event in chain:
        say(f"{short(event.id)}  {tell(event)}")


def _start(events: Sequence[Event[Any]], name: str) -> Event[Any]:
    """The event that was named, or the newest one of the issue that was."""
    if not name.startswith("sw-"):
        try:
            return named(events, name)
        except UsageError as error:
            if not any(event.subject.startswith(f"sw-{name}") for event in events):
                raise error from None
    state = Board(("issues",)).fold(events)[issues.State]
    issue = issues.find(state, name)
    return max((event for event in events if event.subject == issue.id), key=lambda event: event.id)


def _chain(events: Sequence[Event[Any]], last: Event[Any]) -> tuple[list[Event[Any]], str, str]:
    """(the events from the root to `last`, the id of a cause that is not there, the id at which a circle closes)."""
    known = {event.id: event for event in events}
    chain, seen = [last], {last.id}
    while (cause := chain[-1].causationid) in known and cause not in seen:
        chain.append(known[cause])
        seen.add(cause)
    return chain[::-1], "" if cause in known else cause, cause if cause in seen else ""
