"""The files in a worktree, as a tree. Rule: only ignored ones are left out; what lies there is read and never run.

The tree is computed with an index of our own that knows nothing yet, by the repository's own git directory. A link is
kept as a link, whatever it leads to, and a pointer of git-lfs as the pointer.
"""

import os
import shlex
import tempfile

import msgspec

from .door import FREE_SPACE, Door, GitError, Place, named
from .weighing import left

MOST = 20  # notes
_SHUT = "could not open directory"
_UNWRITTEN = ("No space left", "unable to write")


class Found(msgspec.Struct, frozen=True):
    """What was in a folder: the tree of it, large ignored files, and what else is not in the tree, both in words."""

    tree: str
    left: list[str] = []
    notes: list[str] = []


def read(door: Door, full: str, parent: str, base: str) -> Found:
    """The tree of all files in `full` that are not ignored, as they differ from `parent`. What `base` has as a
    submodule is one.
    """
    with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
        place = Place(door.common, full, os.path.join(folder, "index"))
        door.run("read-tree", parent, at=place)
        modules = links(door.run("ls-files", "--stage", "-z", at=place))
        if modules:  # for a link with a repository behind it, `git add` would run `git status` in there
            door.run("update-index", "--force-remove", "--", *modules, at=place)
        nested = _nested(door, place, base)
        _add_all(door, place, nested)
        for name in nested:
            _plant(door, place, name)
        for name, commit in modules.items():
            if os.path.isdir(os.path.join(full, name)) and not os.listdir(os.path.join(full, name)):
                door.run("update-index", "--add", "--cacheinfo", f"160000,{commit},{name}", at=place)
        tree = door.run("write-tree", at=place).strip()
        staged = door.run("ls-files", "--stage", "-z", at=place)
        return Found(tree, left(door, place), named(_notes(full, staged, nested), MOST))


def _notes(full: str, staged: str, nested: list[str]) -> list[str]:
    folders: set[str] = set()
    for entry in staged.split("\0"):
        folder = os.path.dirname(entry.partition("\t")[2])
        while folder and folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    inner = {name for name in folders if os.path.lexists(os.path.join(full, name, ".git"))}
    notes = [f"of the repository {name} only the files are kept, not its history" for name in sorted({*nested, *inner})]
    return notes + [
        f"{name} is a submodule: only which commit it is at is kept, no commit or change of its own"
        for name in links(staged)
        if os.path.lexists(os.path.join(full, name, ".git"))
    ]


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


def links(staged: str) -> dict[str, str]:
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
    submodules |= set(links(door.run("ls-tree", "-r", "-z", "--full-tree", base).replace(" commit ", " ")))
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
