"""A command in front of the person: its exit code, its end in time, and nothing that is left of it."""

import os
import signal
from pathlib import Path

import pytest

from swarm.world import foreground, processes

from waiting import until


def test_it_runs_in_the_folder_and_its_output_goes_to_standard_error(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert foreground.run("pwd; echo oops >&2; exit 3", str(tmp_path), 60) == 3
    assert capfd.readouterr() == ("", f"{tmp_path}\noops\n")


def test_one_that_was_killed_has_failed(tmp_path: Path) -> None:
    assert foreground.run("kill -9 $$", str(tmp_path), 60) == signal.SIGKILL


def test_one_that_does_not_end_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    script = "sleep 600 & echo $! > child; trap '' TERM; wait"
    assert foreground.run(script, str(tmp_path), 0.5) == -1
    child = int((tmp_path / "child").read_text())
    until(lambda: processes.identity(child) is None, what="the child to be gone")


def test_what_it_leaves_behind_is_ended_too(tmp_path: Path) -> None:
    assert foreground.run("sleep 600 & echo $! > child", str(tmp_path), 60) == 0
    child = int((tmp_path / "child").read_text())
    until(lambda: processes.identity(child) is None, what="the child to be gone")


def test_it_does_not_read_what_the_person_types(tmp_path: Path) -> None:
    assert foreground.run("read word", str(tmp_path), 60) == 1
    assert os.getpgid(0) > 0
