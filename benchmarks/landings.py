"""64 branches that wait to land, with a gate of one second: `swarm merge now`, beside plain git in a shell loop that
merges one branch, runs the gate, and takes the merge back if it fails.

Both sides have the same repository, branches and gate, and must land the same. What a gate run brings is counted from
the log. The settings are the defaults; with bad ones also eight tests side by side (`SIDE_BY_SIDE`), which a gate that
mostly waits allows.
"""

import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from swarm.eventlog.events import (
    GateFinished,
    IssueAssigned,
    IssueOpened,
    MergeQueued,
    RunStarted,
    SessionExited,
    SessionRequested,
    WorkSecured,
    WorktreePrepared,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.files import Draft
from swarm.eventlog.place import find
from swarm.eventlog.tail import read_all
from swarm.world.node import open_log

import scratch
from measuring import ENV, Row, Size, row, seconds

GATE = "sleep 1; ! ls bad-* >/dev/null 2>&1"
LOOP = """
for branch in $(cat .git/branches.txt); do
  git merge -q --no-ff --no-edit "$branch" || { git merge --abort; continue; }
  ( %s ) || git reset -q --hard HEAD^
done
"""
BAD = (5, 22, 40, 59)
SIDE_BY_SIDE = "parallel = 8"


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    branches, rows = size.of(64, 6), []
    some = tuple(n for n in BAD if n < branches)
    for bad, policy, goal in (((), "", 6), (some, "", None), (some, SIDE_BY_SIDE, 3)):
        ours, theirs, runs = both(branches, bad, policy)
        what = f"{branches} branches" + (f", {len(bad)} of them bad" if bad else ", all good")
        what += f", `{policy}`" if policy else ""
        loop, ratio = "one by one with plain git in a shell loop", theirs / ours
        landed = branches - len(bad)
        rows.append(row(f"{what}, gate of 1 s", loop, seconds(ours), seconds(theirs), ratio, goal, True))
        mine, base = f"{landed} in {runs} runs", f"{landed} in {branches} runs"
        rows.append(row(f"{what}: landings per gate run", loop, mine, base, branches / runs, None, True))
    return rows


def both(branches: int, bad: Sequence[int], policy: str = "") -> tuple[float, float, int]:
    """Seconds of ours, of the loop's; gate runs of ours. `policy`: lines of `[merge]`."""
    with scratch.folder() as folder:
        roots = [prepared(folder / side, branches, bad) for side in ("ours", "theirs")]
        (roots[0] / "swarm.toml").write_text(f"[merge]\n{policy}\n")
        theirs = _timed(["sh", "-c", LOOP % GATE], roots[1])
        ours = _timed([scratch.swarm(), "merge", "now", "--test", GATE, "--on-conflict", "skip"], roots[0])
        _check(roots, branches, bad)
        runs = sum(event.type == "batch.tested" for event in read_all(find(str(roots[0]), {}).log))
    return ours, theirs, runs


def prepared(root: Path, branches: int, bad: Sequence[int]) -> Path:
    """A repository with so many branches that wait in the queue, each with a file of its own; those in `bad` break the
    gate.
    """
    scratch.repository(root, files=100)
    base, names = scratch.git(root, "rev-parse", "HEAD").strip(), []
    commits = []
    for number in range(branches):
        name = f"swarm/builder-{number}/sw-{number:08x}-1"
        path = root / (f"bad-{number}.txt" if number in bad else f"new-{number}.txt")
        scratch.git(root, "checkout", "-q", "-b", name, base)
        path.write_text(f"{number}\n")
        scratch.git(root, "add", path.name)
        scratch.git(root, "commit", "-q", "-m", f"Write {number}")
        commits.append(scratch.git(root, "rev-parse", "HEAD").strip())
        names.append(name)
    scratch.git(root, "checkout", "-q", "main")
    (root / ".git" / "branches.txt").write_text("\n".join(names))
    _queue(root, base, names, commits)
    return root


def _queue(root: Path, base: str, names: Sequence[str], commits: Sequence[str]) -> None:
    """Write down what a swarm would have: each branch was built, passed its own gate, and was queued."""
    log = open_log(find(str(root), {}))
    started = RunStarted(0, "", 0, "0", "main", "shell", 4, 1)
    log.append([Draft(started, "system", "run-0", correlationid="run-0")])
    for number, (name, commit) in enumerate(zip(names, commits, strict=True)):
        issue, agent = f"sw-{number:08x}", f"builder-{number}"
        opened = log.append([Draft(IssueOpened(title=f"Write {number}", body="true"), "human", issue)])[0]
        session, file = f"{issue}-1", f"{'bad' if number in BAD else 'new'}-{number}.txt"
        facts: list[Fact] = [
            IssueAssigned(1, opened.id, agent, "builder", "shell"),
            WorktreePrepared(1, f".swarm/worktrees/{session}", name, base),
            SessionRequested(session, 1, "agent"),
            SessionExited(session, 1, 0, ok=True, seconds=1.0),
            WorkSecured(1, f"refs/heads/{name}", commit, base, 1, [file]),
            GateFinished(1, commit, "none"),
            MergeQueued(1, name, commit),
        ]
        log.append([Draft(fact, "builder", issue, correlationid="run-0") for fact in facts])
    log.close()


def _timed(argv: list[str], root: Path) -> float:
    begun = time.perf_counter()
    subprocess.run(argv, cwd=root, env=ENV, stdout=subprocess.DEVNULL, check=False)
    return time.perf_counter() - begun


def _check(roots: Sequence[Path], branches: int, bad: Sequence[int]) -> None:
    """Both have landed what is good, and nothing else."""
    wanted = {f"new-{number}.txt" for number in range(branches) if number not in bad}
    for root in roots:
        files = set(scratch.git(root, "ls-tree", "--name-only", "main").split())
        assert {name for name in files if name.startswith(("new-", "bad-"))} == wanted, root
