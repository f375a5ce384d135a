"""The command line as a whole: discovery, laziness, errors and exit codes."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from swarm import cli
from swarm.cli import run
from swarm.eventlog.errors import SwarmError, UsageError

WORDS = click.Argument(["words"], nargs=-1)
COMMANDS = cli.swarm.list_commands(click.Context(cli.swarm))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_file_is_a_command_with_a_headline_and_a_group(name: str) -> None:
    command = cli.swarm.get_command(click.Context(cli.swarm), name)
    words, group = cli._headline(name)
    assert isinstance(command, click.Command)
    assert words.endswith(".")
    assert group in cli._GROUPS


def test_help_groups_the_commands_and_imports_none_of_them() -> None:
    code = (
        "import sys; from swarm.cli import run; run(['--help']);"
        "print(*[m for m in sys.modules if m.startswith('swarm.commands')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""
    for heading in cli._GROUPS:
        assert f"\n{heading}:\n" in done.stdout
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


def test_an_unknown_command_is_wrong_usage_and_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["isue"]) == 2
    assert "Did you mean 'issue'?" in capsys.readouterr().err


def test_a_bug_of_ours_exits_with_3_and_leaves_a_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["some", "words"], click.Command("broken", callback=lambda words: 1 // 0, params=[WORDS])) == 3
    report = next(tmp_path.glob("swarm-report-*.txt"))
    assert str(report) in capsys.readouterr().err
    assert "ZeroDivisionError" in report.read_text()
    assert "['some', 'words']" in report.read_text()


@pytest.mark.parametrize(
    ("error", "code"), [(SwarmError("no", "do this"), 1), (UsageError("no", "do this"), 2), (KeyboardInterrupt(), 130)]
)
def test_errors_become_words_and_exit_codes(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(words: str) -> None:
        raise error

    assert run([], click.Command("failing", callback=fail, params=[WORDS])) == code
    assert capsys.readouterr().err.lstrip("\n") == ("" if code == 130 else "swarm: no\n       do this\n")


def test_a_reader_that_has_gone_is_no_bug(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    swarm = Path(sys.executable).with_name("swarm")
    done = subprocess.run([swarm, "--help"], stdout=write, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    os.close(write)
    assert done.returncode == 1
    assert done.stderr == ""
