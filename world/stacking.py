"""Branches, one on top of the other, in the object store. Rule: whatever the mode, the tree is that of merging them.

So what was predicted for a merge holds for a squash and a rebase too, and only the history differs.
"""

import os
import re
from collections.abc import Sequence

import msgspec

from ..eventlog.text import plain
from . import Branch, Stacked, commits, messages
from .door import Door, GitError, Place, failed, named
from .merging import ATTRIBUTES, attributes, empty, ground, know, lay, nowhere, three_way

MODES = ("merge", "squash", "rebase")
_AUTHOR = re.compile(r"author (?P<name>.*) <(?P<email>[^<>]*)> (?P<when>-?\d+ [+-]\d{4})")
_CRUD = " \t\n.,:;<>\"\\'"  # git takes it off the ends of a name, and a name must be left
_ENCODING = re.compile(rb"^encoding (\S+)$", re.MULTILINE)

History = dict[str, list[str]]
"""Commits that the base does not have, and their parents."""


class Original(msgspec.Struct, frozen=True):
    """A commit of a branch that is put on another one: who wrote it, and what it says."""

    author: dict[str, str]
    message: str


def predict(door: Door, base: str, commit: str) -> list[str]:
    """See `Repository.predict`."""
    with ground(door, base) as place, nowhere(door) as env:
        return named(three_way(door, place, base, commit, env).clash)


def stack(door: Door, base: str, branches: Sequence[Branch], mode: str, author: str, when: float) -> Stacked:
    """See `Repository.stack`."""
    if mode not in MODES:
        raise GitError(f"there is no way to land called {mode!r}", hint=f"one of {', '.join(MODES)}")
    history = _history(door, base, branches)
    signed = commits.signature(door, author, when)
    with empty(door) as place, commits.writing(door, os.path.dirname(place.index)) as write:
        chain = _Chain(door, place, base, history, signed, write)
        chain.watch_attributes(branches)
        made, conflicts = [], {}
        for number, branch in enumerate(branches):
            clash = chain.add(branch, mode)
            made.append("" if clash else chain.tip)
            if clash:
                conflicts[number] = named(clash)
        tip, tree = chain.tip, chain.tree or commits.tree_of(door, base)
        if mode == "merge" and len(chain.landed) > 1:
            tip = write(tree, [base, tip], messages.batch(chain.landed), signed)
    chain.pass_on(tip)
    door.note(tip, contains=base)
    return Stacked(commit=tip, tree=tree, commits=made, conflicts=conflicts)


def _history(door: Door, base: str, branches: Sequence[Branch]) -> History:
    wanted = "".join(f"{branch.commit}\n" for branch in branches)
    answer = door.pipe("rev-list", "--parents", "--stdin", given=f"{wanted}^{base}\n".encode())
    if answer.code:
        raise failed("rev-list", answer)
    return {words[0]: words[1:] for words in map(str.split, answer.out.decode().splitlines())}


class _Chain:
    """The commits made so far: `tip` with `tree` (empty: none was made yet), and the branches that are in it."""

    def __init__(
        self, door: Door, place: Place, base: str, history: History, signed: commits.Signature, write: commits.Write
    ) -> None:
        self._door, self._place, self._base, self._history = door, place, base, history
        self._signed, self._commit = signed, write
        self._within: set[str] = set()
        self._laid: list[str] = []
        self._watched = False
        self.tip, self.tree = base, ""
        self.landed: list[Branch] = []

    def watch_attributes(self, branches: Sequence[Branch]) -> None:
        """Lay those of the base out. If all branches have the same, so have all merges of them."""
        self._laid = attributes(self._door, self._base)
        lay(self._door, self._place, self._laid)
        pairs = "".join(f"{branch.commit} {self._base}\n" for branch in branches)
        how = ["-r", "-z", "--name-only", "--no-renames", "--stdin", "--", ATTRIBUTES]
        # At the place, for diff-tree reads the index, and that of the checkout is long.
        answer = self._door.pipe("diff-tree", *how, given=pairs.encode(), at=self._place)
        if answer.code:
            raise failed("diff-tree", answer)
        self._watched = bool(answer.out)

    def pass_on(self, tip: str) -> None:
        """What is known of the attributes holds for `tip`, which has the same files."""
        know(tip, self._laid)

    def add(self, branch: Branch, mode: str) -> list[str]:
        """Put the branch on top; returns the paths that conflict, and then it is left out."""
        if branch.commit not in self._history or branch.commit in self._within:
            return []
        found = three_way(self._door, self._place, self.tip, branch.commit)
        if found.clash:
            return found.clash
        before = self.tip
        if mode == "merge":
            self._write(found.tree, [before, branch.commit], messages.merge(branch))
            self._reach(branch.commit)
        elif found.tree != self._tree() and (mode == "squash" or not self._rebase(branch, found.tree)):
            self.tip = before
            self._write(found.tree, [before], messages.squash(branch))
        if self.tip == before:
            return []
        self.landed.append(branch)
        if self._watched and (now := attributes(self._door, self.tip)) != self._laid:
            self._laid = now
            lay(self._door, self._place, now)
        return []

    def _write(self, tree: str, parents: list[str], message: str, author: dict[str, str] | None = None) -> None:
        self.tip, self.tree = self._commit(tree, parents, message, {**self._signed, **(author or {})}), tree

    def _tree(self) -> str:
        return self.tree or commits.tree_of(self._door, self.tip)

    def _reach(self, commit: str) -> None:
        queue = [commit]
        while queue:
            each = queue.pop()
            if each in self._history and each not in self._within:
                self._within.add(each)
                queue += self._history[each]

    # --- rebase ---

    def _rebase(self, branch: Branch, tree: str) -> bool:
        """Put each commit of the branch on top, the last with `tree`; False if that cannot be."""
        path, begin = self._path(branch.commit), self.tip
        originals = _originals(self._door, path) if path else []
        for commit, original in zip(path[:-1], originals, strict=False):
            step = self._replay(commit)
            if step is None:
                return False
            if step != self._tree():
                self._write(step, [self.tip], messages.replayed(original.message), original.author)
        if not path:
            return False
        message = messages.replayed(originals[-1].message, branch, begin if self.tip != begin else "")
        self._write(tree, [self.tip], message, originals[-1].author)
        return True

    def _path(self, commit: str) -> list[str]:
        """The commits above the base that lead to this one, oldest first; none if there are merges among them."""
        found: list[str] = []
        while commit in self._history:
            found.append(commit)
            if len(self._history[commit]) != 1:
                return []
            commit = self._history[commit][0]
        return found[::-1]

    def _replay(self, commit: str) -> str | None:
        """The tree with what this commit changed, None if that conflicts. Merged are the commit and one like the tip,
        made up as another child of the commit's parent: which so is their merge base.
        """
        (parent,) = self._history[commit]
        ours = self._commit(self._tree(), [parent], "a step of a rebase", self._signed)
        found = three_way(self._door, self._place, ours, commit)
        return None if found.clash else found.tree


def _originals(door: Door, path: Sequence[str]) -> list[Original]:
    answer = door.pipe("cat-file", "--batch", given="".join(f"{commit}\n" for commit in path).encode())
    if answer.code:
        raise failed("cat-file", answer)
    found, rest = [], answer.out
    for _ in path:
        line, _, rest = rest.partition(b"\n")
        size = int(line.split()[2])
        found.append(_original(rest[:size]))
        rest = rest[size + 1 :]
    return found


def _original(raw: bytes) -> Original:
    header, _, message = raw.partition(b"\n\n")
    encoding = _ENCODING.search(header)
    try:
        head, text = (part.decode(encoding[1].decode() if encoding else "utf-8") for part in (header, message))
    except (UnicodeDecodeError, LookupError):
        head, text = (part.decode("utf-8", "replace") for part in (header, message))
    said = next((_AUTHOR.fullmatch(line) for line in head.split("\n") if line.startswith("author ")), None)
    name, email = (plain(said[part]).strip(_CRUD) if said else "" for part in ("name", "email"))
    if not said or not name or not email:
        return Original({}, text)
    author = {"NAME": name, "EMAIL": email, "DATE": f"@{said['when']}"}
    return Original({f"GIT_AUTHOR_{key}": value for key, value in author.items()}, text)
