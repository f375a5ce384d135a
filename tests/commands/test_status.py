"""`swarm status`: everything on one screen, and reading changes nothing."""

import os
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import (
    BatchFormed,
    GateFlaked,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    IssueOpened,
    LandingHeld,
    MailSent,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeTested,
    QueueHeld,
    QueueResumed,
    RunStarted,
    RunStopped,
    SessionStarted,
    UsageReported,
)
from swarm.world.running import Holder, RunLock

from given import History

RUN = RunStarted(pid=1, boot_id="b", start_ticks=1, version="0", target="main", runtime="shell", max_agents=4,
                 max_retries=1)  # fmt: skip
COMMAND = "git -C /a/very/long/path/to/the/checkout/of/a/person merge --ff-only " + "c" * 40 + "  # then all is well"
KEYS = {
    "agents": {"name", "role", "state", "issue", "attempt", "runtime", "model", "pid", "since", "seen", "note"},
    "merges": {"issue", "attempt", "status", "branch", "commit", "target", "reason", "command"},
    "mail": {"id", "from", "to", "type", "priority", "issue", "body", "status", "at"},
}


def write(home: Home, history: History) -> None:
    Path(home.place.log, "other.jsonl").write_bytes(history.lines)


def attempt(history: History, issue: str, agent: str, title: str = "title") -> str:
    opened = history.said(IssueOpened(title=title), issue)
    given = IssueAssigned(attempt=1, generation=opened, agent=agent, role="builder", runtime="pi", model="m1")
    history.said(given, issue, "coordinator")
    return opened


def hold(history: History, issue: str) -> None:
    history.said(MergeQueued(attempt=1, branch="b", commit="d"), issue)
    history.said(MergePrepared(attempt=1, base="b", commit="c", tree="t"), issue)
    history.said(MergeTested(attempt=1, base="b", commit="c", verdict="passed"), issue)
    why = "your local changes are in the way"
    history.said(LandingHeld(attempt=1, target="main", commit="c", reason=why, command=COMMAND), issue)


@pytest.fixture
def busy(home: Home) -> History:
    """More of everything than a screen holds."""
    made = History()
    made.said(RUN, "run-1", "system")
    for number in range(30):
        opened = attempt(made, f"sw-{number:04x}", f"builder-{number}", f"Title {number} " + "long " * 40)
        if number % 5 == 0:
            made.said(IssueHeld(generation=opened, reason="the tests fail " * 20), f"sw-{number:04x}")
        if number % 5 == 1:
            made.said(MergeQueued(attempt=1, branch="b" * 200, commit="c"), f"sw-{number:04x}")
        if number % 5 == 2:
            made.said(MergeQueued(attempt=1, branch="b", commit="c"), f"sw-{number:04x}")
            made.said(MergeLanded(attempt=1, target="main", base="b", commit="d"), f"sw-{number:04x}")
            made.said(IssueClosed(generation=opened), f"sw-{number:04x}")
        if number % 5 == 3:
            hold(made, f"sw-{number:04x}")
        used = UsageReported(session=f"sw-{number:04x}-1", attempt=1, model="m1", origin="runtime", calls=1, cost=0.25)
        made.said(used, f"sw-{number:04x}", "session")
        made.said(MailSent(to=["human"] * 9, body="body " * 50), "", f"agent/builder-{number}")
    write(home, made)
    return made


def test_the_document_has_these_keys(swarm: Any, busy: History) -> None:
    document = swarm("status", "--json").json
    assert list(document) == ["issues", "agents", "merges", "flakes", "held", "costs", "mail", "running"]
    assert document["issues"] == {"open": 0, "in_progress": 18, "blocked": 6, "done": 6}
    for name, keys in KEYS.items():
        assert all(set(row) == keys for row in document[name])
    totals = {"calls", "input_tokens", "output_tokens", "cached_tokens", "cost", "unpriced"}
    assert set(document["costs"]) == {*totals, "by_agent"}
    assert all(set(total) == totals for total in document["costs"]["by_agent"].values())
    assert (document["costs"]["cost"], document["costs"]["by_agent"]["builder-7"]["cost"]) == (7.5, 0.25)
    assert (len(document["agents"]), len(document["mail"])) == (30, 10)
    landed = [row["issue"] for row in document["merges"] if row["status"] == "landed"]
    assert (landed[0], landed[-1], len(document["merges"])) == ("sw-0007", "sw-001b", 17), "the newest, and what waits"
    assert document["mail"][-1]["id"] == busy.events[-1].id
    assert document["running"] is False


def test_everything_is_on_one_screen_and_what_is_left_out_is_counted(swarm: Any, busy: History) -> None:
    lines = swarm("status").out.splitlines()
    assert len(lines) <= 40
    assert all(len(line) <= 120 for line in lines if not line.startswith("    $ "))
    assert sum(1 for line in lines if line.startswith("  … and ")) >= 3
    assert "issues  6 blocked, 18 in progress, 6 done" in lines
    assert "  … and 20 more" in lines


def test_an_empty_repository_has_a_short_status(swarm: Any, home: Home) -> None:
    result = swarm("status")
    assert result.code == 0
    assert result.out.splitlines()[0] == "swarm   has not run here yet: swarm start"
    assert swarm("status", "--json").json["issues"] == {"open": 0, "in_progress": 0, "blocked": 0, "done": 0}


def test_what_needs_the_person_comes_first_with_the_reason_and_the_whole_command(swarm: Any, home: Home) -> None:
    history = History()
    history.said(RUN, "run-1", "system")
    history.said(IssueOpened(title="first", priority=1), "sw-a")
    held = history.said(IssueOpened(title="second", priority=5), "sw-b")
    history.said(IssueHeld(generation=held, reason="the tests fail"), "sw-b")
    history.said(IssueOpened(title="third", needs=["sw-a"]), "sw-c")
    attempt(history, "sw-d", "builder-1")
    hold(history, "sw-d")
    write(home, history)
    lines = swarm("status").out.splitlines()
    assert lines[2].split() == ["sw-b", "blocked", "-", "second:", "the", "tests", "fail"]
    assert any("third: needs sw-a" in line for line in lines)
    assert f"    $ {COMMAND}" in lines
    assert any("your local changes are in the way" in line for line in lines)


def test_how_often_tests_flaked_is_shown(swarm: Any, home: Home) -> None:
    history = History()
    assert not any("flaked" in line for line in swarm("status").out.splitlines())
    history.said(GateFlaked("test", "make test", "tree"), "b-1", "merger")
    write(home, history)
    assert "merges  0 waiting, 0 landed, tests flaked 1 time: swarm merge list" in swarm("status").out.splitlines()
    assert swarm("status", "--json").json["flakes"] == [{"command": "make test", "count": 1}]


def test_a_held_queue_is_shown_with_the_command_that_goes_on(swarm: Any, home: Home) -> None:
    history = History()
    history.said(RUN, "run-1", "system")
    history.said(QueueHeld("person", "look at this first"), "run-1")
    write(home, history)
    lines = swarm("status").out.splitlines()
    place = lines.index("  the queue is held: look at this first")
    assert lines[place + 1] == "    $ swarm merge now"
    assert swarm("status", "--json").json["held"] == "look at this first"
    history.said(QueueResumed(), "run-1")
    write(home, history)
    assert "held" not in swarm("status").out
    assert swarm("status", "--json").json["held"] == ""


def test_who_is_tested_together_is_shown(swarm: Any, home: Home) -> None:
    history = History()
    history.said(RUN, "run-1", "system")
    for name in ("sw-a", "sw-b", "sw-c"):
        attempt(history, name, f"builder-{name}")
        history.said(MergeQueued(attempt=1, branch="branch", commit="c"), name)
    write(home, history)
    home.append("merger", [("b-1", BatchFormed([("sw-a", 1), ("sw-b", 1)]))])
    shown = {
        line.split()[0]: line
        for line in swarm("status").out.splitlines()
        if line.startswith("  sw-") and "branch" in line
    }
    assert shown["sw-a"].endswith("branch  with sw-b")
    assert shown["sw-b"].endswith("branch  with sw-a")
    assert shown["sw-c"].endswith("branch")


def test_an_unknown_price_is_shown_as_unknown(swarm: Any, home: Home) -> None:
    history = History()
    attempt(history, "sw-a", "builder-1")
    used = UsageReported(session="sw-a-1", attempt=1, model="m", origin="runtime", calls=2)
    history.said(used, "sw-a", "session")
    write(home, history)
    assert "price unknown" in swarm("status").out
    assert swarm("status", "--json").json["costs"]["cost"] is None


def test_nothing_in_the_log_acts_on_the_terminal(swarm: Any, home: Home) -> None:
    history = History()
    attempt(history, "sw-a", "builder-1", "a\x1b[2Jb\nc\u202e")
    history.said(MailSent(to=["human\x1b[1m"], body="x\x9b31m\r\ny"), "", "agent/x\x1b]0;t\x07")
    history.said(IssueOpened(title="t"), "sw-\x1b[31m\n")
    write(home, history)
    out = swarm("status").out
    assert not any(sign in out for sign in ("\x1b", "\x9b", "\r", "\u202e", "\x07"))
    assert "a\\x1b[2Jb c" in out


def test_it_says_whether_a_swarm_runs(swarm: Any, home: Home) -> None:
    lock = RunLock(os.path.join(home.place.home, "run.lock"))
    lock.take(Holder(4711, "run-abc", "2026-11-21T04:20:09+00:00"))
    try:
        assert swarm("status", "--json").json["running"] is True
        assert "run-abc runs (pid 4711" in swarm("status").out
    finally:
        lock.drop()
    assert swarm("status", "--json").json["running"] is False


def test_it_says_how_the_last_run_ended(swarm: Any, home: Home) -> None:
    home.append("system", [("run-1", RUN)])
    assert "killed" in swarm("status").out.splitlines()[0]
    home.append("system", [("run-1", RunStopped(reason="idle", code=0))])
    assert swarm("status").out.splitlines()[0] == "swarm   does not run; the last was run-1: idle"


def test_no_reading_command_changes_anything(swarm: Any, home: Home, busy: History) -> None:
    letter = next(event.id for event in busy.events if event.type == "mail.sent")
    gone = SessionStarted(session="sw-0004-1", attempt=1, kind="agent", boot_id="old", pid=1, start_ticks=1,
                          host_pid=1, host_ticks=1)  # fmt: skip
    home.append("session/sw-0004-1", [("sw-0004", gone)])
    before = everything(home)
    for words in (
        "status", "log", "log --type mail", "log verify", "replay", "replay --at 9", f"why {letter}", "why sw-0001",
        "agent list", "agent show builder-4", "agent logs builder-4", "doctor", "issue list", "issue show sw-0001",
        "issue ready", "mail list", "mail show",
    ):  # fmt: skip
        for json_ in ((), ("--json",)) if not words.startswith("agent logs") else ((),):
            result = swarm(*words.split(), *json_)
            assert (result.code, words) in ((0, words), (1, "doctor"), (1, "log verify")), result.err
    assert everything(home) == before


def everything(home: Home) -> dict[str, tuple[bytes, int]]:
    """Every file of the swarm, what is in it, and when it was written."""
    files = [path for path in Path(home.place.home).rglob("*") if path.is_file()]
    return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}
