"""What a worktree gets that is not in git; what holds for real git holds for the double where they share it."""

import os
import shutil
from pathlib import Path

import pytest

from swarm.eventlog.errors import SwarmError, UsageError
from swarm.world.git import Git
from swarm.world.settings import load

from doubles import MemoryRepository
from repository import Scratch, make

BRANCH, PATH = "swarm/kim/i-1", ".swarm/worktrees/i-1"
OTHER, OTHER_BRANCH = ".swarm/worktrees/i-2", "swarm/kim/i-2"
STRAY = ("..", "../x", "a/../../x", "/etc/passwd", "", ".", ".git", ".git/config", ".swarm/log", "out", "out/x", "in")
IGNORED = ".env\nnode_modules\ncache/\nconf/local.toml\n"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    made = make(tmp_path / "r", {"README": "hello\n", ".gitignore": IGNORED, "conf/base.toml": "x\n"})
    made.write({".env": "KEY=1\n", "conf/local.toml": "l\n", "node_modules/x/index.js": "x\n", "cache/a/b": "c\n"})
    return made


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


@pytest.fixture
def there(scratch: Scratch, git: Git) -> Path:
    """A worktree."""
    git.prepare(PATH, BRANCH, git.tip("main"))
    return scratch.root / PATH


def secured(git: Git) -> list[str]:
    base = git.tip("main")
    return git.secure(PATH, BRANCH, base, f"refs/heads/{BRANCH}", "Do it", "kim <kim@swarm.invalid>").files


def test_files_and_folders_are_copied_and_linked(scratch: Scratch, git: Git, there: Path) -> None:
    assert git.furnish(PATH, [".env", "conf/local.toml", "cache/"], ["node_modules"]) == []
    assert (there / ".env").read_text() == "KEY=1\n"
    assert (there / "conf/local.toml").read_text() == "l\n"
    assert (there / "cache/a/b").read_text() == "c\n"
    assert os.readlink(there / "node_modules") == str(scratch.root / "node_modules")
    (there / ".env").write_text("changed\n")
    assert (scratch.root / ".env").read_text() == "KEY=1\n"
    assert secured(git) == []


def test_again_is_harmless(scratch: Scratch, git: Git, there: Path) -> None:
    for _ in range(2):
        git.furnish(PATH, [".env", "cache"], ["node_modules"])
    scratch.write({".env": "KEY=2\n"})
    git.furnish(PATH, [".env", "cache"], ["node_modules"])
    assert (there / ".env").read_text() == "KEY=2\n"
    assert (scratch.root / "node_modules/x/index.js").exists()
    assert not (scratch.root / "node_modules/node_modules").is_symlink()


def test_what_is_missing_is_said_and_the_rest_is_there(git: Git, there: Path) -> None:
    assert git.furnish(PATH, [".env.local", ".env"], ["vendor"]) == [
        "there is no .env.local to copy",
        "there is no vendor to link to",
    ]
    assert (there / ".env").exists()


def test_the_double_says_and_refuses_the_same() -> None:
    memory = MemoryRepository({"README": "hello\n"})
    memory.ignored = {".env": "KEY=1\n"}
    memory.dirty = {"notes"}
    memory.prepare(PATH, BRANCH, memory.tip("main"))
    assert memory.furnish(PATH, [".env"], ["vendor"]) == ["there is no vendor"]
    assert memory.worktrees[PATH].ignored == {".env": "KEY=1\n"}
    for name, words in (("README", "in git"), ("notes", "would be committed")):
        with pytest.raises(UsageError, match=words):
            memory.furnish(PATH, [name], [])


@pytest.mark.parametrize("name", ["README", "conf/base.toml", "conf"])
@pytest.mark.parametrize("way", ["copy", "link"])
def test_what_git_has_is_never_replaced(scratch: Scratch, git: Git, there: Path, name: str, way: str) -> None:
    scratch.write({"README": "mine\n", "conf/base.toml": "mine\n"})
    with pytest.raises(UsageError, match="is in git"):
        git.furnish(PATH, [name] if way == "copy" else [], [name] if way == "link" else [])
    assert (there / "README").read_text() == "hello\n"
    assert (there / "conf/base.toml").read_text() == "x\n"


@pytest.mark.parametrize(("copy", "link"), [(["notes"], []), ([], ["notes"]), ([], ["cache"]), (["drafts"], [])])
def test_what_git_does_not_ignore_is_refused_and_not_left(
    scratch: Scratch, git: Git, there: Path, copy: list[str], link: list[str]
) -> None:
    """A link `cache` is not ignored by `cache/`."""
    scratch.write({"notes": "n\n", "drafts/one": "1\n"})
    with pytest.raises(UsageError, match="would be committed") as refused:
        git.furnish(PATH, copy, link)
    assert ".gitignore" in refused.value.hint
    assert ("without a /" in refused.value.hint) == bool(link)
    assert not any(os.path.lexists(there / name) for name in (*copy, *link))
    assert secured(git) == []


@pytest.mark.parametrize("name", STRAY)
@pytest.mark.parametrize("way", ["copy", "link"])
def test_what_is_not_the_repositorys_own_is_refused_at_once_and_again_when_it_is_done(
    scratch: Scratch, git: Git, there: Path, name: str, way: str
) -> None:
    outside = scratch.root.parent / "outside"
    outside.mkdir()
    (outside / "x").write_text("x")
    (scratch.root / "out").symlink_to(outside)
    (scratch.root / "in").symlink_to(".git")
    (scratch.root / "swarm.toml").write_text(f'[workspace]\n{way} = ["{name}"]\n')
    with pytest.raises(UsageError, match=f"workspace.{way}"):
        load(str(scratch.root))
    with pytest.raises(SwarmError, match=r"is no path|leads out|is not for"):
        git.furnish(PATH, [name] if way == "copy" else [], [name] if way == "link" else [])
    assert not (there / "x").exists()


def test_a_link_in_the_worktree_leads_no_copy_elsewhere(scratch: Scratch, git: Git) -> None:
    outside = scratch.root.parent / "outside"
    outside.mkdir()
    shutil.rmtree(scratch.root / "conf")
    (scratch.root / "conf").symlink_to(outside)
    base = scratch.commit({})
    (scratch.root / "conf").unlink()
    scratch.write({"conf/local.toml": "l\n"})
    git.prepare(PATH, BRANCH, base)
    with pytest.raises(SwarmError, match="leads elsewhere"):
        git.furnish(PATH, ["conf/local.toml"], [])
    assert not list(outside.iterdir())


def test_a_folder_that_is_used_again_keeps_no_copy_and_no_link(scratch: Scratch, git: Git, there: Path) -> None:
    git.furnish(PATH, [".env", "cache"], ["node_modules"])
    inode, base = there.stat().st_ino, git.tip("main")
    git.remove(PATH, base, recycle=True)
    git.prepare(OTHER, OTHER_BRANCH, base)
    again = scratch.root / OTHER
    assert again.stat().st_ino == inode
    assert sorted(os.listdir(again)) == [".git", ".gitignore", "README", "conf"]
    assert os.listdir(again / "conf") == ["base.toml"]
    assert (scratch.root / "node_modules/x/index.js").exists()


def test_the_gate_of_an_attempt_has_them_too(git: Git, there: Path) -> None:
    git.furnish(PATH, [".env"], ["node_modules"])
    git.gate(PATH, git.tip("main"), keep_ignored=True)
    assert (there / ".env").exists()
    assert (there / "node_modules").is_symlink()


def test_removing_the_worktree_leaves_what_was_linked(scratch: Scratch, git: Git, there: Path) -> None:
    git.furnish(PATH, [], ["node_modules"])
    git.remove(PATH, git.tip("main"))
    assert not there.exists()
    assert (scratch.root / "node_modules/x/index.js").exists()
