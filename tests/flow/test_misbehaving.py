"""Fourteen kinds of agents that misbehave, eight at a time, among good ones; and a swarm that is killed meanwhile.

Whatever they do: every issue ends done or blocked with its reason; the target is green at every commit; no commit of
any agent is lost; nothing is left running; what hosts them stays small; the log is whole, and decides again what it
decided.
"""

import os
import random
import subprocess
import time
from pathlib import Path

import pytest

from swarm.eventlog.events import IssueOpened
from swarm.eventlog.files import Draft
from swarm.eventlog.place import find
from swarm.projections import Board, issues
from swarm.world.node import open_log

from misbehaving import BAD, BREAKS, GOOD, Agent
from soak import amount
from stage import SWARM, Stage
from waiting import until

GATE = """\
# Green: a.txt is there, no file is broken, and left and right are not both there.
test -f a.txt || exit 1
grep -qrs --include='*.txt' broken . && exit 1
! { test -f left.txt && test -f right.txt; }
"""
SETTINGS = """\
[start]
test = "sh gate.sh"
max_agents = 8
[limits]
attempt_minutes = {minutes}
log_mb = 1
"""
SECONDS = 6.0
"""What an attempt may take: those that never end cost so much, and the good ones need much less, even if it is late."""
HOST_KB = 50_000
SECRET = "sk-mischief-0123456789abcdef0123456789abcdef"  # nobody's


class Mischief:
    """Issues for agents of these kinds, in a repository; and what must hold when all of them have ended."""

    def __init__(self, stage: Stage, kinds: list[Agent]) -> None:
        self.stage, self.outside = stage, stage.root.parent / "outside"
        self.outside.mkdir()
        (self.outside / "commits").touch()
        for name, text in (("gate.sh", GATE), ("swarm.toml", SETTINGS.format(minutes=SECONDS / 60)), ("spare.txt", "")):
            (stage.root / name).write_text(text)
        stage.git("add", "-A")
        stage.git("commit", "-qm", "a gate")
        self.env = {**os.environ, "OUTSIDE": str(self.outside), "MISCHIEF_API_KEY": SECRET}
        self.kinds = {f"{kind.name}-{number}": kind for number, kind in enumerate(kinds)}
        self.pair = ("left", "right")
        self.memory: dict[int, int] = {}
        self.open()

    def open(self) -> None:
        """Write the issues: in one go, since a command for each takes longer than most of them."""
        place = find(str(self.stage.root), {})
        bodies = {name: kind.body for name, kind in self.kinds.items()}
        bodies |= {name: f"echo {name} > {name}.txt" for name in self.pair}  # each is green, both together are not
        log = open_log(place)
        log.append([Draft(IssueOpened(f"Do {name}", body), "human", name) for name, body in bodies.items()])
        log.close()

    def start(self, *options: str) -> "subprocess.Popen[bytes]":
        """`swarm start --until-idle`, with its output outside."""
        command = [SWARM, "start", "--until-idle", *options]
        with (self.outside / "start.log").open("ab") as out:
            return subprocess.Popen(command, cwd=self.stage.root, env=self.env, stdout=out, stderr=out)

    def watch(self, process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
        """Until it ends, or for so long; its exit code then. Meanwhile the hosts are looked at."""
        deadline = time.monotonic() + seconds
        while process.poll() is None and time.monotonic() < deadline:
            self.look()
            time.sleep(0.1)
        return process.poll()

    def look(self) -> None:
        """Take down the most memory that each host ever had."""
        ours = f"{self.stage.root}/.git/swarm/runs/".encode()
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                if b"swarm.world.host" in words and any(word.startswith(ours) for word in words):
                    status = Path(f"/proc/{pid}/status").read_text()
                    self.memory[int(pid)] = int(status.partition("VmHWM:")[2].split()[0])
            except (OSError, IndexError):
                continue

    # --- what must hold ---

    def check(self) -> None:
        self.check_issues()
        self.check_target()
        self.check_commits()
        self.check_harm()
        self.check_processes()
        self.check_log()

    def check_issues(self) -> None:
        known = {issue.id: issue for issue in Board().fold(self.stage.events())[issues.State].known()}
        ends = {name: (known[name].status, known[name].reason) for name in self.kinds}
        wrong = {
            name: ends[name]
            for name, kind in self.kinds.items()
            if ends[name][0] != kind.status or kind.why not in ends[name][1]
        }
        assert wrong == {}
        assert sorted(known[name].status for name in self.pair) == ["blocked", "done"]
        assert known.keys() == {*self.kinds, *self.pair}

    def check_target(self) -> None:
        """Each commit that `main` ever was, but the one that came before the gate, passes it."""
        tree = self.stage.root.parent / "tree"
        self.stage.git("worktree", "add", "--detach", "-q", str(tree), "main")
        commits = self.stage.git("rev-list", "--first-parent", "main").split()[:-1]
        red = []
        for commit in commits:
            self.stage.git("checkout", "-q", "--detach", commit, cwd=tree)
            red += [commit] if subprocess.run(["sh", "gate.sh"], cwd=tree).returncode else []
        assert red == []
        landed = {event.data.commit for event in self.stage.events("merge.landed")}
        assert landed
        assert landed <= set(self.stage.git("rev-list", "main").split())
        self.stage.git("worktree", "remove", "--force", str(tree))

    def check_commits(self) -> None:
        """What an agent committed can be found from some ref."""
        made = set((self.outside / "commits").read_text().split())
        assert len(made) >= len(self.kinds) // 2
        assert made - set(self.stage.git("rev-list", "--all").split()) == set()

    def check_harm(self) -> None:
        """What some kinds were told, or could not do."""
        landed, runs = self.stage.files(), self.stage.root / ".git/swarm/runs"
        assert {path.read_text() for path in self.outside.glob("mailed-*")} == {"2\n"}
        assert {f"{name}/more.txt" for name in self.kinds if "dirty" in name} <= landed
        floods = [path.stat().st_size for path in runs.glob("floods-*/std*.log")]
        assert floods
        assert max(floods) <= 1_100_000
        for event in self.stage.events("work.secured"):
            if event.subject.startswith(("hangs", "asks", "stubborn", "quota")):
                kept = self.stage.files(event.data.commit)
                assert f"{event.subject}.txt" in kept
                assert f"{event.subject}.other.txt" in kept or not event.subject.startswith("hangs")

    def check_processes(self) -> None:
        until(lambda: not self.stage.running(), 5, "no process to be left")
        assert self.sleepers() == []
        assert self.memory
        assert max(self.memory.values()) < HOST_KB

    def sleepers(self) -> list[int]:
        """Those that shed their environment: they still sleep in a worktree."""
        found, worktrees = [], f"{self.stage.root}/.swarm/"
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if os.readlink(f"/proc/{pid}/cwd").startswith(worktrees):
                    found.append(int(pid))
            except OSError:
                continue
        return found

    def check_log(self) -> None:
        """The lines that are nobody's are reported; once they are put aside, there is nothing to say."""
        forged = sum("forges" in name for name in self.kinds)
        assert (self.stage.swarm("log", "verify").code == 1) == bool(forged)
        assert self.stage.swarm("log", "repair").code == 0
        verified = self.stage.swarm("log", "verify")
        assert verified.code == 0, verified.out + verified.err
        again = self.stage.swarm("replay", "--verify")
        assert again.code == 0, again.out + again.err


@pytest.mark.slow
def test_whatever_agents_do_nothing_is_lost_left_or_broken(stage: Stage) -> None:
    kinds = [*BAD * amount(2, 11), *[GOOD] * amount(8, 38), BREAKS, BREAKS]
    mischief = Mischief(stage, kinds)
    process = mischief.start()
    assert mischief.watch(process, amount(150, 1200)) == 1, (mischief.outside / "start.log").read_text()[-3000:]
    mischief.check()


@pytest.mark.slow
def test_the_same_with_a_swarm_that_is_killed_every_few_seconds(stage: Stage) -> None:
    chance = random.Random(7)
    mischief = Mischief(stage, [*BAD * amount(1, 5), *[GOOD] * amount(3, 20), BREAKS])
    for _ in range(amount(6, 60)):
        process = mischief.start("--max-retries", "0")
        if mischief.watch(process, chance.uniform(0.5, 4.0)) is not None:
            break
        process.kill()
        process.wait()
    process = mischief.start("--max-retries", "0")
    assert mischief.watch(process, amount(120, 1200)) == 1, (mischief.outside / "start.log").read_text()[-3000:]
    mischief.check()
