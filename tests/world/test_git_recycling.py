"""A worktree's folder is used again for the next attempt, and nothing of the attempt before shows in it."""

import shutil
from pathlib import Path

import pytest

from swarm.world.git import Git

from repository import Scratch, make

BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"
OTHER, OTHER_BRANCH = ".swarm/worktrees/kim-i-2", "swarm/kim/i-2"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": "a = 1\n", ".gitignore": "cache/\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def test_a_folder_that_is_used_again_shows_nothing_of_the_attempt_before(scratch: Scratch, git: Git) -> None:
    """However it tried to stay: ignored and hidden files, changed modes, index bits, a repository of its own."""
    base = scratch.commit({"a": "a", "b": "b", ".gitignore": "cache/\n"})
    git.prepare(PATH, BRANCH, base)
    there = scratch.root / PATH
    scratch.write({"a": "tampered", "cache/secret": "s", "new": "n"}, at=there)
    (there / "b").chmod(0o755)
    scratch.git("update-index", "--skip-worktree", "a", at=there)
    scratch.git("update-index", "--assume-unchanged", "b", at=there)
    scratch.git("init", "--quiet", str(there / "nested"))
    inode = there.stat().st_ino
    git.remove(PATH, base, recycle=True)
    assert not there.exists()

    git.prepare(OTHER, OTHER_BRANCH, base)
    again = scratch.root / OTHER
    assert again.stat().st_ino == inode
    assert {path.name for path in again.iterdir()} == {".git", *scratch.git("ls-tree", "--name-only", base).split()}
    assert (again / "a").read_text() == "a"
    assert not (again / "b").stat().st_mode & 0o111
    assert scratch.git("status", "--porcelain", "--ignored", at=again) == ""
    assert scratch.git("symbolic-ref", "HEAD", at=again) == f"refs/heads/{OTHER_BRANCH}"


def test_a_submodule_is_as_empty_as_in_a_new_worktree(scratch: Scratch, git: Git, tmp_path: Path) -> None:
    """Else the files that one agent left in it would land as another's, and instead of the submodule."""
    upstream = make(tmp_path / "upstream", {"lib": "1"})
    allowed = ("-c", "protocol.file.allow=always", "submodule", "--quiet")
    scratch.git(*allowed, "add", str(upstream.root), "sub")
    base = scratch.commit({}, "with a submodule")
    git.prepare(PATH, BRANCH, base)
    scratch.git(*allowed, "update", "--init", at=scratch.root / PATH)
    scratch.write({"sub/left": "over"}, at=scratch.root / PATH)
    inode = (scratch.root / PATH).stat().st_ino
    git.remove(PATH, base, recycle=True)

    git.prepare(OTHER, OTHER_BRANCH, base)
    again = scratch.root / OTHER
    assert again.stat().st_ino == inode
    assert list((again / "sub").iterdir()) == []
    secured = git.secure(OTHER, OTHER_BRANCH, base, f"refs/heads/{OTHER_BRANCH}", "m", "kim <kim@x.invalid>")
    assert (secured.commit, secured.files, secured.notes) == (base, [], [])
    scratch.git(*allowed, "update", "--init", at=again)
    assert [path.name for path in sorted((again / "sub").iterdir())] == [".git", "lib"]


def test_a_folder_that_cannot_be_cleaned_is_made_anew(scratch: Scratch, git: Git) -> None:
    base = scratch.commit({"a": "a"})
    git.prepare(PATH, BRANCH, base)
    git.remove(PATH, base, recycle=True)
    spare = next((scratch.root / ".swarm/worktrees/.spare").iterdir())
    shutil.rmtree(spare)
    spare.write_text("not even a folder")
    git.prepare(OTHER, OTHER_BRANCH, base)
    assert (scratch.root / OTHER / "a").read_text() == "a"


def test_a_crash_while_a_folder_is_taken_again_leaves_nothing_half_clean(scratch: Scratch, git: Git) -> None:
    """Complete is what has an index; the one of a recycled folder appears only when the folder is clean."""
    base = scratch.commit({"a": "a"})
    git.prepare(PATH, BRANCH, base)
    scratch.write({"left": "over"}, at=scratch.root / PATH)
    git.remove(PATH, base, recycle=True)
    git.prepare(OTHER, OTHER_BRANCH, base)
    admin = scratch.common / "worktrees" / "kim-i-2"
    (admin / "index").rename(admin / "index.new")  # as if killed before the last step
    scratch.write({"left": "over"}, at=scratch.root / OTHER)
    git.prepare(OTHER, OTHER_BRANCH, base)
    assert not (scratch.root / OTHER / "left").exists()
    assert scratch.git("status", "--porcelain", at=scratch.root / OTHER) == ""


def test_what_was_set_aside_is_bounded_and_goes_when_asked(scratch: Scratch, git: Git) -> None:
    base = scratch.commit({"a": "a"})
    for number in range(1, 12):
        git.prepare(f".swarm/worktrees/kim-j-{number}", f"swarm/kim/j-{number}", base)
    for number in range(1, 12):
        git.remove(f".swarm/worktrees/kim-j-{number}", base, recycle=True)
    spares = scratch.root / ".swarm/worktrees/.spare"
    assert len(list(spares.iterdir())) == 8
    git.tidy()
    assert not spares.exists()
    git.tidy()
