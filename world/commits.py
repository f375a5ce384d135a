"""Commits, written to the object store. Rule: the same arguments give the same commit, and nothing points at it yet."""

from collections.abc import Mapping, Sequence

from ..eventlog.text import plain
from .door import Door, GitError, failed

Signature = Mapping[str, str]


def signature(door: Door, author: str, when: float | None = None) -> Signature:
    """Who writes a commit, for `write`: by the author ("Name <email>"), committed by the person if git knows one, at
    `when` (Unix seconds, UTC; None: git's own now).
    """
    name, _, email = author.partition("<")
    writer = (name.strip(), email.rstrip("> "))
    if not all(writer):
        raise GitError(f'not an author: "{author}"', hint='write it as "Name <email>"')
    person = door.identity() or writer
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
    text = plain(message).rstrip("\n") + "\n"
    answer = door.pipe("commit-tree", tree, *above, given=text.encode(), env=signed)
    if answer.code:
        raise failed("commit-tree", answer)
    return answer.out.decode().strip()


def tree_of(door: Door, commit: str) -> str:
    """The id of its tree."""
    answer = door.pipe("rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}")
    if answer.code:
        raise failed("rev-parse", answer)
    return answer.out.decode().strip()
