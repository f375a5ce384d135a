"""Killed between git's move of a branch and the line in the log that says so: the truth is found again."""

import signal
import subprocess
import sys
from pathlib import Path

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
