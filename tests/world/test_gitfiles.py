"""What is read without git is what git says, in whatever form a repository keeps it."""

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.world import Branch, Landed, Moved
from swarm.world.door import Door
from swarm.world.git import Git, GitError

from repository import Scratch, make

AUTHOR = "merger (swarm) <merger@swarm.invalid>"
FORMS = ["sha1", "sha256", "packed", "alias"]


def made(path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    """A repository on `main`, with a branch `target` that is checked out nowhere."""
    monkeypatch.setenv("GIT_DEFAULT_HASH", "sha256" if form == "sha256" else "sha1")
    scratch = make(path)
    monkeypatch.delenv("GIT_DEFAULT_HASH")
    scratch.git("branch", "target")
    if form == "packed":
        scratch.git("pack-refs", "--all")
    if form == "alias":
        scratch.git("symbolic-ref", "refs/heads/real", "refs/heads/target")
        scratch.git("update-ref", "--no-deref", "refs/heads/real", "main")
        scratch.git("symbolic-ref", "refs/heads/target", "refs/heads/real")
    return scratch


def branches(scratch: Scratch, count: int) -> list[Branch]:
    """Branches from main, each with a file of its own."""
    found = []
    for number in range(count):
        scratch.git("checkout", "--quiet", "--detach", "main")
        found.append(Branch(f"i-{number}", "kim", "Do it", scratch.commit({f"f{number}": "new\n"})))
    scratch.git("checkout", "--quiet", "main")
    return found


@pytest.mark.parametrize("form", FORMS)
def test_a_target_in_any_form_is_read_and_moved(tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = made(tmp_path / "r", form, monkeypatch)
    git, mine = Git(str(scratch.root), str(scratch.common)), branches(scratch, 3)
    for each in mine[:2]:
        base = git.tip("target")
        found = git.stack(base, [each], "merge", AUTHOR, 1e9)
        assert git.land("target", base, found.commit) == Landed(found.commit)
        assert git.tip("target") == scratch.git("rev-parse", "target") == found.commit
        assert scratch.git("fsck", "--strict") == ""
        if form == "packed":
            scratch.git("pack-refs", "--all", "--prune")
    stale = git.stack(base, mine[2:], "merge", AUTHOR, 1e9)
    assert git.land("target", base, stale.commit) == Moved(found.commit)
    scratch.git("update-ref", "refs/heads/target", base)
    assert git.tip("target") == base
    scratch.git("update-ref", "-d", "refs/heads/target")
    with pytest.raises(GitError, match="no branch target"):
        git.tip("target")


@pytest.mark.parametrize("form", FORMS)
def test_a_checkout_of_the_target_is_seen_whatever_its_head_says(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = made(tmp_path / "r", form, monkeypatch)
    (mine,), git = branches(scratch, 1), Git(str(scratch.root), str(scratch.common))
    if form == "alias":
        scratch.git("symbolic-ref", "refs/heads/other", "refs/heads/main")
        scratch.git("symbolic-ref", "HEAD", "refs/heads/other")
    base = git.tip("main")
    found = git.stack(base, [mine], "merge", AUTHOR, 1e9)
    assert git.land("main", base, found.commit) == Landed(found.commit)
    assert (scratch.root / "f0").read_text() == "new\n"
    assert scratch.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "edit",
    [
        lambda head: head.write_text("ref:refs/heads/main"),
        lambda head: head.write_text("ref: \trefs/heads/main  \n\n"),
        lambda head: (head.unlink(), os.symlink("refs/heads/main", head)),
    ],
)
def test_a_head_in_an_odd_form_is_read_as_git_reads_it(tmp_path: Path, edit: Callable[[Path], object]) -> None:
    scratch = make(tmp_path / "r")
    edit(scratch.common / "HEAD")
    assert scratch.git("symbolic-ref", "HEAD") == "refs/heads/main"
    assert Door(str(scratch.root), str(scratch.common)).branch() == "refs/heads/main"


@pytest.mark.parametrize("name", ["../x", "a/../../x", "main.lock", "a/.b", "a..b", ""])
def test_what_is_no_name_of_a_branch_is_no_branch(tmp_path: Path, name: str) -> None:
    scratch = make(tmp_path / "r")
    git = Git(str(scratch.root), str(scratch.common))
    path = scratch.common / "refs/heads" / (name or "empty")
    (scratch.common / "refs/heads/a").mkdir()
    path.write_text(f"{git.tip('main')}\n")
    assert not git.branch_exists(name)


def test_a_setting_that_is_changed_is_seen(tmp_path: Path) -> None:
    scratch = make(tmp_path / "r")
    door = Door(str(scratch.root), str(scratch.common))
    for said in ("true", "false", "yes", "no"):
        scratch.git("config", "extensions.worktreeConfig", said)
        assert door.setting("extensions.worktreeConfig") == (said in ("true", "yes"))


def test_a_branch_more_is_one_git_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = made(tmp_path / "r", "sha1", monkeypatch)
    (scratch.root / ".gitattributes").write_text("* text=auto\n")
    scratch.commit({})
    mine, git, calls = branches(scratch, 10), Git(str(scratch.root), str(scratch.common)), tmp_path / "calls"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").write_text(f'#!/bin/sh\necho "$1" >>{calls}\nexec {shutil.which("git")} "$@"\n')
    (tmp_path / "bin/git").chmod(0o755)
    scratch.git("branch", "--force", "target", "main")
    first = git.stack(git.tip("target"), mine[:1], "merge", AUTHOR, 1e9).commit
    assert git.land("target", git.tip("target"), first) == Landed(first)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    Door(str(scratch.root), str(scratch.common)).ask("version")  # gitpython asks too when it is imported
    calls.unlink()
    base = git.tip("target")
    found = git.stack(base, mine[1:], "merge", AUTHOR, 1e9)
    assert git.land("target", base, found.commit) == Landed(found.commit)
    made_up = Counter(calls.read_text().split())
    assert made_up.pop("merge-tree") == len(mine) - 1
    assert made_up.keys() <= {
        "rev-list",
        "config",
        "hash-object",
        "diff-tree",
        "update-index",
        "checkout-index",
        "update-ref",
    }
    assert set(made_up.values()) == {1}
