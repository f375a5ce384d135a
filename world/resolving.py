"""A merge that conflicts, as files for an agent to resolve, and what became of it. Rule: git's marks name the two
commits, so that no text of a file can pass for a mark, and none of these marks gets to a branch.
"""

import os
from collections import Counter
from collections.abc import Iterator

from ..eventlog.text import head, plain
from .door import Door, GitError, Place, failed, printable
from .gitfiles import write_line
from .merging import Outcome, ground, put_in, three_way

MOST, LONGEST, LARGEST = 200, 200, 1_000_000
"""Of what `resolved` returns: entries, characters of each; and bytes of a file up to which it is read."""

Version = tuple[str, str]
"""A file in a commit: its name and its id."""


# --- laying it out --------------------------------------------------------------------------------


def lay_out(door: Door, at: Place, base: str, work: str) -> None:
    """Turn a fresh worktree at `base` into the unfinished merge of `work` into it, as `git merge` would leave it."""
    found = merged(door, base, work)
    door.run("read-tree", "-m", "-u", found.tree, at=at)
    if found.clash:
        gone = [f"0 {'0' * len(base)} 0\t{name}" for name in found.clash]
        put_in(door, at, [*gone, *found.stages])
    write_line(os.path.join(at.git_dir, "MERGE_MSG"), f"Merge {work}\n")
    write_line(os.path.join(at.git_dir, "MERGE_HEAD"), f"{work}\n")


def merged(door: Door, base: str, work: str) -> Outcome:
    """The merge of `work` into `base`, with marks where they conflict."""
    with ground(door, base) as place:
        return three_way(door, place, base, work)


def marked(door: Door, commit: str, base: str, work: str) -> list[str]:
    """The files that still have marks of that merge."""
    marks = ["-e", f"<<<<<<< {base}", "-e", f">>>>>>> {work}"]
    answer = door.ask("grep", "--text", "-l", "-z", "--fixed-strings", *marks, commit, "--")
    if answer.code not in (0, 1):
        raise failed("grep", answer)
    return [name.removeprefix(f"{commit}:") for name in answer.out.split("\0")[:-1]]


# --- what became of it ----------------------------------------------------------------------------


def resolved(door: Door, base: str, work: str, commit: str) -> list[str]:
    """See `Repository.resolved`. A file that was renamed is compared under its new name."""
    answer = door.ask("merge-base", "--end-of-options", base, work)
    origin = answer.out.strip()
    if answer.code:
        raise failed("merge-base", answer) if answer.err else GitError(f"{base} and {work} have no common history")
    found: dict[str, None] = {}
    for side in (base, work):
        for entry in _lacking(door, origin, side, commit):
            found[entry] = None
            if len(found) == MOST:
                return list(found)
    return list(found)


def _lacking(door: Door, origin: str, side: str, commit: str) -> Iterator[str]:
    before = {there: was for was, there in _changes(door, origin, side)}
    for there, now in _changes(door, side, commit):
        if there[1] and there in before:
            yield from _lines(door, printable(there[0]), before[there][1], there[1], now[1])


def _changes(door: Door, old: str, new: str) -> list[tuple[Version, Version]]:
    """The files that differ: as it was, as it is. An empty id: it was not there, or is no more."""
    words = iter(door.run("diff-tree", "-r", "-z", "--raw", "-M", old, new).split("\0")[:-1])
    found = []
    for meta in words:
        _, _, was, now, kind = meta.split()
        first = next(words)
        second = next(words) if kind[0] in "RC" else first
        found.append(((first, was.strip("0") and was), (second, now.strip("0") and now)))
    return found


def _lines(door: Door, name: str, before: str, there: str, now: str) -> Iterator[str]:
    texts = _texts(door, [before, there, now])
    if texts is None:
        yield head(plain(f"{name}: (not compared: it is large, or no text)"), LONGEST)
        return
    was, have, left = (Counter(text.splitlines()) for text in texts)
    for line in ((have - was) & (have - left)).elements():
        if line.strip():
            yield _cut(f"{name}: {line.strip()}")


def _cut(text: str) -> str:
    return head(" ".join(plain(text).split("\n")), 4 * LONGEST)[:LONGEST]


def _texts(door: Door, blobs: list[str]) -> list[str] | None:
    """What is in them, empty for none; None if one of them is no text, or too large to read."""
    given = "".join(f"{blob}\n" for blob in blobs if blob).encode()
    sizes = door.pipe("cat-file", "--batch-check=%(objecttype) %(objectsize)", given=given).out.split(b"\n")[:-1]
    if any(not size.startswith(b"blob ") or int(size[5:]) > LARGEST for size in sizes):
        return None
    found = []
    for blob in blobs:
        answer = door.pipe("cat-file", "blob", blob) if blob else None
        if answer and answer.code:
            raise failed("cat-file", answer)
        out = answer.out if answer else b""
        if b"\0" in out:
            return None
        found.append(out.decode("utf-8", "replace"))
    return found
