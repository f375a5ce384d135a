"""The names of the log's files. Rule: this is pure; a name says whose events a file holds, and whether it still grows.

    <node>.jsonl        what that node appends to; only the clone that is the node has one
    <node>-<id>.jsonl   a sealed segment: it got this name, that of its first event, when it was full, and never changes

A folder's names in the order of text are, for each node, in the order of its events: the growing file comes last. What
git carries has only names of the second kind: the tail of a node has there the name that it will be sealed under.
"""

from collections.abc import Iterable
from functools import lru_cache

from .ids import is_id

SUFFIX = ".jsonl"
FULL = 1024 * 1024
"""Bytes from which on a file is sealed: the next event begins a new one."""

_ID = 36


def files(names: Iterable[str]) -> list[str]:
    """Those of the names that are files of the log, in order."""
    return sorted(name for name in names if name.endswith(SUFFIX) and not name.startswith("."))


def node_of_file(name: str) -> str:
    """The node whose events are in the file of this name."""
    stem = name.removesuffix(SUFFIX)
    return stem[: -_ID - 1] if is_sealed(name) else stem


def first_of_file(name: str) -> str:
    """The id of the first event in a sealed segment; empty for a growing file."""
    return name.removesuffix(SUFFIX)[-_ID:] if is_sealed(name) else ""


@lru_cache(maxsize=1 << 16)
def is_sealed(name: str) -> bool:
    """Whether the file of this name grows no more on this clone, except that `sync` may replace it by a longer one."""
    stem = name.removesuffix(SUFFIX)
    return len(stem) > _ID + 1 and stem[-_ID - 1] == "-" and is_id(stem[-_ID:])


def sealed_name(node: str, first: str) -> str:
    """The name under which the file of that node whose first event has the id `first` is sealed."""
    return f"{node}-{first}{SUFFIX}"
