"""Bad input: each gets clear words and an exit code, and nothing is lost."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.eventlog.tail import read_all

import repository
from stage import Stage


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[start]\nmax_agents = 'four'\n", "start.max_agents"),
        ("[start]\nmax_agent = 4\n", "max_agents"),
        ("[start\n", "swarm.toml"),
        ("[runtimes.pie]\n", "pie"),
    ],
)
def test_a_malformed_swarm_toml_names_the_key(stage: Stage, text: str, words: str) -> None:
    (stage.root / "swarm.toml").write_text(text)
    done = stage.start()
    assert done.code == 2
    assert words in done.err
    assert not stage.events("run.started")


def test_a_repository_with_no_commit(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "empty")], check=True)
    stage = Stage(tmp_path / "empty")
    assert stage.swarm("init").code == 0
    done = stage.start()
    assert done.code == 2
    assert "commit" in done.err


def test_a_detached_head_needs_a_target(stage: Stage) -> None:
    stage.git("checkout", "-q", "--detach")
    stage.issue("Write b", "echo b > b.txt")
    done = stage.start()
    assert done.code == 2
    assert "--target" in done.err
    assert stage.start("--target", "main").code == 0
    assert "b.txt" in stage.files("main")


def test_a_target_that_is_no_branch(stage: Stage) -> None:
    done = stage.start("--target", "nope")
    assert done.code == 2
    assert "'nope'" in done.err


def test_outside_a_repository_and_before_init(tmp_path: Path) -> None:
    nowhere = Stage(tmp_path)
    done = nowhere.swarm("issue", "list")
    assert done.code == 2
    assert "git" in done.err
    repository.make(tmp_path / "bare")
    done = Stage(tmp_path / "bare").swarm("issue", "list")
    assert done.code == 2
    assert "swarm init" in done.err


@pytest.mark.parametrize(
    "title", ["two\nlines", "quo\"te's", "\x1b[31mred\x1b[0m", "-leading", "emoji 🐝", "$(touch pwned)"]
)
def test_any_title_lands_and_is_never_run_or_shown_raw(stage: Stage, title: str) -> None:
    done = stage.swarm("issue", "create", "--body", "echo b > b.txt", "--", title)
    assert done.code == 0, done.err
    assert stage.start().code == 0
    assert "b.txt" in stage.files()
    for command in (["issue", "list"], ["status"], ["log"], ["replay"]):
        assert "\x1b" not in stage.swarm(*command).out
    assert not list(stage.root.rglob("pwned"))


def test_an_id_that_matches_two(stage: Stage) -> None:
    ids = [stage.issue(f"Number {number}", "true") for number in range(17)]  # two of them share a first digit
    digits = [issue[3] for issue in ids]
    shared = next(digit for digit in digits if digits.count(digit) > 1)
    done = stage.swarm("issue", "show", shared)
    assert done.code == 2
    assert sum(issue in done.err for issue in ids) >= 2


def test_garbage_and_news_from_a_later_version_in_the_log_are_passed_by(stage: Stage) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    line = next(stage.log.glob("*.jsonl"))
    known = line.read_bytes().splitlines()[0]
    later = known.replace(b'"issue.opened"', b'"planet.discovered"').replace(b'"source"', b'"flavour":1,"source"')
    line.write_bytes(known + b"\nnot json at all\n\xff\xfe\x00\n" + later + b"\n" + b'{"type":"issue.opened","id":')
    done = stage.start()
    assert done.code == 0, done.err
    assert stage.row(issue)["status"] == "done"
    assert "planet.discovered" in stage.swarm("log").out


def test_a_gate_that_leaves_files_behind_does_not_land_them(stage: Stage) -> None:
    stage.issue("Write b", "echo b > b.txt")
    assert stage.start("--test", "echo junk > junk.txt").code == 0
    assert stage.files() == {"a.txt", "b.txt"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    there = tmp_path / "small"
    there.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(there)], check=True)
    yield there
    subprocess.run(["umount", str(there)], check=True)


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="No space"):
            write_for_ever(fd)
    finally:
        os.close(fd)


def write_for_ever(fd: int) -> None:
    """Ends with the disk."""
    while True:
        os.write(fd, b"x" * 512)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_is_told_and_nothing_partial_stays(stage: Stage, small_disk: Path) -> None:
    issue = stage.issue("Write b", "echo b > b.txt")
    log = next(stage.log.glob("*.jsonl"))
    moved = small_disk / log.name
    moved.write_bytes(log.read_bytes())
    for old in stage.log.glob("*"):
        old.unlink()
    subprocess.run(["mount", "--bind", str(small_disk), str(stage.log)], check=True)
    try:
        filler = small_disk / "filler"
        fill(filler)
        size = moved.stat().st_size
        done = stage.swarm("issue", "create", "Too much", "--body", "x" * 5000)
        assert done.code == 1
        assert "no space" in done.err
        assert moved.stat().st_size == size
        stopped = stage.start()  # what fits into the last page of the file still gets in, line by line
        assert stopped.code == 1
        assert "no space" in stopped.err
        assert moved.read_bytes().endswith(b"\n")
        assert stage.swarm("log", "verify").code == 0
        filler.unlink()
        assert stage.start().code == 0
        assert stage.row(issue)["status"] == "done"
        assert len(read_all(str(small_disk))) == len(stage.events())
    finally:
        subprocess.run(["umount", str(stage.log)], check=True)
