"""What stands in the log of a repository that a test works in."""

from typing import Any

from swarm.commands import Home
from swarm.eventlog.tail import read_all


def events(home: Home) -> list[Any]:
    """Every event, in the order of ids."""
    return read_all(home.place.log)


def facts(home: Home, kind: type) -> list[Any]:
    """The events that carry such a fact."""
    return [event for event in events(home) if isinstance(event.data, kind)]


def said(home: Home, kind: str) -> list[Any]:
    """The events of that type."""
    return [event for event in events(home) if event.type == kind]
