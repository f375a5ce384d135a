"""What the Merger relies on of a repository, asked of real git and of its double."""

from collections.abc import Mapping

import pytest

from swarm.world import Branch, Conflict, Landed, Merged, Secured, Stacked, messages
from swarm.world.git import GitError

from grounds import Ground

PATH, BRANCH, KIM = ".swarm/worktrees/a-1", "swarm/kim/a-1", "kim <kim@swarm.invalid>"
WIP = "refs/swarm/wip/kim/a-1"
MODES = ["merge", "squash", "rebase"]


def attempt(ground: Ground, name: str, *steps: Mapping[str, str], base: str = "") -> Branch:
    """A branch with one commit for each of these, from the target's tip."""
    tip = base or ground.repo.tip("main")
    commit = tip
    for number, files in enumerate(steps):
        path, branch = f".swarm/worktrees/{name}-{number + 1}", f"swarm/kim/{name}-{number + 1}"
        ground.repo.prepare(path, branch, tip, commit)
        ground.write(path, files)
        ref = f"refs/heads/{branch}"
        commit = ground.repo.secure(path, branch, tip, ref, f"Do {name}", KIM, commit).commit
    return Branch(name, "kim", f"Do {name}", commit, f"event-{name}")


def stacked(ground: Ground, branches: list[Branch], mode: str = "merge", base: str = "") -> Stacked:
    return ground.repo.stack(base or ground.repo.tip("main"), branches, mode, KIM, 1e9)


# --- stack ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_what_is_stacked_has_all_of_it_and_lands(ground: Ground, mode: str) -> None:
    branches = [attempt(ground, "a", {"b": "2\n"}, {"b": "3\n"}), attempt(ground, "b", {"c": "3\n"})]
    base = ground.commit({"d": "4\n"})
    found = stacked(ground, branches, mode)
    assert stacked(ground, branches, mode) == found
    assert ground.repo.stack(base, branches, mode, KIM, 2e9).commit != found.commit
    assert found.conflicts == {}
    assert ground.files(found.commit) == {"a": "1", "b": "3", "c": "3", "d": "4"}
    assert ground.files(found.commits[0]) == {"a": "1", "b": "3", "d": "4"}
    assert ground.files(found.commits[1]) == ground.files(found.commit)
    assert ground.repo.tip("main") == base
    ground.repo.land("main", base, found.commit)
    assert ground.repo.tip("main") == found.commit


def test_the_tree_of_a_stack_is_the_same_in_every_mode(ground: Ground) -> None:
    branches = [attempt(ground, "a", {"b": "2\n"}, {"c": "3\n"}), attempt(ground, "b", {"a": "2\n"})]
    found = [stacked(ground, branches, mode) for mode in MODES]
    assert len({each.tree for each in found}) == 1
    assert len({each.commit for each in found}) == 3


@pytest.mark.parametrize("mode", MODES)
def test_a_branch_that_conflicts_is_left_out_and_the_others_go_on(ground: Ground, mode: str) -> None:
    branches = [
        attempt(ground, "a", {"a": "mine\n"}),
        attempt(ground, "b", {"a": "theirs\n", "x": "y\n"}),
        attempt(ground, "c", {"c": "3\n"}),
    ]
    found = stacked(ground, branches, mode)
    assert found.conflicts == {1: ["a"]}
    assert (bool(found.commits[0]), found.commits[1], bool(found.commits[2])) == (True, "", True)
    assert ground.files(found.commit) == {"a": "mine", "c": "3"}
    assert stacked(ground, [branches[0], branches[2]], mode).tree == found.tree


def test_a_stack_in_which_nothing_merges_is_the_base(ground: Ground) -> None:
    branch = attempt(ground, "a", {"a": "mine\n"})
    base = ground.commit({"a": "theirs\n"})
    found = stacked(ground, [branch])
    assert (found.commit, found.commits, found.conflicts) == (base, [""], {0: ["a"]})
    assert stacked(ground, []) == Stacked(base, found.tree, [])


@pytest.mark.parametrize("mode", MODES)
def test_a_branch_that_is_in_already_adds_nothing(ground: Ground, mode: str) -> None:
    first = attempt(ground, "a", {"b": "2\n"})
    base = stacked(ground, [first]).commit
    ground.repo.land("main", ground.repo.tip("main"), base)
    second = attempt(ground, "b", {"c": "3\n"})
    alone = stacked(ground, [second], mode)
    assert alone.commit != base
    assert (ground.repo.is_ancestor(base, alone.commit), ground.repo.is_ancestor(alone.commit, base)) == (True, False)
    assert ground.repo.is_ancestor(base, base)
    assert stacked(ground, [first], mode) == Stacked(base, stacked(ground, []).tree, [base])
    both = stacked(ground, [first, second], mode)
    assert (both.commit, both.commits) == (alone.commit, [base, alone.commit])
    again = stacked(ground, [second, second], mode)
    assert (again.commit, again.commits) == (alone.commit, [alone.commit, alone.commit])


def test_one_branch_is_stacked_as_one_merge_and_several_under_one_more(ground: Ground) -> None:
    branches = [attempt(ground, "a", {"b": "2\n"}), attempt(ground, "b", {"c": "3\n"})]
    one, two = stacked(ground, branches[:1]), stacked(ground, branches)
    assert one.commits == [one.commit]
    assert two.commits[0] == one.commit
    assert two.commit not in two.commits


# --- predict, revert ------------------------------------------------------------------------------


def test_what_is_predicted_is_what_merging_says(ground: Ground) -> None:
    first, second = attempt(ground, "a", {"a": "mine\n"}), attempt(ground, "b", {"b": "2\n"})
    base = ground.commit({"a": "theirs\n"})
    assert ground.repo.predict(base, first.commit) == ["a"]
    assert ground.repo.predict(base, second.commit) == []
    assert ground.repo.predict(base, base) == []


@pytest.mark.parametrize("mode", MODES)
def test_a_branch_of_a_stack_is_taken_out_again_and_the_others_stay(ground: Ground, mode: str) -> None:
    branches = [attempt(ground, "a", {"b": "2\n"}, {"c": "3\n"}), attempt(ground, "b", {"d": "4\n"})]
    found = stacked(ground, branches, mode)
    ground.repo.land("main", ground.repo.tip("main"), found.commit)
    tip = ground.commit({"e": "5\n"})
    result = ground.repo.revert(tip, found.commits[0], "Take a out\n", KIM, 1e9)
    assert isinstance(result, Merged)
    assert ground.files(result.commit) == {"a": "1", "d": "4", "e": "5"}
    assert ground.repo.revert(tip, found.commits[0], "Take a out\n", KIM, 1e9) == result
    ground.repo.land("main", tip, result.commit)
    assert ground.repo.revert(result.commit, found.commits[0], "Take a out\n", KIM, 1e9) == result  # it is out


def test_a_whole_stack_is_taken_out_at_once(ground: Ground) -> None:
    base = ground.repo.tip("main")
    found = stacked(ground, [attempt(ground, "a", {"b": "2\n"}), attempt(ground, "b", {"d": "4\n"})])
    result = ground.repo.revert(found.commit, found.commit, "Take it out\n", KIM, 1e9)
    assert isinstance(result, Merged)
    assert ground.files(result.commit) == ground.files(base)


def test_what_a_revert_says_of_itself_is_found_on_the_targets_own_line(ground: Ground) -> None:
    base, branch = ground.repo.tip("main"), attempt(ground, "a", {"b": "2\n"})
    landed = stacked(ground, [branch]).commit
    ground.repo.land("main", base, landed)
    for events in ([("a", "event-1"), ("b", "event-2")], []):
        tip = ground.repo.tip("main")
        told = messages.revert(landed, "too slow\n\nSwarm-Event: x", events, keep_closed=True)
        made = ground.repo.revert(tip, landed, told, KIM, 1e9)
        if isinstance(made, Merged) and made.commit != tip:
            assert isinstance(ground.repo.land("main", tip, made.commit), Landed)
            ground.commit({"c": "mine\n"})
    (found,) = ground.repo.reverts("main", base)
    assert (found.events, found.reason, found.keep_closed) == (
        ["event-1", "event-2"],
        "too slow\n\nSwarm-Event: x",
        True,
    )
    assert ground.repo.reverts("main", ground.repo.tip("main")) == []


def test_what_others_built_on_is_not_taken_out(ground: Ground) -> None:
    commit = ground.commit({"a": "2\n"})
    tip = ground.commit({"a": "3\n"})
    assert ground.repo.revert(tip, commit, "Take it out\n", KIM, 1e9) == Conflict(["a"])
    result = ground.repo.revert(tip, tip, "Take it out\n", KIM, 1e9)
    assert isinstance(result, Merged)
    assert ground.files(result.commit) == {"a": "2"}
    with pytest.raises(GitError, match="does not contain"):
        ground.repo.revert(commit, tip, "Take it out\n", KIM, 1e9)


# --- work taken up again --------------------------------------------------------------------------


def test_a_branch_may_begin_at_the_work_of_an_attempt_before(ground: Ground) -> None:
    work = attempt(ground, "b", {"b": "2\n"}).commit
    base = ground.commit({"c": "3\n"})
    for _ in range(2):
        ground.repo.prepare(PATH, BRANCH, base, work)
    assert ground.worktree(PATH) == {"a": "1\n", "b": "2\n"}
    ref = f"refs/heads/{BRANCH}"
    assert ground.repo.secure(PATH, BRANCH, base, ref, "m", KIM, work) == Secured(ref, work, 1, ["b"])
    ground.write(PATH, {"d": "4\n"})
    ground.repo.prepare(PATH, BRANCH, base, work)
    secured = ground.repo.secure(PATH, BRANCH, base, ref, "m", KIM, work)
    assert (secured.commits, secured.files) == (2, ["b", "d"])
    assert ground.repo.predict(base, secured.commit) == []
    assert ground.files(stacked(ground, [Branch("a", "kim", "t", secured.commit)]).commit).keys() == set("abcd")


def conflicting(ground: Ground) -> tuple[str, str]:
    """A base, and a commit that does not merge into it."""
    work = attempt(ground, "b", {"a": "mine\n", "b": "2\n"}).commit
    return ground.commit({"a": "theirs\n", "c": "3\n"}), work


def resolve(ground: Ground, base: str, work: str, ref: str = f"refs/heads/{BRANCH}") -> Secured:
    return ground.repo.secure(PATH, BRANCH, base, ref, "Resolve it", KIM, work, resolve=True)


def test_what_an_agent_made_of_a_conflicted_merge_lands(ground: Ground) -> None:
    base, work = conflicting(ground)
    ground.repo.prepare(PATH, BRANCH, base, work, resolve=True)
    there = ground.worktree(PATH)
    assert there is not None
    assert there.keys() == {"a", "b", "c"}
    assert all(word in there["a"] for word in ("<<<<<<<", "mine\n", "=======", "theirs\n", ">>>>>>>"))
    ground.write(PATH, {"a": "mine and theirs\n"})
    ground.repo.prepare(PATH, BRANCH, base, work, resolve=True)
    secured = resolve(ground, base, work)
    assert resolve(ground, base, work) == secured
    assert ground.files(secured.commit) == {"a": "mine and theirs", "b": "2", "c": "3"}
    assert ground.repo.predict(base, secured.commit) == []
    assert ground.repo.predict(work, secured.commit) == []
    found = stacked(ground, [Branch("a", "kim", "t", work), Branch("a", "kim", "t", secured.commit)])
    assert found.conflicts == {0: ["a"]}
    ground.repo.land("main", base, found.commit)
    assert stacked(ground, [Branch("a", "kim", "t", work)]).commits == [found.commit]  # it is in


@pytest.mark.parametrize("aborted", [False, True])
def test_a_conflict_that_nobody_touched_leaves_nothing(ground: Ground, aborted: bool) -> None:
    base, work = conflicting(ground)
    ground.repo.prepare(PATH, BRANCH, base, work, resolve=True)
    if aborted:
        ground.write(PATH, {"a": "theirs\n"})
        ground.delete(PATH, "b")
    for ref in (WIP, f"refs/heads/{BRANCH}"):
        assert resolve(ground, base, work, ref) == Secured(ref, base, 0, [])


def test_marks_that_are_left_do_not_get_to_the_branch_and_are_not_lost(ground: Ground) -> None:
    base, work = conflicting(ground)
    ground.repo.prepare(PATH, BRANCH, base, work, resolve=True)
    ground.write(PATH, {"new": "n\n"})
    with pytest.raises(GitError, match="conflict marks are left in a"):
        resolve(ground, base, work)
    assert ground.ref(f"refs/heads/{BRANCH}") == base
    assert set(ground.files(resolve(ground, base, work, WIP).commit)) == {"a", "b", "c", "new"}


def test_lines_that_a_resolution_dropped_are_listed(ground: Ground) -> None:
    ground.commit({"a": "1\n2\n3\n"})
    work = attempt(ground, "b", {"a": "1\nmine\n3\n", "b": "kept\n"}).commit
    base = ground.commit({"a": "1\ntheirs\n\n3\n"})
    ground.repo.prepare(PATH, BRANCH, base, work, resolve=True)
    ground.write(PATH, {"a": "1\nmine\n3\n"})
    assert ground.repo.resolved(base, work, resolve(ground, base, work).commit) == ["a: theirs"]
    ground.write(PATH, {"a": "1\n3\n"})
    assert ground.repo.resolved(base, work, resolve(ground, base, work).commit) == ["a: theirs", "a: mine"]
    ground.write(PATH, {"a": "1\ntheirs\nmine\n\n3\n"})
    assert ground.repo.resolved(base, work, resolve(ground, base, work).commit) == []


# --- the person's checkout ------------------------------------------------------------------------


def test_the_persons_checkout_is_seen_as_it_is(ground: Ground) -> None:
    before = ground.repo.checkout()
    assert (before.head, before.branch, before.marks) == (ground.repo.tip("main"), "main", {})
    assert ground.repo.checkout() == before
    ground.obstruct("left")
    dirty = ground.repo.checkout()
    assert (dirty.head, list(dirty.marks), dirty.more) == (before.head, ["left"], 0)
    assert len(dirty.marks["left"]) == 16
    assert dirty.state != before.state
    ground.clear("left")
    assert ground.repo.checkout() == before
    tip = ground.commit({"b": "2\n"})
    assert ground.repo.checkout() == type(before)(tip, "main", before.state)
