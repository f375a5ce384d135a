"""What landed is taken out again; what was tried on a staging branch is brought to main."""

import json

import pytest

from swarm.actors.retries import lesson
from swarm.projections import Board, issues

from stage import Stage


def landed(stage: Stage, mode: str = "merge", count: int = 3) -> list[str]:
    """So many issues whose work landed: `f0.txt`, `f1.txt`, … of two commits each. All but the first of them landed
    together: they waited when the gate of the first held the queue.
    """
    (stage.root / "swarm.toml").write_text(f'[merge]\nmode = "{mode}"\n')
    body = "echo x > f{0}.txt; git add .; git commit -qm first; echo y >> f{0}.txt; git commit -qam second"
    later = 'until grep -qrs "batch[.]formed" "$SWARM_LOG"; do sleep 0.05; done; '
    names = [stage.issue(f"Write {number}", later * (number > 0) + body.format(number)) for number in range(count)]
    queued = f'[ $(cat "{stage.log}"/*.jsonl | grep -c "merge[.]queued") = {count} ]'
    test = f'case "$PWD" in */merger) until {queued}; do sleep 0.05; done; exit 127;; esac'
    assert stage.start("--max-agents", str(count), "--test", test).code == 1
    assert stage.swarm("merge", "now", "--test", "true").code == 0
    return names


def told(stage: Stage, issue: str, attempt: int) -> str:
    """What that attempt's prompt says of those before it."""
    board = Board().fold(stage.events())
    return lesson(board[issues.State].all[issue], attempt)[0]


def texts(stage: Stage, ref: str = "main") -> set[str]:
    return {name for name in stage.files(ref) if name.startswith("f")}


@pytest.mark.parametrize("mode", ["merge", "squash", "rebase"])
def test_one_of_several_that_landed_is_taken_out_and_given_back(stage: Stage, mode: str) -> None:
    names = landed(stage, mode)
    done = stage.swarm("rollback", names[1], "--reason", "it is too slow")
    assert done.code == 0, done.err
    assert f"{names[1]}: " in done.out
    assert texts(stage) == {"f0.txt", "f2.txt"}
    assert not (stage.root / "f1.txt").exists(), "the checkout is fast-forwarded"
    assert stage.git("status", "--porcelain", "-uno") == ""
    assert stage.row(names[1])["status"] == "open"
    message = stage.git("log", "-1", "--format=%B", "main")
    assert message.startswith(f"Revert {names[1]}\n\nThis reverts commit ")
    assert f"it is too slow\n\nSwarm-Issue: {names[1]}" in message
    (row,) = stage.json("work", "list")
    assert (row["issue"], row["why"]) == (names[1], "rolled back: it is too slow")
    again = stage.swarm("rollback", names[1])
    assert (again.code, "nothing of" in again.err) == (2, True)
    assert stage.swarm("merge", "retry", names[1]).code == 2, "merging the same commits would change nothing"
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0
    assert stage.start("--test", "true").code == 0
    assert texts(stage) == {"f0.txt", "f1.txt", "f2.txt"}, "it was done anew"
    assert "rolled back: it is too slow" in told(stage, names[1], 2)


@pytest.mark.parametrize(("mode", "way"), [("merge", "sha"), ("squash", "nothing"), ("rebase", "nothing")])
def test_all_that_landed_together_is_taken_out_together(stage: Stage, mode: str, way: str) -> None:
    landed(stage, mode, 4)
    first, *last = stage.events("merge.landed")
    before, commit, names = f"{first.data.commit}^{{tree}}", last[-1].data.commit, [event.subject for event in last]
    assert {event.data.commit for event in last} == {commit}
    args = [commit[:9].upper()] if way == "sha" else []
    tried = stage.swarm("rollback", *args, "--dry-run")
    assert (tried.code, "can be reverted on main" in tried.out) == (0, True), tried.err
    assert stage.git("rev-parse", "main") == commit
    done = stage.swarm("rollback", *args, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert set(document["issues"]) == set(names)
    assert document["revert"] == stage.git("rev-parse", "main")
    assert stage.git("rev-parse", "main^{tree}") == stage.git("rev-parse", before)
    assert {stage.row(issue)["status"] for issue in names} == {"open"}
    assert {event.data.commit for event in stage.events("merge.reverted")} == {commit}
    assert stage.swarm("rollback", commit).code == 2, "nothing of it is left"
    assert stage.swarm("log", "verify").code == 0


def test_one_is_named_by_the_commit_that_brought_it(stage: Stage) -> None:
    names = landed(stage)
    one = next(event for event in stage.events("merge.landed") if event.subject == names[2])
    assert stage.swarm("rollback", one.data.own, "--keep-closed").code == 0
    assert texts(stage) == {"f0.txt", "f1.txt"}
    assert stage.row(names[2])["status"] == "done"
    assert stage.swarm("rollback", "f" * 40).code == 2


def test_what_later_work_stands_on_is_not_taken_out(stage: Stage) -> None:
    (issue,) = landed(stage, count=1)
    (stage.root / "f0.txt").write_text("mine\n")
    stage.git("commit", "-qam", "mine")
    before = (stage.git("rev-parse", "main"), len(stage.events()))
    for args in ([], ["--dry-run"]):
        refused = stage.swarm("rollback", issue, *args)
        assert refused.code == 1
        assert "later changes of f0.txt stand on it" in refused.err
        assert "git revert" in refused.err
    assert (stage.git("rev-parse", "main"), len(stage.events())) == before


def test_changes_in_the_persons_checkout_are_not_touched(stage: Stage) -> None:
    (issue,) = landed(stage, count=1)
    (stage.root / "f0.txt").write_text("not committed\n")
    refused = stage.swarm("rollback", issue)
    assert refused.code == 1
    assert "main cannot be moved" in refused.err
    assert (stage.root / "f0.txt").read_text() == "not committed\n"
    assert texts(stage) == {"f0.txt"}
    assert stage.row(issue)["status"] == "done"
    stage.git("stash", "-q")
    assert stage.swarm("rollback", issue).code == 0
    assert texts(stage) == set()


def test_a_validation_that_fails_reverts_and_the_next_attempt_is_told_why(stage: Stage) -> None:
    issue = stage.issue("Write b", "test -f ../tried && echo good > b.txt || echo bad > b.txt; touch ../tried")
    judge = ("--validate", "echo b.txt is; cat b.txt; grep -q good b.txt", "--rollback-on-validate-fail")
    done = stage.start("--max-agents", "1", "--test", "test -f b.txt", *judge)
    assert done.code == 0, done.out
    assert stage.git("show", "main:b.txt") == "good"
    assert [event.data.verdict for event in stage.events("validation.finished")] == ["failed", "passed"]
    assert len(stage.events("merge.reverted", issue)) == 1
    why = told(stage, issue, 2)
    assert "did not pass its validation after this landed (exit code 1)" in why
    assert "grep -q good b.txt" in why
    assert stage.row(issue)["status"] == "done"
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


# --- staging ---


@pytest.fixture
def staged(stage: Stage) -> Stage:
    """Work landed on staging, and main is as it was."""
    stage.git("branch", "staging")
    stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--target", "staging").code == 0
    assert stage.files() == {"a.txt"}
    return stage


def test_what_is_on_staging_is_brought_to_main_by_a_fast_forward(staged: Stage) -> None:
    done = staged.swarm("promote", "--validate", "test -f b.txt && test ! -f .git/x && pwd")
    assert done.code == 0, done.err
    assert staged.git("rev-parse", "main") == staged.git("rev-parse", "staging")
    assert (staged.root / "b.txt").read_text() == "b\n"
    (promoted,) = staged.events("branch.promoted")
    assert (promoted.data.source, promoted.data.target) == ("staging", "main")
    assert not (staged.root / ".swarm/worktrees/promote").exists()
    again = staged.swarm("promote", "--json")
    assert (again.code, json.loads(again.out)["commit"]) == (0, staged.git("rev-parse", "main"))
    assert len(staged.events("branch.promoted")) == 1
    assert staged.swarm("log", "verify").code == 0


def test_where_main_moved_too_both_are_merged_and_validated_as_merged(staged: Stage) -> None:
    (staged.root / "c.txt").write_text("c\n")
    staged.git("add", "c.txt")
    staged.git("commit", "-qm", "mine")
    done = staged.swarm("promote", "--validate", "test -f b.txt -a -f c.txt")
    assert done.code == 0, done.err
    assert staged.files() == {"a.txt", "b.txt", "c.txt"}
    assert staged.git("log", "-1", "--format=%s", "main") == "Merge staging into main"


def test_what_does_not_merge_or_does_not_pass_changes_nothing(staged: Stage) -> None:
    before = (staged.git("rev-parse", "main"), len(staged.events()))
    failed = staged.swarm("promote", "--validate", "echo this is why; exit 3")
    assert failed.code == 1
    assert "this is why" in failed.err
    assert "failed with exit code 3; nothing was changed" in failed.err
    (staged.root / "swarm.toml").write_text("[limits]\ngate_minutes = 0.005\n")
    slow = staged.swarm("promote", "--validate", "sleep 600 & sleep 600")
    assert (slow.code, "did not end in time" in slow.err) == (1, True)
    assert (staged.git("rev-parse", "main"), len(staged.events())) == before
    (staged.root / "b.txt").write_text("mine\n")
    staged.git("add", "b.txt")
    staged.git("commit", "-qm", "mine")
    clash = staged.swarm("promote")
    assert (clash.code, "conflict in b.txt" in clash.err) == (1, True)
    assert staged.git("log", "-1", "--format=%s", "main") == "mine"


def test_a_dirty_checkout_of_main_is_not_touched(staged: Stage) -> None:
    (staged.root / "b.txt").write_text("not in git\n")
    refused = staged.swarm("promote")
    assert (refused.code, "main cannot be moved" in refused.err) == (1, True)
    assert (staged.root / "b.txt").read_text() == "not in git\n"
    assert staged.files() == {"a.txt"}


def test_the_branches_have_other_names_where_the_environment_says_so(staged: Stage) -> None:
    staged.git("branch", "release")
    staged.git("branch", "-m", "staging", "next")
    assert staged.swarm("promote").code == 2
    names = {"SWARM_STAGING_BRANCH": "next", "SWARM_MAIN_BRANCH": "release"}
    assert staged.swarm("promote", **names).code == 0
    assert staged.files("release") == {"a.txt", "b.txt"}
    assert staged.files() == {"a.txt"}
    assert staged.swarm("promote", "--to", "main", **names).code == 0
    assert staged.files() == {"a.txt", "b.txt"}
    assert staged.swarm("promote", "--to", "next", **names).code == 2
