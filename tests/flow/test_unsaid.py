"""Killed between git's move of a branch and the line in the log that says so: the truth is found again."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stage import Stage

PROGRAM = Path(__file__).parents[1] / "failpoint.py"


def killed(stage: Stage, point: str, *args: str) -> None:
    """Run `swarm` until it passes that point."""
    report = stage.root.parent / "points"
    command = [sys.executable, "-P", str(PROGRAM), point, str(report), *args]
    done = subprocess.run(command, cwd=stage.root, capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    assert report.read_text().splitlines()[-1] == "after land"


def test_what_landed_and_was_never_said_to_is_not_tested_again_by_another_test(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    killed(stage, "land:2", "start", "--until-idle", "--test", "true")
    assert "b.txt" in stage.files()
    assert not stage.events("merge.landed")
    assert stage.start("--test", "false", "--max-agents", "1").code == 0
    assert (stage.row(issue)["status"], stage.row(issue)["attempts"]) == ("done", 1)
    assert stage.events("merge.landed")[0].data.commit == stage.git("rev-parse", "main")
    assert len(stage.events("batch.tested")) == 1
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


@pytest.mark.parametrize("found_by", ["rollback", "merge now"])
@pytest.mark.parametrize("options", [[], ["--keep-closed"]])
def test_what_was_rolled_back_and_never_said_to_is_found_again(stage: Stage, found_by: str, options: list[str]) -> None:
    first, second = stage.issue("Write b", "echo b > b.txt"), stage.issue("Write c", "echo c > c.txt")
    assert stage.start("--max-agents", "1").code == 0
    killed(stage, "land:2", "rollback", first, "--reason", "too slow\n\nSwarm-Event: mine", *options)
    assert stage.files() == {"a.txt", "c.txt"}
    assert not stage.events("merge.reverted")
    tip = stage.git("rev-parse", "main")
    if found_by == "rollback":
        done = stage.swarm("rollback")
        assert (done.code, f"{first}: was reverted already" in done.out) == (0, True), done.err
        assert stage.git("rev-parse", "main") == tip, "the person is asked what to do with that"
    else:
        done = stage.swarm("merge", "now")
        assert (done.code, "idle: 0 landed" in done.out) == (int(not options), True)
    (reverted,) = stage.events("merge.reverted")
    assert (reverted.subject, reverted.data.revert, reverted.data.target) == (first, tip, "main")
    assert reverted.data.reason == "too slow\n\nSwarm-Event: mine"
    assert stage.row(first)["status"] == ("done" if options else "open")
    assert stage.row(second)["status"] == "done"
    assert stage.swarm("rollback", "--dry-run", second).code == 0
    assert len(stage.events("merge.reverted")) == 1
    assert stage.swarm("log", "verify").code == 0
    assert stage.swarm("replay", "--verify").code == 0


@pytest.mark.parametrize("moved", [False, True])
def test_what_was_promoted_and_never_said_to_is_said_by_the_next_one(stage: Stage, moved: bool) -> None:
    stage.git("branch", "staging")
    start = stage.git("rev-parse", "main")
    stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--target", "staging").code == 0
    if moved:
        stage.git("commit", "-q", "--allow-empty", "-m", "mine")
        start = stage.git("rev-parse", "main")
    killed(stage, "land:2", "promote")
    assert not stage.events("branch.promoted")
    assert stage.swarm("promote").code == 0
    (promoted,) = stage.events("branch.promoted")
    found = promoted.data
    assert (found.source, found.target, found.base, found.commit) == (
        *("staging", "main", start),
        stage.git("rev-parse", "main"),
    )
    assert stage.swarm("promote").code == 0
    assert len(stage.events("branch.promoted")) == 1
