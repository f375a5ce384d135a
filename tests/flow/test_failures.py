"""What goes wrong with agents, gates and merges, and that none of it is lost, hidden or counted as done."""

import subprocess
from pathlib import Path

import pytest

from stage import SWARM, Stage
from waiting import PATIENCE, until


def test_a_change_that_fails_the_tests_does_not_land_is_tried_again_and_then_blocks(stage: Stage) -> None:
    issue = stage.issue("Break it", "rm a.txt")
    done = stage.start("--test", "test -f a.txt", "--max-retries", "1")
    assert done.code == 1
    assert issue in done.out
    assert "the tests fail" in done.out
    row = stage.row(issue)
    assert (row["status"], row["attempts"], row["commit"]) == ("blocked", 2, "")
    assert stage.files() == {"a.txt"}


def test_exit_zero_without_a_commit_or_a_change_is_unverified_never_done(stage: Stage) -> None:
    """Pain 2: completion is what the orchestrator checked on an exact commit."""
    issue = stage.issue("Do nothing", "echo I am done")
    done = stage.start("--max-retries", "0")
    assert done.code == 1
    assert "unverified" in done.out
    assert stage.row(issue)["status"] == "blocked"
    assert not stage.events("merge.queued")


def test_uncommitted_work_of_a_failing_agent_is_kept_under_a_wip_ref(stage: Stage) -> None:
    """Pain 1: what an agent leaves is committed before anything is removed."""
    issue = stage.issue("Half way", "echo half > half.txt; exit 7")
    assert stage.start("--max-retries", "0").code == 1
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:half.txt") == "half"
    assert (stage.root / ".swarm/worktrees" / f"{issue}-1" / "half.txt").exists(), "it can be looked at for some days"


def test_one_bad_issue_does_not_keep_good_ones_from_landing(stage: Stage) -> None:
    stage.issue("Bad", "rm a.txt", "--priority", "1")
    stage.issue("Good", "echo b > b.txt")
    assert stage.start("--test", "test -f a.txt").code == 1
    assert stage.files() == {"a.txt", "b.txt"}


@pytest.mark.parametrize(
    ("test", "words"),
    [
        ("no-such-command-at-all", "could not be run (exit code 127)"),
        ("./not-executable.sh", "could not be run (exit code 126)"),
        ("echo 'collected 0 items'; echo 'no tests ran in 0.01s'", "no test ran, says pytest (exit code 0)"),
    ],
)
def test_a_gate_that_cannot_judge_is_no_pass_and_no_fault_of_the_branch(stage: Stage, test: str, words: str) -> None:
    """Pain 12: it holds the queue with words; when it is mended the work that was secured is tested and lands."""
    (stage.root / "not-executable.sh").write_text("exit 0\n")
    stage.git("add", "not-executable.sh")
    stage.git("commit", "-qm", "a script nobody may run")
    issue = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--test", test)
    assert done.code == 1
    assert "the merge queue is held: " in done.out
    assert f"{words}, 2 times in a row" in done.out
    assert (stage.row(issue)["status"], len(stage.events("gate.finished"))) == ("in_progress", 2)
    later = stage.issue("Write c", "echo c > c.txt")
    assert not stage.events("merge.queued")
    assert stage.start("--test", "test -f b.txt -o -f c.txt").code == 0
    assert stage.files() >= {"b.txt", "c.txt"}
    assert (stage.row(issue)["attempts"], stage.row(later)["status"]) == (1, "done")
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


@pytest.mark.parametrize(
    ("test", "ends"),
    [("./gate.sh", "work.rejected"), ('case "$PWD" in */merger*) exec ./gate.sh;; esac', "merge.rejected")],
)
def test_who_removes_the_gate_is_rejected_and_the_others_land(stage: Stage, test: str, ends: str) -> None:
    """In its own worktree, or in the tree that would land: the gate is run without the work too, and that tells."""
    (stage.root / "gate.sh").write_text("#!/bin/sh\nexit 0\n")
    (stage.root / "gate.sh").chmod(0o755)
    stage.git("add", "gate.sh")
    stage.git("commit", "-qm", "the gate")
    bad = stage.issue("Tidy up", "git rm -q gate.sh; git commit -qm gone", "--priority", "1")
    good = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--test", test, "--max-retries", "1")
    assert done.code == 1, done.out
    assert stage.files() == {"a.txt", "b.txt", "gate.sh"}
    assert (stage.row(bad)["status"], stage.row(good)["status"]) == ("blocked", "done")
    assert not stage.events("queue.held")
    (first, _second) = stage.events(ends, bad)
    assert "(exit code 127); without this work it can judge" in first.data.reason
    assert {event.data.verdict for event in stage.events("gate.controlled")} == {"passed"}
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


def test_while_the_queue_is_held_agents_at_work_go_on_and_nothing_new_is_begun(stage: Stage) -> None:
    wait = stage.root.parent / "held"
    first = stage.issue("Write b", "echo b > b.txt")
    second = stage.issue("Write c", f"until [ -e {wait} ]; do sleep 0.1; done; echo c > c.txt")
    process = stage.background("--until-idle", "--test", "no-such-command")
    assert stage.wait_for("queue.held")[0].data.issue == first
    third = stage.issue("Write d", "echo d > d.txt")
    wait.touch()
    assert process.wait(PATIENCE) == 1
    assert {event.subject for event in stage.events("work.secured")} == {first, second}
    assert stage.row(third)["status"] == "open"
    assert not stage.events("work.rejected")


def test_gates_of_the_settings_judge_in_order_and_one_that_fails_ends_it(stage: Stage) -> None:
    text = """
[[gates]]
name = "lint"
command = "! grep -q bad *.txt"
[[gates]]
name = "unit"
command = "test -f a.txt"
when = "attempt"
"""
    (stage.root / "swarm.toml").write_text(text)
    stage.issue("Write b", "echo bad > b.txt")
    good = stage.issue("Write c", "echo c > c.txt")
    done = stage.start("--max-retries", "0", "--max-agents", "1")
    assert done.code == 1
    assert "test: lint, unit" in done.out
    said = [(e.subject == good, e.data.gate, e.data.verdict) for e in stage.events("gate.finished")]
    assert said == [(False, "lint", "failed"), (True, "lint", "passed"), (True, "unit", "passed")]
    assert stage.row(good)["status"] == "done"


def test_a_missing_runtime_binary_is_told_before_anything_starts(stage: Stage) -> None:
    (stage.root / "swarm.toml").write_text('[runtimes.pi]\nbinary = "no-such-pi"\n')
    stage.issue("Write b", "echo b > b.txt", "--runtime", "pi")
    refused = stage.start("--runtime", "pi")
    assert refused.code == 2
    assert "no-such-pi" in refused.err
    assert not stage.events("run.started")
    held = stage.start()  # the default runtime is there; the issue's own is not
    assert held.code == 1
    assert "no-such-pi" in held.out
    assert stage.json("issue", "list")[0]["attempts"] == 1


def test_children_that_outlive_their_agent_are_ended_with_it(stage: Stage) -> None:
    stage.issue("Leave children", "(setsid sleep 600 &) ; sleep 600 & echo b > b.txt")
    assert stage.start().code == 0
    assert not stage.running()


def test_a_hanging_agent_is_ended_with_its_work_secured_by_stop_now_and_its_issue_stays_open(stage: Stage) -> None:
    issue = stage.issue("Hang", "echo half > half.txt; trap '' TERM; sleep 600")
    started = stage.background()
    stage.wait_for("session.started")
    until(lambda: list((stage.root / ".swarm/worktrees").glob("*/half.txt")), what="the agent's file")
    assert stage.swarm("stop", "--now").code == 0
    assert started.wait(PATIENCE) == 0
    assert not stage.running()
    assert stage.git("show", f"refs/swarm/wip/builder-1/{issue}-1:half.txt") == "half"
    row = stage.row(issue)
    assert (row["status"], row["attempts"]) == ("open", 1)
    assert not stage.events("attempt.retried")


def test_agent_kill_ends_the_agent_and_holds_the_issue_for_the_person(stage: Stage) -> None:
    issue = stage.issue("Hang", "sleep 600")
    started = stage.background("--until-idle")
    stage.wait_for("session.started")
    done = stage.swarm("agent", "kill", "builder-1")
    assert done.code == 0, done.err
    assert started.wait(PATIENCE) == 1
    assert not stage.running()
    assert stage.row(issue)["status"] == "blocked"


def test_an_issue_closed_by_a_person_meanwhile_is_called_off_and_does_not_land(stage: Stage) -> None:
    issue = stage.issue("Slow", "echo b > b.txt; sleep 600")
    started = stage.background("--until-idle")
    stage.wait_for("session.started")
    assert stage.swarm("issue", "close", issue, "--reason", "not needed").code == 0
    assert started.wait(PATIENCE) == 0
    assert stage.files() == {"a.txt"}
    assert stage.row(issue)["status"] == "done"
    assert stage.events("attempt.cancelled")


def test_local_changes_in_the_way_hold_the_landing_and_stay_untouched(stage: Stage) -> None:
    """Pain 11: landing never touches a person's checkout except by a clean fast-forward."""
    issue = stage.issue("Change a", "echo theirs > a.txt")
    (stage.root / "a.txt").write_text("mine, not committed\n")
    (stage.root / "note.txt").write_text("untracked\n")
    before = stage.git("rev-parse", "main")
    done = stage.start()
    assert done.code == 1
    assert "merge --ff-only" in done.out
    assert (stage.root / "a.txt").read_text() == "mine, not committed\n"
    assert (stage.root / "note.txt").read_text() == "untracked\n"
    assert stage.git("rev-parse", "main") == before
    assert stage.git("stash", "list") == ""
    stage.git("checkout", "--", "a.txt")
    assert stage.start().code == 0
    assert (stage.root / "a.txt").read_text() == "theirs\n"
    assert stage.row(issue)["status"] == "done"
    assert len(stage.events("issue.assigned")) == 1  # held work was not done again


def test_local_changes_elsewhere_do_not_hold_a_landing(stage: Stage) -> None:
    (stage.root / "note.txt").write_text("untracked\n")
    stage.issue("Write b", "echo b > b.txt")
    assert stage.start().code == 0
    assert (stage.root / "b.txt").exists()
    assert (stage.root / "note.txt").read_text() == "untracked\n"


def test_an_untracked_file_in_the_way_is_not_overwritten(stage: Stage) -> None:
    """Pain 11, as it was seen: a merge that deleted an untracked file."""
    (stage.root / "b.txt").write_text("mine\n")
    stage.issue("Write b", "echo theirs > b.txt")
    assert stage.start().code == 1
    assert (stage.root / "b.txt").read_text() == "mine\n"


def test_an_agent_that_edits_the_log_by_hand_harms_nobody(stage: Stage) -> None:
    body = 'for f in "$SWARM_LOG"/*.jsonl; do printf "garbage\\n{\\"type\\":\\"x\\"" >> "$f"; done; echo b > b.txt'
    stage.issue("Write b", body)
    assert stage.start().code == 0
    assert "b.txt" in stage.files()
    assert stage.swarm("log", "verify").code == 1  # it is reported, not hidden


def test_a_dirty_agent_worktree_cannot_make_our_git_run_its_code(stage: Stage) -> None:
    pwned = stage.root.parent / "pwned"
    body = f"""
rm .git; git init -q .; git config core.fsmonitor "touch {pwned}"; git config core.hooksPath hooks
mkdir hooks; printf '#!/bin/sh\\ntouch {pwned}\\n' > hooks/post-checkout; cp hooks/post-checkout hooks/post-merge
chmod +x hooks/*; echo '* filter=evil' > .gitattributes; git config filter.evil.clean "touch {pwned}; cat"
echo b > b.txt
"""
    stage.issue("Attack", body)
    stage.start("--test", "true", "--max-retries", "0")
    assert not pwned.exists()
    assert Path(stage.root / "a.txt").read_text() == "a\n"


def test_what_a_fact_cannot_hold_is_the_attempts_trouble_and_not_the_swarms(stage: Stage) -> None:
    """Thousands of long paths that conflict: an event has 64 KiB, and the run goes on all the same."""
    folder = stage.root / "d"
    folder.mkdir()
    for number in range(2500):
        (folder / f"{number:04d}-{'x' * 60}").write_text("0\n")
    stage.git("add", "-A")
    stage.git("commit", "-qm", "many files")
    for word in ("one", "two"):
        stage.issue(f"Say {word}", f"sleep 1; for f in d/*; do echo {word} > $f; done")
    other = stage.issue("Write b", "echo b > b.txt")
    done = stage.start("--max-agents", "3", "--max-retries", "0")
    assert done.code == 1, done.err
    assert stage.row(other)["status"] == "done"
    assert sorted(row["status"] for row in stage.json("issue", "list")) == ["blocked", "done", "done"]
    assert stage.swarm("log", "verify").code == 0


def test_a_reader_of_the_live_view_that_has_gone_does_not_stop_the_work(stage: Stage) -> None:
    stage.issue("Write b", "sleep 0.5; echo b > b.txt")
    command = f"{SWARM} start --until-idle | head -1"
    subprocess.run(["sh", "-c", command], cwd=stage.root, check=True, capture_output=True, timeout=60)
    assert stage.events("run.stopped")[-1].data.reason == "idle"
    assert "b.txt" in stage.files()


def test_stop_now_after_a_killed_swarm_returns_when_its_stubborn_agents_are_gone(stage: Stage) -> None:
    stage.issue("Hang", "trap '' TERM; (setsid sleep 600 &) ; while :; do sleep 1; done")
    started = stage.background()
    stage.wait_for("session.started")
    started.kill()
    started.wait()
    done = stage.swarm("stop", "--now")
    assert not stage.running()
    assert done.code == 0, done.err
    assert "ended 1 session" in done.out
    assert len(stage.events("session.exited")) == 1
