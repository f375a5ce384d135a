"""P7: reading never writes to the log, except `mail read` and `mail check`, which append that they were read.

Every command there is stands in `READS` or in `WRITES`: a new one fails here until somebody has said what it is.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path

import pytest

from swarm.eventlog.tail import read_all

from arbitrary import Lives
from every_command import WRITES, commands
from garbage import chained
from stage import SWARM, Result, Stage

HISTORY = Lives(3, 200).events

READS: dict[str, list[list[str]]] = {
    "agent list": [[], ["--json"]],
    "agent show": [["builder-1"], ["builder-1", "--json"], ["nobody"]],
    "agent logs": [["builder-1"], ["builder-1", "--json"]],
    "budget": [[], ["--json"]],
    "costs": [[], ["--json"], ["--by", "agent"], ["--by", "day", "--json"]],
    "doctor": [[], ["--json"]],
    "issue list": [[], ["--json"], ["--status", "open"], ["--label", "x"]],
    "issue ready": [[], ["--json"]],
    "issue show": [["sw-0"], ["sw-0", "--json"], ["sw-none"]],
    "log": [
        [],
        ["--json"],
        ["--type", "mail", "--about", "sw-0", "--by", "human"],
        ["--since", "5m"],
        ["--limit", "3"],
    ],
    "log verify": [[], ["--json"]],
    "log repair": [["--dry-run"], ["--dry-run", "--json"]],
    "log stats": [[], ["--json"]],
    "mail list": [
        [],
        ["--json"],
        ["--to", "human", "--unread"],
        ["--from", "human", "--type", "event", "--limit", "2"],
    ],
    "mail show": [[], ["3", "--json"]],
    "merge list": [[], ["--json"], ["--all"]],
    "merge show": [["sw-0"], ["sw-0", "--json"], ["sw-none"]],
    "replay": [
        *([], ["--json"], ["--at", "50"], ["--at", "0", "--json"], ["--at", HISTORY[9].id], ["--diff", "10", "90"]),
        *(["--diff", "10", "90", "--json"], ["--verify"], ["--verify", "--json"], ["--follow", "--speed", "max"]),
    ],
    "status": [[], ["--json"]],
    "work list": [[], ["--all"], ["--json"]],
    "work show": [["sw-0"], ["sw-0", "--json"], ["sw-0", "--patch"], ["sw-none"]],
    "why": [["sw-0"], ["sw-0", "--json"], [HISTORY[50].id], ["nothing"]],
}
"""Command -> what is asked of it. (`log --follow` and `agent logs --follow` are below: they end only when told to.)"""


@pytest.fixture
def logged(stage: Stage) -> Stage:
    """A log of two nodes, with a bad line, and a torn one that a writer would end."""
    node = stage.swarm("init").out.split("(node ")[1].split(")")[0]
    lines = chained(HISTORY)
    Path(stage.log, f"n0-{HISTORY[0].id}.jsonl").write_bytes(b"".join(line + b"\n" for line in lines[:120]))
    Path(stage.log, f"{node}.jsonl").write_bytes(b"garbage\n" + b"\n".join([*lines[100:], b'{"type":"mail.s']))
    return stage


def content(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    """Bytes, time and inode of every file, by name; and of the folder."""
    files = {path.name: path for path in folder.iterdir()} | {".": folder}
    return {
        name: (path.read_bytes() if path.is_file() else b"", path.stat().st_mtime_ns, path.stat().st_ino)
        for name, path in files.items()
    }


def ask(stage: Stage, command: str, words: Sequence[str]) -> Result:
    done = stage.swarm(*command.split(), *words)
    assert done.code in (0, 1, 2), done.err
    assert "Traceback" not in done.err
    return done


def test_p7_every_command_is_known_to_read_or_to_write() -> None:
    assert sorted(commands()) == sorted({*READS, *WRITES})


@pytest.mark.parametrize("command", READS)
def test_p7_reading_leaves_the_log_as_it_was(logged: Stage, command: str) -> None:
    before = content(logged.log)
    codes = [ask(logged, command, words).code for words in READS[command]]
    assert content(logged.log) == before
    assert codes[0] == 0 or command in ("doctor", "log verify", "merge show")


@pytest.fixture
def read_only(logged: Stage) -> Iterator[Stage]:
    """A swarm has run there, and now nothing that is the swarm's can be written, by root either."""
    home = logged.log.parent
    (home / "run.lock").write_bytes(b'{"pid":1,"run":"run-1","since":"then"}\n')
    if os.geteuid() != 0:
        for path in (*logged.log.iterdir(), *home.iterdir(), home):
            path.chmod(0o500 if path.is_dir() else 0o400)
        yield logged
        for path in (home, *filter(Path.is_dir, home.iterdir())):
            path.chmod(0o700)
        return
    subprocess.run(["mount", "--bind", str(home), str(home)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(home)], check=True)
        yield logged
    finally:
        subprocess.run(["umount", str(home)], check=True)


@pytest.mark.parametrize("command", READS)
def test_p7_a_log_that_cannot_be_written_is_read_as_any_other(read_only: Stage, command: str) -> None:
    before = content(read_only.log)
    done = [ask(read_only, command, words) for words in READS[command][:1]]
    assert content(read_only.log) == before
    assert done[0].code == 0 or command in ("doctor", "log verify", "merge show")
    assert not [one.err for one in done if "ead-only" in one.err or "denied" in one.err]


@pytest.mark.parametrize("words", [["log", "--follow"], ["agent", "logs", "builder-1", "--follow"]])
def test_p7_following_leaves_the_log_as_it_was(logged: Stage, words: list[str]) -> None:
    folder = logged.root / ".git" / "swarm" / "runs"
    for attempt in HISTORY:
        if attempt.type == "issue.assigned" and attempt.data.agent == "builder-1":
            run = folder / f"{attempt.subject}-{attempt.data.attempt}"
            run.mkdir(parents=True, exist_ok=True)
            (run / "stdout.log").write_text("a line\n")
    before = content(logged.log)
    with subprocess.Popen([SWARM, *words], cwd=logged.root, stdout=subprocess.PIPE) as program:
        assert program.stdout is not None
        assert program.stdout.readline()
        program.send_signal(signal.SIGINT)
    assert content(logged.log) == before


def test_p7_what_is_marked_as_read_is_all_that_reading_mail_appends(logged: Stage) -> None:
    letter = logged.swarm("mail", "send", "--to", "human", "--body", "hello").out.strip()
    known = {event.id for event in read_all(str(logged.log))}
    for words, kind in (["mail", "check"], "mail.delivered"), (["mail", "read", letter], "mail.acked"):
        assert logged.swarm(*words).code == 0
        new = [event for event in read_all(str(logged.log)) if event.id not in known]
        assert {event.type for event in new} == {kind}
        known |= {event.id for event in new}
        before = content(logged.log)
        assert logged.swarm(*words).code == 0
        assert content(logged.log) == before, "nothing is left to mark"


def test_p7_no_command_file_is_left_out() -> None:
    """The names that click knows are those of the files, and each has a command."""
    files = {path.stem for path in Path(import_module("swarm.commands").__path__[0]).glob("[a-z]*.py")}
    assert {name.split()[0] for name in commands()} == files
