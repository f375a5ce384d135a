"""What was left where it does not belong: an agent's work in the person's checkout. Rule: only what git itself says of
commits and contents is evidence, and it is only looked at.

What the swarm landed is known by what its commits say of themselves (`messages.py`), what it fetched by a ref
(`upstream.py`): whoever forges that can hide from this, and could as well have written another name into the commit.
"""

import os

from . import Traces
from .door import Door, named
from .upstream import MOVED


def traces(door: Door, since: str, base: str, commit: str, author: str) -> Traces:
    """See `Repository.traces`. Under the lock of landings: none of ours is half done while we look."""
    with door.lock("landing"):
        commits, own = _commits(door, since, author)
        back = not door.is_ancestor(since, door.commit("HEAD"))
        return Traces(commits, own, named(_files(door, base, commit)), back)


def _commits(door: Door, since: str, author: str) -> tuple[list[str], list[str]]:
    """The commits on the first-parent line since then that no landing made and that did not come from the target's
    upstream, and the author's among them.
    """
    email = author.partition("<")[2].rstrip("> ")
    form = f"--format=%H%x00%ae%x00%ce%x00{_trailer('Issue')}%x00{_trailer('Since')}"
    fetched = ("--not", f"--glob={MOVED}*", "--not")
    told = door.ask(
        "log", "--no-show-signature", "--first-parent", form, *fetched, "--end-of-options", f"{since}..HEAD"
    )
    rows = [row.split("\0") for row in told.out.split("\n")]
    foreign, own, onto = [], [], ""
    for commit, writer, committer, landed, first in (row for row in rows if len(row) == 5):
        if landed.strip():
            onto = first.strip()  # of a branch that was rebased only the last commit has our words
        elif not onto or onto == commit:
            onto = ""
            foreign.append(commit)
            own += [commit] if email in (writer, committer) else []
    return foreign, own


def _trailer(name: str) -> str:
    return f"%(trailers:key=Swarm-{name},valueonly,separator=%x20)"


def _files(door: Door, base: str, commit: str) -> list[str]:
    """The files of the checkout that are not as in its HEAD, but as `commit` has them and `base` has not. (That two
    files are empty is no evidence.)
    """
    words = door.run("diff-tree", "-r", "-z", "--no-renames", base, commit).split("\0")
    entries = [(*meta.split(), name) for meta, name in zip(words[::2], words[1::2], strict=False)]
    brought = {name: blob for _, mode, _, blob, _, name in entries if mode.startswith("100")}
    found = []
    for name in changed(door) if brought else []:
        path = os.path.join(door.root, name)
        if name in brought and os.path.isfile(path) and not os.path.islink(path) and os.path.getsize(path):
            found += [name] if door.ask("hash-object", "--", name).out.strip() == brought[name] else []
    return found


def changed(door: Door) -> list[str]:
    """The files of the person's checkout that are not as in its HEAD, untracked ones too."""
    status = door.run("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=all")
    return [entry[3:] for entry in status.split("\0") if entry]
