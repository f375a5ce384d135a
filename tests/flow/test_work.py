"""No work is lost, however an attempt ends, and a person can have it back (pains 1, 2), through `swarm start`."""

import shutil
from pathlib import Path

import pytest

from stage import Stage
from waiting import PATIENCE, until

COMMIT = (
    'git add -A; git commit -qm "$SWARM_SESSION"; git rev-parse HEAD >> "$(git rev-parse --git-common-dir)/../../made"'
)
"""An agent commits, and writes down what it made where nobody cleans up."""
ONE, TWO = f"echo 1 > $SWARM_ISSUE.one; {COMMIT}", "echo 2 > $SWARM_ISSUE.two"
"""Each writes files of its own: what another one landed would leave it nothing to commit."""
ENDINGS = {
    "lands": f"{ONE}; {TWO}",
    "fails": f"{ONE}; {TWO}; exit 3",
    "fails the tests": f"{ONE}; touch broken",
    "amends": f"{ONE}; {TWO}; git add -A; git commit -q --amend -m better; exit 3",
    "resets": f"{ONE}; {TWO}; {COMMIT}; git reset -q --hard HEAD~2; echo 3 > three",
    "is detached": f"git checkout -q --detach; {ONE}",
    "leaves for another branch": f"{ONE}; git checkout -qb elsewhere-$SWARM_ISSUE HEAD~1; {COMMIT}",
    "begins from nothing": f"git checkout -q --orphan x-$SWARM_ISSUE; {ONE}",
    "loses its git": f"{ONE}; {TWO}; rm .git",
    "clashes": f"echo $SWARM_ISSUE > a.txt; {COMMIT}",
    "clashes too": f"echo $SWARM_ISSUE > a.txt; {COMMIT}",
    "kills its host": f"{ONE}; {TWO}; kill -9 $PPID; sleep 600",
    "does nothing": "true",
}


def made(stage: Stage) -> list[str]:
    return (stage.root.parent / "made").read_text().split()


def unreachable(stage: Stage) -> set[str]:
    """The commits that agents made and that no ref leads to, worktrees and logs of refs aside."""
    known = set(stage.git("rev-list", "--all", "--single-worktree").split())
    secured = {event.data.commit for event in stage.events("work.secured")}
    return {*made(stage), *secured} - known


def test_every_commit_of_an_agent_stays_reachable_however_it_ends(stage: Stage) -> None:
    for name, body in ENDINGS.items():
        stage.issue(name, body)
    done = stage.start("--test", "test ! -e broken", "--max-retries", "1", "--max-agents", "4")
    assert done.code == 1, done.err
    assert len(made(stage)) >= 15, "they did commit"
    assert not unreachable(stage)
    assert stage.swarm("work", "clean", "--all").code == 0
    assert not [each for each in (stage.root / ".swarm/worktrees").iterdir() if each.name.startswith("sw-")]
    assert not unreachable(stage), "nor without the worktrees"
    left = {row["ref"] for row in stage.json("work", "list")}
    assert all(ref.startswith("refs/swarm/wip/") for ref in left)
    branches = stage.git("for-each-ref", "--format=%(refname)", "refs/heads/swarm/").split()
    assert not branches, "what did not land is no branch any more"
    assert stage.swarm("log", "verify").code == 0


@pytest.fixture
def failed(stage: Stage) -> str:
    """An issue that was given up: its agent wrote a file, and failed."""
    issue = stage.issue("Half way", "echo half > half.txt; exit 7")
    assert stage.start("--max-retries", "0").code == 1
    return issue


def test_what_failed_is_listed_shown_and_given_back_as_a_branch(stage: Stage, failed: str) -> None:
    (row,) = stage.json("work", "list")
    assert (row["name"], row["agent"], row["commits"], row["files"]) == (f"{failed}-1", "builder-1", 1, ["half.txt"])
    assert row["ref"] == f"refs/swarm/wip/builder-1/{failed}-1"
    assert (row["why"], row["worktree"]) == ("exit code 7", str(stage.root / ".swarm/worktrees" / f"{failed}-1"))
    shown = stage.swarm("work", "show", failed)
    assert "half.txt | 1 +" in shown.out
    assert "exit code 7" in shown.out
    patch = stage.swarm("work", "show", f"{failed}-1", "--patch").out
    assert "+half" in patch
    assert stage.swarm("work", "restore", failed, "--branch", "mine").code == 0
    assert "half.txt" in stage.files("mine")
    for name in ("mine", "-x", "a..b", "swarm/x/y-1", "refs/heads/z"):
        refused = stage.swarm("work", "restore", failed, f"--branch={name}")
        assert refused.code == 2, refused.out
    assert "half.txt" not in stage.files()


def test_what_failed_is_tested_and_lands_as_it_is_when_it_is_restored(stage: Stage, failed: str) -> None:
    assert stage.swarm("work", "restore", failed, "--reopen").code == 0
    (stage.root / "later.txt").write_text("landed meanwhile\n")
    stage.git("add", "later.txt")
    stage.git("commit", "-qm", "meanwhile")
    assert stage.start("--test", "test -e half.txt").code == 0
    assert {"half.txt", "later.txt"} <= stage.files()
    assert len([e for e in stage.events("session.started") if e.data.kind == "agent"]) == 1, "no agent was asked again"
    assert stage.json("work", "list") == []
    assert [row["landed"] for row in stage.json("work", "list", "--all")] == [True, True]
    assert stage.swarm("work", "restore", failed, "--reopen").code == 2
    assert stage.swarm("log", "verify").code == 0


def test_restored_work_that_fails_the_tests_becomes_an_agents_task(stage: Stage) -> None:
    body = "if test -e ../again; then echo whole > half.txt; else touch ../again; echo half > half.txt; exit 7; fi"
    issue = stage.issue("Half way", body)
    assert stage.start("--max-retries", "0").code == 1
    assert stage.swarm("work", "restore", issue, "--reopen").code == 0
    assert stage.start("--test", "grep -q whole half.txt", "--max-retries", "1").code == 0
    assert stage.git("show", "main:half.txt") == "whole"
    given = [event.data.work for event in stage.events("issue.assigned", issue)]
    assert [bool(work) for work in given] == [False, True, False]


def test_clean_removes_what_is_over_and_keeps_what_the_log_does_not_know(stage: Stage, failed: str) -> None:
    folder = stage.root / ".swarm/worktrees"
    stray = folder / "sw-00000000-3"
    stage.git("worktree", "add", "-q", "-b", "swarm/builder-9/sw-00000000-3", str(stray))
    (stray / "lost.txt").write_text("lost\n")
    assert [row["name"] for row in stage.json("work", "list")] == [f"{failed}-1", stray.name]
    assert stage.swarm("work", "clean").code == 0
    assert not (folder / f"{failed}-1").exists()
    assert stray.exists()
    assert len(stage.events("worktree.removed")) == 1
    assert stage.swarm("work", "clean", "--all").code == 0
    assert not stray.exists()
    assert stage.git("show", f"refs/swarm/wip/unknown/{stray.name}:lost.txt") == "lost"
    assert stage.git("show", f"refs/swarm/wip/builder-1/{failed}-1:half.txt") == "half"
    assert stage.swarm("log", "verify").code == 0


def test_a_link_for_a_worktree_is_listed_and_cleaned_and_what_it_leads_to_is_not_touched(stage: Stage) -> None:
    away = stage.root.parent / "away"
    committed = "echo 1 > one; git add -A; git commit -qm one; echo 2 > two"
    issue = stage.issue("Move away", f'{committed}; d=$PWD; cd /; mv "$d" {away}; ln -s {away} "$d"')
    assert stage.start("--max-retries", "0").code == 1
    place = stage.root / ".swarm/worktrees" / f"{issue}-1"
    (row,) = stage.json("work", "list")
    assert (row["name"], row["ref"], row["worktree"]) == (f"{issue}-1", "", str(place))
    assert "leads elsewhere by a symbolic link" in row["why"]
    listed = stage.swarm("work", "list").out
    assert "a link" in listed
    assert "swarm work clean" in listed
    done = stage.swarm("work", "clean")
    assert (done.code, "removed 1 worktree" in done.out, str(away) in done.out) == (0, True, True), done.err
    assert (place.is_symlink(), (away / "two").exists()) == (False, True)
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:one") == "1"
    (row,) = stage.json("work", "list")
    assert (row["commits"], row["files"], row["worktree"]) == (1, ["one"], "")
    assert str(away) in row["notes"][0]
    assert "removed 0 worktrees" in stage.swarm("work", "clean").out
    assert stage.swarm("log", "verify").code == 0
    assert stage.start("--max-retries", "0").code == 1
    assert stage.swarm("replay", "--verify").code == 0


def test_a_worktree_that_could_not_be_secured_is_listed_and_stays_until_it_can_be(stage: Stage) -> None:
    issue = stage.issue("Be in the way", "echo 1 > one; git update-ref refs/swarm/wip/builder-1 HEAD; exit 3")
    assert stage.start("--max-retries", "0").code == 1
    (row,) = stage.json("work", "list")
    assert (row["name"], row["ref"], "cannot lock ref" in row["why"]) == (f"{issue}-1", "", True)
    assert "secured by: swarm start" in stage.swarm("work", "list").out
    done = stage.swarm("work", "clean")
    assert "1 worktree stays: what is in it is not secured yet; have that done: swarm start" in done.out
    stage.git("update-ref", "-d", "refs/swarm/wip/builder-1")
    assert stage.start("--max-retries", "0").code == 1
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:one") == "1"


@pytest.mark.parametrize("command", ["pwd > $OUT/cleaned", "exit 3"])
def test_clean_runs_the_cleanup_command_first_and_is_not_held_up_by_it(stage: Stage, failed: str, command: str) -> None:
    outside = stage.root.parent
    text = f"[workspace]\ncleanup = '{command.replace('$OUT', str(outside))}'\n"
    (stage.root / "swarm.toml").write_text(text)
    done = stage.swarm("work", "clean")
    assert done.code == 0, done.err
    folder = stage.root / ".swarm/worktrees" / f"{failed}-1"
    assert not folder.exists()
    if command == "exit 3":
        assert f"the cleanup command failed with exit code 3 in .swarm/worktrees/{failed}-1" in done.out
    else:
        assert (outside / "cleaned").read_text() == f"{folder}\n"


def test_work_that_was_taken_out_of_the_target_is_not_tried_again_as_it_is(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    assert stage.start().code == 0
    assert stage.swarm("rollback", issue).code == 0
    refused = stage.swarm("work", "restore", issue, "--reopen")
    assert refused.code == 2
    assert "was taken out of main again: merging its commits again would change nothing" in refused.err
    assert stage.swarm("work", "restore", issue, "--branch", "mine").code == 0


def test_clean_does_not_meddle_with_a_running_swarm(stage: Stage) -> None:
    stage.issue("Slow", "sleep 600")
    stage.background()
    stage.wait_for("session.started")
    refused = stage.swarm("work", "clean")
    assert refused.code == 2
    assert "already runs" in refused.err


def test_what_failed_goes_by_itself_after_a_while(stage: Stage, failed: str) -> None:
    (stage.root / "swarm.toml").write_text('[workspace]\nkeep_failed = "1s"\n')
    until(lambda: stage.start().code == 1 and stage.events("worktree.removed"), what="the collector")
    assert not (stage.root / ".swarm/worktrees" / f"{failed}-1").exists()


def test_a_conflict_is_resolved_by_an_agent_and_says_what_was_dropped(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text('[merge]\non_conflict = "resolve"\n')
    wait = "until test -e ../go; do sleep 0.05; done"
    once = f"if grep -q '<<<<' a.txt; then echo mine > a.txt; else echo mine > a.txt; echo also >> a.txt; {wait}; fi"
    issue = stage.issue("Mine", once)
    started = stage.background("--until-idle", "--max-retries", "2")
    stage.wait_for("session.started")
    (stage.root / "a.txt").write_text("theirs\n")
    stage.git("commit", "-qam", "theirs")
    (stage.root / ".swarm/worktrees/go").touch()
    assert started.wait(PATIENCE) == 0
    (resolved,) = stage.events("conflict.resolved", issue)
    assert resolved.data.dropped == ["a.txt: theirs", "a.txt: also"]
    assert stage.git("show", "main:a.txt") == "mine"
    assert stage.git("rev-list", "--count", f"main..{resolved.data.work}") == "0", "both sides are behind it"


def test_marks_that_are_left_do_not_land(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text('[merge]\non_conflict = "resolve"\n')
    wait = "until test -e ../go; do sleep 0.05; done"
    issue = stage.issue("Mine", f"if grep -q '<<<<' a.txt; then echo b > b.txt; else echo mine > a.txt; {wait}; fi")
    started = stage.background("--until-idle", "--max-retries", "1")
    stage.wait_for("session.started")
    (stage.root / "a.txt").write_text("theirs\n")
    stage.git("commit", "-qam", "theirs")
    (stage.root / ".swarm/worktrees/go").touch()
    assert started.wait(PATIENCE) == 1
    assert "conflict marks are left in a.txt" in stage.events("work.rejected", issue)[-1].data.reason
    assert stage.git("show", "main:a.txt") == "theirs"
    assert "b.txt" in stage.files(stage.json("work", "list")[-1]["ref"])
    shutil.rmtree(Path(stage.root / ".swarm/worktrees"))
