"""One repository: what actors and commands ask of git. Rule: this page says what there is; each deed has its own file.

door.py        the one function that runs git, and how it is kept from running an agent's programs
gitfiles.py    git's own small files, read without git
commits.py     written, one or many
worktrees.py   made, put at a commit, deleted
securing.py    what an agent left becomes a commit
submodules.py  what of them must not land
resolving.py   a merge that conflicts, laid out for an agent, and what became of it
merging.py     two commits become one, without a checkout
stacking.py    branches, one on top of the other; what would conflict
reverting.py   what landed, taken out again
landing.py     moving the target
upstream.py    what the target follows at a remote
looking.py     the person's checkout
workspace.py   what a worktree gets that is not in git
traces.py      what was left where it does not belong
aside.py       what an agent committed and left behind
"""

import re
import shlex
from collections.abc import Sequence

from ..eventlog.errors import UsageError
from . import (
    Branch,
    Checkout,
    Conflict,
    Landed,
    Merged,
    Moved,
    Refused,
    Reverted,
    Secured,
    Stacked,
    Traces,
    commits,
    landing,
    looking,
    merging,
    resolving,
    reverting,
    securing,
    stacking,
    traces,
    upstream,
    workspace,
    worktrees,
)
from .door import Door, GitError
from .refused import in_words

__all__ = ["Git", "GitError"]

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_OLDEST = (2, 38)  # merge-tree --write-tree


class Git:
    """The hand `Repository` on real git. `root` is the main work tree, `common` the common git directory (absolute)."""

    def __init__(self, root: str, common: str) -> None:
        self._door = Door(root, common)

    # --- questions ---

    def tip(self, branch: str) -> str:
        """The commit at `refs/heads/<branch>`; raises GitError if there is none."""
        found = self._door.commit(f"refs/heads/{branch}")
        if not found:
            raise GitError(f"there is no branch {branch}", hint="git branch --list")
        return found

    def branch_exists(self, branch: str) -> bool:
        """Whether there is a commit at `refs/heads/<branch>`."""
        return bool(self._door.commit(f"refs/heads/{branch}"))

    def default_branch(self) -> str:
        """The branch that is checked out in the main work tree; raises UsageError if there is none, or no commit."""
        head = self._door.branch()
        if not head.startswith("refs/heads/"):
            raise UsageError("the main checkout has no branch (detached HEAD)", hint="swarm start --target BRANCH")
        if not self._door.commit(head):
            raise UsageError("this repository has no commit yet", hint="git commit --allow-empty -m start")
        return head.removeprefix("refs/heads/")

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether commit `newer` contains commit `older`."""
        return self._door.is_ancestor(older, newer)

    def identity(self) -> tuple[str, str] | None:
        """The person's configured name and email, or None if either is missing."""
        return commits.identity(self._door)

    def version(self) -> tuple[int, ...]:
        """Git's version, as numbers."""
        found = re.search(r"\d+(\.\d+)+", self._door.run("version"))
        return tuple(int(part) for part in found[0].split(".")) if found else ()

    def problems(self) -> list[tuple[str, str]]:
        """What keeps the swarm from working on this repository: (what is wrong, the command that mends it)."""
        found = []
        if self.version() < _OLDEST:
            found.append(("git is older than 2.38 and cannot merge without a checkout", "install git 2.38 or newer"))
        if self._door.setting("core.bare"):
            found.append(
                ("the repository is bare: agents' work lands beside a checkout", "git clone REPOSITORY FOLDER")
            )
        elif not self._door.commit("HEAD"):
            found.append(("the repository has no commit yet", "git commit --allow-empty -m start"))
        if self.branch_exists("swarm"):
            found.append(("a branch named swarm is in the way of swarm/…", "git branch -m swarm swarm-old"))
        try:
            worktrees.refuse_own_config(self._door)
        except UsageError as error:
            found.append((str(error), error.hint))
        return found

    def behind(self, target: str) -> tuple[str, str] | None:
        """What of its upstream the target lacks, as far as is known here: (in words, the command that mends it)."""
        apart = upstream.distance(self._door, target)
        return upstream.lacking(target, apart) if apart and apart.behind else None

    @in_words()
    def traces(self, since: str, base: str, commit: str, author: str) -> Traces:
        """What came into the person's checkout after its head was `since`."""
        _check_ids(since, base, commit)
        return traces.traces(self._door, since, base, commit, author)

    # --- deeds: see `Repository` ---

    @in_words()
    def keep(self, ref: str, commit: str) -> None:
        """Point `ref`, under refs/swarm/, at the commit."""
        _check_ids(commit)
        if not ref.startswith("refs/swarm/"):
            raise GitError(f"work is kept under refs/swarm/, not at {ref}")
        self._door.run("update-ref", ref, commit, hint="swarm doctor")

    @in_words()
    def prepare(self, path: str, branch: str, base: str, work: str = "", resolve: bool = False) -> None:
        """A worktree at `path` on the new branch, cut from `base`, or from `work`, or with the merge of both in it."""
        _check_ids(base, *_given(work, resolve))
        worktrees.prepare(self._door, path, branch, base, work, resolve)

    @in_words()
    def furnish(self, path: str, copy: Sequence[str], link: Sequence[str]) -> list[str]:
        """Give the worktree copies of, and links to, what lies in the person's checkout and is not in git."""
        return workspace.furnish(self._door, path, copy, link)

    @in_words()
    def secure(
        self,
        path: str,
        branch: str,
        base: str,
        ref: str,
        message: str,
        author: str,
        work: str = "",
        resolve: bool = False,
    ) -> Secured:
        """Commit all that is in the worktree and point `ref` at it."""
        _check_ids(base, *_given(work, resolve))
        begun = securing.Begun(base, work, resolve)
        return securing.secure(self._door, path, branch, begun, ref, message, author)

    @in_words()
    def gate(self, path: str, commit: str, keep_ignored: bool = False) -> str:
        """Put the worktree at exactly `commit`, detached; returns its absolute path."""
        _check_ids(commit)
        return worktrees.gate(self._door, path, commit, keep_ignored)

    @in_words()
    def merge(self, base: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        """Merge `commit` into `base` in the object store."""
        _check_ids(base, commit)
        return merging.merge(self._door, base, commit, message, author, when)

    @in_words()
    def stack(self, base: str, branches: Sequence[Branch], mode: str, author: str, when: float) -> Stacked:
        """Merge the branches into `base`, one after the other, in the object store."""
        _check_ids(base, *(branch.commit for branch in branches))
        return stacking.stack(self._door, base, branches, mode, author, when)

    @in_words()
    def predict(self, base: str, commit: str) -> list[str]:
        """The paths that conflict if `commit` is merged into `base`."""
        _check_ids(base, commit)
        return stacking.predict(self._door, base, commit)

    @in_words()
    def revert(self, tip: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        """A commit on `tip` that takes out what `commit` brought."""
        _check_ids(tip, commit)
        return reverting.revert(self._door, tip, commit, message, author, when)

    def reverts(self, target: str, since: str) -> list[Reverted]:
        """What commits on the target's own line since that one say that they take out, oldest first."""
        _check_ids(since)
        return reverting.reverts(self._door, target, since)

    def brought(self, branch: str, commit: str) -> tuple[str, str]:
        """(the branch's tip before it, and after it) when it came to contain the commit; the former is empty where it
        was fast-forwarded.
        """
        _check_ids(commit)
        return reverting.brought(self._door, branch, commit)

    @in_words()
    def resolved(self, base: str, work: str, commit: str) -> list[str]:
        """The lines that `base` or `work` added since they parted and that `commit` does not have."""
        _check_ids(base, work, commit)
        return resolving.resolved(self._door, base, work, commit)

    @in_words()
    def checkout(self) -> Checkout:
        """The person's checkout, as it is: not while a landing changes it."""
        with self._door.lock("landing"):
            return looking.checkout(self._door)

    @in_words()
    def follow(self, target: str) -> list[tuple[str, str]]:
        """Fetch what the target follows at a remote and fast-forward it, if it is only behind. Returns what there is to
        say: (words, the command for the person, empty where nothing is theirs to do).
        """
        return upstream.follow(self._door, target)

    @in_words()
    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        """Move the target from `base` to `commit`."""
        _check_ids(base, commit)
        return landing.land(self._door, target, base, commit)

    @in_words()
    def remove(self, path: str, secured: str, recycle: bool = False) -> None:
        """Delete the worktree, or set its folder aside, if the commit `secured` exists."""
        worktrees.remove(self._door, path, secured, recycle)

    @in_words()
    def tidy(self) -> None:
        """Delete what `remove` set aside."""
        worktrees.tidy(self._door)

    @in_words()
    def delete_branch(self, branch: str, kept: str) -> bool:
        """Delete a branch of the swarm, if all that is on it is in `kept` too; True if it is gone."""
        worktrees.check_branch(branch)
        if not self.branch_exists(branch):
            return True
        tip = self.tip(branch)
        if not self.is_ancestor(tip, kept):
            return False
        return self._door.ask("update-ref", "-d", f"refs/heads/{branch}", tip).code == 0


def _given(work: str, resolve: bool) -> list[str]:
    return [work] if work or resolve else []


def _check_ids(*given: str) -> None:
    for commit in given:
        if not _ID.fullmatch(commit):
            raise GitError(f"not the full id of a commit: {commit!r}", hint=f"git rev-parse {shlex.quote(commit)}")
