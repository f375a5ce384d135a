"""Large files: those that are in no commit, and those that no commit should bring. Rule: nothing is read but sizes."""

import os
from collections.abc import Iterator

from .door import Door, Place, failed, printable

LARGEST = 100_000_000
"""Bytes of a file up to which a branch may bring it: the hosts that people push to take no larger ones."""
LARGE, NAMED, WALKED = 10_000_000, 20, 200_000
"""An ignored file of so many bytes is worth a word; of so many files; and so many are looked at."""


def megabytes(size: int) -> str:
    """In words."""
    return f"{size / 1e6:,.0f} MB"


def huge(door: Door, base: str, commit: str) -> list[tuple[int, str]]:
    """The files above `LARGEST` that any commit brings which `base` does not have: bytes and name, largest first."""
    listed = door.pipe("rev-list", "--objects", "--end-of-options", commit, f"^{base}")
    answer = door.pipe("cat-file", "--batch-check=%(objectsize) %(objecttype) %(rest)", given=listed.out)
    if listed.code or answer.code:
        raise failed("rev-list", listed if listed.code else answer)
    found = {}
    for line in answer.out.splitlines():
        size, kind, name = [*line.split(b" ", 2), b""][:3]
        if kind == b"blob" and int(size) > LARGEST:
            found[printable(os.fsdecode(name))] = int(size)
    return sorted(((size, name) for name, size in found.items()), reverse=True)


def left(door: Door, place: Place) -> list[str]:
    """The largest ignored files of at least `LARGE` bytes, at most `NAMED` of them, with their sizes."""
    ignored = ["--others", "--ignored", "--exclude-standard", "--directory", "-z"]
    names = door.run("ls-files", *ignored, at=place).split("\0")[:-1]
    found, budget = [], WALKED
    for size, name in _sizes(place.work_tree, names):
        budget -= 1
        if size >= LARGE:
            found.append((size, name))
        if not budget:
            break
    found.sort(key=lambda each: (-each[0], each[1]))
    words = [f"{printable(name)[:200]} ({megabytes(size)})" for size, name in found[:NAMED]]
    return [*words, f"… and {len(found) - NAMED} more"] if len(found) > NAMED else words


def _sizes(root: str, names: list[str]) -> Iterator[tuple[int, str]]:
    """Every file at or below these; a link is never followed."""
    queue = names[::-1]
    while queue:
        name = queue.pop().rstrip("/")
        path = os.path.join(root, name)
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                queue += [os.path.join(name, entry) for entry in sorted(os.listdir(path), reverse=True)]
            else:
                yield os.lstat(path).st_size, name
        except OSError:
            continue  # a program of the agent's may still delete it, and it may not be ours to list
