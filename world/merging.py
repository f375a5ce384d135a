"""Merging in the object store. Rule: no checkout is touched, and of what lies in one nothing counts.

`merge-tree` reads `.gitattributes` from files, and those of a person's checkout would make the result depend on what
lies about there. So it runs in a work tree with nothing but the `.gitattributes` of the commit that is merged into.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from . import Conflict, Merged
from .commits import signature, tree_of, write
from .door import Door, GitError, Place, erase, failed, named

ATTRIBUTES = ":(top,glob)**/.gitattributes"
_KNOWN: dict[str, list[str]] = {}  # of commits, whose ids say all that is in them


class Outcome(msgspec.Struct, frozen=True):
    """What came of merging two commits: the tree, with git's marks where they conflict; and the conflicting paths, with
    what each side has there, as `mode id stage<tab>path` each.
    """

    tree: str
    clash: list[str]
    stages: list[str]


def merge(door: Door, base: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
    """See `Repository.merge`. Always a merge commit, unless `base` contains `commit` already."""
    if door.is_ancestor(commit, base):
        return Merged(commit=base, tree=tree_of(door, base))
    with ground(door, base) as place:
        found = three_way(door, place, base, commit)
    if found.clash:
        return Conflict(files=named(found.clash))
    made = write(door, found.tree, [base, commit], message, signature(door, author, when))
    return Merged(commit=made, tree=found.tree)


def three_way(door: Door, place: Place, ours: str, theirs: str, env: Mapping[str, str] | None = None) -> Outcome:
    """Merge two commits at a place that `ground` made."""
    how = ["--write-tree", "-z", "--no-messages", "--end-of-options"]
    answer = door.pipe("merge-tree", *how, ours, theirs, at=place, env=env)
    if answer.code not in (0, 1):
        raise failed("merge-tree", answer, hint="swarm doctor")
    tree, *stages = os.fsdecode(answer.out).split("\0")[:-1]
    clash = dict.fromkeys(stage.partition("\t")[2] for stage in stages)
    if answer.code and not clash:
        raise GitError(f"git merge-tree says that {ours[:12]} and {theirs[:12]} conflict, but not where")
    return Outcome(tree.strip(), list(clash), stages)


@contextmanager
def ground(door: Door, commit: str) -> Iterator[Place]:
    """Where to merge into `commit`: a work tree with its `.gitattributes` and nothing else."""
    with empty(door) as place:
        lay(door, place, attributes(door, commit))
        yield place


@contextmanager
def empty(door: Door) -> Iterator[Place]:
    """A work tree with nothing in it, and its index."""
    with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
        files = os.path.join(folder, "files")
        os.mkdir(files)
        yield Place(door.common, files, os.path.join(folder, "index"))


def attributes(door: Door, commit: str) -> list[str]:
    """The files `.gitattributes` of a commit, as `mode id 0<tab>path` each."""
    if commit not in _KNOWN:
        know(commit, _attributes(door, commit))
    return _KNOWN[commit]


def know(commit: str, found: list[str]) -> None:
    """Remember them: what lands is what is merged into next, and to look for them takes longer than to merge."""
    while len(_KNOWN) >= 64:
        _KNOWN.pop(next(iter(_KNOWN), ""), None)
    _KNOWN[commit] = found


def _attributes(door: Door, commit: str) -> list[str]:
    nothing = hashlib.new("sha1" if len(commit) == 40 else "sha256", b"tree 0\0").hexdigest()
    answer = door.pipe("diff-tree", "-r", "-z", "--no-renames", nothing, commit, "--", ATTRIBUTES)
    if answer.code:
        raise failed("diff-tree", answer)
    listed = os.fsdecode(answer.out).split("\0")[:-1]
    return [
        f"{meta.split()[1]} {meta.split()[3]} 0\t{name}" for meta, name in zip(listed[::2], listed[1::2], strict=True)
    ]


def lay(door: Door, place: Place, entries: list[str]) -> None:
    """Have nothing but these files (`mode id stage<tab>path`) in the work tree."""
    if os.path.exists(place.index):
        erase(place.index)
        erase(place.work_tree)
        os.mkdir(place.work_tree)
    if entries:
        put_in(door, place, entries)
        door.run("checkout-index", "--all", at=place)


def put_in(door: Door, place: Place, entries: list[str]) -> None:
    """Add these entries (`mode id stage<tab>path`) to the index of the place."""
    given = b"".join(os.fsencode(f"{entry}\0") for entry in entries)
    answer = door.pipe("update-index", "-z", "--index-info", given=given, env={"GIT_INDEX_FILE": place.index})
    if answer.code:
        raise failed("update-index", answer)


@contextmanager
def nowhere(door: Door) -> Iterator[dict[str, str]]:
    """What to give git as environment, so that the objects which it makes are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
        real = os.path.join(door.common, "objects").replace("\\", "\\\\").replace('"', '\\"')
        yield {"GIT_OBJECT_DIRECTORY": folder, "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{real}"'}
