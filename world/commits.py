"""Commits, written to the object store. Rule: the same arguments give the same commit, and nothing points at it yet."""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from ..eventlog.text import plain
from .door import Door, GitError, failed

Signature = Mapping[str, str]
Write = Callable[[str, Sequence[str], str, Signature], str]
_CRUD = "".join(map(chr, range(33))) + ".,:;<>\"\\'"  # git takes it off the ends of a name
_DATE = re.compile(r"@(\d{1,18}) ([+-]\d{4})")


def identity(door: Door) -> tuple[str, str] | None:
    """The person's configured name and email, or None if either is missing."""
    out = os.fsdecode(door.pipe("config", "--null", "--get-regexp", r"^user\.(name|email)$").out)
    found = dict(entry.split("\n", 1) for entry in out.split("\0") if "\n" in entry)
    name, email = found.get("user.name", "").strip(), found.get("user.email", "").strip()
    return (name, email) if name and email else None


def signature(door: Door, author: str, when: float | None = None) -> Signature:
    """Who writes a commit, for `write`: by the author ("Name <email>"), committed by the person if git knows one, at
    `when` (Unix seconds, UTC; None: git's own now).
    """
    name, _, email = author.partition("<")
    writer = (name.strip(), email.rstrip("> "))
    if not all(writer):
        raise GitError(f'not an author: "{author}"', hint='write it as "Name <email>"')
    person = identity(door) or writer
    signed = {
        "GIT_AUTHOR_NAME": writer[0],
        "GIT_AUTHOR_EMAIL": writer[1],
        "GIT_COMMITTER_NAME": person[0],
        "GIT_COMMITTER_EMAIL": person[1],
    }
    if when is not None:
        signed["GIT_AUTHOR_DATE"] = signed["GIT_COMMITTER_DATE"] = f"@{int(when)} +0000"
    return signed


def write(door: Door, tree: str, parents: Sequence[str], message: str, signed: Signature) -> str:
    """A new commit; its message without what could act on a terminal."""
    above = [word for parent in parents for word in ("-p", parent)]
    answer = door.pipe("commit-tree", tree, *above, given=_text(message).encode(), env=signed)
    if answer.code:
        raise failed("commit-tree", answer)
    return answer.out.decode().strip()


@contextmanager
def writing(door: Door, folder: str) -> Iterator[Write]:
    """A function that does what `write` does, for a signature with a date, with one process for all of them: to begin
    a `git commit-tree` for each takes as long as to merge. What is to be written goes through a file in `folder`.
    """
    path = os.path.join(folder, "commit")
    with door.talk("hash-object", "-t", "commit", "-w", "--no-filters", "--stdin-paths") as said:

        def made(tree: str, parents: Sequence[str], message: str, signed: Signature) -> str:
            above = "".join(f"parent {parent}\n" for parent in dict.fromkeys(parents))
            who = f"author {_who(signed, 'AUTHOR')}\ncommitter {_who(signed, 'COMMITTER')}\n"
            with open(path, "wb") as file:
                file.write(f"tree {tree}\n{above}{who}\n{_text(message)}".encode())
            return said(os.fsencode(path)).decode()

        yield made


def _text(message: str) -> str:
    return plain(message).rstrip("\n") + "\n"


def _who(signed: Signature, role: str) -> str:
    """The line of a commit that says who and when, as git writes it."""
    name, email = (re.sub("[\n<>]", "", signed[f"GIT_{role}_{part}"].strip(_CRUD)) for part in ("NAME", "EMAIL"))
    when = _DATE.fullmatch(signed[f"GIT_{role}_DATE"])
    if not name or not when:
        raise GitError(f"nobody can have signed a commit so: {dict(signed)}")
    return f"{name} <{email}> {int(when[1])} {when[2].replace('-0000', '+0000')}"


def tree_of(door: Door, commit: str) -> str:
    """The id of its tree."""
    answer = door.pipe("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
    if answer.code:
        raise failed("rev-parse", answer)
    return answer.out.decode().strip()
