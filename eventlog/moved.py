"""Which events a repair has taken out of the log, in every clone. Rule: this is pure, and says the same of the same
lines in whatever order they came.

`log.repaired` names the digests of the events that were moved. Such a line is *out*: a sync does not bring it back from
the branch, where it stays, and a clone that had it moves it into its own quarantine. Two clones that hold the same
lines therefore show the same events.

But a line that another one was written after is what its writer saw, though the repair, which lacked that other one,
took it for changed: it is not out. Unless the repair named its digest among the `gaps` too: then it knew that lines may
name it, and moved it all the same (of two events with one id only one can stay; or a line belies itself).
"""

from collections.abc import Set as AbstractSet

from .events import LogRepaired

Moved = dict[str, bool]
"""Digests of lines -> whether they are out even if a line names them."""


def learn(moved: Moved, fact: LogRepaired) -> None:
    """Add what this repair has moved."""
    gaps = set(fact.gaps)
    for mark in fact.moved:
        moved[mark] = moved.get(mark, False) or mark in gaps


def is_out(mark: str, moved: Moved, named: AbstractSet[str]) -> bool:
    """Whether the line with this digest is out; `named` are those that lines name as the one before them."""
    return mark in moved and (moved[mark] or mark not in named)
