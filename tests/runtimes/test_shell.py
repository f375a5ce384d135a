"""The runtime `shell`, with real shells in real folders."""

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from swarm.eventlog.errors import UsageError
from swarm.runtimes import Outcome, Task, shell


@pytest.fixture
def task(tmp_path: Path) -> Task:
    for name in ("run", "tree"):
        (tmp_path / name).mkdir()
    return Task(
        session="sw-1-1-agent",
        issue="sw-1",
        agent="kim",
        role="builder",
        prompt="",
        body="",
        worktree=str(tmp_path / "tree"),
        run_dir=str(tmp_path / "run"),
    )


def run(task: Task, body: str, **changes: object) -> tuple[Outcome, str]:
    """Launch, run for real, read; returns the verdict and the last note."""
    launch = shell.launch(msgspec.structs.replace(task, body=body, **changes))
    for path, text in launch.files.items():
        Path(path).write_text(text)
        os.chmod(path, 0o600)
    ran = subprocess.run(launch.argv, cwd=task.worktree, capture_output=True)
    reader = shell.reader()
    for line in ran.stdout.splitlines():
        reader.feed(line)
    return reader.outcome(ran.returncode), reader.note


def test_the_body_runs_in_the_worktree(task: Task):
    outcome, _ = run(task, "echo hi > made.txt\necho done\n")
    assert outcome == Outcome(ok=True, report="done")
    assert Path(task.worktree, "made.txt").read_text() == "hi\n"


def test_a_script_ends_at_its_first_failing_command(task: Task):
    outcome, _ = run(task, "echo before\nfalse\necho after")
    assert outcome == Outcome(ok=False, why="exit code 1", report="before")


def test_the_exit_code_is_said_in_words(task: Task):
    assert run(task, "exit 3")[0].why == "exit code 3"
    assert run(task, "kill -9 $$")[0].why == "killed by signal 9 (SIGKILL)"


def test_the_first_line_may_name_an_interpreter(task: Task):
    assert run(task, "#!/usr/bin/env python3\nprint(6 * 7)")[0].report == "42"
    assert run(task, "#!/usr/bin/env -S python3 -X utf8\nimport sys\nprint(sys.flags.utf8_mode)")[0].report == "1"
    assert run(task, "#!\necho plain")[0].report == "plain"


def test_the_script_needs_no_execute_permission(task: Task):
    assert run(task, "#!/bin/sh\necho ran")[0].report == "ran"
    assert not os.access(Path(task.run_dir, "script"), os.X_OK) or os.geteuid() == 0


def test_settings_choose_another_shell(task: Task):
    assert run(task, 'echo "$0 ${BASH_VERSION:+bash}"', binary="bash")[0].report.endswith("bash")
    assert run(task, "echo $undefined", binary="sh", args=("-u",))[0].why != ""


@pytest.mark.parametrize("body", ["", " \n\t\n"])
def test_an_empty_body_is_refused_with_what_to_do(task: Task, body: str):
    with pytest.raises(UsageError, match="issue sw-1 has no body") as refused:
        shell.launch(msgspec.structs.replace(task, body=body))
    assert "--body" in refused.value.hint


def test_the_note_is_the_last_line_with_something_in_it(task: Task):
    _, note = run(task, r"printf 'one\n\033[31mtwo\033[0m\n\n'")
    assert note == "two"


def test_the_report_is_the_end_of_the_output(task: Task):
    outcome, _ = run(task, "seq 1 100000")
    assert outcome.report.splitlines() == [str(n) for n in range(99_961, 100_001)]


def test_the_report_is_bounded_and_keeps_its_end(task: Task):
    outcome, _ = run(task, "for i in 1 2 3; do head -c 20000 /dev/zero | tr '\\0' 'é'; echo; done; echo end")
    assert len(outcome.report.encode()) <= 8192
    assert outcome.report.endswith("end")


def test_no_escape_of_the_output_reaches_the_report(task: Task):
    outcome, _ = run(task, r"printf 'a\033]0;title\007b\033[2Jc\n'")
    assert outcome.report == "abc"


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ("", ""),
        ("echo working", ""),
        ("echo 'swarm: waiting for input'", "waiting_input"),
        ("printf ' swarm: rate limited \\r\\n'", "rate_limited"),
        ("echo 'swarm: waiting for input'; echo on", ""),
        ("echo 'I write: swarm: rate limited'", ""),
    ],
)
def test_a_script_says_that_it_waits_with_its_last_line(task: Task, lines: str, state: str):
    launch = shell.launch(msgspec.structs.replace(task, body=lines or "true"))
    for path, text in launch.files.items():
        Path(path).write_text(text)
    reader = shell.reader()
    for line in subprocess.run(launch.argv, capture_output=True).stdout.splitlines():
        reader.feed(line)
    assert reader.state == state
