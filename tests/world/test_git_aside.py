"""Whatever an agent committed stays reachable, also what it amended, reset away or left on no branch."""

from pathlib import Path

import pytest

from swarm.world.git import Git

from repository import Scratch, make

KIM = "kim <kim@swarm.invalid>"
BRANCH, PATH = "swarm/kim/i-1", ".swarm/worktrees/i-1"
ASIDE = "refs/swarm/wip/kim/i-1-aside"


class Scene:
    """An attempt by kim."""

    def __init__(self, folder: Path) -> None:
        self.scratch: Scratch = make(folder / "r", {"README": "hello\n"})
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.scratch.commit({"old": "1\n"})
        self.base = self.git.tip("main")
        self.git.prepare(PATH, BRANCH, self.base)
        self.made: list[str] = []

    def agent(self, *args: str) -> None:
        at = self.scratch.root / PATH
        self.scratch.git(*args, at=at)
        if "--orphan" not in args:
            self.made.append(self.scratch.git("rev-parse", "HEAD", at=at))

    def commit(self, name: str) -> None:
        self.scratch.write({name: f"{name}\n"}, at=self.scratch.root / PATH)
        self.scratch.git("add", "-A", at=self.scratch.root / PATH)
        self.agent("commit", "-q", "-m", name)

    def secure(self) -> str:
        return self.git.secure(PATH, BRANCH, self.base, f"refs/heads/{BRANCH}", "Do it", KIM).commit

    def lost(self) -> list[str]:
        """What it made that no ref leads to once its worktree is gone."""
        self.git.remove(PATH, self.secure())
        self.scratch.git("reflog", "expire", "--expire=now", "--all")
        known = self.scratch.git("rev-list", "--all", "--single-worktree").split()
        return [commit for commit in self.made if commit not in known]

    def aside(self) -> str:
        return self.scratch.git("for-each-ref", "--format=%(objectname)", ASIDE)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_nothing_is_put_aside_of_an_agent_that_only_went_on(scene: Scene) -> None:
    scene.commit("a")
    scene.commit("b")
    scene.secure()
    assert not scene.aside()
    assert not scene.lost()


@pytest.mark.parametrize(
    "ways",
    [
        [("commit", "-q", "--amend", "-m", "better")],
        [("reset", "-q", "--hard", "HEAD~2")],
        [("reset", "-q", "--hard", "HEAD~1"), ("commit", "-q", "--allow-empty", "-m", "other")],
        [("checkout", "-q", "--detach", "HEAD~3"), ("commit", "-q", "--allow-empty", "-m", "on an old one")],
        [("checkout", "-q", "--orphan", "x"), ("commit", "-q", "-m", "of nothing"), ("checkout", "-q", "--detach")],
        [("commit", "-q", "--amend", "-m", str(number)) for number in range(5)],
    ],
)
def test_what_it_left_behind_is_put_aside(scene: Scene, ways: list[tuple[str, ...]]) -> None:
    for name in "abc":
        scene.commit(name)
    for way in ways:
        scene.agent(*way)
    assert not scene.lost()


def test_what_was_put_aside_stays_when_more_is(scene: Scene) -> None:
    scene.commit("a")
    scene.agent("commit", "-q", "--amend", "-m", "better")
    scene.secure()
    first = scene.aside()
    scene.secure()
    assert scene.aside() == first, "the same again changes nothing"
    scene.agent("commit", "-q", "--amend", "-m", "best")
    assert not scene.lost()
    assert scene.aside() != first


def test_a_log_of_head_that_an_agent_wrote_is_believed_as_far_as_there_are_commits(scene: Scene) -> None:
    scene.commit("a")
    log = scene.scratch.common / "worktrees/i-1/logs/HEAD"
    log.write_text(f"{'f' * 40} --output=x\n{scene.git.tip('main')} {'0' * 40} \0\n" * 3)
    scene.secure()
    assert not scene.aside()
    log.unlink()
    log.symlink_to("/dev/zero")
    scene.secure()
