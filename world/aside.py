"""Commits that an agent made and left behind: amended, reset away, on no branch. Rule: nothing that an agent ever
committed in its worktree becomes unreachable when the worktree goes.

Git notes in the worktree's own log of HEAD where that was. An agent could have written anything there: it is only
believed as far as there are such commits.
"""

import os
import re
from collections.abc import Iterable

from .commits import signature, tree_of, write
from .door import Door

_LONGEST = 4 << 20
_MOST = 500
_ID = re.compile(rb"\b(?:[0-9a-f]{64}|[0-9a-f]{40})\b")


def keep_aside(door: Door, full: str, branch: str, base: str, commit: str, author: str) -> None:
    """Point `refs/swarm/wip/<agent>/<issue>-<n>-aside` at a commit whose parents are what HEAD of the worktree was at,
    and no ref leads to; nothing if all of it is in `commit` or elsewhere. The same again changes nothing.
    """
    been = _been(os.path.join(door.common, "worktrees", os.path.basename(full), "logs", "HEAD"))
    been -= {base, commit}
    if not been:
        return
    known = door.pipe("cat-file", "--batch-check=%(objectname) %(objecttype)", given=_lines(been)).out.decode()
    there = [line.split()[0] for line in known.splitlines() if line.endswith(" commit")]
    apart = door.pipe("rev-list", "--stdin", "--single-worktree", "--not", commit, "--all", given=_lines(there))
    tips = sorted(set(apart.out.decode().split()).intersection(there))[:_MOST]
    if len(tips) > 1:
        tips = door.run("merge-base", "--independent", *tips).split()
    if there and tips:
        ref = f"refs/swarm/wip/{branch.removeprefix('swarm/')}-aside"
        before = door.commit(ref)
        parents = [*tips, *([before] if before else [])]
        kept = write(door, tree_of(door, commit), parents, f"What {branch} left behind", signature(door, author))
        door.run("update-ref", ref, kept)


def _been(path: str) -> set[str]:
    """The ids in git's log of a HEAD; none if there is none, or if it is not a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return set()
    with open(descriptor, "rb") as file:
        try:
            found = file.read(_LONGEST)
        except OSError:
            return set()
    return {name.decode() for line in found.splitlines() for name in _ID.findall(line[:130])} - {"0" * 40, "0" * 64}


def _lines(words: Iterable[str]) -> bytes:
    return "".join(f"{word}\n" for word in sorted(words)).encode()
