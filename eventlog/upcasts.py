"""Old shapes of facts, and how each becomes today's. Rule: a line is never rewritten; what it says is brought up to
date when it is read, dict to dict, and only where it does not fit today's shape.

Most changes need no entry: fields are only added, with defaults, and a changed meaning is a new type. An entry is for
the rest (a field was split, or holds a list now), and says when and why. It stays for ever: logs are kept.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

Change = Callable[[dict[str, Any]], dict[str, Any] | None]
"""A fact's data in its next shape; None if they do not have the old one."""


class Upcast(msgspec.Struct, frozen=True):
    """One change of a fact's shape. `date` is the day of the change (RFC 3339), `reason` a sentence."""

    type: str
    date: str
    reason: str
    change: Change


TABLE: tuple[Upcast, ...] = ()
"""Every change there was, oldest first: what the first one makes, the next one may go on with."""


def upcast(type: str, data: dict[str, Any], table: Sequence[Upcast] = TABLE) -> dict[str, Any] | None:  # noqa: A002
    """The data of a fact in today's shape, `data` itself untouched; None if no entry knows its shape."""
    found: dict[str, Any] | None = None
    for entry in table:
        if entry.type == type:
            changed = entry.change(dict(data if found is None else found))
            found = found if changed is None else changed
    return found
