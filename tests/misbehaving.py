"""Agents that misbehave, as short shell scripts (tests/agents), how an issue ends that one of them was given, and what
must hold when all have ended.

Rule: they are real programs and do real harm; what they commit they note in `$OUTSIDE/commits`.
"""

import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from swarm.eventlog.events import IssueOpened
from swarm.eventlog.fact import Event
from swarm.eventlog.files import Draft
from swarm.eventlog.place import find
from swarm.projections import Board, issues
from swarm.world.node import open_log
from swarm.world.processes import alive
from swarm.world.runfolder import RunFolder

from soak import amount
from stage import SWARM, Stage
from waiting import until

SCRIPTS = Path(__file__).with_name("agents")

PRELUDE = """\
root=${SWARM_LOG%/.git/swarm/log}
keep() { git add -A; git commit -qm "$1"; git rev-parse HEAD >> "$OUTSIDE/commits"; }
"""

DONE, BLOCKED = "done", "blocked"


class Agent(NamedTuple):
    """One kind: its script, and the status that its issue ends with. `why` is in the reason of a blocked one."""

    script: str
    status: str
    why: str = ""

    @property
    def name(self) -> str:
        """As in the issue's id."""
        return self.script.partition("-")[2] or self.script

    @property
    def body(self) -> str:
        """The issue's body."""
        return PRELUDE + (SCRIPTS / f"{self.script}.sh").read_text()


BAD = (
    Agent("a-dirty", DONE),
    Agent("b-quota", DONE),
    Agent("c-hangs", BLOCKED, "as it was interrupted: no sign of life for"),
    Agent("d-asks", BLOCKED, "it waited for a person for"),
    Agent("e-elsewhere", BLOCKED, "its agent changed your checkout: builder-"),
    Agent("f-unknown", DONE),
    Agent("g-fails", BLOCKED, "exit code 3"),
    Agent("h-mute", BLOCKED, "unverified"),
    Agent("i-forks", DONE),
    Agent("j-tells", DONE),
    Agent("k-floods", BLOCKED, "it printed more than 50 MB"),
    Agent("l-stubborn", BLOCKED, "though it was asked and interrupted"),
    Agent("m-deletes", DONE),
    Agent("m-writes", BLOCKED, ".txt as in its work"),
    Agent("n-forges", DONE),
)
"""The fourteen; one of them in two ways."""

GOOD = Agent("good", DONE)
BREAKS = Agent("breaks", BLOCKED, "the tests fail")

GATE = """\
# Green: a.txt is there, no file is broken, and left and right are not both there.
test -f a.txt || exit 1
grep -qrs --include='*.txt' broken . && exit 1
! { test -f left.txt && test -f right.txt; }
"""
SETTINGS = """\
[start]
test = "{test}"
max_agents = 8
[limits]
attempt_minutes = 2.0
log_mb = 1
output_mb = 50
[merge]
batch_max = 8
parallel = {parallel}
[patience]
nudge = 0.03
interrupt = 0.05
kill = 0.02
waiting = 0.1
"""
"""So little patience is enough for the good ones, also where they are late: to be asked does them no harm."""
PATIENT = ("agent.nudged", "agent.interrupted", "session.kill_requested")
HOST_KB = 50_000
LOOK = 0.1  # seconds between looks at the hosts, which end when they like
SECRET = "sk-mischief-0123456789abcdef0123456789abcdef"  # nobody's


class Mischief:
    """Issues for agents of these kinds, in a repository; and what must hold when all of them have ended."""

    def __init__(self, stage: Stage, kinds: list[Agent], parallel: int = 1, test: str = "sh gate.sh") -> None:
        self.stage, self.outside = stage, stage.root.parent / "outside"
        self.outside.mkdir()
        (self.outside / "commits").touch()
        (stage.root / "gate.sh").write_text(GATE)
        (stage.root / "gate.sh").chmod(0o755)
        (stage.root / "spare").mkdir()
        for number in range(len(kinds)):
            (stage.root / "spare" / f"{number}.txt").write_text("spare\n")
        self.settings(parallel, test)
        stage.git("add", "-A")
        stage.git("commit", "-qm", "a gate")
        flood = str(amount(300_000_000, 2_000_000_000))
        self.env = {**os.environ, "OUTSIDE": str(self.outside), "MISCHIEF_API_KEY": SECRET, "FLOOD": flood}
        self.kinds: dict[str, Agent] = {}
        self.pair = ("left", "right")
        self.memory: dict[int, int] = {}
        self.over: set[Path] = set()
        self.write({name: f"echo {name} > {name}.txt" for name in self.pair})  # each is green, both together are not
        self.open(kinds)

    def settings(self, parallel: int = 1, test: str = "sh gate.sh") -> None:
        """Those of the next runs."""
        (self.stage.root / "swarm.toml").write_text(SETTINGS.format(parallel=parallel, test=test))

    def open(self, kinds: Sequence[Agent]) -> None:
        """One more issue for each."""
        more = {f"{kind.name}-{number}": kind for number, kind in enumerate(kinds, len(self.kinds))}
        self.kinds |= more
        self.write({name: kind.body for name, kind in more.items()})

    def write(self, bodies: Mapping[str, str]) -> None:
        """Open these issues in one go: a command for each takes longer than most of them."""
        log = open_log(find(str(self.stage.root), {}))
        log.append([Draft(IssueOpened(f"Do {name}", body), "human", name) for name, body in bodies.items()])
        log.close()

    def names(self) -> set[str]:
        """The kinds there are."""
        return {kind.name for kind in self.kinds.values()}

    def said(self) -> str:
        """The end of what the runs printed."""
        return (self.outside / "start.log").read_text()[-3000:]

    def start(self, *options: str, program: Sequence[str] = (SWARM,)) -> "subprocess.Popen[bytes]":
        """`swarm start --until-idle`, with its output outside."""
        command = [*program, "start", "--until-idle", *options]
        with (self.outside / "start.log").open("ab") as out:
            return subprocess.Popen(command, cwd=self.stage.root, env=self.env, stdout=out, stderr=out)

    def watch(self, process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
        """Until it ends, or for so long; its exit code then. Meanwhile the hosts are looked at."""
        deadline, end = time.monotonic() + seconds, os.pidfd_open(process.pid)
        try:
            while not select.select([end], [], [], LOOK)[0] and time.monotonic() < deadline:
                self.look()
        finally:
            os.close(end)
        return process.poll()

    def look(self) -> None:
        """Take down the most memory that each host ever had, of those that are there."""
        for folder in {*(self.stage.root / ".git/swarm/runs").glob("*")} - self.over:
            with suppress(OSError, IndexError):  # the folder or the host is just going
                host = RunFolder(str(folder)).owner()
                if host and alive(host):
                    status = Path(f"/proc/{host.pid}/status").read_text()
                    self.memory[host.pid] = int(status.partition("VmHWM:")[2].split()[0])
                elif host:
                    self.over.add(folder)

    # --- what must hold ---

    def check(self) -> None:
        self.check_issues()
        self.check_target()
        self.check_commits()
        self.check_harm()
        self.check_leaks()
        self.check_quota()
        self.check_patience()
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
        """Each commit that `main` ever was, but those that came before the gate, passes it; and what landed was tested
        as it is.
        """
        tree = self.stage.root.parent / "tree"
        self.stage.git("worktree", "add", "--detach", "-q", str(tree), "main")
        commits = self.stage.git("rev-list", "--first-parent", "main").split()[:-1]
        red = []
        for commit in commits:
            self.stage.git("checkout", "-q", "--detach", commit, cwd=tree)
            red += [commit] if subprocess.run(["sh", "gate.sh"], cwd=tree).returncode else []
        assert red == []
        passed = {(e.subject, e.data.commit) for e in self.stage.events("batch.tested") if e.data.verdict == "passed"}
        landed = {(e.data.batch, e.data.commit) for e in self.stage.events("merge.landed")}
        assert landed
        assert landed <= passed
        assert {commit for _, commit in landed} <= set(commits)
        self.stage.git("worktree", "remove", "--force", str(tree))

    def check_commits(self) -> None:
        """What an agent committed can be found from some ref."""
        made = set((self.outside / "commits").read_text().split())
        assert len(made) >= len(self.kinds) // 2
        assert made - set(self.stage.git("rev-list", "--all").split()) == set()

    def check_harm(self) -> None:
        """What some kinds were told, or could not do."""
        landed, runs = self.stage.files(), self.stage.root / ".git/swarm/runs"
        told = {path.read_text() for path in self.outside.glob("mailed-*")}
        assert told == ({"2\n"} if "unknown" in self.names() else set())
        assert {f"{name}/more.txt" for name in self.kinds if "dirty" in name} <= landed
        floods = [path.stat().st_size for path in runs.glob("floods-*/std*.log")]
        assert bool(floods) == ("floods" in self.names())
        assert max(floods, default=0) <= 1_100_000
        assert {e.data.ended_by for e in self.about("floods", "session.exited")} <= {"output"}
        assert self.holding(SECRET) == []
        for event in self.stage.events("work.secured"):
            if event.subject.startswith(("hangs", "asks", "stubborn", "quota", "floods")):
                kept = self.stage.files(event.data.commit)
                assert f"{event.subject}.txt" in kept
                assert f"{event.subject}.other.txt" in kept or not event.subject.startswith("hangs")

    def about(self, name: str, *kinds: str) -> list[Event[Any]]:
        """The events of these types about the agents of that kind, and not about their tests."""
        found = (event for event in self.stage.events() if event.type in kinds)
        agents = (event for event in found if event.subject.startswith(f"{name}-"))
        return [e for e in agents if getattr(e.data, "session", "") in ("", f"{e.subject}-{e.data.attempt}")]

    def holding(self, secret: str) -> list[str]:
        """The files of the swarm that have it."""
        files = (path for path in (self.stage.root / ".git/swarm").rglob("*") if path.is_file())
        return [str(path) for path in files if secret.encode() in path.read_bytes()]

    def check_leaks(self) -> None:
        """Who worked in the person's checkout, is held for it; others are seen, and nobody is accused."""
        events, landed = self.stage.events("leak.detected"), self.stage.files()
        accused = {event.subject for event in events if event.data.evidence}
        assert accused == {name for name in self.kinds if name.startswith(("elsewhere", "writes"))}
        assert not accused & {event.subject for event in self.stage.events("merge.landed")}
        assert not {f"{name}.txt" for name in accused} & landed
        seen = {event.subject for event in events}
        assert {name for name in self.kinds if name.startswith("deletes")} <= seen

    def check_quota(self) -> None:
        """Pain 16: after a refusal nothing is begun before its time, and then one at a time tries, until one is not
        refused; and nothing counts as a failure.
        """
        until, trying = 0.0, ""
        for event in self.stage.events():
            if event.type == "quota.exhausted":
                until = max(until, event.data.until)
            elif event.type == "quota.resumed":
                until = 0.0
            elif event.type == "quota.probed":
                assert trying == "", event
                trying = event.data.issue
            elif event.type == "issue.assigned" and until:
                assert event.subject == trying, event
                assert event.now >= until, event
            elif event.subject == trying and event.type in ("session.exited", "session.lost", "work.rejected"):
                trying = ""
        assert bool(self.stage.events("quota.resumed")) == ("quota" in self.names())
        assert self.about("quota", "attempt.retried", "work.rejected") == []

    def check_patience(self) -> None:
        """Each step with a silent one is in the log; who waits and says so is left alone until its own time is up."""
        for name, steps in (("hangs", PATIENT[:2]), ("stubborn", PATIENT), ("asks", PATIENT[2:])):
            way = dict[str, list[str]]()
            for event in self.about(name, *PATIENT):
                way.setdefault(f"{event.subject}-{event.data.attempt}", []).append(event.type)
            assert {*map(tuple, way.values())} == ({steps} if name in self.names() else set()), name

    def check_processes(self) -> None:
        until(lambda: not self.stage.running(), what="no process to be left")
        assert self.sleepers() == []
        assert self.memory
        print(f"{len(self.memory)} hosts looked at, {max(self.memory.values())} kB at most")
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
        assert (self.stage.swarm("log", "verify").code == 1) == ("forges" in self.names())
        assert self.stage.swarm("log", "repair").code == 0
        verified = self.stage.swarm("log", "verify")
        assert verified.code == 0, verified.out + verified.err
        again = self.stage.swarm("replay", "--verify")
        assert again.code == 0, again.out + again.err
