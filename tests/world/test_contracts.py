"""What actors rely on of a repository, asked of real git and of its double: the same suite runs over both."""

from collections.abc import Mapping

import pytest

from swarm.world import Branch, Conflict, Landed, Merged, Moved, Refused, Secured, Traces
from swarm.world.git import GitError

from grounds import Ground

PATH, BRANCH, KIM = ".swarm/worktrees/a-1", "swarm/kim/a-1", "kim <kim@swarm.invalid>"
WIP = "refs/swarm/wip/kim/a-1"


def secure(ground: Ground, ref: str = f"refs/heads/{BRANCH}") -> Secured:
    return ground.repo.secure(PATH, BRANCH, ground.repo.tip("main"), ref, "Do it", KIM)


def attempt(ground: Ground, files: Mapping[str, str], name: str = "a-1") -> str:
    """A whole attempt, from the target's tip; its commit."""
    path, branch, tip = f".swarm/worktrees/{name}", f"swarm/kim/{name}", ground.repo.tip("main")
    ground.repo.prepare(path, branch, tip)
    ground.write(path, files)
    return ground.repo.secure(path, branch, tip, f"refs/heads/{branch}", "Do it", KIM).commit


def merged(ground: Ground, commit: str, when: float = 1e9) -> Merged:
    result = ground.repo.merge(ground.repo.tip("main"), commit, "Merge it\n", KIM, when)
    assert isinstance(result, Merged)
    return result


def test_the_tip_of_an_unknown_branch_is_an_error(ground: Ground) -> None:
    with pytest.raises(GitError, match="no branch nowhere"):
        ground.repo.tip("nowhere")


def test_prepare_again_keeps_what_the_agent_did_meanwhile(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    ground.write(PATH, {"b": "2\n"})
    ground.repo.prepare(PATH, BRANCH, tip)
    assert ground.worktree(PATH) == {"a": "1\n", "b": "2\n"}
    assert ground.ref(f"refs/heads/{BRANCH}") == tip


def test_prepare_again_after_the_target_moved_begins_at_the_new_tip(ground: Ground) -> None:
    ground.repo.prepare(PATH, BRANCH, ground.repo.tip("main"))
    moved = ground.commit({"a": "1\n", "c": "3\n"})
    ground.repo.prepare(PATH, BRANCH, moved)
    assert ground.worktree(PATH) == {"a": "1\n", "c": "3\n"}
    assert ground.ref(f"refs/heads/{BRANCH}") == moved


def test_secure_commits_what_was_left_once(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    ground.write(PATH, {"b": "2\n"})
    secured = secure(ground)
    assert (secured.commits, secured.files) == (1, ["b"])
    assert ground.files(secured.commit) == {"a": "1", "b": "2"}
    assert ground.ref(f"refs/heads/{BRANCH}") == secured.commit
    assert secure(ground) == secured


def test_secure_of_nothing_is_the_base(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    assert secure(ground) == Secured(f"refs/heads/{BRANCH}", tip, 0, [])


def test_secure_elsewhere_leaves_the_branch_alone(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    ground.write(PATH, {"b": "2\n"})
    secured = secure(ground, WIP)
    assert ground.ref(WIP) == secured.commit
    assert ground.ref(f"refs/heads/{BRANCH}") == tip
    assert secure(ground, WIP) == secured


def test_secure_after_the_worktree_is_gone_finds_what_the_branch_has(ground: Ground) -> None:
    ground.repo.prepare(PATH, BRANCH, ground.repo.tip("main"))
    ground.write(PATH, {"b": "2\n"})
    secured = secure(ground)
    ground.repo.remove(PATH, secured.commit)
    assert secure(ground) == secured


def test_remove_refuses_without_the_commit_and_does_it_once(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    for missing in ("", "f" * 40):
        with pytest.raises(GitError, match="stays"):
            ground.repo.remove(PATH, missing)
    assert ground.worktree(PATH) is not None
    ground.repo.remove(PATH, tip)
    assert ground.worktree(PATH) is None
    ground.repo.remove(PATH, tip)


@pytest.mark.parametrize("recycle", [True, False])
def test_what_is_prepared_after_a_removal_has_nothing_of_it(ground: Ground, recycle: bool) -> None:
    tip = ground.repo.tip("main")
    ground.repo.prepare(PATH, BRANCH, tip)
    ground.write(PATH, {"a": "changed\n", "left": "over\n"})
    ground.repo.remove(PATH, tip, recycle=recycle)
    assert ground.worktree(PATH) is None
    ground.repo.prepare(".swarm/worktrees/b-1", "swarm/kim/b-1", tip)
    assert ground.worktree(".swarm/worktrees/b-1") == {"a": "1\n"}
    ground.repo.remove(".swarm/worktrees/b-1", tip, recycle=recycle)
    ground.repo.tidy()
    ground.repo.tidy()


def test_a_branch_is_deleted_only_if_all_of_it_is_kept(ground: Ground) -> None:
    commit, tip = attempt(ground, {"b": "2\n"}), ground.repo.tip("main")
    assert not ground.repo.delete_branch(BRANCH, tip)
    assert ground.ref(f"refs/heads/{BRANCH}") == commit
    assert ground.repo.delete_branch(BRANCH, commit)
    assert ground.ref(f"refs/heads/{BRANCH}") == ""
    assert ground.repo.delete_branch(BRANCH, commit)


def test_gate_puts_the_worktree_at_exactly_the_commit(ground: Ground) -> None:
    commit = attempt(ground, {"b": "2\n"})
    for _ in range(2):
        where = ground.repo.gate(".swarm/worktrees/merger", commit)
        assert where.endswith("/.swarm/worktrees/merger")
        assert ground.worktree(".swarm/worktrees/merger") == {"a": "1\n", "b": "2\n"}
        ground.write(".swarm/worktrees/merger", {"a": "changed\n", "left": "over\n"})
    with pytest.raises(GitError, match="no commit"):
        ground.repo.gate(".swarm/worktrees/merger", "f" * 40)


def test_the_same_merge_is_the_same_commit(ground: Ground) -> None:
    commit = attempt(ground, {"b": "2\n"})
    ground.commit({"c": "3\n"})
    first = merged(ground, commit)
    assert merged(ground, commit) == first
    assert merged(ground, commit, when=2e9).commit != first.commit
    assert ground.files(first.commit) == {"a": "1", "b": "2", "c": "3"}
    assert ground.repo.tip("main") != first.commit


def test_a_conflict_names_its_files(ground: Ground) -> None:
    commit = attempt(ground, {"a": "mine\n", "b": "2\n"})
    ground.commit({"a": "theirs\n"})
    result = ground.repo.merge(ground.repo.tip("main"), commit, "Merge it\n", KIM, 1e9)
    assert result == Conflict(["a"])


def test_merging_what_the_target_has_is_the_target(ground: Ground) -> None:
    commit = attempt(ground, {"b": "2\n"})
    tip = ground.repo.tip("main")
    ground.repo.land("main", tip, merged(ground, commit).commit)
    landed = ground.repo.tip("main")
    assert merged(ground, commit).commit == landed


def test_landing_moves_the_target_once(ground: Ground) -> None:
    commit, tip = attempt(ground, {"b": "2\n"}), ground.repo.tip("main")
    merge = merged(ground, commit).commit
    assert ground.repo.land("main", tip, merge) == Landed(merge)
    assert ground.repo.tip("main") == merge
    assert ground.repo.land("main", tip, merge) == Landed(merge)
    after = ground.commit({"c": "3\n"})
    assert ground.repo.land("main", tip, merge) == Landed(merge)
    assert ground.repo.tip("main") == after


def test_landing_on_a_target_that_moved_does_nothing(ground: Ground) -> None:
    commit, tip = attempt(ground, {"b": "2\n"}), ground.repo.tip("main")
    merge = merged(ground, commit).commit
    moved = ground.commit({"c": "3\n"})
    assert ground.repo.land("main", tip, merge) == Moved(moved)
    assert ground.repo.tip("main") == moved


def test_landing_what_would_lose_commits_is_an_error(ground: Ground) -> None:
    commit = attempt(ground, {"b": "2\n"})
    tip = ground.commit({"c": "3\n"})
    with pytest.raises(GitError, match="does not contain"):
        ground.repo.land("main", tip, commit)
    assert ground.repo.tip("main") == tip


def test_landing_over_a_persons_file_is_refused_until_it_is_out_of_the_way(ground: Ground) -> None:
    commit, tip = attempt(ground, {"b": "2\n"}), ground.repo.tip("main")
    merge = merged(ground, commit).commit
    ground.obstruct("b")
    for _ in range(2):
        result = ground.repo.land("main", tip, merge)
        assert isinstance(result, Refused)
        assert result.command.startswith("git ")
        assert ground.repo.tip("main") == tip
    ground.clear("b")
    assert ground.repo.land("main", tip, merge) == Landed(merge)


def test_what_is_kept_is_kept_under_a_ref_of_ours_only(ground: Ground) -> None:
    commit = attempt(ground, {"b": "2\n"})
    ground.repo.keep(WIP, commit)
    ground.repo.keep(WIP, commit)
    assert ground.ref(WIP) == commit
    with pytest.raises(GitError, match="refs/swarm/"):
        ground.repo.keep("refs/heads/main", commit)


def test_of_a_checkout_that_is_as_it_was_there_are_no_traces(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    commit = attempt(ground, {"b": "2\n"})
    assert ground.repo.traces(tip, tip, commit, KIM) == Traces([], [], [])


def test_a_landing_leaves_no_traces_but_what_a_person_commits_does(ground: Ground) -> None:
    tip = ground.repo.tip("main")
    commit = attempt(ground, {"b": "2\n"})
    found = ground.repo.stack(tip, [Branch("a", "kim", "Do it", commit)], "merge", KIM, 1e9)
    assert isinstance(ground.repo.land("main", tip, found.commit), Landed)
    assert ground.repo.traces(tip, tip, commit, KIM) == Traces([], [], [])
    theirs = ground.commit({"a": "1\n", "b": "2\n", "c": "3\n"})
    assert ground.repo.traces(tip, tip, commit, KIM) == Traces([theirs], [], [])
