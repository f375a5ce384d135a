"""Git's own small files, read and written without git. Rule: what is not there in its plainest form is not guessed at
(then there is no answer, and git is to be asked): a ref may be packed, symbolic, or in a table.

To start git takes longer than most of its answers.
"""

import os
import re

_ID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_WORD = r"[0-9A-Za-z_-][0-9A-Za-z_.-]*(?<!\.lock)"
_BRANCH = re.compile(rf"refs/heads/{_WORD}(?:/{_WORD})*")


def branch_tip(common: str, ref: str) -> str:
    """The id in the file of a branch (a full ref); empty if that does not say."""
    if not _BRANCH.fullmatch(ref) or ".." in ref:
        return ""
    found = read_line(os.path.join(common, ref))
    return found if _ID.fullmatch(found) else ""


def checked_out(common: str, git_dir: str) -> str | None:
    """The branch (a full ref) at which HEAD of a checkout is, empty if it is at a commit; None if that does not say."""
    found = read_line(os.path.join(git_dir, "HEAD"))
    if _ID.fullmatch(found):
        return ""
    kind, _, ref = found.partition(": ")
    if kind != "ref" or not _BRANCH.fullmatch(ref) or ".." in ref:
        return None
    file = os.path.join(common, ref)
    return None if os.path.islink(file) or read_line(file).startswith("ref:") else ref


def stamp(path: str) -> tuple[int, ...]:
    """What of a file is another once it was written; empty if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def linked(git_dir: str) -> str:
    """The folder of the linked worktree that git keeps in `git_dir`, if its `.git` points back; else empty."""
    link = os.path.normpath(os.path.join(git_dir, read_line(os.path.join(git_dir, "gitdir"))))
    kind, _, back = read_line(link).partition(": ")
    found = os.path.normpath(os.path.join(os.path.dirname(link), back))
    return os.path.dirname(link) if kind == "gitdir" and found == git_dir else ""


def read_line(path: str) -> str:
    """The one line of a small file of git's; empty if there is none or it is a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        return os.fsdecode(os.read(descriptor, 8192)).strip()
    except OSError:
        return ""
    finally:
        os.close(descriptor)


def warily(path: str, flags: int) -> int:
    """For `open(opener=…)`, of what may be something else by now: no link is followed, and no pipe waited for."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def write_line(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        os.write(descriptor, os.fsencode(text))
    finally:
        os.close(descriptor)
