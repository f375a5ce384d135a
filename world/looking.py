"""A person's checkout, looked at. Rule: nothing is written there, not even git's index, and nothing in it is run.

What git calls changed may change again: so each such file has a mark of what it is. Most checkouts have few; of more
than `MOST` those are marked whose names have the smallest digests, so that two looks mark the same ones.
"""

import os
import stat

from ..eventlog.hashes import blake2b
from . import Checkout
from .door import Door, failed, printable
from .gitfiles import warily

MOST = 1000
"""Files that are marked."""
READ = 256 << 10
"""Bytes: a larger file is known by its size and the time of its last change."""


def checkout(door: Door) -> Checkout:
    """See `Repository.checkout`. Of a submodule only its commit counts: its status would go by settings of its own."""
    how = ["--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=dirty", "--no-renames"]
    answer = door.ask("--no-optional-locks", "status", *how)
    if answer.code:
        raise failed("status", answer)
    entries = {entry[3:]: entry[:2] for entry in answer.out.split("\0")[:-1]}
    order = {name: _digest(os.fsencode(name)) for name in entries}
    chosen = sorted(entries, key=order.__getitem__)[:MOST]
    marks = {name: order[name] + _digest(_look(door, name, entries[name])) for name in chosen}
    whole = "\0".join([answer.out, *marks.values()]) if marks else ""
    return Checkout(
        head=door.commit("HEAD"),
        branch=door.branch().removeprefix("refs/heads/"),
        state=blake2b(os.fsencode(whole), digest_size=16).hexdigest(),
        marks={printable(name): marks[name] for name in sorted(marks)},
        more=len(entries) - len(chosen),
    )


def _look(door: Door, name: str, word: str) -> bytes:
    """What the file is: git's two letters for it, its kind, and its content, as far as that is read."""
    path = os.path.join(door.root, name)
    try:
        info = os.lstat(path)
        kind = f"{word}{info.st_mode:o} ".encode()
        if stat.S_ISLNK(info.st_mode):
            return kind + os.fsencode(os.readlink(path))
        if stat.S_ISREG(info.st_mode) and info.st_size <= READ:
            with open(path, "rb", opener=warily) as file:
                return kind + file.read(READ)
    except OSError:
        return word.encode()
    return kind if stat.S_ISDIR(info.st_mode) else kind + f"{info.st_size} {info.st_mtime_ns}".encode()


def _digest(text: bytes) -> str:
    return blake2b(text, digest_size=4).hexdigest()
