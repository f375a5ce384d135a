"""What the tests of commands share: a real repository that is ready for a swarm, and `swarm(…)` as one types it."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swarm.cli import run
from swarm.commands import Home
from swarm.eventlog import place
from swarm.eventlog.events import IssueAssigned, IssueOpened
from swarm.projections import issues
from swarm.world.clock import entropy

import repository


class Result(NamedTuple):
    """What one command did: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document that it printed."""
        return json.loads(self.out)

    @property
    def last(self) -> str:
        """The last line of standard output: the id, where a command prints one."""
        return self.out.splitlines()[-1]


Swarm = Callable[..., Result]


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> repository.Scratch:
    """A git repository with one commit, initialised for a swarm; the test stands in it."""
    scratch = repository.make(tmp_path / "repo")
    monkeypatch.chdir(scratch.root)
    place.initialise(place.find(str(scratch.root), {}, initialised=False), entropy)
    return scratch


@pytest.fixture
def swarm(
    repo: repository.Scratch, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Swarm:
    """Run `swarm` in this process where the test stands: swarm("issue", "list", "--json").json"""

    def swarm(*args: str, stdin: str = "") -> Result:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capfdbinary.readouterr()
        code = run(list(args))
        out, err = capfdbinary.readouterr()
        return Result(code, out.decode(), err.decode())

    return swarm


@pytest.fixture
def home(repo: repository.Scratch) -> Home:
    """The repository's log, to append what the actors would and to look at what came of a command."""
    return Home(place.find(str(repo.root), {}))


@pytest.fixture
def at_work(home: Home) -> Callable[..., str]:
    """Have the coordinator give an issue to an agent: at_work("kim", issue, number=2) returns the assignment's id."""

    def at_work(agent: str, issue: str, number: int = 1, role: str = "builder") -> str:
        found = home.board(("issues",))[issues.State].all.get(issue)
        generation = found.generation if found else ""
        given = IssueAssigned(attempt=number, generation=generation, agent=agent, role=role, runtime="shell")
        return home.append("coordinator", [(issue, given)])[0].id

    return at_work


@pytest.fixture
def program() -> Swarm:
    """Run the installed `swarm` as a process of its own: program("mail", "list", cwd=…, stdin=…, SWARM_AGENT="kim")"""

    def program(*args: str, cwd: Path | None = None, stdin: str = "", **env: str) -> Result:
        argv = [str(Path(sys.executable).with_name("swarm")), *args]
        done = subprocess.run(argv, cwd=cwd, input=stdin.encode(), capture_output=True, env=os.environ | env)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())

    return program


@pytest.fixture
def issue(home: Home) -> str:
    """An issue, sw-00000001."""
    home.append("human", [("sw-00000001", IssueOpened(title="t", body="true"))])
    return "sw-00000001"
