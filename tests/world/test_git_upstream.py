"""What the target follows at a remote: asked for, and the target fast-forwarded to it, or left alone with words."""

import os
import subprocess
from pathlib import Path

import pytest

from swarm.world import Traces
from swarm.world.git import Git
from swarm.world.upstream import Follower

from repository import Scratch, make

KIM = "kim <kim@swarm.invalid>"


class Pair:
    """`far` is what others push to; `near` is a clone of it, and ours."""

    def __init__(self, folder: Path) -> None:
        self.far = make(folder / "far", {"a": "1\n", "b": "1\n"})
        self.near = Scratch(Path(os.path.realpath(folder)) / "near")
        subprocess.run(["git", "clone", "--quiet", str(self.far.root), str(self.near.root)], check=True)
        self.near.git("config", "user.name", "Pat Person")
        self.near.git("config", "user.email", "pat@example.org")
        self.git = Git(str(self.near.root), str(self.near.common))

    def follow(self) -> list[tuple[str, str]]:
        return self.git.follow("main")

    def tip(self) -> str:
        return self.near.git("rev-parse", "main")


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair(tmp_path)


def test_a_target_that_is_behind_is_fast_forwarded_where_it_is_checked_out(pair: Pair) -> None:
    assert pair.follow() == []
    pair.far.commit({"a": "2\n"})
    there = pair.far.commit({"a": "3\n"})
    assert pair.follow() == [(f"main is 2 commits behind origin/main: fast-forwarded to {there[:10]}", "")]
    assert (pair.tip(), (pair.near.root / "a").read_text()) == (there, "3\n")
    assert pair.near.git("status", "--porcelain") == ""
    assert pair.follow() == []


def test_a_target_that_is_checked_out_nowhere_moves_too(pair: Pair) -> None:
    pair.near.git("switch", "--quiet", "-c", "mine")
    there = pair.far.commit({"a": "2\n"})
    ((words, _),) = pair.follow()
    assert ("fast-forwarded" in words, pair.tip()) == (True, there)
    assert (pair.near.root / "a").read_text() == "1\n"


def test_local_changes_in_the_way_stay_and_the_person_is_told(pair: Pair) -> None:
    before = pair.tip()
    pair.far.commit({"a": "2\n"})
    pair.near.write({"a": "mine\n"})
    ((words, mend),) = pair.follow()
    assert words.startswith("main is 1 commit behind origin/main, and stays there: ")
    assert mend.startswith(f"git -C {pair.near.root} merge --ff-only")
    assert (pair.tip(), (pair.near.root / "a").read_text()) == (before, "mine\n")


def test_a_target_that_parted_is_left_alone_with_the_command(pair: Pair) -> None:
    pair.far.commit({"a": "2\n"})
    before = pair.near.commit({"b": "2\n"})
    mend = "git switch main && git merge origin/main"
    assert pair.follow() == [("main is 1 commit behind origin/main, and 1 commit ahead of it", mend)]
    assert pair.tip() == before
    subprocess.run(["/bin/sh", "-c", mend], cwd=pair.near.root, check=True, capture_output=True)
    assert pair.follow() == []


def test_a_target_that_is_ahead_is_well(pair: Pair) -> None:
    pair.near.commit({"b": "2\n"})
    assert pair.follow() == []


def test_without_a_remote_there_is_nothing_to_say(tmp_path: Path) -> None:
    alone = make(tmp_path / "alone")
    assert Git(str(alone.root), str(alone.common)).follow("main") == []


@pytest.mark.parametrize("upstream", ["", "other"])
def test_a_target_that_follows_no_branch_of_a_remote_is_said_to(pair: Pair, upstream: str) -> None:
    pair.near.git("branch", "--unset-upstream")
    if upstream:
        pair.near.git("branch", upstream)
        pair.near.git("branch", "--set-upstream-to", upstream)
    assert pair.follow() == [("main follows no branch of a remote: work begins from what is here", "")]


def test_a_remote_that_cannot_be_asked_is_no_error_and_what_was_fetched_before_counts(pair: Pair) -> None:
    there = pair.far.commit({"a": "2\n"})
    pair.near.git("fetch", "--quiet")
    pair.near.git("config", "remote.origin.url", str(pair.near.root / "nowhere"))
    (first, mend), (second, _) = pair.follow()
    assert (first.startswith("cannot ask origin for main: "), mend) == (True, "")
    assert "work begins from what is here" in first
    assert (pair.tip(), "fast-forwarded" in second) == (there, True)


def test_a_remote_that_says_nothing_is_given_up(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("swarm.world.upstream.PATIENCE", 0.2)
    pair.near.git("config", "core.sshCommand", "exec sleep 600 #")
    pair.near.git("config", "remote.origin.url", "ssh://host.invalid/x")
    words = "cannot ask origin for main: it said nothing for 0.2 s; work begins from what is here"
    assert pair.follow() == [(words, "")]


def test_what_was_fetched_is_nobodys_leak_and_a_commit_on_top_is(pair: Pair) -> None:
    before = pair.tip()
    pair.far.commit({"a": "2\n"})
    pair.far.git(
        "-c", "user.name=kim", "-c", "user.email=kim@swarm.invalid", "commit", "-q", "--allow-empty", "-m", "x"
    )
    pair.follow()
    assert pair.git.traces(before, before, before, KIM) == Traces([], [], [])
    leaked = pair.near.commit({"b": "2\n"})
    assert pair.git.traces(before, before, before, KIM) == Traces([leaked], [], [])


def test_a_follower_asks_at_most_so_often() -> None:
    now, asked = [5.0], list[str]()

    def follow(target: str) -> list[tuple[str, str]]:
        asked.append(target)
        now[0] += 1.0  # the network takes its time
        return [("moved", "")]

    follower = Follower(follow, 10.0, lambda: now[0])
    assert (follower("main"), follower("main")) == ([("moved", "")], [])
    now[0] += 9.5
    assert follower("main") == []
    now[0] += 0.5
    assert follower("main") == [("moved", "")]
    assert Follower(follow, 0.0, lambda: now[0])("main") == []
    assert len(asked) == 2
