"""`swarm log repair` moves what is bad and says so; `swarm log stats` says how the log grows; `swarm log verify` after
whole runs.
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import IssueOpened, LogRepaired, SessionProgressed

import repository
from appended import facts
from stage import SWARM, Stage
from waiting import until


def write(home: Home, *titles: str) -> Path:
    """Issues with these titles; the file that they are in."""
    for title in titles:
        home.append("human", [(f"sw-{title}", IssueOpened(title=title))])
    return next(Path(home.place.log).glob("*.jsonl"))


def quarantined(home: Home) -> dict[str, bytes]:
    folder = Path(home.place.home, "quarantine")
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture
def spoilt(home: Home) -> Path:
    """A log with a line of garbage, a line that was edited, and a torn end."""
    file = write(home, "a", "b", "c", "d")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"b"', b'"B"')
    file.write_bytes(b"".join([*lines[:3], b"\xffgarbage\n", lines[3], b'{"type":"iss']))
    return file


def test_nothing_to_repair_is_said_and_nothing_appended(swarm: Any, home: Home) -> None:
    before = write(home, "a", "b").read_bytes()
    result = swarm("log", "repair")
    assert (result.code, result.out, result.err) == (0, "nothing to repair\n", "")
    assert swarm("log", "repair", "--json").json == {"moved": [], "gaps": {}, "renamed": {}}
    assert write(home).read_bytes() == before
    assert quarantined(home) == {}


def test_what_is_bad_is_moved_and_the_log_is_whole_afterwards(swarm: Any, home: Home, spoilt: Path) -> None:
    before = spoilt.read_bytes().splitlines(keepends=True)
    assert swarm("log", "verify").code == 1
    result = swarm("log", "repair")
    assert (result.code, result.err) == (0, "")
    for offset, size in (
        (len(before[0]), len(before[1])),
        (sum(map(len, before[:3])), 9),
        (sum(map(len, before[:5])), 12),
    ):
        assert f"moved  {spoilt.name}:{offset}, {size} bytes: " in result.out
    ((name, moved),) = quarantined(home).items()
    assert name.startswith(f"{spoilt.name}.")
    assert f"3 of {spoilt.name} moved to quarantine/{name}" in result.out
    assert moved == before[1] + before[3] + before[5]
    assert swarm("log", "verify").code == 0
    assert [row["title"] for row in swarm("issue", "list", "--json").json] == ["a", "c", "d"]
    (said,) = facts(home, LogRepaired)
    assert (said.source, said.data.file, said.data.quarantine) == ("human", spoilt.name, f"quarantine/{name}")
    assert swarm("log", "repair").out == "nothing to repair\n"


def test_a_dry_run_says_the_same_and_does_nothing(swarm: Any, home: Home, spoilt: Path) -> None:
    before = spoilt.read_bytes()
    planned = swarm("log", "repair", "--dry-run", "--json")
    words = swarm("log", "repair", "--dry-run").out
    assert words.count("would be moved") == 4
    assert (spoilt.read_bytes(), quarantined(home)) == (before, {})
    done = swarm("log", "repair", "--json").json["moved"]
    assert [moved["bytes"] for moved in done] == [len(before.splitlines()[1]) + 1, 9, 12]
    assert {moved["to"] for moved in done} == {f"quarantine/{name}" for name in quarantined(home)}
    assert planned.json["moved"] == [{**moved, "to": ""} for moved in done]


def test_a_log_that_nobody_can_write_is_told(home: Home, spoilt: Path) -> None:
    """What is bad stays where it is then."""
    before = spoilt.read_bytes()
    for path in (spoilt, spoilt.parent, spoilt.parent.parent):
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        # A root without capabilities is held to the modes of files, as everybody is.
        powerless = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if os.geteuid() == 0 else []
        done = subprocess.run([*powerless, SWARM, "log", "repair"], cwd=home.place.root, capture_output=True, text=True)
    finally:
        for path in (spoilt.parent.parent, spoilt.parent, spoilt):
            path.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert "ermission denied" in done.stderr
    assert (spoilt.read_bytes(), quarantined(home)) == (before, {})


def test_stats_tell_types_authors_days_and_issues(swarm: Any, home: Home) -> None:
    write(home, "a", "b")
    home.append("session/a-1", [("sw-a", SessionProgressed("a-1", 1, number)) for number in range(3)])
    swarm("mail", "send", "--to", "human", "--body", "hello")
    found = swarm("log", "stats", "--json").json
    assert (found["events"], found["files"], found["bad"]) == (6, 1, 0)
    assert {kind: size["events"] for kind, size in found["by_type"].items()} == {
        "session.progressed": 3,
        "issue.opened": 2,
        "mail.sent": 1,
    }
    assert {author: size["events"] for author, size in found["by_author"].items()} == {"session": 3, "human": 3}
    assert len(found["by_day"]) in (1, 2)
    assert list(found["per_issue"]["largest"]) == ["sw-a", "sw-b"]
    words = swarm("log", "stats").out.splitlines()
    assert words[0] == f"6 events, {found['bytes']:,} bytes, 1 file (0 sealed)"
    assert [line.split()[2:] for line in words if "session" in line] == [["session.progressed"], ["session"]]
    assert "of 2 issues, one adds" in words


def test_stats_of_an_empty_log(swarm: Any) -> None:
    result = swarm("log", "stats")
    assert (result.code, result.out.splitlines()[0]) == (0, "0 events, 0 bytes, 0 files (0 sealed)")


# --- verify, after whole runs ---------------------------------------------------------------------


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An initialised repository with one commit on main."""
    there = Stage(Path(repository.make(tmp_path / "there", {"a.txt": "a\n"}).root))
    assert there.swarm("init").code == 0
    yield there
    there.close()


@pytest.mark.slow
def test_a_real_run_with_failures_letters_and_kills_leaves_a_whole_log(stage: Stage) -> None:
    """At any moment of it, and when it is over: nothing is wrong, and nothing has not arrived."""
    stage.issue("Write b", 'sleep 0.3; swarm mail send --to human --body "b is there"; echo b > b.txt')
    stage.issue("Write c", "sleep 0.3; echo c > c.txt; exit 1")
    bad = stage.issue("Break", "rm a.txt")
    stage.issue("Look", "echo found", "--role", "scout", "--needs", bad)
    stage.swarm("mail", "send", "--to", "coordinator", "--body", "hello")
    test = ("--test", "test -f a.txt", "--max-agents", "2", "--max-retries", "1")
    for goal in (12, 30):
        process = stage.background("--until-idle", *test)
        until(lambda: len(stage.events()) >= goal or process.poll() is not None)  # noqa: B023
        process.kill()
        process.wait()
        assert whole(stage) == ([], [])
    assert stage.start(*test).code == 1
    assert len(stage.events("merge.landed")) == 1
    assert whole(stage) == ([], [])
    letters = stage.json("log", "verify")["letters"]
    assert (sum(letters.values()), letters["acked"]) == (len(stage.events("mail.sent")), 1)
    garble(stage)
    assert stage.swarm("log", "verify").code == 1
    assert stage.swarm("log", "repair").code == 0
    assert stage.json("log", "verify")["errors"] == []


def whole(stage: Stage) -> tuple[list[str], list[str]]:
    """Errors and notes; a line that a killed writer left unfinished is no news."""
    found = stage.swarm("log", "verify", "--json")
    assert found.code == 0, found.out
    report = json.loads(found.out)
    return report["errors"], [note for note in report["notes"] if "not finished" not in note]


def garble(stage: Stage) -> None:
    """Spoil one line in five, as a person with an editor does."""
    (file,) = stage.log.glob("*.jsonl")
    lines = file.read_bytes().splitlines(keepends=True)
    lines[::5] = [line.replace(b'"source":"', b'"source":"x') for line in lines[::5]]
    file.write_bytes(b"".join(lines))
