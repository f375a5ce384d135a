"""Ctrl-C and a closed terminal reach the swarm, never its git: what git began, it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from swarm.world import Landed, Merged
from swarm.world.git import Git

from repository import Scratch, make
from waiting import until

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"
SIGNALS = [signal.SIGINT, signal.SIGHUP, signal.SIGKILL]


class Scene:
    """A repository with a file `slow` among others: git, writing it, says so and waits until the test lets it go on."""

    def __init__(self, folder: Path) -> None:
        self.scratch = make(folder / "r", {"README": "hello\n", ".gitattributes": "slow filter=slow\n"})
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.begun, self.go = folder / "begun", folder / "go"
        smudge = folder / "smudge"
        smudge.write_text(f"#!/bin/sh\ntouch {self.begun}\nuntil [ -e {self.go} ]; do sleep 0.02; done\ncat\n")
        smudge.chmod(0o755)
        self.smudge = str(smudge)

    def work(self) -> str:
        """A commit on `work`, on top of main: files before and after the slow one."""
        place = self.scratch.root.parent / "work"
        self.scratch.git("worktree", "add", "--quiet", "-b", "work", str(place), "main")
        files = {f"{where}/{number}": "x" * 99 for where in ("a", "z") for number in range(50)}
        commit = self.scratch.commit({**files, "slow": "slow\n"}, at=place)
        self.scratch.git("worktree", "remove", "--force", str(place))
        self.scratch.git("config", "filter.slow.smudge", self.smudge)
        return commit

    @contextmanager
    def hit(self, how: signal.Signals, deed: str, *args: str) -> Iterator[None]:
        """A swarm that does the deed; its process group is hit in the middle. Afterwards git may go on."""
        script = f"import sys; from swarm.world.git import Git; Git(*sys.argv[1:3]).{deed}(*sys.argv[3:])"
        where = [str(self.scratch.root), str(self.scratch.common)]
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", script, *where, *args], start_new_session=True, stderr=subprocess.DEVNULL
        )
        try:
            until(self.begun.exists)
            os.killpg(process.pid, how)
            process.wait(timeout=20)
            yield
        finally:
            self.go.touch()


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def _is_clean(scratch: Scratch, at: Path) -> bool:
    return not scratch.git("status", "--porcelain", at=at)


@pytest.mark.parametrize("how", SIGNALS)
def test_a_checkout_is_written_to_its_end(scene: Scene, how: signal.Signals) -> None:
    base, worktree = scene.work(), scene.scratch.root / PATH
    with scene.hit(how, "prepare", PATH, BRANCH, base):
        assert not (scene.scratch.common / "worktrees/kim-i-1/index").exists()
    until((scene.scratch.common / "worktrees/kim-i-1/index").exists)
    assert _is_clean(scene.scratch, worktree)
    assert (worktree / "slow").read_text() == "slow\n"
    assert len(list((worktree / "z").iterdir())) == 50


@pytest.mark.parametrize("how", SIGNALS)
def test_a_persons_checkout_is_fast_forwarded_to_its_end(scene: Scene, how: signal.Signals) -> None:
    base = scene.git.tip("main")
    merged = scene.git.merge(base, scene.work(), "Merge it", AUTHOR, 1_800_000_000)
    assert isinstance(merged, Merged)
    with scene.hit(how, "land", "main", base, merged.commit):
        assert scene.git.tip("main") == base
    until(lambda: scene.git.tip("main") == merged.commit)
    until(lambda: not (scene.scratch.common / "index.lock").exists())
    assert _is_clean(scene.scratch, scene.scratch.root)
    assert (scene.scratch.root / "slow").read_text() == "slow\n"


def test_whoever_comes_next_waits_for_the_checkout_that_still_runs(scene: Scene) -> None:
    base = scene.work()
    with scene.hit(signal.SIGKILL, "prepare", PATH, BRANCH, base):
        inode = (scene.scratch.root / PATH).stat().st_ino
        script = (
            "import sys; from swarm.world.git import Git\n"
            "git = Git(*sys.argv[1:3]); print('go', flush=True); git.prepare(*sys.argv[3:])\n"
        )
        where = [str(scene.scratch.root), str(scene.scratch.common)]
        after = subprocess.Popen(
            [sys.executable, "-P", "-c", script, *where, PATH, BRANCH, base], stdout=subprocess.PIPE
        )
        assert after.stdout is not None
        after.stdout.readline()
        after.stdout.close()
        with pytest.raises(subprocess.TimeoutExpired):
            after.wait(timeout=0.5)
    assert after.wait(timeout=20) == 0
    assert (scene.scratch.root / PATH).stat().st_ino == inode  # it was found whole, and not made anew
    assert _is_clean(scene.scratch, scene.scratch.root / PATH)


def test_whoever_comes_next_waits_for_the_landing_that_still_runs(scene: Scene) -> None:
    base = scene.git.tip("main")
    merged = scene.git.merge(base, scene.work(), "Merge it", AUTHOR, 1_800_000_000)
    assert isinstance(merged, Merged)
    with scene.hit(signal.SIGHUP, "land", "main", base, merged.commit):
        pass
    assert scene.git.land("main", base, merged.commit) == Landed(commit=merged.commit)
    assert _is_clean(scene.scratch, scene.scratch.root)
