"""What landed is taken out by a new commit on top, whatever it was, and nothing else goes with it."""

from pathlib import Path

import pytest

from swarm.world import Branch, Conflict, Merged
from swarm.world.git import Git

from repository import Scratch, make

AUTHOR = "merger (swarm) <merger@swarm.invalid>"
TEXT = "".join(f"line {number}\n" for number in range(30))


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": TEXT, "gone": "soon\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def branch(scratch: Scratch, name: str, *steps: dict[str, str]) -> Branch:
    place = scratch.root.parent / f"{name}-worktree"
    scratch.git("worktree", "add", "--quiet", "-b", name, str(place), "main")
    for step in steps:
        commit = scratch.commit(step, at=place)
    scratch.git("worktree", "remove", "--force", str(place))
    return Branch(name, "kim", f"Do {name}", commit)


def revert(git: Git, commit: str, tip: str = "") -> Merged | Conflict:
    return git.revert(tip or git.tip("main"), commit, "Take it out\n\nSwarm-Issue: one\n", AUTHOR, 1_800_000_000.0)


def taken(git: Git, commit: str, tip: str = "") -> str:
    result = revert(git, commit, tip)
    assert isinstance(result, Merged)
    return result.commit


def test_a_plain_commit_is_taken_out_as_git_revert_does(scratch: Scratch, git: Git) -> None:
    (scratch.root / "gone").unlink()
    (scratch.root / "src/a.py").rename(scratch.root / "src/b.py")
    bad = scratch.commit({"new": "n\n"})
    tip = scratch.commit({"src/b.py": TEXT.replace("line 9\n", "nine\n")})
    (scratch.root / "README").write_text("a person is at work\n")
    before = scratch.git("status", "--porcelain"), scratch.git("for-each-ref")
    made = taken(git, bad)
    assert (scratch.git("status", "--porcelain"), scratch.git("for-each-ref")) == before
    assert taken(git, bad) == made
    shown = scratch.git("log", "-1", "--format=%P|%an|%cn|%ct|%s", made)
    assert shown == f"{tip}|merger (swarm)|Pat Person|1800000000|Take it out"
    scratch.git("checkout", "--", "README")
    scratch.git("revert", "--no-edit", bad)
    assert scratch.git("rev-parse", "HEAD^{tree}") == scratch.git("rev-parse", f"{made}^{{tree}}")
    assert "nine" in scratch.files(made)["src/a.py"]


def test_a_merge_in_a_batch_is_taken_out_alone(scratch: Scratch, git: Git) -> None:
    one = branch(scratch, "one", {"src/a.py": TEXT.replace("line 1\n", "one\n")}, {"one": "1\n"})
    two = branch(scratch, "two", {"src/a.py": TEXT.replace("line 20\n", "twenty\n")})
    found = git.stack(git.tip("main"), [one, two], "merge", AUTHOR, 0)
    line = scratch.git("rev-list", "--first-parent", found.commit).split()
    assert found.commits[0] not in line
    made = taken(git, found.commits[0], found.commit)
    assert "twenty" in scratch.files(made)["src/a.py"]
    assert "\none\n" not in scratch.files(made)["src/a.py"]
    assert "one" not in scratch.files(made)
    assert scratch.git("rev-parse", f"{taken(git, found.commit, found.commit)}^{{tree}}") == scratch.git(
        "rev-parse", f"{git.tip('main')}^{{tree}}"
    )


def test_all_commits_that_a_branch_was_rebased_to_are_taken_out(scratch: Scratch, git: Git) -> None:
    one, two = branch(scratch, "one", {"x": "1\n"}, {"y": "2\n"}, {"z": "3\n"}), branch(scratch, "two", {"w": "4\n"})
    found = git.stack(git.tip("main"), [two, one], "rebase", AUTHOR, 0)
    assert scratch.files(taken(git, found.commits[1], found.commit)).keys() == {"README", "src/a.py", "gone", "w"}
    assert scratch.files(taken(git, found.commits[0], found.commit)).keys() >= {"x", "y", "z"}


def test_an_agents_own_commit_does_not_say_how_much_is_taken_out(scratch: Scratch, git: Git) -> None:
    first = scratch.commit({"precious": "p\n"})
    scratch.commit({"more": "m\n"})
    place = scratch.root.parent / "forged"
    scratch.git("worktree", "add", "--quiet", "-b", "forged", str(place))
    commit = scratch.commit({"f": "f\n"}, f"Innocent\n\nSwarm-Since: {first}\n", at=place)
    tip = git.stack(git.tip("main"), [Branch("f", "kim", "t", commit)], "merge", AUTHOR, 0).commit
    assert scratch.files(taken(git, commit, tip)).keys() == {"README", "src/a.py", "gone", "precious", "more"}
    rebased = git.stack(git.tip("main"), [Branch("f", "kim", "t", commit)], "rebase", AUTHOR, 0).commit
    assert "precious" in scratch.files(taken(git, rebased, rebased))


def test_the_first_commit_of_all_can_be_taken_out(scratch: Scratch, git: Git) -> None:
    first = git.tip("main")
    scratch.commit({"new": "n\n"})
    assert scratch.files(taken(git, first)).keys() == {"new"}


def test_what_is_out_already_changes_nothing(scratch: Scratch, git: Git) -> None:
    bad = scratch.commit({"new": "n\n"})
    scratch.git("revert", "--no-edit", bad)
    tip = git.tip("main")
    assert revert(git, bad) == Merged(tip, scratch.git("rev-parse", f"{tip}^{{tree}}"))


def test_the_tips_attributes_decide_and_not_what_lies_in_the_checkout(scratch: Scratch, git: Git) -> None:
    scratch.commit({"log": "base\n"})
    bad = scratch.commit({"log": "base\nbad\n"})
    scratch.commit({"log": "base\nbad\nmore\n"})
    (scratch.root / ".gitattributes").write_text("log merge=union\n")
    assert revert(git, bad) == Conflict(["log"])
    scratch.commit({".gitattributes": "log merge=union\n"})
    assert isinstance(revert(git, bad), Merged)
