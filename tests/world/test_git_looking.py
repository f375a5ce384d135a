"""Two looks at a person's checkout: what differs between them, whatever git calls it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.world import looking
from swarm.world.git import Git

from repository import make

Change = Callable[[Path], object]


def link(at: Path) -> None:
    (at / "link").unlink()
    (at / "link").symlink_to("b")


CHANGES: dict[str, Change] = {
    "a": lambda at: (at / "a").write_text("mine too\n"),
    "folder/new": lambda at: (at / "folder/new").write_text("x"),
    "folder/old": lambda at: (at / "folder/old").chmod(0o755),
    "large": lambda at: os.utime(at / "large", ns=(1, 1)),
    "link": link,
    "b": lambda at: (at / "b").unlink(),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout in which a file is changed, and a link, a large file and a folder are new."""
    scratch = make(tmp_path / "r", {"a": "1\n", "b": "2\n"})
    at = scratch.root
    (at / "folder").mkdir()
    (at / "folder/old").write_text("old")
    (at / "a").write_text("mine\n")
    (at / "link").symlink_to("a")
    (at / "large").write_bytes(b"x" * (looking.READ + 1))
    return at


def git(root: Path) -> Git:
    return Git(str(root), str(root / ".git"))


@pytest.mark.parametrize("name", CHANGES)
def test_each_file_that_changed_between_two_looks_has_another_mark_and_no_other_has(root: Path, name: str) -> None:
    before = git(root).checkout()
    assert sorted(before.marks) == ["a", "folder/old", "large", "link"]
    assert git(root).checkout() == before
    CHANGES[name](root)
    after = git(root).checkout()
    assert [one for one, mark in after.marks.items() if before.marks.get(one) != mark] == [name]
    assert before.state != after.state
    for one in after.marks.keys() & before.marks.keys():
        assert after.marks[one][:8] == before.marks[one][:8]


def test_of_too_many_the_same_ones_are_marked_each_time(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = git(root).checkout()
    monkeypatch.setattr(looking, "MOST", 2)
    part = git(root).checkout()
    assert (len(part.marks), part.more) == (2, 2)
    assert sorted(part.marks.values()) == sorted(whole.marks.values())[:2]


def test_what_is_no_file_is_not_opened(root: Path) -> None:
    (root / "a").unlink()
    os.mkfifo(root / "a")
    assert "a" in git(root).checkout().marks
