"""What landed, taken out again. Rule: by a new commit on top, made in the object store; no history is rewritten."""

import hashlib

from . import Conflict, Merged, Reverted, messages
from .commits import signature, tree_of, write
from .door import Door, GitError, named
from .merging import ground, three_way


def revert(door: Door, tip: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
    """See `Repository.revert`.

    Merged are two made up children of `commit`, one like the tip and one like what was before: so `commit` is their
    merge base, and what it brought is what the second takes away.
    """
    if not door.is_ancestor(commit, tip):
        raise GitError(f"{tip[:12]} does not contain {commit[:12]}: there is nothing to take out of it")
    signed, tree = signature(door, author, when), tree_of(door, tip)
    with ground(door, tip) as place:
        ours, theirs = (
            write(door, each, [commit], "a step of a revert", signed) for each in (tree, _before(door, tip, commit))
        )
        found = three_way(door, place, ours, theirs)
    if found.clash:
        return Conflict(files=named(found.clash))
    if found.tree == tree:
        return Merged(commit=tip, tree=tree)
    return Merged(commit=write(door, found.tree, [tip], message, signed), tree=found.tree)


def reverts(door: Door, target: str, since: str) -> list[Reverted]:
    """See `Repository.reverts`."""
    line = ("--first-parent", "--reverse", "--end-of-options", f"{since}..refs/heads/{target}")
    told = door.run("log", "-z", "--no-show-signature", "--format=%H%n%B", "--grep=^Revert ", *line)
    found = (messages.reverted(*each.split("\n", 1)) for each in told.split("\0") if "\n" in each)
    return [one for one in found if one]


def brought(door: Door, branch: str, commit: str) -> tuple[str, str]:
    """(the branch's tip before it, and after it) when the branch came to contain the commit; the former is empty if it
    was fast-forwarded to that.
    """
    line = ("--first-parent", "--parents", "--end-of-options", f"{commit}..refs/heads/{branch}")
    rows = [row.split() for row in door.run("rev-list", *line).splitlines()]
    return next(((before, after) for after, before, *others in rows if commit in others), ("", commit))


def _before(door: Door, tip: str, commit: str) -> str:
    """The tree that was there before `commit`: of its first parent, or, if a branch was rebased to several commits of
    which it is the last, of what the first of them was put on.
    """
    parents = door.run("rev-list", "--parents", "--max-count=1", "--end-of-options", commit).split()[1:]
    if not parents:
        return hashlib.new("sha1" if len(tip) == 40 else "sha256", b"tree 0\0").hexdigest()
    since = messages.since(door.run("log", "-1", "--no-show-signature", "--format=%B", "--end-of-options", commit))
    # Only commits on the target's own line have messages that are ours.
    return tree_of(door, since if since and _in_line(door, tip, commit, since) else parents[0])


def _in_line(door: Door, tip: str, *commits: str) -> bool:
    """Whether these are on the first-parent line of `tip`, in this order."""
    line = iter(door.run("rev-list", "--first-parent", "--end-of-options", tip).split())
    return all(commit in line for commit in commits)
