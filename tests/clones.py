"""Clones of one repository that share a log through a bare one. Rule: real git; what a person does is plain git."""

import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.disk import REAL, Disk
from swarm.eventlog.events import IssueOpened
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.place import find, initialise, node_of
from swarm.eventlog.tail import read_all
from swarm.projections import Board
from swarm.world.carrier import LogCarrier
from swarm.world.clock import entropy, now
from swarm.world.door import Door, Output

from repository import Scratch

REF = "refs/heads/swarm-log"


class Killed(BaseException):
    """The process was killed."""


class Steps:
    """Counts what a carrier does to the world; it is killed before (`late`: right after) the step with this number."""

    def __init__(self, at: int = 0, late: bool = False) -> None:
        self.at, self.late, self.count = at, late, 0

    def take(self, step: Callable[[], Any]) -> Any:
        self.count += 1
        if self.count == self.at and not self.late:
            raise Killed
        done = step()
        if self.count == self.at:
            raise Killed
        return done


class SteppingDoor(Door):
    """Satisfies what a carrier asks of the door: every git is a step."""

    def __init__(self, root: str, common: str, steps: Steps) -> None:
        super().__init__(root, common)
        self._steps = steps

    def pipe(
        self, *args: str, given: bytes = b"", env: Mapping[str, str] | None = None, silence: float = 0.0
    ) -> Output:
        found: Output = self._steps.take(
            lambda: super(SteppingDoor, self).pipe(*args, given=given, env=env, silence=silence)
        )
        return found


class SteppingDisk:
    """The real one; every rename is a step."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def rename(self, old: str, new: str) -> None:
        self._steps.take(lambda: REAL.rename(old, new))

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)


class Clone(Scratch):
    """A clone with a log of its own, and a carrier to `origin`. `ahead`: seconds by which its clock is."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ahead = 0.0
        self.git("config", "user.name", "Pat Person")
        self.git("config", "user.email", "pat@example.org")
        self.place = find(str(root), {}, initialised=False)
        initialise(self.place, entropy)
        self.node = node_of(self.place, entropy)
        self.folder = Path(self.place.log)
        self.log = self.open()
        self.carrier = self.carry()

    def now(self) -> float:
        return now() + self.ahead

    def open(self) -> Log:
        """The log, for one more writer."""
        return Log(self.place.log, self.node, self.now, entropy, "none")

    def carry(self, steps: Steps | None = None, remote: str = "origin", seconds: float = 3600.0) -> LogCarrier:
        """A carrier, as another process would have it."""
        root, common = self.place.root, self.place.common
        door: Door = SteppingDoor(root, common, steps) if steps else Door(root, common)
        disk: Disk = SteppingDisk(steps) if steps else REAL  # type: ignore[assignment]
        return LogCarrier(self.place, door, self.log, remote, seconds, "", self.now, entropy, lambda _: None, disk)

    def say(self, *facts: Fact, about: str = "sw-a", source: str = "human") -> list[Event[Any]]:
        """Somebody appends."""
        return self.log.append([Draft(fact, source, about) for fact in facts])

    def issue(self, *names: str) -> list[str]:
        """Somebody opens issues of these names; their generations."""
        return [self.say(IssueOpened(title=f"Do {name}", body="true"), about=name)[0].id for name in names]

    def events(self) -> list[Event[Any]]:
        return read_all(self.place.log)

    def ids(self) -> list[str]:
        return [event.id for event in self.events()]

    def board(self) -> Board:
        return Board().fold(self.events())

    def files(self) -> list[str]:
        """The files of the log that are not empty."""
        return sorted(path.name for path in self.folder.iterdir() if path.stat().st_size)

    def names(self, commit: str = REF) -> list[str]:
        """The files of a commit on the branch."""
        return self.git("ls-tree", "--name-only", commit).split()

    def close(self) -> None:
        self.log.close()


class Hub:
    """The bare repository `hub.git` and its clones, all in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bare = folder, folder / "hub.git"
        self.clones: list[Clone] = []
        plain("init", "--quiet", "--bare", "--initial-branch=main", str(self.bare), at=folder)
        seed = folder / "seed"
        plain("clone", "--quiet", str(self.bare), str(seed), at=folder)
        who = ("-c", "user.name=Pat", "-c", "user.email=pat@example.org")
        plain(*who, "commit", "--quiet", "--allow-empty", "-m", "start", at=seed)
        plain("push", "--quiet", "origin", "HEAD:main", at=seed)

    def clone(self, name: str) -> Clone:
        """One more clone, by plain `git clone`."""
        plain("clone", "--quiet", str(self.bare), name, at=self.folder)
        self.clones.append(Clone(self.folder / name))
        return self.clones[-1]

    def tip(self) -> str:
        """The commit that the remote has; empty if it has no such branch."""
        done = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", REF], cwd=self.bare, capture_output=True, text=True
        )
        return done.stdout.strip()

    def files(self, begin: str = "") -> list[str]:
        """The files of the log on the remote's branch whose names begin so."""
        names = plain("ls-tree", "--name-only", self.tip(), at=self.bare).split() if self.tip() else []
        return [name for name in names if name.endswith(".jsonl") and name.startswith(begin)]

    def lines(self, begin: str = "") -> list[bytes]:
        """What stands in them."""
        argv = ["git", "grep", "-h", "-a", "-e", "", REF, "--", f"{begin}*.jsonl"]
        done = subprocess.run(argv, cwd=self.bare, capture_output=True)
        return [line for line in done.stdout.split(b"\n") if line]

    def settle(self, rounds: int = 2) -> None:
        """Everybody syncs, so often."""
        for _ in range(rounds):
            for clone in self.clones:
                clone.carrier.sync()

    def close(self) -> None:
        for clone in self.clones:
            clone.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """Import it into a test module to use it."""
    made = Hub(tmp_path)
    yield made
    made.close()


def plain(*args: str, at: Path) -> str:
    """What git prints."""
    done = subprocess.run(["git", *args], cwd=at, capture_output=True, text=True, errors="surrogateescape")
    assert done.returncode == 0, f"git {' '.join(args)}: {done.stderr or done.stdout}"
    return done.stdout.strip()


def same(clones: Iterable[Clone]) -> bool:
    """Whether all have the same events, each once where it was written."""
    return len({tuple(clone.ids()) for clone in clones}) == 1
