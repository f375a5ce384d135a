"""A stage for whole runs: a real repository, the real `swarm` program, agents that are shell scripts."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from swarm.eventlog.fact import Event
from swarm.eventlog.tail import read_all

from waiting import PATIENCE, until

SWARM = str(Path(sys.executable).with_name("swarm"))


class Result(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str


class Stage:
    """One repository and what is run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.log = root / ".git" / "swarm" / "log"
        self._processes: list[subprocess.Popen[bytes]] = []

    def swarm(self, *args: str, cwd: Path | None = None, stdin: str = "", **env: str) -> Result:
        """Run `swarm`; fails the test if it does not end within three minutes."""
        done = subprocess.run(
            [SWARM, *args],
            cwd=cwd or self.root,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
            env={**os.environ, **env},
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def json(self, *args: str) -> Any:
        """The JSON document that a reading command prints."""
        done = self.swarm(*args, "--json")
        assert done.code == 0, done.err
        return json.loads(done.out)

    def issue(self, title: str, body: str, *options: str) -> str:
        """Write an issue; returns its id."""
        done = self.swarm("issue", "create", title, "--body", body, *options)
        assert done.code == 0, done.err
        return done.out.splitlines()[-1]

    def start(self, *args: str, **env: str) -> Result:
        """`swarm start --until-idle`."""
        return self.swarm("start", "--until-idle", *args, **env)

    def background(self, *args: str) -> "subprocess.Popen[bytes]":
        """`swarm start` as a process that the test ends itself, or else `close` does."""
        quiet = subprocess.DEVNULL
        self._processes.append(subprocess.Popen([SWARM, "start", *args], cwd=self.root, stdout=quiet, stderr=quiet))
        return self._processes[-1]

    def close(self) -> None:
        """End whatever still runs; fails the test if it will not end."""
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
        self.swarm("stop", "--now")
        until(lambda: not self.running(), what="every session of the test to end")

    def events(self, kind: str = "", about: str = "") -> list[Event[Any]]:
        """The events of that type, about that issue, in order."""
        found = read_all(str(self.log)) if self.log.exists() else []
        return [e for e in found if (not kind or e.type == kind) and (not about or e.subject == about)]

    def wait_for(self, kind: str, count: int = 1, seconds: float = PATIENCE) -> list[Event[Any]]:
        """Wait until there are so many events of that type."""
        return until(lambda: len(self.events(kind)) >= count and self.events(kind), seconds, f"{count} x {kind}")

    def row(self, issue: str) -> dict[str, Any]:
        """The issue's row of `swarm issue list --json`."""
        return next(row for row in self.json("issue", "list") if row["id"] == issue)

    def git(self, *args: str, cwd: Path | None = None) -> str:
        """What git prints, without the newline at the end."""
        done = subprocess.run(["git", *args], cwd=cwd or self.root, capture_output=True, text=True, check=True)
        return done.stdout.rstrip("\n")

    def files(self, ref: str = "main") -> set[str]:
        """The paths in a commit."""
        return set(self.git("ls-tree", "-r", "--name-only", ref).splitlines())

    def running(self) -> list[int]:
        """The processes that belong to this repository's swarm."""
        mark, found = f"SWARM_LOG={self.log}".encode(), []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(int(pid))
            except OSError:
                continue
        return found
