"""What an agent did to the person's checkout is seen, and it is told apart from what a person or a landing did."""

import subprocess
from pathlib import Path

import pytest

from swarm.world import Branch, Landed, Traces
from swarm.world.git import Git

from repository import Scratch, make

KIM = "kim <kim@swarm.invalid>"
BRANCH, PATH = "swarm/kim/i-1", ".swarm/worktrees/i-1"


class Scene:
    """An attempt by kim, that wrote `new` and `empty`, and the person's checkout."""

    def __init__(self, folder: Path) -> None:
        self.scratch: Scratch = make(folder / "r", {"README": "hello\n", "a": "1\n"})
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.base = self.git.tip("main")
        self.git.prepare(PATH, BRANCH, self.base)
        self.scratch.write({"new": "made by kim\n", "empty": ""}, at=self.scratch.root / PATH)
        self.commit = self.git.secure(PATH, BRANCH, self.base, f"refs/heads/{BRANCH}", "Do it", KIM).commit

    def traces(self) -> Traces:
        return self.git.traces(self.base, self.base, self.commit, KIM)

    def by(self, name: str, *args: str) -> str:
        """What somebody commits in the checkout."""
        who = ["-c", f"user.name={name}", "-c", f"user.email={name}@swarm.invalid"]
        subprocess.run(["git", *who, *args], cwd=self.scratch.root, check=True, capture_output=True)
        return self.scratch.git("rev-parse", "HEAD")

    def land(self, mode: str) -> None:
        tip = self.git.tip("main")
        stacked = self.git.stack(tip, [Branch("i", "kim", "Do it", self.commit)], mode, KIM, 1e9)
        assert isinstance(self.git.land("main", tip, stacked.commit), Landed)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_an_agents_commit_is_its_own_and_a_persons_is_not(scene: Scene) -> None:
    theirs = scene.by("pat", "commit", "-q", "--allow-empty", "-m", "mine")
    assert scene.traces() == Traces([theirs], [], [])
    kims = scene.by("kim", "commit", "-q", "--allow-empty", "-m", "leaked")
    assert scene.traces() == Traces([kims, theirs], [kims], [])


@pytest.mark.parametrize("mode", ["merge", "squash", "rebase"])
def test_a_landing_is_none_and_a_commit_under_it_is_one(scene: Scene, mode: str) -> None:
    scene.scratch.write({"more": "2\n"}, at=scene.scratch.root / PATH)  # a second commit: a rebase has two then
    scene.commit = scene.git.secure(PATH, BRANCH, scene.base, f"refs/heads/{BRANCH}", "Do more", KIM).commit
    leaked = scene.by("kim", "commit", "-q", "--allow-empty", "-m", "leaked")
    scene.land(mode)
    assert scene.traces() == Traces([leaked], [leaked], [])


def test_a_branch_that_an_agent_merged_by_itself_is_its_own(scene: Scene) -> None:
    scene.by("kim", "merge", "-q", "--ff-only", BRANCH)
    assert scene.traces() == Traces([scene.commit], [scene.commit], [])


def test_a_file_as_in_its_work_is_its_own_and_others_are_not(scene: Scene) -> None:
    scene.scratch.write({"new": "made by kim\n", "empty": "", "a": "mine\n", "other": "made by kim\n"})
    assert scene.traces() == Traces([], [], ["new"])
    scene.scratch.write({"new": "made by pat\n"})
    assert scene.traces() == Traces([], [], [])


def test_a_link_in_the_checkout_is_not_followed(scene: Scene) -> None:
    (scene.scratch.root / "new").symlink_to(scene.scratch.root / PATH / "new")
    assert scene.traces() == Traces([], [], [])


def test_a_head_that_went_back_is_told(scene: Scene) -> None:
    ahead = scene.by("pat", "commit", "-q", "--allow-empty", "-m", "mine")
    assert not scene.git.traces(ahead, scene.base, scene.commit, KIM).back
    scene.scratch.git("reset", "--quiet", "--hard", scene.base)
    assert scene.git.traces(ahead, scene.base, scene.commit, KIM) == Traces([], [], [], back=True)
