"""What an attempt left, shown to a person or given to one as a branch. Rule: it is read through the door, and no ref
that is there already is moved.
"""

import shlex

from ..eventlog.errors import UsageError
from .door import Door, GitError, failed, printable

_PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv")


def is_there(door: Door, commit: str) -> bool:
    """Whether this repository has the commit: another clone may have made it."""
    return bool(commit) and door.commit(commit) == commit


def check_there(door: Door, commit: str) -> None:
    """Raises UsageError if this repository does not have the commit."""
    if not is_there(door, commit):
        raise UsageError(f"this repository has no commit {commit or '(none)'}", "it may be in the clone that made it")


def commits(door: Door, base: str, commit: str) -> list[str]:
    """Those above the base, newest first, a line each."""
    check_there(door, commit)
    told = door.run("log", "--no-show-signature", "--no-color", "--format=%h %an: %s", f"{base}..{commit}", "--")
    return printable(told).splitlines()


def files(door: Door, base: str, commit: str) -> list[str]:
    """What they change, as `git diff --stat` says it."""
    check_there(door, commit)
    return printable(door.run("diff", "--stat=120", *_PLAIN, f"{base}...{commit}", "--")).splitlines()


def patch(door: Door, base: str, commit: str) -> bytes:
    """What they change, as `git apply` takes it."""
    check_there(door, commit)
    answer = door.pipe("diff", "--binary", "--full-index", *_PLAIN, f"{base}...{commit}", "--")
    if answer.code:
        raise failed("diff", answer)
    return answer.out


def make_branch(door: Door, name: str, commit: str) -> None:
    """A new branch of a person's at the commit; raises UsageError if the name is none, ours, or taken."""
    check_there(door, commit)
    if name.startswith(("-", "refs/")) or door.ask("check-ref-format", f"refs/heads/{name}").code:
        raise UsageError(f"{printable(name)!r} is no name for a branch", "git help check-ref-format")
    if name == "swarm" or name.startswith("swarm/"):
        raise UsageError(f"branches under swarm/ are the swarm's: {name}", "choose another name")
    if door.commit(f"refs/heads/{name}"):
        raise UsageError(
            f"there is a branch {name} already", f"choose another name, or: git branch -m {shlex.quote(name)} old"
        )
    answer = door.ask("update-ref", f"refs/heads/{name}", commit, "0" * len(commit))
    if answer.code:
        raise failed("update-ref", answer, hint="choose another name")


def head_of(door: Door, name: str) -> str:
    """The commit that the worktree of that name has checked out; empty if git knows none."""
    return door.commit(f"worktrees/{name}/HEAD")


def free_ref(door: Door, ref: str) -> str:
    """The ref, or the first of `<ref>.2`, `<ref>.3`, … that is not there yet."""
    for number in range(1, 1000):
        found = ref if number == 1 else f"{ref}.{number}"
        if not door.commit(found):
            return found
    raise GitError(f"there are a thousand of {ref}", hint=f"git for-each-ref {ref}*")
