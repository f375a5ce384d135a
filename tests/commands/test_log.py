"""`swarm log`: every event in one line, the very lines as JSON, and whether the log is whole."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.commands.log import Reader
from swarm.eventlog.events import (
    IssueAssigned,
    IssueOpened,
    MailSent,
    MergeLanded,
    SessionProgressed,
    WorkSecured,
)
from swarm.eventlog.tail import read_all
from swarm.world.node import open_log

import strangers
from given import History
from meanwhile import Meanwhile
from waiting import until

ASSIGNED = IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="shell")


@pytest.fixture
def history(home: Home) -> History:
    """A small run, in the file of another node."""
    made = History()
    made.said(IssueOpened(title="Add a parser"), "sw-aaa1")
    made.said(IssueOpened(title="Remove a parser"), "sw-bbb2")
    made.said(ASSIGNED, "sw-aaa1", "coordinator")
    made.said(SessionProgressed(session="sw-aaa1-1", attempt=1, output=9), "sw-aaa1", "session/sw-aaa1-1")
    made.said(MailSent(to=["agent-builder-1"], body="hello"), "", "human")
    made.said(WorkSecured(attempt=1, ref="r", commit="c", base="b", commits=1), "sw-aaa1", "builder")
    made.said(MergeLanded(attempt=1, target="main", base="b", commit="c"), "sw-aaa1", "merger")
    write(home, made.lines)
    return made


def write(home: Home, lines: bytes, node: str = "other") -> None:
    Path(home.place.log, f"{node}.jsonl").write_bytes(lines)


def shown(swarm: Any, *args: str) -> list[int]:
    """The numbers of the events that `swarm log` shows with these options."""
    result = swarm("log", "--json", *args)
    assert result.code == 0, result.err
    return [int(json.loads(line)["id"][-4:], 16) for line in result.out.splitlines()]


def test_it_shows_one_line_for_each_event_in_order(swarm: Any, history: History) -> None:
    lines = swarm("log").out.splitlines()
    assert len(lines) == 7
    assert lines[0].endswith("sw-aaa1         issue.opened        human: Add a parser")
    assert [line.split()[3] for line in lines[:2]] == ["issue.opened", "issue.opened"]
    assert lines[6].split()[0] == history.events[6].id[-8:]


def test_events_are_in_the_order_of_ids_and_shown_once_whatever_files_they_are_in(
    swarm: Any, home: Home, history: History
) -> None:
    lines = history.lines.splitlines(keepends=True)
    write(home, b"".join(reversed(lines)), "another")
    assert shown(swarm) == [0, 1, 2, 3, 4, 5, 6]


def test_json_prints_the_very_lines_unknown_types_and_fields_too(swarm: Any, home: Home, history: History) -> None:
    known = history.lines.splitlines()[0]
    newer = known.replace(b'"title"', b'"mood":"new","title"').replace(b"00000000", b"00000001", 1)
    strange = b'{"type":"quota.exhausted","id":"%s","time":"t","source":"x","data":{"a":1}}'
    strange %= newer.split(b'"id":"')[1][:36].replace(b"-8000-", b"-8001-")
    write(home, b"%s\n%s\n" % (newer, strange))
    assert swarm("log", "--json").out.encode().splitlines() == [newer, strange]
    assert "Add a parser" in swarm("log").out
    assert "quota.exhausted" in swarm("log").out


@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        (["--type", "merge"], [6]),
        (["--type", "merge.landed"], [6]),
        (["--type", "issue."], [0, 1, 2]),
        (["--about", "bbb"], [1]),
        (["--about", "sw-aaa1"], [0, 2, 3, 5, 6]),
        (["--about", "sw-aaa1-1"], [3]),
        (["--about", "builder-1"], [2, 3, 4, 5, 6]),
        (["--about", "agent-builder-1"], [2, 3, 4, 5, 6]),
        (["--about", "builder-2"], []),
        (["--by", "human"], [0, 1, 4]),
        (["--by", "session"], [3]),
        (["--by", "coord", "--type", "issue"], [2]),
        (["--limit", "2"], [5, 6]),
        (["--since", "0005"], [6]),
        (["--about", "nothing"], []),
    ],
)
def test_options_choose_events(swarm: Any, history: History, options: list[str], numbers: list[int]) -> None:
    assert shown(swarm, *options) == numbers


@pytest.mark.parametrize("by", ["agent-builder-1", "agent/builder-1", "builder-1", "agent-"])
def test_an_author_may_be_named_by_the_address_that_everything_else_takes(swarm: Any, home: Home, by: str) -> None:
    home.append("agent/builder-1", [("", MailSent(to=["human"], body="hi"))])
    home.append("human", [("", MailSent(to=["human"], body="mine"))])
    lines = swarm("log", "--json", "--by", by).out.splitlines()
    assert [json.loads(line)["source"] for line in lines] == ["agent/builder-1"]


def test_since_a_time_shows_what_is_younger(swarm: Any, home: Home, history: History) -> None:
    new = home.append("human", [("sw-ccc3", IssueOpened(title="now"))])[0]
    lines = swarm("log", "--json", "--since", "5m").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [new.id]
    assert len(swarm("log", "--since", "99999d").out.splitlines()) == 8


def test_what_cannot_be_meant_is_refused(swarm: Any, history: History) -> None:
    wrong_type = swarm("log", "--type", "marge")
    assert wrong_type.code == 2
    assert "merge" in wrong_type.err
    assert swarm("log", "--since", "never").code == 2
    assert swarm("log", "--limit", "0").code == 2


def test_a_line_of_garbage_is_counted_and_hides_nothing(swarm: Any, home: Home, history: History) -> None:
    lines = history.lines.splitlines(keepends=True)
    write(home, b"".join([*lines[:3], b"\x00garbage\xff\n", *lines[3:]]))
    result = swarm("log")
    assert len(result.out.splitlines()) == 7
    assert "1 lines are no events" in result.err
    assert "swarm log verify" in result.err


def test_nothing_in_an_event_acts_on_the_terminal(swarm: Any, home: Home) -> None:
    home.append("human", [("sw-ddd4", IssueOpened(title="a\x1b[31mred\nline"))])
    result = swarm("log")
    assert "\x1b" not in result.out
    assert "a\\x1b[31mred line" in result.out
    assert len(result.out.splitlines()) == 1


def test_verify_says_that_a_whole_log_is_whole(swarm: Any, home: Home) -> None:
    for number in range(3):
        home.append("human", [("sw-ddd4", IssueOpened(title=str(number)))])
    result = swarm("log", "verify")
    letters = "note   0 letters: 0 unread, 0 dead-lettered, 0 delivered, 0 acked\n"
    assert (result.code, result.out) == (0, letters + "the log is whole: 3 events in 1 file\n")
    none = {"unread": 0, "dead": 0, "delivered": 0, "acked": 0}
    assert swarm("log", "verify", "--json").json == {
        "errors": [],
        "notes": [],
        "events": 3,
        "files": 1,
        "letters": none,
    }


def test_pains_3_verify_tells_what_became_of_the_letters(swarm: Any) -> None:
    for to in ("human", "human", "coordinator", "@builders"):
        last = swarm("mail", "send", "--to", to, "--body", "x").last
    assert last
    first = swarm("mail", "list", "--json").json[0]["id"]
    swarm("mail", "read", first)
    swarm("mail", "check")
    result = swarm("log", "verify")
    assert result.code == 0
    assert "5 letters: 1 unread, 1 dead-lettered, 2 delivered, 1 acked\n" in result.out, (
        "one of them tells of the dead one"
    )


def test_verify_finds_a_line_that_was_changed_by_hand(swarm: Any, home: Home) -> None:
    for number in range(3):
        home.append("human", [("sw-ddd4", IssueOpened(title=f"title {number}"))])
    file = next(Path(home.place.log).glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b"title 1", b"title 7"))
    result = swarm("log", "verify")
    assert result.code == 1
    assert "changed or taken out" in result.out
    assert swarm("log", "verify", "--json").code == 1


def test_a_file_that_was_replaced_is_read_again_and_nothing_is_repeated(home: Home, history: History) -> None:
    reader = Reader(home.place.log)
    assert len(reader.read()) == 7
    more = History()
    more.events = list(history.events)
    last = more.said(IssueOpened(title="late"), "sw-eee5")
    write(home, more.lines, "new")
    os.replace(Path(home.place.log, "new.jsonl"), Path(home.place.log, "other.jsonl"))
    assert [event.id for event, _ in reader.read()] == [last]
    assert reader.read() == []


def test_follow_goes_on_with_what_comes_until_it_is_interrupted(home: Home, tmp_path: Path) -> None:
    home.append("human", [("sw-fff6", IssueOpened(title="before"))])
    output = tmp_path / "output"
    # However the tests were started (in the background a shell has SIGINT ignored), Ctrl-C is what it is to a person.
    program = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from swarm.cli import main; "
    argv = [sys.executable, "-P", "-c", program + "main(['log', '-f'])"]
    with output.open("wb") as out:
        process = subprocess.Popen(argv, cwd=home.place.root, stdout=out, stderr=subprocess.PIPE)
    try:
        until(lambda: b"before" in output.read_bytes(), what="the log so far")
        home.append("human", [("sw-fff7", IssueOpened(title="after"))])
        until(lambda: b"after" in output.read_bytes(), what="what came after")
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert (process.returncode, error.strip()) == (130, b"")
    assert len(output.read_text().splitlines()) == len(read_all(home.place.log)) == 2


@pytest.mark.parametrize(
    "command",
    [
        *(
            ["status"],
            ["issue", "list"],
            ["issue", "create", "x"],
            ["mail", "check"],
            ["mail", "send", "--to", "human"],
        ),
        *(["log"], ["log", "verify"], ["log", "repair"], ["log", "stats"], ["doctor"], ["sync", "--help"], ["replay"]),
    ],
    ids=" ".join,
)
def test_what_is_no_file_in_the_log_stands_in_nobodys_way(
    swarm: Any, home: Home, history: History, command: list[str]
) -> None:
    expected = swarm(*command, stdin="x")
    strangers.put(home.place.log)
    result = swarm(*command, stdin="x")
    assert (result.code, result.err) == (expected.code, expected.err)
    assert len(result.out.splitlines()) >= len(expected.out.splitlines())


@pytest.mark.parametrize("listing", [1, 2])
def test_no_event_is_missed_because_its_file_is_sealed_meanwhile(home: Home, listing: int) -> None:
    written = home.append("human", [("sw-fff6", IssueOpened(title=str(number))) for number in range(100)])

    def seal() -> None:
        log = open_log(home.place)
        log.seal(1)
        log.close()
        home.append("human", [("sw-fff7", IssueOpened(title="in the next file"))])

    disk = Meanwhile(seal, listing)
    reader = Reader(home.place.log, disk)
    assert [event.id for event, _ in reader.read()][:100] == [event.id for event in written]
    assert disk.done
    assert len(reader.read()) <= 1
    assert len(read_all(home.place.log)) == 101
