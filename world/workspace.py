"""What a worktree gets that is not in git: copies of what lies in the person's checkout, and links to it.

Rule: nothing comes from outside of the repository, nothing replaces what git has, and nothing would be committed as the
agent's work.
"""

import os
import shutil
from collections.abc import Sequence

from ..eventlog.errors import UsageError
from .door import Door, Place, erase
from .settings import FILE, astray


def furnish(door: Door, path: str, copy: Sequence[str], link: Sequence[str]) -> list[str]:
    """See `Repository.furnish`."""
    full = door.beneath(path)
    notes = []
    with door.lock_on(full):
        for names, what, lay in ((copy, "copy", _copy), (link, "link to", os.symlink)):
            for name in map(os.path.normpath, names):
                wrong = astray(door.root, name)
                if wrong:
                    raise UsageError(f"{name} {wrong}", f"take it out of [workspace] in {FILE}")
                source = os.path.join(door.root, name)
                if not os.path.exists(source):
                    notes.append(f"there is no {name} to {what}")
                    continue
                target = _cleared(door, door.worktree(full), name)
                lay(source, target)
                _check_ignored(door, door.worktree(full), name)
    return notes


def _cleared(door: Door, place: Place, name: str) -> str:
    """Where it comes to lie: nothing of git's is there, and no link leads elsewhere."""
    if _listed(door, place, name):
        raise UsageError(f"{name} is in git, so the worktree has it already", f"take it out of [workspace] in {FILE}")
    target = os.path.join(place.work_tree, name)
    folder = os.path.dirname(target)
    if os.path.realpath(folder) != folder:
        raise UsageError(f"{name} leads elsewhere by a symbolic link", f"take it out of [workspace] in {FILE}")
    os.makedirs(folder, exist_ok=True)
    erase(target)
    return target


def _copy(source: str, target: str) -> None:
    source = os.path.realpath(source)
    if os.path.isdir(source):
        shutil.copytree(source, target, symlinks=True)
    else:
        shutil.copy2(source, target)


def _check_ignored(door: Door, place: Place, name: str) -> None:
    """Git ignores a folder by `name/`, but no link by that."""
    if not _listed(door, place, name, "--others", "--exclude-standard"):
        return
    target = os.path.join(place.work_tree, name)
    plain = " (without a / at the end: it is a link)" if os.path.islink(target) else ""
    erase(target)
    raise UsageError(
        f"{name} would be committed as the agent's work: git does not ignore it",
        f"add /{name}{plain} to .gitignore or to .git/info/exclude",
    )


def _listed(door: Door, place: Place, name: str, *which: str) -> str:
    return door.run("ls-files", "-z", *which, "--", f":(top,literal){name}", at=place)
