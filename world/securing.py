"""What an agent left becomes a commit. Rule: only ignored files are left out, and no word of the agent's is believed.

Its index, its HEAD, its hooks and its `.git` may lie, so the tree is computed from the files (`reading.py`).
"""

import os

import msgspec

from . import Conflict, Secured, resolving, submodules
from .aside import keep_aside
from .commits import signature, tree_of, write
from .door import Door, GitError, named
from .merging import merge
from .reading import Found, read
from .weighing import LARGEST, huge, megabytes
from .worktrees import check_branch


class Begun(msgspec.Struct, frozen=True):
    """How the worktree was prepared; see `Repository.prepare`."""

    base: str
    work: str = ""
    resolve: bool = False

    @property
    def start(self) -> str:
        """Where the branch began."""
        return self.base if self.resolve or not self.work else self.work


def secure(door: Door, path: str, branch: str, begun: Begun, ref: str, message: str, author: str) -> Secured:
    """See `Repository.secure`.

    The parent is what the worktree has checked out, if it contains where the branch began, else the branch, else where
    it began. If the branch went on without the worktree (the agent switched away from it), both lines are joined. A
    folder that is gone leaves what the branch has. The commit has the date of the securing; the same again finds the
    same commit at `ref`.

    What should not land (a huge file, git's conflict marks, a submodule that nobody could fetch) does not get to the
    branch, and the error says so; a wip ref takes it, with a note, since nobody pushes that, and no work may be lost.
    """
    full = door.beneath(path)
    check_branch(branch)
    final = ref == f"refs/heads/{branch}"
    if not final and not ref.startswith("refs/swarm/"):
        raise GitError(f"work is secured on its branch or under refs/swarm/, not at {ref}")
    tip = _above(door, begun.start, f"refs/heads/{branch}")
    parent = _above(door, begun.start, f"worktrees/{os.path.basename(full)}/HEAD") or tip or begun.start
    found = read(door, full, parent, begun.start) if os.path.isdir(full) else Found(tree_of(door, parent))
    parents = _parents(door, found.tree, parent, begun)
    commit = _commit(door, found.tree, parents, ref, message, author) if parents else parent
    if tip:
        commit = _join(door, tip, commit, message, author)
    notes = [*found.notes, *_unfit(door, full, commit, begun, final)]
    door.run("update-ref", ref, commit, hint="swarm doctor")
    keep_aside(door, full, branch, begun.base, commit, author)
    return Secured(
        ref=ref,
        commit=commit,
        commits=int(door.run("rev-list", "--count", "--end-of-options", f"{begun.base}..{commit}")),
        files=_changed(door, begun, commit),
        left=found.left,
        notes=notes,
    )


def _unfit(door: Door, full: str, commit: str, begun: Begun, final: bool) -> list[str]:
    """Notes on what should not land; raises GitError if it would."""
    if commit == begun.base:
        return []
    marked = resolving.marked(door, commit, begun.base, begun.work) if begun.resolve else []
    heavy = [f"{name} ({megabytes(size)})" for size, name in huge(door, begun.base, commit)]
    found = submodules.unfit(door, full, begun.base, commit)
    if marked:
        found[f"git's conflict marks are left in {', '.join(named(marked, 10))}"] = "resolve them"
    if heavy:
        what = f"no commit may bring a file above {megabytes(LARGEST)}: {', '.join(named(heavy, 10))}"
        found[what] = "leave it out of every commit of the branch"
    if found and final:
        raise GitError("; ".join(found), hint="; ".join(found.values()))
    return list(found)


def _parents(door: Door, tree: str, parent: str, begun: Begun) -> list[str]:
    """Also the work that was to be merged, unless nothing was done: the files are as they were laid out, or as if
    there was nothing to merge.
    """
    if not begun.resolve or door.is_ancestor(begun.work, parent):
        return [parent]
    if parent == begun.base:
        untouched = (tree_of(door, begun.base), resolving.merged(door, begun.base, begun.work).tree)
        return [parent, begun.work] if tree not in untouched else []
    return [parent, begun.work]


def _above(door: Door, base: str, name: str) -> str:
    """The commit at `name`, if it contains `base`; else empty."""
    found = door.commit(name)
    return found if found and door.is_ancestor(base, found) else ""


def _commit(door: Door, tree: str, parents: list[str], ref: str, message: str, author: str) -> str:
    """The commit of `tree` on these: the parent if nothing changed; one at `ref` if it was made before."""
    if len(parents) == 1 and tree == tree_of(door, parents[0]):
        return parents[0]
    there = door.ask("log", "--no-show-signature", "--format=%H %T %P", "--end-of-options", ref, f"^{parents[0]}").out
    for line in there.splitlines():
        if line.split()[1:] == [tree, *parents]:
            return line.split()[0]
    return write(door, tree, parents, message, signature(door, author))


def _join(door: Door, tip: str, left: str, message: str, author: str) -> str:
    """One commit that contains the branch's tip and what was left in the worktree.

    Where they do not merge, the files are those of the worktree, which is what a person would see, and the branch's
    commits stay reachable.
    """
    if door.is_ancestor(tip, left):
        return left
    if door.is_ancestor(left, tip):
        return tip
    when = float(door.run("log", "-1", "--no-show-signature", "--format=%ct", left))
    result = merge(door, left, tip, message, author, when)
    if isinstance(result, Conflict):
        return write(door, tree_of(door, left), [left, tip], message, signature(door, author, when))
    return result.commit


def _changed(door: Door, begun: Begun, commit: str) -> list[str]:
    """The files that differ from the base, or, if the branch began elsewhere, from where it left the base's line."""
    base = begun.base
    if begun.start != base:
        base = door.ask("merge-base", "--end-of-options", base, commit).out.strip() or base
    names = door.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit).split("\0")
    return named([name for name in names if name])
