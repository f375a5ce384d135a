"""`swarm issue`: what a person types, what comes back, and what stands in the log then."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import (
    FindingsReported,
    IssueClosed,
    IssueHeld,
    IssueTaken,
    MergeLanded,
    WorkRejected,
    WorktreePrepared,
)
from swarm.eventlog.tail import read_all

KEYS = ["id", "title", "status", "priority", "needs", "role", "runtime", "assignee", "attempts", "branch", "commit"]
SHA = "5" * 40


@pytest.fixture
def new(swarm: Any) -> Any:
    """Write an issue; returns its id."""

    def new(title: str = "a title", *args: str) -> str:
        result = swarm("issue", "create", "--body", "true", *args, "--", title)
        assert result.code == 0, result.err
        return result.last

    return new


def one(swarm: Any, issue: str) -> Any:
    return swarm("issue", "show", issue, "--json").json


def events(home: Home) -> list[Any]:
    return read_all(home.place.log)


# --- create ---------------------------------------------------------------------------------------


def test_create_prints_the_id_alone_and_keeps_everything_that_was_said(swarm: Any, new: Any) -> None:
    first = new("first")
    made = swarm(
        *("issue", "create", "second", "--body", "echo hi\n", "--runtime", "pi", "--role", "scout", "--model", "m1"),
        *("--needs", first[3:7], "--priority", "1", "--label", "ui", "--label", "api"),
    )
    assert made.out.count("\n") == 1
    assert made.err == ""
    shown = one(swarm, made.last)
    wanted = {
        "title": "second", "body": "echo hi\n", "runtime": "pi", "role": "scout", "model": "m1", "needs": [first],
        "priority": 1, "labels": ["ui", "api"], "status": "open", "waits_for": [first], "by": "human",
    }  # fmt: skip
    assert wanted.items() <= shown.items()


def test_the_body_may_come_from_standard_input(swarm: Any) -> None:
    made = swarm("issue", "create", "t", "--body", "-", stdin="echo 'ä'\nexit 0\n")
    assert one(swarm, made.last)["body"] == "echo 'ä'\nexit 0\n"


@pytest.mark.parametrize(
    "title", ["-title", "--body", "--", "say \"hi\" and 'bye'", "a\\nb", "$(reboot)", "größer als ≥ 1", "5% {x}"]
)
def test_a_title_may_be_anything_on_one_line(swarm: Any, new: Any, title: str) -> None:
    assert one(swarm, new(title))["title"] == title
    assert swarm("issue", "list").code == 0


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("two\nlines", "two lines"),
        ("  tabs\t\tand \r\n returns ", "tabs and returns"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("a\u2028b\x9bc\x00"[:5], "a b c"),
    ],
)
def test_newlines_and_control_characters_of_a_title_become_spaces_and_that_is_said(
    swarm: Any, given: str, kept: str
) -> None:
    made = swarm("issue", "create", given, "--body", "true")
    assert made.code == 0
    assert "newlines or control characters" in made.err
    assert one(swarm, made.last)["title"] == kept


def test_what_could_move_the_cursor_is_never_printed_as_it_is(swarm: Any) -> None:
    made = swarm("issue", "create", "a \u202e title", "--body", "printf '\x1b[2J'", "--label", "l")
    for args in (["list"], ["show", made.last], ["ready"]):
        out = swarm("issue", *args).out
        assert "\x1b" not in out
        assert "\u202e" not in out
    assert one(swarm, made.last)["body"] == "printf '\x1b[2J'"


@pytest.mark.parametrize("title", ["-title", "--a title", "-5 degrees", "-help is needed"])
def test_a_title_that_looks_like_an_option_gets_the_hint_how_to_write_it(swarm: Any, home: Home, title: str) -> None:
    result = swarm("issue", "create", title, "--body", "true")
    assert result.code == 2
    assert f"swarm issue create --body … -- '{title}'" in result.err, "options stand before --"
    assert events(home) == []
    assert swarm("issue", "create", "--body", "true", "--", title).code == 0


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([""], "title is empty"),
        (["\n \x1b"], "title is empty"),
        (["x" * 501], "500"),
        (["t", "--runtime", "nothing"], "pi, shell"),
        (["t", "--priority", "6"], "1<=x<=5"),
        (["t", "--role", "boss"], "scout"),
        (["t", "--needs", "sw-0"], "no issue 'sw-0'"),
        (["t", "--label", " "], "label is empty"),
        (["t", "--body", "x" * 60_001], "60,000"),
        ([os.fsdecode(b"bad \xff title")], "not UTF-8"),
        (["t", "--body", os.fsdecode(b"bad \xff body")], "not UTF-8"),
    ],
)
def test_what_does_not_fit_is_refused_with_words_and_nothing_is_written(
    swarm: Any, home: Home, args: list[str], words: str
) -> None:
    result = swarm("issue", "create", *([] if "--body" in args else ["--body", "true"]), *args)
    assert (result.code, result.out) == (2, "")
    assert words in result.err
    assert events(home) == []


def test_a_body_that_is_not_text_is_refused_and_not_mended_in_silence(repo: Any, home: Home) -> None:
    argv = [str(Path(sys.executable).with_name("swarm")), "issue", "create", "t", "--body", "-"]
    done = subprocess.run(argv, input=b"ok \xff\xfe", capture_output=True)
    assert done.returncode == 2
    assert b"not UTF-8" in done.stderr
    assert events(home) == []


def test_a_shell_issue_without_a_script_is_refused_where_it_is_written(swarm: Any, repo: Any) -> None:
    assert swarm("issue", "create", "t", "--runtime", "shell").code == 2
    default = swarm("issue", "create", "t", "--body", " \n")
    assert default.code == 2
    assert "--body" in default.err
    assert swarm("issue", "create", "t", "--runtime", "pi").code == 0
    repo.write({"swarm.toml": '[start]\nruntime = "pi"\n'})
    assert swarm("issue", "create", "t").code == 0
    repo.write({"swarm.toml": '[start]\nruntmie = "pi"\n'})
    broken = swarm("issue", "create", "t")
    assert broken.code == 2
    assert "runtmie" in broken.err


def test_eight_at_once_get_eight_ids(repo: Any, swarm: Any) -> None:
    argv = [str(Path(sys.executable).with_name("swarm")), "issue", "create", "t", "--body", "true"]
    made = [subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    ids = {process.communicate()[0].strip() for process in made}
    assert len(ids) == 8
    assert {row["id"] for row in swarm("issue", "list", "--json").json} == ids


# --- list, show, ready ----------------------------------------------------------------------------


def test_list_as_json_has_exactly_the_promised_keys(swarm: Any, new: Any) -> None:
    new()
    (row,) = swarm("issue", "list", "--json").json
    assert list(row) == [*KEYS, "waits"]
    assert (row["attempts"], row["needs"], row["assignee"]) == (0, [], "")


def test_an_empty_list_says_how_to_write_the_first(swarm: Any) -> None:
    assert "swarm issue create" in swarm("issue", "list").out
    assert swarm("issue", "list", "--json").json == []
    assert swarm("issue", "ready", "--json").json == []


def test_list_selects_by_status_and_label_and_takes_the_other_spellings(swarm: Any, new: Any) -> None:
    done, mine, left = new("a", "--label", "ui"), new("b"), new("c", "--label", "ui")
    swarm("issue", "close", done)
    swarm("issue", "update", mine, "--status", "in-progress")

    def ids(*args: str) -> list[str]:
        return [row["id"] for row in swarm("issue", "list", "--json", *args).json]

    assert ids() == [done, mine, left]
    assert ids("--status", "done") == ids("--status", "closed") == [done]
    assert ids("--status", "in_progress") == ids("--status", "in-progress") == [mine]
    assert ids("--status", "open") == [left]
    assert ids("--label", "ui") == [done, left]
    assert ids("--label", "ui", "--status", "open") == [left]
    assert swarm("issue", "list", "--status", "finished").code == 2


def test_the_list_says_why_an_issue_waits_or_is_held(swarm: Any, new: Any) -> None:
    first = new("first")
    new("second", "--needs", first)
    assert f"needs {first}" in swarm("issue", "list").out
    swarm("issue", "update", first, "--status", "blocked", "--reason", "ask Pat")
    assert "ask Pat" in swarm("issue", "list").out


def test_ready_is_what_waits_for_nothing_most_urgent_first(swarm: Any, new: Any) -> None:
    first, urgent = new("first"), new("urgent", "--priority", "1")
    waits = new("waits", "--needs", first)
    assert [row["id"] for row in swarm("issue", "ready", "--json").json] == [urgent, first]
    swarm("issue", "close", first)
    assert [row["id"] for row in swarm("issue", "ready", "--json").json] == [urgent, waits]


def test_show_tells_the_attempts_the_findings_and_the_letters(swarm: Any, new: Any, home: Home, at_work: Any) -> None:
    issue = new("explore", "--role", "scout")
    at_work("kim", issue, 1)
    home.append("builder", [(issue, WorkRejected(attempt=1, reason="no commits"))])
    at_work("pat", issue, 2)
    home.append(
        "scout",
        [
            (issue, WorktreePrepared(attempt=2, path="w", branch=f"swarm/pat/{issue}-2", base=SHA)),
            (issue, FindingsReported(attempt=2, text="it is in cli.py")),
            (issue, MergeLanded(attempt=2, target="main", base=SHA, commit=SHA)),
        ],
    )
    swarm("mail", "send", "--to", "human", "--issue", issue, "--body", "please look")
    swarm("mail", "send", "--to", "human", "--body", "about nothing")
    shown = one(swarm, issue)
    assert list(shown)[: len(KEYS)] == KEYS
    assert (shown["attempts"], shown["assignee"], shown["commit"]) == (2, "pat", SHA)
    assert shown["branch"] == f"swarm/pat/{issue}-2"
    assert [(t["number"], t["agent"], t["failure"]) for t in shown["tries"]] == [
        (1, "kim", "no commits"),
        (2, "pat", ""),
    ]
    assert shown["findings"] == [{"attempt": 2, "text": "it is in cli.py"}]
    assert [letter["body"] for letter in shown["mail"]] == ["please look"]
    text = swarm("issue", "show", issue).out
    for words in ("explore", "no commits", "it is in cli.py", "please look", "pat"):
        assert words in text


def test_an_id_may_be_shortened_and_one_that_matches_two_is_refused_with_both(swarm: Any, home: Home) -> None:
    from swarm.eventlog.events import IssueOpened

    home.append("human", [("sw-aa11", IssueOpened(title="1")), ("sw-aa22", IssueOpened(title="2"))])
    assert one(swarm, "aa1")["id"] == one(swarm, "sw-aa1")["id"] == "sw-aa11"
    before = events(home)
    for command in (["show"], ["close"], ["update", "--status", "done"], ["reopen"]):
        both = swarm("issue", *command, "sw-aa")
        assert both.code == 2
        assert "sw-aa11" in both.err
        assert "sw-aa22" in both.err
    assert swarm("issue", "close", "zz").code == 2
    assert events(home) == before


def test_pains_10_a_reading_command_appends_nothing(swarm: Any, new: Any, home: Home) -> None:
    issue = new()
    before = events(home)
    for args in (
        ["list"],
        ["ready"],
        ["show", issue],
        ["list", "--json"],
        ["ready", "--json"],
        ["show", issue, "--json"],
    ):
        assert swarm("issue", *args).code == 0
    assert events(home) == before


# --- close, reopen, update, assign ----------------------------------------------------------------


def test_close_and_reopen_say_why_and_start_a_new_generation(swarm: Any, new: Any, home: Home) -> None:
    issue = new()
    assert swarm("issue", "close", issue, "--reason", "not needed").code == 0
    assert (one(swarm, issue)["status"], one(swarm, issue)["reason"]) == ("done", "not needed")
    assert swarm("issue", "reopen", issue).code == 0
    assert one(swarm, issue)["status"] == "open"
    assert swarm("issue", "close", issue).code == 0
    opened, first, reopened, second = events(home)
    assert isinstance(first.data, IssueClosed)
    assert (first.data.generation, first.source, second.data.generation) == (opened.id, "human", reopened.id)


def test_update_brings_an_issue_to_each_status(swarm: Any, new: Any, home: Home) -> None:
    issue = new()
    for status in ("in_progress", "blocked", "open", "done", "blocked", "done", "in-progress", "closed", "open"):
        result = swarm("issue", "update", issue, "--status", status)
        assert result.code == 0, result.err
        assert one(swarm, issue)["status"] == {"closed": "done", "in-progress": "in_progress"}.get(status, status)
    taken, held = events(home)[1:3]
    assert (taken.data, held.data) == (
        IssueTaken(generation=events(home)[0].id, by="human"),
        IssueHeld(generation=events(home)[0].id, reason="held by human"),
    )


def test_the_same_status_again_is_said_and_nothing_is_written(swarm: Any, new: Any, home: Home) -> None:
    issue = new()
    for status in ("open", "done", "blocked", "in_progress"):
        swarm("issue", "update", issue, "--status", status)
        before = events(home)
        again = swarm("issue", "update", issue, "--status", status)
        assert (again.code, events(home)) == (0, before)
        assert "already" in again.out
    swarm("issue", "close", issue)
    before = events(home)
    assert swarm("issue", "close", issue).code == 0
    assert events(home) == before


def test_an_issue_that_is_worked_on_is_not_reopened_but_may_be_closed(swarm: Any, new: Any, at_work: Any) -> None:
    issue = new()
    assert "already open" in swarm("issue", "reopen", issue).out
    at_work("kim", issue)
    refused = swarm("issue", "reopen", issue)
    assert refused.code == 2
    assert "swarm agent kill kim" in refused.err
    assert swarm("issue", "close", issue).code == 0
    assert swarm("issue", "reopen", issue).code == 0


def test_pains_2_an_agent_does_not_declare_its_own_work_done(
    swarm: Any, new: Any, at_work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = new(), new()
    at_work("kim", mine)
    monkeypatch.setenv("SWARM_AGENT", "kim")
    assert swarm("issue", "close", mine).code == 2
    assert swarm("issue", "update", mine, "--status", "done").code == 2
    assert one(swarm, mine)["status"] == "in_progress"
    assert swarm("issue", "close", other).code == 0


def test_more_needs_can_be_added_but_no_circle(swarm: Any, new: Any, home: Home) -> None:
    a, b = new("a"), new("b")
    c = new("c", "--needs", b)
    assert swarm("issue", "update", b, "--needs", a).code == 0
    assert one(swarm, b)["needs"] == [a]
    before = events(home)
    circle = swarm("issue", "update", a, "--needs", c)
    assert circle.code == 2
    assert f"{a} -> {c} -> {b} -> {a}" in circle.err
    assert swarm("issue", "update", a, "--needs", a).code == 2
    assert swarm("issue", "update", b, "--needs", a).code == 0
    assert swarm("issue", "update", b).code == 2
    assert events(home) == before
    assert swarm("issue", "update", b, "--needs", a, "--status", "done").code == 0
    assert one(swarm, b)["status"] == "done"


def test_who_adds_needs_to_an_issue_at_work_is_told_that_the_attempt_goes_on(
    swarm: Any, new: Any, at_work: Any
) -> None:
    a, b = new("a"), new("b")
    assert swarm("issue", "update", b, "--needs", a).err == ""
    c = new("c")
    at_work("kim", b)
    added = swarm("issue", "update", b, "--needs", c)
    assert (added.code, added.out) == (0, f"{b} needs {c}\n")
    assert "the attempt at work goes on" in added.err
    assert "swarm agent kill kim" in added.err
    assert swarm("issue", "update", b, "--needs", c).err == "", "nothing was changed"


def test_assign_takes_an_agents_name_with_or_without_its_prefix(swarm: Any, new: Any, home: Home) -> None:
    issue = new()
    assert swarm("issue", "assign", issue, "agent-kim").code == 0
    assert one(swarm, issue)["assignee"] == "kim"
    before = events(home)
    assert swarm("issue", "assign", issue, "kim").code == 0
    for name in ("Kim", "", "-kim", "kim/..", "kim\n", "k" * 49, "agent-"):
        refused = swarm("issue", "assign", "--", issue, name)
        assert refused.code == 2, name
    assert events(home) == before
    swarm("issue", "close", issue)
    done = swarm("issue", "assign", issue, "pat")
    assert done.code == 2
    assert "reopen" in done.err
