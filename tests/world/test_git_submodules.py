"""Submodules in a worktree: what lands of them can be had by others, or does not land."""

import os
import shutil
from pathlib import Path

import pytest

from swarm.world import Secured
from swarm.world.git import Git, GitError

from repository import Scratch, make

BRANCH, WIP = "swarm/kim/i-1", "refs/swarm/wip/kim/i-1"
HEADS, PATH = f"refs/heads/{BRANCH}", ".swarm/worktrees/i-1"
ALLOWED = ("-c", "protocol.file.allow=always", "submodule", "--quiet")


class Attempt:
    """A worktree with a submodule `sub`, which the agent has checked out (`lib` is 1), and where that comes from."""

    def __init__(self, folder: Path) -> None:
        self.upstream: Scratch = make(folder / "upstream", {"lib": "1"})
        self.scratch: Scratch = make(folder / "r", {"README": "hello\n"})
        self.scratch.git(*ALLOWED, "add", str(self.upstream.root), "sub")
        self.base = self.scratch.commit({}, "with a submodule")
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.git.prepare(PATH, BRANCH, self.base)
        self.worktree = self.scratch.root / PATH
        self.sub = self.worktree / "sub"

    def update(self) -> None:
        self.scratch.git(*ALLOWED, "update", "--init", at=self.worktree)

    def change(self) -> str:
        """The agent commits in the submodule."""
        for key, value in (("user.name", "kim"), ("user.email", "kim@swarm.invalid")):
            self.scratch.git("config", key, value, at=self.sub)
        return self.scratch.commit({"lib": "mine"}, at=self.sub)

    def secure(self, ref: str = HEADS) -> Secured:
        return self.git.secure(PATH, BRANCH, self.base, ref, "Do it", "kim <kim@swarm.invalid>")

    def at(self, commit: str) -> str:
        return self.scratch.git("rev-parse", f"{commit}:sub")


@pytest.fixture
def attempt(tmp_path: Path) -> Attempt:
    return Attempt(tmp_path)


def test_a_submodule_stays_a_submodule(attempt: Attempt) -> None:
    attempt.scratch.write({"new": "x"}, at=attempt.worktree)
    assert attempt.secure().files == ["new"]  # the empty folder of a submodule is not a deletion
    attempt.update()
    newer = attempt.upstream.commit({"lib": "2"})
    attempt.upstream.commit({"lib": "3"})
    attempt.scratch.git("fetch", "--quiet", at=attempt.sub)
    attempt.scratch.git("checkout", "--quiet", newer, at=attempt.sub)
    secured = attempt.secure()
    assert secured.files == ["new", "sub"]
    assert attempt.at(secured.commit) == newer


def test_a_commit_of_a_submodule_that_nobody_could_fetch_does_not_get_to_the_branch(attempt: Attempt) -> None:
    attempt.update()
    made = attempt.change()
    with pytest.raises(GitError, match="nobody else could fetch the commit that the submodule is at: sub"):
        attempt.secure()
    assert attempt.git.tip(BRANCH) == attempt.base
    kept = attempt.secure(WIP)
    assert attempt.at(kept.commit) == made
    assert any("nobody else could fetch" in note for note in kept.notes)
    attempt.scratch.git("push", "--quiet", "origin", "HEAD:refs/heads/kims", at=attempt.sub)
    assert attempt.at(attempt.secure().commit) == made


def test_a_link_to_what_is_in_no_repository_does_not_get_to_the_branch(attempt: Attempt) -> None:
    attempt.scratch.git("update-index", "--cacheinfo", f"160000,{'ab' * 20},sub", at=attempt.worktree)
    attempt.scratch.git("commit", "--quiet", "-m", "a link", at=attempt.worktree)
    with pytest.raises(GitError, match="nobody else could fetch"):
        attempt.secure()


def test_a_submodule_that_became_files_does_not_get_to_the_branch(attempt: Attempt) -> None:
    attempt.update()
    (attempt.sub / ".git").unlink()
    with pytest.raises(GitError, match="but they are files here: sub") as refused:
        attempt.secure()
    assert "git submodule update --init" in refused.value.hint
    assert attempt.secure(WIP).files == ["sub", "sub/lib"]
    (attempt.worktree / ".gitmodules").unlink()
    assert attempt.secure().files == [".gitmodules", "sub", "sub/lib"]  # that is meant


def test_a_gate_of_the_attempt_has_the_files_of_the_commit_in_a_submodule_and_keeps_ignored_ones(
    attempt: Attempt,
) -> None:
    attempt.update()
    made = attempt.upstream.commit({"lib": "2", ".gitignore": "built\n", "deep/x": "x"})
    attempt.scratch.git("fetch", "--quiet", at=attempt.sub)
    attempt.scratch.git("checkout", "--quiet", made, at=attempt.sub)
    judged = attempt.secure().commit
    attempt.scratch.git("update-index", "--assume-unchanged", "lib", at=attempt.sub)
    shutil.rmtree(attempt.sub / "deep")
    attempt.scratch.write({"lib": "cheat", "left/over": "x", "deep": "no folder", "built": "kept"}, at=attempt.sub)
    attempt.git.gate(PATH, judged, keep_ignored=True)
    found = sorted(str(path.relative_to(attempt.sub)) for path in attempt.sub.rglob("*") if path.name != ".git")
    assert found == [".gitignore", "built", "deep", "deep/x", "lib"]
    assert (attempt.sub / "lib").read_text() == "2"
    assert attempt.scratch.git("rev-parse", "HEAD", at=attempt.sub) == made
    attempt.git.gate(PATH, attempt.base, keep_ignored=True)  # the control: without the work
    assert (attempt.sub / "lib").read_text() == "1"
    (attempt.sub / ".git").unlink()
    attempt.git.gate(PATH, judged, keep_ignored=True)
    assert list(attempt.sub.iterdir()) == []


def test_a_gate_does_not_follow_a_link_for_a_submodule(attempt: Attempt, tmp_path: Path) -> None:
    shutil.copytree(attempt.upstream.root, tmp_path / "victim")
    attempt.sub.rmdir()
    attempt.sub.symlink_to(tmp_path / "victim")
    (tmp_path / "victim/precious").write_text("x")
    attempt.git.gate(PATH, attempt.base, keep_ignored=True)
    assert (tmp_path / "victim/precious").read_text() == "x"


@pytest.mark.parametrize("what", ["folder", "fifo", "link", "garbage"])
def test_a_repository_of_a_submodule_that_is_none_is_no_answer_and_nothing_waits_for_it(
    attempt: Attempt, what: str, tmp_path: Path
) -> None:
    attempt.update()
    attempt.change()
    packed = attempt.scratch.common / "worktrees/i-1/modules/sub/packed-refs"
    packed.unlink(missing_ok=True)
    shutil.rmtree(packed.parent / "refs/remotes")
    if what == "folder":
        packed.mkdir()
    elif what == "fifo":
        os.mkfifo(packed)
    elif what == "link":
        packed.symlink_to("/dev/zero")
    else:
        packed.write_bytes(b"\xff\0 refs/remotes/x\n\n" + b"f" * 40 + b" refs/remotes/origin/main\n")
    with pytest.raises(GitError, match="nobody else could fetch"):
        attempt.secure()
