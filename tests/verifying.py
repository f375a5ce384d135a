"""A history as the file of a node, and what `verify` says of it."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from swarm.eventlog.fact import Event
from swarm.eventlog.lines import digest, encode
from swarm.eventlog.verify import Report, verify

from history import History


def chained(events: Iterable[Event[Any]]) -> bytes:
    """Them as the file of one node, each line written after the one before it."""
    lines, prev = [], ""
    for event in events:
        lines.append(encode(replace(event, prev=prev)))
        prev = digest(lines[-1])
    return b"".join(lines)


def verified(folder: str, events: Iterable[Event[Any]], node: str = "n1") -> Report:
    Path(folder, f"{node}.jsonl").write_bytes(chained(events))
    return verify(folder)


def errors(folder: str, h: History) -> list[str]:
    return verified(folder, h.events).errors
