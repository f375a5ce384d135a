"""Submodules in what is to land. Rule: a link leads to a commit that others can fetch, and what `.gitmodules` names is
a link. Git is never run in a submodule's repository, whose settings are the agent's: its objects and refs are read.
"""

import os
import re
import tempfile
from collections.abc import Iterable, Iterator

import msgspec

from .door import Door, Place, erase, named
from .gitfiles import read_line, warily

_LINK = "160000"
_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_LONGEST = 1 << 20


def unfit(door: Door, full: str, base: str, commit: str) -> dict[str, str]:
    """What is wrong with the submodules that `commit`, the work in the folder `full`, brings against `base`: in words,
    each with what mends it.
    """
    words = door.run("diff-tree", "-r", "-z", "--no-renames", base, commit).split("\0")
    rows = [(*meta.lstrip(":").split(), name) for meta, name in zip(words[::2], words[1::2], strict=False)]
    links = {name: id_ for _, mode, _, id_, _, name in rows if mode == _LINK}
    found = {}
    if lost := [name for name, id_ in links.items() if not _can_be_fetched(door, full, name, id_)]:
        what = f"nobody else could fetch the commit that the submodule is at: {', '.join(named(lost, 10))}"
        found[what] = "push it where the submodule comes from, and fetch it there, or go back to a commit that is there"
    if any(_LINK in row[:2] or row[-1] == ".gitmodules" for row in rows):
        added = {name for *_, status, name in rows if status == "A"}
        filled = [name for name in paths(door, commit) if any(each.startswith(f"{name}/") for each in added)]
        if filled:
            what = f".gitmodules has these as submodules, but they are files here: {', '.join(named(filled, 10))}"
            found[what] = "have them again with git submodule update --init, or take them out of .gitmodules"
    return found


def paths(door: Door, commit: str) -> list[str]:
    """The submodules that the commit's `.gitmodules` names, by path."""
    how = ["--null", "--get-regexp", r"^submodule\..*\.path$"]
    told = door.ask("config", "--blob", f"{commit}:.gitmodules", *how).out
    return sorted({entry.partition("\n")[2].rstrip("/") for entry in told.split("\0") if entry})


def put(door: Door, place: Place, name: str, commit: str) -> None:
    """Have the submodule's files as they are in `commit`, those that it ignores aside; where that is empty, or in none
    of our reach, as in a new worktree: none. What was not checked out stays so.
    """
    folder = os.path.join(place.work_tree, name)
    if not os.path.isdir(folder) or os.path.realpath(folder) != folder or not os.listdir(folder):
        return
    own = repository(folder)
    if commit and own and _lay_out(door, Place(place.git_dir, folder), own, commit):
        return
    erase(folder)
    os.mkdir(folder)


def _lay_out(door: Door, place: Place, own: str, commit: str) -> bool:
    """With an index of our own: that of the submodule could say that a changed file is unchanged."""
    with tempfile.TemporaryDirectory(prefix="swarm-") as folder:
        inner = msgspec.structs.replace(place, index=os.path.join(folder, "index"))
        if door.ask("read-tree", commit, at=inner, env=_objects(own)).code:
            return False
        door.ask("update-index", "-q", "--refresh", at=inner, env=_objects(own))  # exit 1: some files differ
        steps = (("checkout-index", "--all", "--force", "--quiet"), ("clean", "-ffd", "--quiet"))
        return not any(door.ask(*step, at=inner, env=_objects(own)).code for step in steps)


def _objects(own: str) -> dict[str, str]:
    """What has our git look for objects in the submodule's repository too."""
    return {"GIT_ALTERNATE_OBJECT_DIRECTORIES": os.path.join(own, "objects")}


def _can_be_fetched(door: Door, full: str, name: str, commit: str) -> bool:
    """Whether a repository of the submodule, the attempt's or the person's, has the commit from its remote."""
    places = [repository(os.path.join(full, name)), os.path.join(door.common, "modules", name)]
    return any(_is_fetched(door, place, commit) for place in places if place)


def repository(folder: str) -> str:
    """The git directory of a submodule in that folder; empty if there is none."""
    path = os.path.join(folder, ".git")
    if os.path.isdir(path):
        return path
    word, _, target = read_line(path).partition(" ")
    return os.path.normpath(os.path.join(folder, target)) if word == "gitdir:" else ""


def _is_fetched(door: Door, place: str, commit: str) -> bool:
    tips = set(_fetched(place))
    if commit in tips:
        return True
    objects = _objects(place)
    lines = "".join(f"{tip}\n" for tip in sorted({commit, *tips})).encode()
    known = door.pipe("cat-file", "--batch-check=%(objectname) %(objecttype)", given=lines, env=objects).out.decode()
    there = [line.split()[0] for line in known.splitlines() if line.endswith(" commit")]
    if commit not in there:
        return False
    lines = "".join([f"{commit}\n", *(f"^{tip}\n" for tip in there if tip != commit)]).encode()
    left = door.pipe("rev-list", "--max-count=1", "--stdin", given=lines, env=objects)
    return not left.code and not left.out


def _fetched(place: str) -> Iterator[str]:
    """What came from a remote, as far as the repository says: its remote branches, and what was fetched last."""
    rows = (row.split() for row in _lines(os.path.join(place, "packed-refs")))
    yield from _ids(row[0] for row in rows if len(row) == 2 and row[1].startswith("refs/remotes/"))
    yield from _ids(row.split("\t")[0] for row in _lines(os.path.join(place, "FETCH_HEAD")))
    for folder, _, names in os.walk(os.path.join(place, "refs", "remotes")):
        yield from _ids(read_line(os.path.join(folder, name)) for name in names)


def _ids(words: Iterable[str]) -> Iterator[str]:
    return (word for word in words if _ID.fullmatch(word))


def _lines(path: str) -> list[str]:
    """The lines of a file that an agent may have made something else of; none if it is no file."""
    try:
        with open(path, "rb", opener=warily) as file:
            return file.read(_LONGEST).decode(errors="replace").splitlines()
    except OSError:
        return []
