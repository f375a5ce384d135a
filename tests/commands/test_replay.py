"""`swarm replay`: the state at every moment, what changed between two, and the log played again, from the log alone."""

import fcntl
import gc
import json
import os
import signal
import struct
import subprocess
import sys
import termios
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swarm.commands import Home
from swarm.commands._past import Past
from swarm.eventlog.events import (
    IssueAssigned,
    IssueClosed,
    IssueOpened,
    IssueReopened,
    MailSent,
    MergeLanded,
    MergeQueued,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import Minter, node_bits, rfc3339
from swarm.eventlog.lines import encode, envelope
from swarm.eventlog.segments import sealed_name
from swarm.mailbox.changes import changes, shot
from swarm.mailbox.screen import screen

from given import History, id_of
from waiting import PATIENCE

KEYS = {"at", "index", "issues", "agents", "mail", "merges", "costs"}


@pytest.fixture
def history(home: Home) -> History:
    """One issue from its opening to its end, in six events."""
    made = History()
    opened = made.said(IssueOpened(title="Add a parser"))
    made.said(IssueAssigned(attempt=1, generation=opened, agent="builder-1", role="builder", runtime="shell"))
    made.said(MergeQueued(attempt=1, branch="swarm/builder-1/sw-a-1", commit="c"))
    made.said(MergeLanded(attempt=1, target="main", base="b", commit="c"))
    made.said(IssueClosed(generation=opened, reason="landed", commit="c"))
    made.said(MailSent(to=["human"], body="it is done"), source="coordinator")
    Path(home.place.log, "other.jsonl").write_bytes(made.lines)
    return made


def at(swarm: Any, where: object) -> Any:
    result = swarm("replay", "--at", str(where), "--json")
    assert result.code == 0, result.err
    assert set(result.json) == KEYS
    return result.json


def test_it_shows_the_state_of_every_moment(swarm: Any, history: History) -> None:
    seen = [at(swarm, index) for index in range(7)]
    assert seen[0]["issues"] == []
    assert [one["issues"][0]["status"] for one in seen[1:]] == ["open", *["in_progress"] * 3, "done", "done"]
    assert [[m["status"] for m in one["merges"]] for one in seen[2:5]] == [[], ["queued"], ["landed"]]
    assert [a["state"] for one in seen for a in one["agents"]] == ["assigned", "queued", "idle", "idle", "idle"]
    assert [len(one["mail"]) for one in seen] == [0, 0, 0, 0, 0, 0, 1]


def test_without_at_it_shows_the_newest_event(swarm: Any, history: History) -> None:
    newest = swarm("replay", "--json").json
    assert (newest["index"], newest["at"]) == (6, history.events[5].id)
    assert newest == at(swarm, 6)


def test_an_event_is_named_by_its_number_or_by_either_end_of_its_id(swarm: Any, history: History) -> None:
    third = history.events[2].id
    assert at(swarm, 3) == at(swarm, third) == at(swarm, third[-12:]) == at(swarm, third[:13].upper())
    assert (at(swarm, 0)["at"], at(swarm, 0)["index"]) == ("", 0)


def test_the_same_event_in_two_files_is_one_event(swarm: Any, home: Home, history: History) -> None:
    before = swarm("replay", "--json").out
    lines = history.lines.splitlines(keepends=True)
    Path(home.place.log, "third.jsonl").write_bytes(b"".join(reversed(lines)))
    assert swarm("replay", "--json").out == before


@pytest.mark.parametrize("where", ["7", "-1", "99999999999999999999", "zz", "019aa3", id_of(77)])
def test_what_is_no_one_event_is_refused(swarm: Any, history: History, where: str) -> None:
    result = swarm("replay", "--at", where)
    assert result.code == 2
    assert "event" in result.err


def test_the_text_begins_with_where_it_is_and_shows_the_board(swarm: Any, history: History) -> None:
    lines = swarm("replay", "--at", "4").out.splitlines()
    assert lines[0] == "event 4 of 6, 00:12:54, merge.landed: human: attempt 1 landed: main is at c"
    assert lines[1] == "issues  1 in progress"
    assert swarm("replay", "--at", "0").out.startswith("event 0 of 6, before the first\nissues  none\n")


def test_an_empty_log_has_no_events(swarm: Any, home: Home) -> None:
    assert swarm("replay", "--json").json["index"] == 0
    assert swarm("replay", "--at", "1").code == 2


# --- times ----------------------------------------------------------------------------------------


def test_a_time_shows_what_was_then(swarm: Any, history: History) -> None:
    day = history.events[0].time[:10]
    third = at(swarm, 3)
    assert third["at"] == history.events[2].id
    for words in (history.events[2].time, f"{day}T00:12:53Z", f"{day} 02:12:53+02:00", "00:12:53"):
        assert at(swarm, words) == third, words
    assert at(swarm, "00:11")["index"] == 0
    assert at(swarm, "00:12") == at(swarm, f"{day}T00:12") == at(swarm, day) == at(swarm, "5m") == at(swarm, 6)
    assert at(swarm, "9999d")["index"] == 0


def test_a_time_that_is_none_is_refused(swarm: Any, history: History) -> None:
    result = swarm("replay", "--at", "25:00")
    assert result.code == 2
    assert "no time" in result.err
    assert "04:20" in result.err


# --- what changed ---------------------------------------------------------------------------------


def test_what_changed_between_two_moments_in_words(swarm: Any, history: History) -> None:
    result = swarm("replay", "--diff", "2", "00:12")
    assert result.code == 0, result.err
    assert result.out.splitlines() == [
        "from      00:12:52, issue.assigned: human: attempt 1 to builder-1 (shell)",
        "to        00:12:56, mail.sent: coordinator: to human (event): it is done",
        "issues    1 done",
        "  sw-a  in progress > done  Add a parser: landed",
        "attempts  1 landed",
        "  sw-a-1  assigned > landed  builder-1",
        "merges    1 landed",
        "  sw-a-1  new > landed  c",
        "agents    1 idle",
        "  builder-1  assigned > idle  landed sw-a",
        "mail      1 unread",
        "  00000005  new > unread  coordinator > human: it is done",
    ]


def test_what_changed_is_the_same_whichever_moment_is_named_first(swarm: Any, history: History) -> None:
    ids = [event.id for event in history.events]
    found = swarm("replay", "--diff", "1", "4", "--json").json
    assert (found["from"], found["to"]) == (ids[0], ids[3])
    assert found["changes"]["merges"] == [{"id": "sw-a-1", "before": "", "after": "landed", "what": "c"}]
    assert swarm("replay", "--diff", ids[3], ids[0], "--json").json == found


def test_between_a_moment_and_itself_nothing_changed(swarm: Any, history: History) -> None:
    assert swarm("replay", "--diff", "3", "3").out.splitlines()[-1] == "nothing changed"
    assert swarm("replay", "--diff", "0", "0").out.splitlines()[0] == "from      before the first"


# --- a long log -----------------------------------------------------------------------------------


def long_log(folder: Path) -> list[str]:
    """Five megabytes of issues that were opened, given out, closed and some opened again; returns the ids."""
    made, now = list[tuple[str, bytes]](), [1_800_000_000.0]
    mint = Minter(node_bits("n1"), lambda: now[0], lambda: 7)

    def said(fact: Fact, subject: str, source: str = "human") -> str:
        now[0] += 0.5
        id_ = mint.mint()
        made.append((id_, encode(envelope(fact, id=id_, time=rfc3339(id_), source=source, subject=subject))))
        return id_

    for number in range(1200):
        name = f"sw-{number:08x}"
        opened = said(IssueOpened(f"Do {number}", "x" * 4000), name)
        said(IssueAssigned(1, opened, f"builder-{number % 3}", "builder", "shell"), name, "coordinator")
        said(MailSent(["human"], f"about {number}", issue=name), name, f"agent/builder-{number % 3}")
        said(IssueClosed(opened, "landed"), name, "coordinator")
        if number % 50 == 49:
            said(IssueReopened("again"), f"sw-{number - 40:08x}")
    cuts = [*range(0, len(made), 1000), len(made)]
    for first, last in pairwise(cuts):
        (folder / sealed_name("n1", made[first][0])).write_bytes(b"".join(line for _, line in made[first:last]))
    return [id_ for id_, _ in made]


def test_of_a_long_log_the_same_is_shown_as_if_all_of_it_had_been_folded(swarm: Any, home: Home) -> None:
    ids = long_log(Path(home.place.log))
    plain = Past(home.place.log)
    for number in (0, 1, 999, 1000, 2345, 4800, len(ids)):
        until = ids[number - 1] if number else ""
        shown = swarm("replay", "--at", str(number)).out.splitlines()
        assert shown[0].startswith(f"event {number} of {len(ids)}, ")
        assert shown == [shown[0], *screen(plain.board(until), "")[1:]]
    for first, last in ((0, 1500), (1800, 2300), (4700, len(ids)), (10, len(ids))):
        begin, end = (plain.board(ids[number - 1] if number else "") for number in (first, last))
        found = swarm("replay", "--diff", str(first), str(last), "--json").json["changes"]
        assert found == json.loads(msgspec.json.encode(changes(shot(begin), shot(end))))
    assert Path(home.place.home, "cache", "board.sqlite").exists()
    gc.collect()  # boards and their states name each other: a process that ends does not mind


# --- playing it -----------------------------------------------------------------------------------


@pytest.mark.parametrize("speed", ["max", "0", "1e9"])
def test_a_run_is_played_line_by_line_where_there_is_no_terminal(swarm: Any, history: History, speed: str) -> None:
    result = swarm("replay", "--follow", "--speed", speed)
    assert result.code == 0, result.err
    assert result.out.splitlines() == [line.split("  ", 1)[1] for line in swarm("log").out.splitlines()]
    later = swarm("replay", "--follow", "--speed", speed, "--from", "4").out.splitlines()
    assert later == result.out.splitlines()[4:]


def test_on_a_terminal_the_board_is_drawn_and_fits_in(history: History, home: Home) -> None:
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 6, 40, 0, 0))
    argv = [str(Path(sys.executable).with_name("swarm")), "replay", "--follow", "--speed", "max"]
    env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.Popen(argv, stdout=slave, env=env)
    os.close(slave)
    text = b""
    try:
        while block := os.read(master, 65536):
            text += block
    except OSError:
        pass  # what Linux gives at the end of a terminal
    finally:
        os.close(master)
    assert done.wait(PATIENCE) == 0
    last = text.decode().split("\x1b[H")[-1].replace("\x1b[K", "").split("\x1b[J")[0].splitlines()
    lines = [line for line in last if line]
    assert len(lines) == 5
    assert max(map(len, lines)) <= 40
    assert lines[0].startswith("00:12:56  sw-a            mail.sent")
    assert lines[1] == "issues  1 done"


def test_an_interrupt_while_it_waits_ends_it_with_130(history: History) -> None:
    argv = [str(Path(sys.executable).with_name("swarm")), "replay", "--follow", "--speed", "0.0001"]
    playing = subprocess.Popen(argv, stdout=subprocess.PIPE)
    assert playing.stdout
    with playing.stdout as out:
        assert b"Add a parser" in out.readline()  # and the next event is due in hours
        playing.send_signal(signal.SIGINT)
        assert playing.wait(PATIENCE) == 130
        assert out.read() == b""


@pytest.mark.parametrize("speed", ["-1", "fast", "nan", "inf"])
def test_what_is_no_speed_is_refused(swarm: Any, history: History, speed: str) -> None:
    result = swarm("replay", "--follow", "--speed", speed)
    assert result.code == 2
    assert "no speed" in result.err


@pytest.mark.parametrize(
    "options",
    [
        ("--at", "1", "--diff", "1", "2"),
        ("--verify", "--follow"),
        ("--speed", "60"),
        ("--from", "2"),
        ("--at", "1", "--from", "2"),
        ("--follow", "--json"),
        ("--diff", "1"),
    ],
)
def test_options_that_do_not_go_together_are_refused(swarm: Any, history: History, options: tuple[str, ...]) -> None:
    result = swarm("replay", *options)
    assert result.code == 2
    assert result.out == ""
