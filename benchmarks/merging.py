"""What it takes, beside the tests, to land a branch in a repository of 10,000 files, and to give an attempt a worktree.

Baselines: `git merge` in a work tree, `git worktree add`. The branch that ours moves is checked out nowhere; where it
is, git's own fast-forward of that checkout comes on top, which has a row of its own. Every merge is into the same
commit, which has a batch of branches that the one to be merged has not: what changed since it was cut is read too.
"""

import itertools
import resource
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from swarm.world import Branch, Landed
from swarm.world.git import Git

import scratch
from measuring import Row, Size, compared, in_turns, seconds

AUTHOR = "merger (swarm) <merger@swarm.invalid>"
BATCH = 8


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    files, rounds = size.of(10_000, 100), size.of(9, 2)
    with scratch.folder() as folder:
        root = scratch.repository(folder / "repository", files)
        return [*_merging(root, files, rounds), *_preparing(root, files, rounds)]


def _merging(root: Path, files: int, rounds: int) -> list[Row]:
    merging = Merging(root, BATCH + (BATCH + 3) * (rounds + 1))
    sides = {"one": merging.one, "batch": merging.batch, "checked out": merging.checked_out, "git": merging.plain}
    found = in_turns(rounds, sides)
    told = {
        "one": ("merging and landing a branch alone, without its tests", None),
        "batch": (f"merging and landing each branch of a batch of {BATCH}, without its tests", 0.15),
        "checked out": ("merging and landing a branch alone, where the target is checked out", None),
    }
    baseline = f"git merge in a work tree of {files:,} files (processor time)"
    return [compared(what, baseline, found[name], found["git"], seconds, goal) for name, (what, goal) in told.items()]


class Merging:
    """The same kind of branch, over and over: one changed file and a new one."""

    def __init__(self, root: Path, branches: int) -> None:
        self.git, self.root = Git(str(root), str(root / ".git")), root
        self.branches = iter(_branches(root, branches))
        others = [next(self.branches) for _ in range(BATCH)]
        self.start = self.git.stack(self.git.tip("main"), others, "merge", AUTHOR, 1e9).commit
        scratch.git(root, "branch", "target", self.start)
        scratch.git(root, "worktree", "add", "-q", "-b", "plain", str(root.parent / "plain"))

    def one(self) -> float:
        """Seconds for one branch alone."""
        return self._landed("target", 1)

    def batch(self) -> float:
        """Seconds for each of several at once."""
        return self._landed("target", BATCH) / BATCH

    def checked_out(self) -> float:
        """Seconds for one, where git also writes its files into a checkout."""
        scratch.git(self.root, "reset", "-q", "--hard", self.start)
        return self._landed("main", 1)

    def plain(self) -> float:
        """Seconds for git alone."""
        branch, checkout = next(self.branches), self.root.parent / "plain"
        scratch.git(checkout, "reset", "-q", "--hard", self.start)
        begun = _spent()
        scratch.git(checkout, "merge", "-q", "--no-ff", "--no-edit", branch.commit)
        return _spent() - begun

    def _landed(self, target: str, count: int) -> float:
        branches = [next(self.branches) for _ in range(count)]
        if target == "target":
            scratch.git(self.root, "update-ref", "refs/heads/target", self.start)
        begun = _spent()
        base = self.git.tip(target)
        made = self.git.stack(base, branches, "merge", AUTHOR, 1e9)
        landed = self.git.land(target, base, made.commit)
        took = _spent() - begun
        assert landed == Landed(made.commit)
        assert not made.conflicts
        return took


def _branches(root: Path, count: int) -> list[Branch]:
    """Branches from main with one commit each; no two touch the same file."""
    stream = []
    for number in range(count):
        stream += [f"commit refs/heads/b{number}", "committer bench <bench@swarm.invalid> 1000000000 +0000", "data 0"]
        stream += ["from refs/heads/main^0", f"M 100644 inline d{number % 50}/f{number}.txt", "data 4", "new", ""]
        stream += [f"M 100644 inline d{number % 50}/new{number}.txt", "data 4", "new", "", ""]
    given = "\n".join(stream).encode()
    subprocess.run(["git", "fast-import", "--quiet"], cwd=root, input=given, check=True)
    commits = scratch.git(root, "rev-parse", *(f"refs/heads/b{number}" for number in range(count))).split()
    return [Branch(f"sw-{number:08x}", "kim", "Write it", commit) for number, commit in enumerate(commits)]


def _preparing(root: Path, files: int, rounds: int) -> list[Row]:
    git, numbers = Git(str(root), str(root / ".git")), itertools.count(1)

    def ours(recycle: bool) -> float:
        tip, name = git.tip("main"), f"x-{next(numbers)}"
        path, branch = f".swarm/worktrees/{name}", f"swarm/kim/{name}"
        took = _timed(lambda: git.prepare(path, branch, tip))
        git.remove(path, tip, recycle=recycle)
        if not recycle:
            git.delete_branch(branch, tip)
        return took

    def again() -> float:
        ours(recycle=True)
        took = ours(recycle=True)
        git.tidy()
        return took

    def plain() -> float:
        folder = root.parent / f"plain-{next(numbers)}"
        took = _timed(lambda: scratch.git(root, "worktree", "add", "-q", "-b", folder.name, str(folder), "main"))
        scratch.git(root, "worktree", "remove", "--force", str(folder))
        return took

    found = in_turns(rounds, {"ours": lambda: ours(recycle=False), "again": again, "git": plain})
    baseline = f"git worktree add of {files:,} files"
    return [
        compared(f"preparing a worktree of {files:,} files", baseline, found["ours"], found["git"], seconds, 0.5),
        compared(
            f"preparing one of {files:,} files in the folder of an earlier attempt",
            baseline,
            found["again"],
            found["git"],
            seconds,
            0.5,
        ),
    ]


def _spent() -> float:
    """Seconds of processor time, of this process and of those it waited for: what is short and many would else measure
    how busy the machine is.
    """
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
