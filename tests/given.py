"""Given these facts, in this order: a short way to write histories in tests."""

from collections.abc import Iterable
from typing import Any

from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import encode, envelope
from swarm.projections import Board

START = 0x019AA3C1B2C3


def id_of(number: int) -> str:
    """The id of the event with this number, one second after the one before."""
    clock = f"{START + number * 1000:012x}"
    return f"{clock[:8]}-{clock[8:]}-7000-8000-{number:012x}"


class History:
    """Events one after the other: `said(fact, subject, source)` appends one and returns its id."""

    def __init__(self) -> None:
        self.events: list[Event[Any]] = []

    def said(self, fact: Fact, subject: str = "sw-a", source: str = "human", cause: str = "") -> str:
        id_ = id_of(len(self.events))
        self.events.append(envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject, causationid=cause))
        return id_

    def all(self, facts: Iterable[Fact], subject: str = "sw-a", source: str = "human") -> None:
        """Several about the same."""
        for fact in facts:
            self.said(fact, subject, source)

    @property
    def board(self) -> Board:
        """What they come to."""
        return Board().fold(self.events)

    @property
    def lines(self) -> bytes:
        """Them as the file of a node that began no chain."""
        return b"".join(map(encode, self.events))
