"""Worktrees: made, put at a commit, deleted. Rule: what an agent may have touched is rebuilt, never asked.

Git's own directory of a worktree (`<common>/worktrees/<name>`) has the name of the worktree's folder, so it is found
without reading anything that an agent could have changed.

What is in the folder of a submodule is none of our git's: it neither fills nor cleans it. So that of another attempt,
or of another test, is emptied; in an attempt's own worktree it stays as the setup command, or the agent, left it, until
a gate of the attempt puts its files at the commit that is judged.
"""

import os
import re

import msgspec

from ..eventlog.errors import UsageError
from . import submodules
from .door import Door, GitError, Place, erase
from .gitfiles import linked, read_line, write_line
from .reading import links
from .resolving import lay_out

FOLDER = ".swarm/worktrees"
SPARES = 8
_NAME = r"[a-z0-9]([a-z0-9_-]{0,46}[a-z0-9])?"
_LINK = (0o160000).to_bytes(4, "big")
"""The mode of a submodule, as an index has it."""
_BRANCH = re.compile(rf"swarm/{_NAME}/{_NAME}-[1-9][0-9]*")


def is_attempts(name: str) -> bool:
    """Whether a folder of that name is an attempt's: `<issue>-<n>`, and not one of the Merger's."""
    return bool(_BRANCH.fullmatch(f"swarm/any/{name}")) and name.partition("-")[0] != "merger"


def check_branch(branch: str) -> None:
    """Raises GitError unless `branch` is one of ours: `swarm/<agent>/<issue>-<n>`."""
    if not _BRANCH.fullmatch(branch):
        raise GitError(f"not a branch of the swarm: {branch}", hint="they are named swarm/<agent>/<issue>-<n>")


def refuse_own_config(door: Door) -> None:
    """An agent may write its `config.worktree`, so a repository that reads those would let it configure our git."""
    if door.setting("extensions.worktreeConfig"):
        raise UsageError(
            "this repository has extensions.worktreeConfig, which lets an agent configure the swarm's git",
            hint="git config --unset extensions.worktreeConfig",
        )


def prepare(door: Door, path: str, branch: str, base: str, work: str, resolve: bool) -> None:
    """A worktree at `path` on `branch`; see `Repository.prepare`.

    Complete is what has an index: checking out writes it last. What is not complete was left by a crash, and no agent
    has worked in it: it is made anew.
    """
    full = door.beneath(path)
    check_branch(branch)
    refuse_own_config(door)
    start = base if resolve or not work else work
    with door.lock_on(full):
        _prepare(door, path, full, branch, start, work if resolve else "")


def _prepare(door: Door, path: str, full: str, branch: str, start: str, unmerged: str) -> None:
    ref, place = f"refs/heads/{branch}", door.worktree(full)
    with door.lock():
        tip = door.commit(ref)
        behind = _behind(door, branch, tip, start)
        complete = os.path.isdir(full) and os.path.isfile(os.path.join(place.git_dir, "index"))
        if complete and unmerged and behind:
            complete = False  # the merge that lies in there is one into another commit
        if complete:
            found = door.branch(place)
            if found != ref:
                raise GitError(f"the worktree {path} is there but has {found or 'no branch'} checked out, not {ref}")
        else:
            if behind:
                door.run("update-ref", ref, start, tip or "0" * len(start), hint="swarm doctor")
            erase(full)
            recycled = _take_spare(full)
            _register(door, full, branch)
    if not complete:
        _fill(door, place, branch, recycled, start, unmerged)
    elif behind:
        door.run("reset", "--keep", "--quiet", start, at=place)


def _fill(door: Door, place: Place, branch: str, recycled: bool, start: str, unmerged: str) -> None:
    """Check the branch out. A recycled folder has most files already, and only what differs is written. What takes
    several steps gets its index at the end of the last.
    """
    fresh = msgspec.structs.replace(place, index=os.path.join(place.git_dir, "index.new"))
    if recycled:
        try:
            _put_tree(door, fresh, f"refs/heads/{branch}", keep_ignored=False)
        except (GitError, OSError):
            recycled = False
            erase(place.work_tree)
            with door.lock():
                _register(door, place.work_tree, branch)
    if not recycled:
        door.run("reset", "--hard", "--quiet", at=fresh if unmerged else place)
    if unmerged:
        lay_out(door, fresh, start, unmerged)
    if recycled or unmerged:
        os.replace(fresh.index, os.path.join(place.git_dir, "index"))


def _behind(door: Door, branch: str, tip: str, base: str) -> bool:
    """Whether the branch is to be made at, or moved to, `base`. Commits of its own on top of `base` stay."""
    if not tip or (tip != base and door.is_ancestor(tip, base)):
        return True
    if not door.is_ancestor(base, tip):
        raise GitError(
            f"the branch {branch} is there already, with commits that {base[:12]} does not have",
            hint=f"look at it, then: git branch -m {branch} kept-{branch.replace('/', '-')}",
        )
    return False


def _register(door: Door, full: str, head: str, *, detach: bool = False) -> None:
    """Have git make its directory of the worktree at `full` anew, with no index; the files there stay. Under the lock.

    `git worktree add` wants an empty folder, so it gets one beside, whose `.git` then moves over.
    """
    place = door.worktree(full)
    _refuse_foreign(place)
    stage = os.path.join(os.path.dirname(full), ".stage", os.path.basename(full))
    erase(place.git_dir)
    erase(stage)
    how = ["--force", "--no-checkout", *(["--detach"] if detach else [])]
    door.run("worktree", "add", *how, "--end-of-options", stage, head)
    link, pointer = os.path.join(full, ".git"), f"gitdir: {place.git_dir}\n"
    if read_line(os.path.join(stage, ".git")) != pointer.strip():
        raise GitError(f"git keeps the worktree {full} under a name that is not its own")
    os.makedirs(full, exist_ok=True)
    erase(link)
    write_line(link, pointer)
    write_line(os.path.join(place.git_dir, "gitdir"), f"{link}\n")
    erase(stage)


def _refuse_foreign(place: Place) -> None:
    """A person's own worktree may have the name of ours: it is alive if its `.git` points back."""
    theirs = linked(place.git_dir)
    if theirs and not theirs.startswith(os.path.join(os.path.dirname(place.work_tree), "")):
        raise GitError(
            f"a worktree with the name {os.path.basename(place.work_tree)} is at {theirs}",
            hint=f"git worktree remove {theirs}",
        )


def gate(door: Door, path: str, commit: str, keep_ignored: bool) -> str:
    """The worktree at exactly `commit`, detached; see `Repository.gate`. What cannot be mended is made anew."""
    full = door.beneath(path)
    refuse_own_config(door)
    found = door.commit(commit)
    if not found:
        raise GitError(f"there is no commit {commit}")
    with door.lock_on(full):
        try:
            _put(door, full, found, keep_ignored)
        except (GitError, OSError):
            erase(full)
            _put(door, full, found, keep_ignored)
    return full


def _put(door: Door, full: str, commit: str, keep_ignored: bool) -> None:
    """With a new index, which compares contents: the old one could say that a changed file is unchanged."""
    place, kept = door.worktree(full), _kept(door, full)
    modules = os.path.join(place.git_dir, "modules")
    with door.lock():
        if keep_ignored and os.path.isdir(modules):  # the repositories of its submodules
            erase(kept)
            os.makedirs(os.path.dirname(kept), exist_ok=True)
            os.rename(modules, kept)
        _register(door, full, commit, detach=True)
        if keep_ignored and os.path.isdir(kept):
            os.rename(kept, modules)
    _put_tree(door, place, commit, keep_ignored)


def _kept(door: Door, full: str) -> str:
    """Where the repositories of a worktree's submodules are while git's directory of it is made anew."""
    return os.path.join(door.common, "swarm", "modules", os.path.basename(full))


def _put_tree(door: Door, place: Place, commit: str, keep_ignored: bool) -> None:
    door.run("read-tree", commit, at=place)
    door.ask("update-index", "-q", "--refresh", at=place)  # exit 1: some files differ
    door.run("reset", "--hard", "--quiet", at=place)
    # Twice -f: also nested repositories. Ignored files of an attempt (node_modules, build caches) are worth keeping.
    door.run("clean", "-ffd" if keep_ignored else "-ffdx", "--quiet", at=place)
    for name, commit in _submodules(door, place).items():
        submodules.put(door, place, name, commit if keep_ignored else "")


def _submodules(door: Door, place: Place) -> dict[str, str]:
    """Path to commit. Most repositories have none, and that costs no question to git."""
    with open(place.index or os.path.join(place.git_dir, "index"), "rb") as file:
        return links(door.run("ls-files", "--stage", "-z", at=place)) if _LINK in file.read() else {}


def remove(door: Door, path: str, secured: str, recycle: bool) -> None:
    """Delete the worktree, or set its folder aside for the next attempt: writing every file again is what costs.

    Never by `git worktree remove`, which runs `git status` on what the agent left.
    """
    full = door.beneath(path)
    if not secured or door.commit(secured) != secured:
        raise GitError(
            f"the worktree {path} stays: there is no commit {secured or '(none)'} that holds its work",
            hint=f"git -C {full} status",
        )
    place = door.worktree(full)
    with door.lock_on(full):
        with door.lock():
            _refuse_foreign(place)
            if recycle and os.path.isdir(full):
                _set_aside(full)
            erase(place.git_dir)
            erase(_kept(door, full))
        erase(full)


def tidy(door: Door) -> None:
    """Delete the folders that were set aside."""
    with door.lock():
        erase(_spares(door.beneath(f"{FOLDER}/any")))


def _spares(full: str) -> str:
    return os.path.join(os.path.dirname(full), ".spare")


def _set_aside(full: str) -> None:
    """Under the lock. More than `SPARES` are not worth their disk."""
    folder = _spares(full)
    os.makedirs(folder, exist_ok=True)
    if len(os.listdir(folder)) < SPARES:
        os.rename(full, os.path.join(folder, os.path.basename(full)))


def _take_spare(full: str) -> bool:
    """Under the lock. Whether there was one to take."""
    folder = _spares(full)
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    for spare in (os.path.join(folder, name) for name in names):
        if os.path.isdir(spare) and not os.path.islink(spare):
            os.rename(spare, full)
            return True
        erase(spare)
    return False
