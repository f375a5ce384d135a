"""Moving the target. Rule: by compare-and-swap; where a person has the target checked out, git itself fast-forwards
there or nothing happens.
"""

import os
import shlex
from collections.abc import Iterator, Sequence

from . import Landed, Moved, Refused
from .door import WORKTREES, Door, GitError, Place, failed, first_lines, printable
from .gitfiles import linked, read_line, write_line

_REBASING = (os.path.join("rebase-merge", "head-name"), os.path.join("rebase-apply", "head-name"))


def land(door: Door, target: str, base: str, commit: str) -> Landed | Moved | Refused:
    """See `Repository.land`."""
    with door.lock("landing"):
        return _land(door, target, base, commit)


def _land(door: Door, target: str, base: str, commit: str) -> Landed | Moved | Refused:
    ref = f"refs/heads/{target}"
    tip = door.commit(ref)
    if not tip:
        raise GitError(f"there is no branch {target}", hint="swarm start --target BRANCH")
    onwards = tip == base != commit and door.is_ancestor(base, commit)
    if not onwards and door.is_ancestor(commit, tip):
        return Landed(commit=commit)
    if tip != base:
        return Moved(found=tip)
    if not onwards:
        raise GitError(f"{commit[:12]} does not contain {base[:12]}: landing it would lose commits of {target}")
    holder = None
    for place in _checkouts(door):
        if ref in [read_line(os.path.join(place.git_dir, name)) for name in _REBASING]:
            return Refused(
                reason=printable(f"{target} is being rebased in {place.work_tree}"),
                command=printable(f"git -C {shlex.quote(place.work_tree)} rebase --continue"),
            )
        if door.branch(place) == ref:
            holder = place
    _free(door, ref, base)
    if holder is None:
        answer = door.ask("update-ref", ref, commit, base)
        reason, command = first_lines(answer.err), f"git update-ref {ref} {commit} {base}"
    else:
        # Without --no-overwrite-ignore git replaces an ignored file (.env) by one that the branch brings.
        how = ["merge", "--ff-only", "--no-overwrite-ignore"]
        answer = door.ask(*how, "--no-autostash", "--no-stat", "--quiet", "--end-of-options", commit, at=holder)
        reason = first_lines(answer.err)
        command = printable(f"git -C {shlex.quote(holder.work_tree)} {' '.join(how)} {commit}")
    found = door.commit(ref)
    if found == commit or (found and door.is_ancestor(commit, found)):
        return Landed(commit=commit)
    return Moved(found=found) if found != base else Refused(reason=reason, command=command)


def _checkouts(door: Door) -> Iterator[Place]:
    """The checkouts of persons: the main one and the linked ones. Ours are not among them, nor one that is just being
    made (beside ours, and gone a moment later): an agent does not decide where git works.
    """
    if not door.setting("core.bare"):
        yield door.main
    folder = os.path.join(door.common, "worktrees")
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        git_dir = os.path.join(folder, name)
        full = linked(git_dir)
        if full and not full.startswith(os.path.join(door.root, WORKTREES, "")):
            yield Place(git_dir, full)


def _free(door: Door, ref: str, base: str) -> None:
    """Detach the worktrees of ours in which an agent checked out the target: else the next look at them would show what
    landed as undone by the agent.
    """
    folder = os.path.join(door.root, WORKTREES)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        head = os.path.join(door.common, "worktrees", name, "HEAD")
        if read_line(head) == f"ref: {ref}":
            write_line(f"{head}.swarm", f"{base}\n")
            os.replace(f"{head}.swarm", head)


# --- what landed elsewhere ------------------------------------------------------------------------


def lacking(door: Door, target: str, commits: Sequence[str]) -> list[str]:
    """Those of the commits (full ids) that the branch does not contain, be they in this repository or not."""
    if not commits:
        return []
    known = _piped(door, "cat-file", "--batch-check=%(objectname) %(objecttype)", given=commits)
    there = [commit for commit in commits if f"{commit} commit" in known]
    apart = _piped(door, "rev-list", "--stdin", given=[*there, f"^refs/heads/{target}"])
    return [commit for commit in commits if commit in apart or commit not in there]


def _piped(door: Door, *args: str, given: Sequence[str]) -> set[str]:
    answer = door.pipe(*args, given="".join(f"{line}\n" for line in given).encode())
    if answer.code:
        raise failed(args[0], answer)
    return set(answer.out.decode().splitlines())
