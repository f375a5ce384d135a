"""A clone whose origin has moved on (pain 23): work is cut from what the others have, through `swarm start`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import repository
from clones import plain
from repository import Scratch
from stage import Stage


class Behind:
    """`far` is the origin; `near` a clone of it that does not know its last commit, which added `new.txt`."""

    def __init__(self, folder: Path) -> None:
        self.far: Scratch = repository.make(folder / "far", {"a.txt": "a\n"})
        plain("clone", "--quiet", str(self.far.root), "near", at=folder)
        self.near = Stage(folder / "near")
        self.near.git("config", "user.name", "Nia Near")
        self.near.git("config", "user.email", "nia@example.org")
        assert self.near.swarm("init").code == 0
        self.tip = self.far.commit({"new.txt": "new\n"})


@pytest.fixture
def behind(tmp_path: Path) -> Iterator[Behind]:
    made = Behind(tmp_path)
    yield made
    made.near.close()


def test_work_is_cut_from_what_origin_has(behind: Behind) -> None:
    near = behind.near
    issue = near.issue("Write b", "cat new.txt > b.txt")
    done = near.start("--test", "true")
    assert done.code == 0, done.out
    assert f"main is 1 commit behind origin/main: fast-forwarded to {behind.tip[:10]}" in done.out
    (prepared,) = near.events("worktree.prepared", issue)
    assert prepared.data.base == behind.tip
    assert near.files() == {"a.txt", "new.txt", "b.txt"}
    assert not near.events("leak.detected")


def test_what_a_person_changed_there_is_left_alone_and_doctor_says_what_is_missing(behind: Behind) -> None:
    near = behind.near
    near.issue("Write b", "echo b > b.txt")
    (near.root / "new.txt").write_text("mine\n")
    done = near.start("--test", "true")
    assert done.code == 0, done.out
    assert "warning: main is 1 commit behind origin/main, and stays there: " in done.out
    assert f"git -C {near.root} merge --ff-only" in done.out
    assert ((near.root / "new.txt").read_text(), near.files()) == ("mine\n", {"a.txt", "b.txt"})
    (found,) = [one for one in near.json("doctor")["checks"] if one["check"] == "target"]
    assert (found["state"], found["mend"]) == ("warn", "git switch main && git merge origin/main")
    assert found["words"] == "main is 1 commit behind origin/main, and 2 commits ahead of it"


def test_who_does_not_want_it_is_not_moved(behind: Behind) -> None:
    near = behind.near
    (near.root / "swarm.toml").write_text("[start]\nfetch_minutes = 0.0\n")
    near.issue("Write b", "echo b > b.txt")
    done = near.start("--test", "true")
    assert (done.code, "origin" in done.out) == (0, False)
    assert near.files() == {"a.txt", "b.txt"}
