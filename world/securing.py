"""What an agent left becomes a commit. Rule: only ignored files are left out, and no word of the agent's is believed.

Its index, its HEAD, its hooks and its `.git` may lie, so the tree is computed from the files, with an index of our own
that knows nothing yet, by the repository's own git directory.
"""

import os
import shlex
import tempfile

from . import Conflict, Secured
from .door import FREE_SPACE, Door, GitError, Place, named
from .landing import merge
from .worktrees import check_branch

_SHUT = "could not open directory"
_UNWRITTEN = ("No space left", "unable to write")


def secure(door: Door, path: str, branch: str, base: str, ref: str, message: str, author: str) -> Secured:
    """See `Repository.secure`.

    The parent is what the worktree has checked out, if it contains `base`, else the branch, else `base`. If the branch
    went on without the worktree (the agent switched away from it), both lines are joined. A folder that is gone leaves
    what the branch has. The commit has the date of the securing; the same again finds the same commit at `ref`.
    """
    full = door.beneath(path)
    check_branch(branch)
    if ref != f"refs/heads/{branch}" and not ref.startswith("refs/swarm/"):
        raise GitError(f"work is secured on its branch or under refs/swarm/, not at {ref}")
    tip = _above(door, base, f"refs/heads/{branch}")
    head = _above(door, base, f"worktrees/{os.path.basename(full)}/HEAD")
    commit = head or tip or base
    if os.path.isdir(full):
        commit = _commit(door, _tree(door, full, commit, base), commit, ref, message, author)
    if tip:
        commit = _join(door, tip, commit, message, author)
    door.run("update-ref", ref, commit, hint="swarm doctor")
    return Secured(
        ref=ref,
        commit=commit,
        commits=int(door.run("rev-list", "--count", "--end-of-options", f"{base}..{commit}")),
        files=_changed(door, base, commit),
    )


def _above(door: Door, base: str, name: str) -> str:
    """The commit at `name`, if it contains `base`; else empty."""
    found = door.commit(name)
    return found if found and door.is_ancestor(base, found) else ""


def _commit(door: Door, tree: str, parent: str, ref: str, message: str, author: str) -> str:
    """The commit of `tree` on `parent`: the parent if nothing changed; one at `ref` if it was made before."""
    if tree == door.run("rev-parse", f"{parent}^{{tree}}").strip():
        return parent
    there = door.ask("log", "--no-show-signature", "--format=%H %T %P", "--end-of-options", f"{parent}..{ref}").out
    for line in there.splitlines():
        if line.split()[1:] == [tree, parent]:
            return line.split()[0]
    return door.commit_tree(tree, [parent], message, author)


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
        tree = door.run("rev-parse", f"{left}^{{tree}}").strip()
        return door.commit_tree(tree, [left, tip], message, author, when)
    return result.commit


def _tree(door: Door, full: str, parent: str, base: str) -> str:
    """The tree of all files in `full` that are not ignored."""
    with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
        place = Place(door.common, full, os.path.join(folder, "index"))
        door.run("read-tree", parent, at=place)
        links = _links(door.run("ls-files", "--stage", "-z", at=place))
        if links:  # for a link with a repository behind it, `git add` would run `git status` in there
            door.run("update-index", "--force-remove", "--", *links, at=place)
        nested = _nested(door, place, base)
        _add_all(door, place, nested)
        for name in nested:
            _plant(door, place, name)
        for name, commit in links.items():
            if os.path.isdir(os.path.join(full, name)) and not os.listdir(os.path.join(full, name)):
                door.run("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}", at=place)
        return door.run("write-tree", at=place).strip()


def _add_all(door: Door, place: Place, but: list[str]) -> None:
    outside = [f":(exclude,top,literal){name}" for name in but]
    answer = door.ask("add", "--all", "--", ".", *outside, at=place)
    # Git only warns about a folder that it may not list, and would leave its files out.
    if not answer.code and _SHUT not in answer.err:
        return
    lines = [line for line in answer.err.splitlines() if line.startswith(("error:", "fatal:", "warning: could not"))]
    words = " ".join(lines[:3]) or f"exit {answer.code}"
    if any(sign in answer.err for sign in _UNWRITTEN):
        raise GitError(f"git cannot write the work in {place.work_tree}: {words}", hint=FREE_SPACE)
    unreadable = _SHUT in answer.err or "Permission denied" in answer.err
    raise GitError(
        f"git cannot read all of {place.work_tree}: {words}",
        hint=f"chmod -R u+rwX {shlex.quote(place.work_tree)}" if unreadable else "swarm doctor",
    )


def _links(staged: str) -> dict[str, str]:
    """The submodules and nested repositories in `ls-files --stage -z`: path to commit."""
    entries = [entry.split("\t", 1) for entry in staged.split("\0") if entry.startswith("160000 ")]
    return {name: meta.split()[1] for meta, name in entries}


def _nested(door: Door, place: Place, base: str) -> list[str]:
    """The repositories inside the worktree that are no submodules: a link to them would lead nowhere."""
    untracked = door.run("ls-files", "--others", "--exclude-standard", "-z", at=place).split("\0")
    found = [name.rstrip("/") for name in untracked if name.endswith("/")]
    if not found:
        return []
    file = os.path.join(place.work_tree, ".gitmodules")
    listed = door.ask("config", "--file", file, "--null", "--get-regexp", r"^submodule\..*\.path$").out
    submodules = {entry.partition("\n")[2] for entry in listed.split("\0")}
    submodules |= set(_links(door.run("ls-tree", "-r", "-z", "--full-tree", base).replace(" commit ", " ")))
    return [name for name in found if name not in submodules]


def _plant(door: Door, place: Place, name: str) -> None:
    """Add the files of a nested repository as files; its own history stays behind."""
    inner = Place(place.git_dir, os.path.join(place.work_tree, name), f"{place.index}-nested")
    door.run("read-tree", "--empty", at=inner)
    within = door.run("ls-files", "--others", "--exclude-standard", "-z", at=inner).split("\0")
    deeper = [found.rstrip("/") for found in within if found.endswith("/")]
    _add_all(door, inner, deeper)
    tree = door.run("write-tree", at=inner).strip()
    door.run("read-tree", f"--prefix={name}/", tree, at=place)
    for found in deeper:
        _plant(door, place, f"{name}/{found}")


def _changed(door: Door, base: str, commit: str) -> list[str]:
    names = door.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, commit).split("\0")
    return named([name for name in names if name])
