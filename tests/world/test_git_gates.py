"""A gate stands at exactly the commit it judges, whatever an agent or a crash left there."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from swarm.world.git import Git, GitError

from repository import Scratch, make

BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": "a = 1\n", ".gitignore": "cache/\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def test_a_gate_stands_at_exactly_the_commit(scratch: Scratch, git: Git) -> None:
    first = git.tip("main")
    second = scratch.commit({"b.py": "b", "src/a.py": "a = 2\n"})
    path = git.gate(".swarm/worktrees/merger", second)
    assert path == str(scratch.root / ".swarm/worktrees/merger")
    place = Path(path)
    scratch.write({"src/a.py": "broken", "left/behind.txt": "x", "cache/x": "ignored"}, at=place)
    assert git.gate(".swarm/worktrees/merger", first) == path
    assert sorted(p.name for p in place.iterdir()) == [".git", ".gitignore", "README", "src"]
    assert (place / "src/a.py").read_text() == "a = 1\n"
    assert scratch.git("status", "--porcelain", "--ignored", at=place) == ""
    assert scratch.git("rev-parse", "HEAD", at=place) == first


def test_an_attempts_gate_keeps_what_is_ignored_and_moves_no_branch(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    worktree = scratch.root / PATH
    scratch.write({"cache/big": "x", "stray": "x"}, at=worktree)
    tip = scratch.commit({"b.py": "b"}, at=worktree)
    before = os.stat(worktree / "src/a.py").st_mtime_ns
    git.gate(PATH, base, keep_ignored=True)
    assert git.tip(BRANCH) == tip
    assert (worktree / "cache/big").exists()
    assert not (worktree / "b.py").exists()
    assert os.stat(worktree / "src/a.py").st_mtime_ns == before  # what is right already is not written again


def test_a_submodule_can_be_had_again_in_every_gate(scratch: Scratch, git: Git, tmp_path: Path) -> None:
    """The Merger's worktree has it empty each time; an attempt's keeps it, with the repository behind it."""
    upstream = make(tmp_path / "upstream", {"lib": "1"})
    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    scratch.git(*allowed, "add", str(upstream.root), "sub")
    first = scratch.commit({}, "with a submodule")
    second = scratch.commit({"b.py": "b"})
    for commit in (first, second, first):
        place = Path(git.gate(".swarm/worktrees/merger", commit))
        assert list((place / "sub").iterdir()) == []
        scratch.git(*allowed, "update", "--init", at=place)
        scratch.write({"sub/left": "over"}, at=place)

    git.prepare(PATH, BRANCH, first)
    worktree = scratch.root / PATH
    scratch.git(*allowed, "update", "--init", at=worktree)
    for commit in (first, second, second):
        git.gate(PATH, commit, keep_ignored=True)
        assert (worktree / "sub/lib").read_text() == "1"
        scratch.git(*allowed, "update", "--init", at=worktree)
        assert scratch.git("status", "--porcelain", at=worktree) == ""


def test_an_agent_cannot_hide_a_changed_file_from_its_gate(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    worktree = scratch.root / PATH
    scratch.git("update-index", "--skip-worktree", "src/a.py", at=worktree)
    scratch.write({"src/a.py": "cheat\n"}, at=worktree)
    scratch.git("reset", "--hard", "--quiet", at=worktree)
    assert (worktree / "src/a.py").read_text() == "cheat\n"  # with the agent's index, git is fooled
    git.gate(PATH, base, keep_ignored=True)
    assert (worktree / "src/a.py").read_text() == "a = 1\n"


def _no_git_file(worktree: Path, admin: Path) -> None:
    (worktree / ".git").unlink()


def _no_admin(worktree: Path, admin: Path) -> None:
    shutil.rmtree(admin)


def _locked_index(worktree: Path, admin: Path) -> None:
    (admin / "index.lock").touch()


def _garbage(worktree: Path, admin: Path) -> None:
    (admin / "index").write_text("garbage")
    (admin / "HEAD").write_text("garbage")


def _a_git_folder(worktree: Path, admin: Path) -> None:
    (worktree / ".git").unlink()
    subprocess.run(["git", "init", "--quiet", str(worktree)], check=True)


def _gone(worktree: Path, admin: Path) -> None:
    shutil.rmtree(worktree)


def _a_file(worktree: Path, admin: Path) -> None:
    shutil.rmtree(worktree)
    worktree.write_text("?")


@pytest.mark.parametrize("damage", [_no_git_file, _no_admin, _locked_index, _garbage, _a_git_folder, _gone, _a_file])
def test_a_broken_gate_is_made_anew(scratch: Scratch, git: Git, damage: object) -> None:
    commit = git.tip("main")
    place = Path(git.gate(".swarm/worktrees/merger", commit))
    assert callable(damage)
    damage(place, scratch.common / "worktrees/merger")
    assert Path(git.gate(".swarm/worktrees/merger", commit)) == place
    assert scratch.git("status", "--porcelain", at=place) == ""
    assert scratch.git("rev-parse", "HEAD", at=place) == commit


def test_a_gate_at_no_commit_is_refused(git: Git) -> None:
    with pytest.raises(GitError, match="there is no commit"):
        git.gate(".swarm/worktrees/merger", "0" * 39 + "1")
