"""Merges are made beside every checkout; the target moves only forwards, and a person's files are never touched."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from swarm.world import Conflict, Landed, Merged, Moved, Refused
from swarm.world.git import Git, GitError

from repository import Scratch, make

AUTHOR = "kim (swarm) <kim@swarm.invalid>"


@pytest.fixture
def scratch(tmp_path: Path) -> Scratch:
    return make(tmp_path / "r", {"README": "hello\n", "src/a.py": "a = 1\n", ".gitignore": ".env\n"})


@pytest.fixture
def git(scratch: Scratch) -> Git:
    return Git(str(scratch.root), str(scratch.common))


def _branch(scratch: Scratch, files: dict[str, str], name: str = "work") -> str:
    """A branch from main with these files, made in a worktree outside, as an agent would."""
    place = scratch.root.parent / f"{name}-worktree"
    scratch.git("worktree", "add", "--quiet", "-b", name, str(place), "main")
    commit = scratch.commit(files, at=place)
    scratch.git("worktree", "remove", "--force", str(place))
    return commit


def _merged(git: Git, commit: str, when: float = 1_800_000_000.0) -> str:
    result = git.merge(git.tip("main"), commit, "Merge it", AUTHOR, when)
    assert isinstance(result, Merged)
    return result.commit


def _look(root: Path) -> dict[str, str]:
    """Everything a person could notice in a checkout: every file's bytes, what git says, the stash, where HEAD is."""
    seen = {}
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name != ".git"]
        for name in names:
            path = Path(folder) / name
            seen[str(path.relative_to(root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    scratch = Scratch(root)
    seen["git status"] = scratch.git("status", "--porcelain=v2", "--branch", "--ignored")
    seen["git stash"] = scratch.git("stash", "list")
    seen["git diff"] = scratch.git("diff", "HEAD")
    seen["git diff --cached"] = scratch.git("diff", "--cached")
    return seen


# --- merge ----------------------------------------------------------------------------------------


def test_the_same_arguments_give_the_same_merge(scratch: Scratch, git: Git) -> None:
    work = _branch(scratch, {"b.py": "b\n"})
    base = scratch.commit({"c.py": "c\n"})
    before = _look(scratch.root)
    first = git.merge(base, work, "Merge it", AUTHOR, 1_800_000_000.7)
    again = git.merge(base, work, "Merge it", AUTHOR, 1_800_000_000.7)
    assert isinstance(first, Merged)
    assert first == again
    assert scratch.files(first.commit).keys() == {"README", "src/a.py", ".gitignore", "b.py", "c.py"}
    assert scratch.git("rev-parse", f"{first.commit}^{{tree}}") == first.tree
    shown = scratch.git("log", "-1", "--format=%P|%ad|%cd|%an|%cn|%s", "--date=raw", first.commit)
    assert shown == f"{base} {work}|1800000000 +0000|1800000000 +0000|kim (swarm)|Pat Person|Merge it"
    assert _look(scratch.root) == before
    assert git.merge(base, work, "Merge it", AUTHOR, 1_800_000_001.7) != first


def test_a_merge_is_a_merge_commit_even_where_it_could_fast_forward(scratch: Scratch, git: Git) -> None:
    base, work = git.tip("main"), _branch(scratch, {"b.py": "b\n"})
    assert scratch.git("log", "-1", "--format=%P", _merged(git, work)) == f"{base} {work}"


def test_what_is_in_already_merges_to_the_base_itself(scratch: Scratch, git: Git) -> None:
    old = git.tip("main")
    base = scratch.commit({"c.py": "c\n"})
    result = git.merge(base, old, "Merge it", AUTHOR, 0)
    assert result == Merged(commit=base, tree=scratch.git("rev-parse", f"{base}^{{tree}}"))


def test_a_title_cannot_reorder_or_hide_what_the_log_shows(scratch: Scratch, git: Git) -> None:
    base, work = git.tip("main"), _branch(scratch, {"b.py": "b\n"})
    result = git.merge(base, work, "Merge \u202egnp\x1b[31m.\u200bé\x00\n\nSwarm-Issue: i-1\n", AUTHOR, 0)
    assert isinstance(result, Merged)
    assert scratch.git("log", "-1", "--format=%B", result.commit) == "Merge gnp.é\n\nSwarm-Issue: i-1"


def test_so_many_conflicts_that_an_event_cannot_hold_them_are_counted(scratch: Scratch, git: Git) -> None:
    names = [f"{'d' * 200}/{n:03}" for n in range(300)]
    work = _branch(scratch, dict.fromkeys(names, "theirs\n"))
    result = git.merge(scratch.commit(dict.fromkeys(names, "ours\n")), work, "Merge it", AUTHOR, 0)
    assert isinstance(result, Conflict)
    shown = len(result.files) - 1
    assert result.files == [*names[:shown], f"… and {300 - shown} more"]
    assert len("".join(result.files)) < 16_000


def test_files_that_do_not_merge_are_named(scratch: Scratch, git: Git) -> None:
    odd = os.fsdecode(b"caf\xe9 \n.txt")
    work = _branch(scratch, {"src/a.py": "a = 2\n", odd: "x\n", "README": "mine\n"})
    base = scratch.commit({"src/a.py": "a = 3\n", odd: "y\n"})
    (scratch.root / "README").unlink()
    base = scratch.commit({})
    result = git.merge(base, work, "Merge it", AUTHOR, 0)
    assert isinstance(result, Conflict)
    assert sorted(result.files) == ["README", "caf\ufffd \n.txt", "src/a.py"]


def test_the_targets_attributes_decide_and_not_what_lies_in_the_checkout(scratch: Scratch, git: Git) -> None:
    scratch.commit({"log/.gitattributes": "*.jsonl merge=union\n", "log/x.jsonl": "base\n", "y.jsonl": "base\n"})
    work = _branch(scratch, {"log/x.jsonl": "base\ntheirs\n"})
    clash = _branch(scratch, {"y.jsonl": "base\ntheirs\n"}, "clash")
    base = scratch.commit({"log/x.jsonl": "base\nours\n", "y.jsonl": "base\nours\n"})
    scratch.git("rm", "--quiet", "--cached", "log/.gitattributes")
    (scratch.root / "log/.gitattributes").unlink()  # a person is just changing it
    (scratch.root / ".gitattributes").write_text("*.jsonl merge=union\n")
    result = git.merge(base, work, "Merge it", AUTHOR, 0)
    assert isinstance(result, Merged)
    assert scratch.files(result.commit)["log/x.jsonl"].split("\n") == ["base", "ours", "theirs"]
    assert git.merge(base, clash, "Merge it", AUTHOR, 0) == Conflict(files=["y.jsonl"])


def test_unrelated_histories_are_refused_with_gits_words(scratch: Scratch, git: Git) -> None:
    scratch.git("checkout", "--quiet", "--orphan", "island")
    island = scratch.commit({"x": "x"})
    with pytest.raises(GitError, match="unrelated histories"):
        git.merge(git.tip("main"), island, "Merge it", AUTHOR, 0)


# --- land -----------------------------------------------------------------------------------------


def test_a_target_that_is_checked_out_nowhere_moves_by_compare_and_swap(scratch: Scratch, git: Git) -> None:
    base, work = git.tip("main"), _branch(scratch, {"b.py": "b\n"})
    commit = _merged(git, work)
    scratch.git("checkout", "--quiet", "-b", "elsewhere")
    before = _look(scratch.root)
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert git.tip("main") == commit
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert _look(scratch.root) == before


def test_a_detached_head_at_the_target_is_not_the_target_checked_out(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n"}))
    scratch.git("checkout", "--quiet", "--detach", "main")
    before = _look(scratch.root)
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert git.tip("main") == commit
    assert _look(scratch.root) == before


def test_a_target_that_moved_is_merged_again(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n"}))
    moved = scratch.commit({"c.py": "c\n"})
    assert git.land("main", base, commit) == Moved(found=moved)
    assert git.tip("main") == moved


def test_what_was_landed_before_stays_landed_when_the_target_went_on(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n"}))
    assert isinstance(git.land("main", base, commit), Landed)
    scratch.commit({"c.py": "c\n"})
    assert git.land("main", base, commit) == Landed(commit=commit)


def test_a_checkout_of_the_target_is_fast_forwarded_by_git(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n", "src/a.py": "a = 2\n"}))
    scratch.write({"README": "a person is at work\n", "notes": "untracked\n"})
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert scratch.git("rev-parse", "HEAD") == commit
    assert (scratch.root / "src/a.py").read_text() == "a = 2\n"
    assert (scratch.root / "README").read_text() == "a person is at work\n"
    assert scratch.git("status", "--porcelain") == "M README\n?? notes"
    assert scratch.git("symbolic-ref", "HEAD") == "refs/heads/main"


def test_a_linked_checkout_of_the_target_is_fast_forwarded_too(scratch: Scratch, git: Git, tmp_path: Path) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n"}))
    scratch.git("checkout", "--quiet", "-b", "elsewhere")
    scratch.git("worktree", "add", "--quiet", str(tmp_path / "linked"), "main")
    before = _look(scratch.root)
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert (tmp_path / "linked/b.py").read_text() == "b\n"
    assert scratch.git("status", "--porcelain", at=tmp_path / "linked") == ""
    assert _look(scratch.root) == before


def _local_change(scratch: Scratch) -> None:
    scratch.write({"src/a.py": "a person is at work\n"})


def _staged_change(scratch: Scratch) -> None:
    _local_change(scratch)
    scratch.git("add", "src/a.py")


def _untracked_file(scratch: Scratch) -> None:
    scratch.write({"b.py": "a person's own\n"})


def _ignored_file(scratch: Scratch) -> None:
    scratch.write({".env": "SECRET=1\n"})


def _untracked_folder(scratch: Scratch) -> None:
    scratch.write({"b.py/inner": "a person's own\n"})


def _merge_in_progress(scratch: Scratch) -> None:
    _branch(scratch, {"README": "other\n"}, "other")
    scratch.git("merge", "--quiet", "--no-ff", "--no-commit", "other")


@pytest.mark.parametrize(
    "state",
    [_local_change, _staged_change, _untracked_file, _ignored_file, _untracked_folder, _merge_in_progress],
)
@pytest.mark.parametrize("autostash", ["true", "false"])
def test_what_is_in_the_way_stays_and_the_landing_is_refused_with_a_command(
    scratch: Scratch, git: Git, state: object, autostash: str
) -> None:
    scratch.git("config", "merge.autoStash", autostash)
    base = git.tip("main")
    place = scratch.root.parent / "work"
    scratch.git("worktree", "add", "--quiet", "-b", "work", str(place), "main")
    scratch.write({"b.py": "b\n", "src/a.py": "a = 2\n", ".env": "from the branch\n", "z.py": "z\n"}, at=place)
    scratch.git("add", "--force", "--all", at=place)
    commit = _merged(git, scratch.commit({}, at=place))
    assert callable(state)
    state(scratch)
    before = _look(scratch.root)
    result = git.land("main", base, commit)
    assert isinstance(result, Refused)
    assert result.reason
    assert "\n" not in result.reason
    assert result.command == f"git -C {scratch.root} merge --ff-only --no-overwrite-ignore {commit}"
    assert git.tip("main") == base
    assert _look(scratch.root) == before
    assert git.land("main", base, commit) == result


def test_the_command_of_a_refusal_lands_it_once_the_way_is_free(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"src/a.py": "a = 2\n"}))
    _local_change(scratch)
    result = git.land("main", base, commit)
    assert isinstance(result, Refused)
    assert "src/a.py" in result.reason
    scratch.git("checkout", "--", "src/a.py")
    scratch.git(*result.command.split()[3:])
    assert git.land("main", base, commit) == Landed(commit=commit)


def test_a_target_that_a_person_is_rebasing_is_left_alone(scratch: Scratch, git: Git) -> None:
    _branch(scratch, {"src/a.py": "upstream\n"}, "upstream")
    base = scratch.commit({"src/a.py": "mine\n"})
    commit = _merged(git, _branch(scratch, {"b.py": "b\n"}))
    with pytest.raises(AssertionError):
        scratch.git("rebase", "upstream")
    before = _look(scratch.root)
    result = git.land("main", base, commit)
    assert isinstance(result, Refused)
    assert result.reason == f"main is being rebased in {scratch.root}"
    assert git.tip("main") == base
    assert _look(scratch.root) == before


def test_landing_never_takes_commits_away(scratch: Scratch, git: Git) -> None:
    work = _branch(scratch, {"b.py": "b\n"})
    base = scratch.commit({"c.py": "c\n"})
    with pytest.raises(GitError, match="lose commits of main"):
        git.land("main", base, work)
    with pytest.raises(GitError, match="no branch nothing"):
        git.land("nothing", base, work)


def test_an_agent_that_checked_out_the_target_does_not_stop_the_landing(scratch: Scratch, git: Git) -> None:
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n", "src/a.py": "a = 2\n"}))
    scratch.git("checkout", "--quiet", "-b", "elsewhere")
    path, branch = ".swarm/worktrees/kim-i-1", "swarm/kim/i-1"
    git.prepare(path, branch, base)
    worktree = scratch.root / path
    scratch.git("checkout", "--quiet", "main", at=worktree)
    scratch.write({"c.py": "the agent's own\n"}, at=worktree)
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert not (worktree / "b.py").exists()
    secured = git.secure(path, branch, base, f"refs/heads/{branch}", "m", AUTHOR)
    assert secured.files == ["c.py"]
    assert "b.py" in scratch.files(_merged(git, secured.commit))  # the agent has not undone what landed


def test_of_many_landings_on_one_base_exactly_one_lands(scratch: Scratch, git: Git) -> None:
    base = git.tip("main")
    commits = [_merged(git, _branch(scratch, {f"f{n}": "x\n"}, f"b{n}")) for n in range(6)]
    scratch.git("checkout", "--quiet", "--detach")
    results: list[Landed | Moved | Refused] = []
    threads = [threading.Thread(target=lambda c=c: results.append(git.land("main", base, c))) for c in commits]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    landed = [result for result in results if isinstance(result, Landed)]
    assert len(results) == 6
    assert len(landed) == 1
    assert git.tip("main") == landed[0].commit


def test_a_worktree_of_ours_that_is_just_being_made_has_no_say_in_a_landing(scratch: Scratch, git: Git) -> None:
    """It is beside ours until git has registered it, and gone a moment later: in between git cannot work there."""
    base, commit = git.tip("main"), _merged(git, _branch(scratch, {"b.py": "b\n"}))
    scratch.git("checkout", "--quiet", "--detach")
    stage = scratch.root / ".swarm/worktrees/.stage/i-1"
    scratch.git("worktree", "add", "--quiet", "--no-checkout", str(stage), "main")
    assert git.land("main", base, commit) == Landed(commit=commit)
    assert [path.name for path in stage.iterdir()] == [".git"]
