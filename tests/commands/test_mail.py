"""`swarm mail`: letters as people and agents send and read them, with real processes where processes matter."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import MailAcked, MailDeadLettered, MailSent

from appended import events, facts

KEYS = ["id", "from", "to", "type", "priority", "issue", "body", "status", "at"]
SWARM = str(Path(sys.executable).with_name("swarm"))
HEAVY = ("git", "httpx", "textual", "pykka", "watchdog", "asyncio", "runtimes")


# --- send -----------------------------------------------------------------------------------------


def test_send_prints_the_id_alone_and_keeps_everything_that_was_said(swarm: Any, issue: str) -> None:
    sent = swarm(
        *("mail", "send", "--to", "coordinator", "--to", "issue:0000", "--type", "blocked", "--priority", "1"),
        *("--issue", "00000001", "--body", "-"),
        stdin="need\na key\n",
    )
    assert (sent.code, sent.err, sent.out.count("\n")) == (0, "", 1)
    (row,) = swarm("mail", "list", "--json").json
    assert list(row) == KEYS
    assert row | {"at": ""} == {
        "id": sent.last, "from": "human", "to": ["coordinator", f"issue:{issue}"], "type": "blocked", "priority": 1,
        "issue": issue, "body": "need\na key\n", "status": "unread", "at": "",
    }  # fmt: skip


@pytest.mark.parametrize("to", ["coordinator", "merger", "watchdog", "human", "issue:sw-00000001"])
def test_every_address_of_the_repository_is_known_without_any_agent(swarm: Any, issue: str, to: str) -> None:
    assert swarm("mail", "send", "--to", to, "--body", "x").code == 0


def test_pains_5_an_unknown_recipient_is_refused_with_the_known_ones(
    swarm: Any, home: Home, issue: str, at_work: Any
) -> None:
    at_work("kim", issue)
    before = events(home)
    for to in ("agent-bob", "bob", "kim", "", "issue:sw-9", "@all", "agent-"):
        refused = swarm("mail", "send", "--to", "human", "--to", to, "--body", "x")
        assert (refused.code, refused.out) == (2, ""), to
    assert "agent-kim" in swarm("mail", "send", "--to", "agent-bob", "--body", "x").err
    assert events(home) == before


def test_pains_5_a_letter_to_an_agent_that_is_not_at_work_is_dead_and_sender_and_person_are_told(
    swarm: Any, home: Home, issue: str, at_work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from swarm.eventlog.events import WorkRejected

    at_work("kim", issue)
    at_work("pat", "sw-2")
    home.append("builder", [(issue, WorkRejected(attempt=1, reason="no commits"))])
    monkeypatch.setenv("SWARM_AGENT", "pat")
    sent = swarm("mail", "send", "--to", "agent-kim", "--to", "coordinator", "--body", "are you there?")
    assert sent.code == 1
    assert "kim is not at work" in sent.err
    (dead,) = facts(home, MailDeadLettered)
    assert (dead.data.letter, dead.data.recipient) == (sent.last, "agent-kim")
    notice = facts(home, MailSent)[-1].data
    assert notice.to == ["agent-pat", "human"]
    assert "are you there?" in notice.body
    assert "are you there?" in swarm("mail", "check").out
    monkeypatch.delenv("SWARM_AGENT")
    assert "are you there?" in swarm("mail", "check").out
    assert [row["status"] for row in swarm("mail", "list", "--to", "agent-kim", "--json").json] == ["dead"]


@pytest.mark.parametrize("to", ["@builders", "@scouts", "broadcast"])
def test_pains_5_a_letter_to_a_group_without_anybody_at_work_is_dead_at_once_and_that_is_said(
    swarm: Any, home: Home, at_work: Any, to: str
) -> None:
    sent = swarm("mail", "send", "--to", to, "--to", "coordinator", "--body", "are you there?")
    assert sent.code == 1
    assert "at work" in sent.err
    (dead,) = facts(home, MailDeadLettered)
    assert (dead.data.letter, dead.data.recipient, dead.causationid) == (sent.last, to, sent.last)
    assert "are you there?" in swarm("mail", "check").out
    at_work("kim", "sw-1", role="builder")
    at_work("pat", "sw-2", role="scout")
    for name in ("agent-kim", "agent-pat"):
        assert swarm("mail", "check", "--to", name, "--json").json == [], "it is not for those who come later"
    assert swarm("mail", "send", "--to", to, "--body", "and now?").code == 0
    assert len(facts(home, MailDeadLettered)) == 1


def test_pains_5_an_agents_letter_to_a_group_of_which_it_is_the_only_one_is_dead(
    swarm: Any, home: Home, at_work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work("kim", "sw-1")
    monkeypatch.setenv("SWARM_AGENT", "kim")
    assert swarm("mail", "send", "--to", "broadcast", "--body", "the person has it").code == 0
    assert swarm("mail", "send", "--to", "@builders", "--body", "x").code == 1
    assert facts(home, MailSent)[-1].data.to == ["agent-kim", "human"]


def test_pains_6_a_reply_has_the_type_it_was_given_and_the_issue_of_what_it_answers(swarm: Any, issue: str) -> None:
    asked = swarm(
        "mail", "send", "--to", "human", "--type", "help_request", "--issue", issue, "--priority", "1", "--body", "how?"
    )
    answer = swarm("mail", "send", "--to", "coordinator", "--reply-to", asked.last[:30], "--body", "so")
    assert answer.code == 0
    rows = swarm("mail", "list", "--json").json
    assert [(row["type"], row["priority"], row["issue"]) for row in rows] == [
        ("help_request", 1, issue),
        ("event", 3, issue),
    ]


def test_a_reply_to_no_letter_is_refused(swarm: Any, home: Home) -> None:
    refused = swarm("mail", "send", "--to", "human", "--reply-to", "01a", "--body", "x")
    assert refused.code == 2
    assert events(home) == []


@pytest.mark.parametrize("body", ["", " \n", "x" * 60_001, os.fsdecode(b"\xff")])
def test_a_letter_without_words_or_that_does_not_fit_is_refused(swarm: Any, home: Home, body: str) -> None:
    assert swarm("mail", "send", "--to", "human", "--body", body).code == 2
    assert events(home) == []


def test_a_type_that_is_none_is_refused(swarm: Any, home: Home) -> None:
    assert swarm("mail", "send", "--to", "human", "--type", "question", "--body", "x").code == 2
    assert events(home) == []


def test_an_agent_is_known_by_its_environment_and_cannot_write_as_another(
    swarm: Any, home: Home, issue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWARM_AGENT", "kim")
    monkeypatch.setenv("SWARM_ISSUE", issue)
    assert swarm("mail", "send", "--to", "human", "--body", "x").code == 0
    assert swarm("mail", "send", "--to", "human", "--body", "x", "--from", "agent-kim").code == 0
    for other in ("human", "agent-pat", "coordinator", "issue:1", "@builders", "Kim"):
        assert swarm("mail", "send", "--to", "human", "--body", "x", "--from", other).code == 2, other
    assert {(e.source, e.data.issue) for e in facts(home, MailSent)} == {("agent/kim", issue)}
    monkeypatch.setenv("SWARM_AGENT", "../kim")
    assert swarm("mail", "send", "--to", "human", "--body", "x").code == 2


def test_a_person_may_write_in_the_name_of_another(swarm: Any, home: Home) -> None:
    assert swarm("mail", "send", "--from", "agent-kim", "--to", "human", "--body", "x").code == 0
    assert facts(home, MailSent)[0].source == "agent/kim"


def test_mail_works_from_any_worktree_and_knows_whose_it_is(
    repo: Any, home: Home, program: Any, issue: str, at_work: Any
) -> None:
    at_work("kim", issue)
    mine, other = Path(home.place.worktrees) / f"{issue}-1", repo.root.parent / "elsewhere"
    repo.git("worktree", "add", "--quiet", "-b", "one", str(mine))
    repo.git("worktree", "add", "--quiet", "-b", "two", str(other))
    (mine / "deep").mkdir()
    assert program("mail", "send", "--to", "human", "--body", "from kim", cwd=mine / "deep").code == 0
    assert program("mail", "send", "--to", "agent-kim", "--body", "from a person", cwd=other).code == 0
    assert [(e.source, e.data.body) for e in facts(home, MailSent)] == [
        ("agent/kim", "from kim"),
        ("human", "from a person"),
    ]
    assert "from a person" in program("mail", "check", "--inject", cwd=mine).out


def test_outside_of_a_repository_the_log_is_found_by_the_environment(home: Home, program: Any, tmp_path: Path) -> None:
    assert program("mail", "send", "--to", "human", "--body", "x", cwd=tmp_path).code == 2
    sent = program("mail", "send", "--to", "human", "--body", "x", cwd=tmp_path, SWARM_LOG=home.place.log)
    assert (sent.code, [e.id for e in facts(home, MailSent)]) == (0, [sent.last])


@pytest.mark.parametrize("to", ["coordinator", "agent-kim", "issue:sw-00000001"])
def test_sending_imports_nothing_heavy(home: Home, issue: str, at_work: Any, to: str) -> None:
    at_work("kim", issue)
    send = f"code = run(['mail', 'send', '--to', {to!r}, '--body', 'x'])"
    code = f"import sys; from swarm.cli import run; {send}; print(*sys.modules); sys.exit(code)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.splitlines()[-1].split()
    ours = {name.removeprefix("swarm.") for name in loaded}
    assert "commands.mail" in ours
    assert not {name for name in ours if name.split(".")[0] in HEAVY}
    light = {"world.clock", "world.node", "world.checkpoints", "world.shelf", "world.store", "world.sweep"}
    assert not {name for name in ours if name.startswith(("actors", "world."))} - light


# --- list, show, read -----------------------------------------------------------------------------


def test_list_selects(swarm: Any, issue: str) -> None:
    swarm("mail", "send", "--to", "human", "--body", "1", "--issue", issue)
    swarm("mail", "send", "--to", "coordinator", "--body", "2", "--type", "progress")
    swarm("mail", "send", "--to", "human", "--body", "3", "--from", "agent-kim")
    swarm("mail", "send", "--to", f"issue:{issue}", "--body", "4")

    def bodies(*args: str) -> str:
        return "".join(row["body"] for row in swarm("mail", "list", "--json", *args).json)

    assert bodies() == "1234"
    assert bodies("--to", "human") == "13"
    assert bodies("--to", "issue:sw-0") == "4"
    assert bodies("--from", "agent-kim") == "3"
    assert bodies("--type", "progress") == "2"
    assert bodies("--issue", "0000") == "1"
    assert bodies("--limit", "2") == "34"
    assert bodies("--limit", "1", "--to", "human") == "3"
    assert bodies("--unread") == "1234"
    swarm("mail", "check")
    assert bodies("--unread") == "24"
    assert bodies("--unread", "--to", "human") == ""
    assert bodies("--unread", "--to", "coordinator") == "2"
    assert swarm("mail", "list", "--issue", "zz").code == 2
    for wrong in ("bogus", "kim", "agent-nobody", "agent-../x", "@all", "issue:zz"):
        assert swarm("mail", "list", "--to", wrong).code == 2, wrong
    for wrong in ("bogus", "kim", "@builders", "agent-../x"):
        assert swarm("mail", "list", "--from", wrong).code == 2, wrong
    assert "1" in swarm("mail", "list").out


def test_unread_of_one_reader_counts_what_was_sent_to_all(swarm: Any, home: Home, at_work: Any) -> None:
    at_work("kim", "sw-1")
    swarm("mail", "send", "--to", "broadcast", "--from", "coordinator", "--body", "to all")
    swarm("mail", "check")  # the person had it; kim has not
    assert [r["body"] for r in swarm("mail", "list", "--unread", "--to", "agent-kim", "--json").json] == ["to all"]
    assert swarm("mail", "list", "--unread", "--json").json == []


def test_show_gives_the_last_letters_whole_and_marks_nothing(swarm: Any) -> None:
    for number in range(12):
        swarm("mail", "send", "--to", "human", "--body", f"letter {number}\nand more of it")
    assert [row["body"][:9] for row in swarm("mail", "show", "2", "--json").json] == ["letter 10", "letter 11"]
    assert len(swarm("mail", "show", "--json").json) == 10
    assert swarm("mail", "show").out.count("and more of it") == 10
    assert len(swarm("mail", "list", "--unread", "--json").json) == 12


def test_read_prints_one_letter_and_marks_it_for_its_reader_once(swarm: Any, home: Home) -> None:
    sent = swarm("mail", "send", "--to", "human", "--body", "whole\ntext").last
    assert "whole\ntext" in swarm("mail", "read", sent).out
    assert swarm("mail", "read", sent[-10:], "--json").json["status"] == "acked"
    (acked,) = facts(home, MailAcked)
    assert (acked.data, acked.subject, acked.causationid) == (MailAcked(letter=sent, reader="human"), sent, sent)
    assert swarm("mail", "check").out == ""
    assert swarm("mail", "read", "zz").code == 2


def test_pains_3_a_person_who_looks_at_anothers_letter_does_not_mark_it(swarm: Any, home: Home) -> None:
    sent = swarm("mail", "send", "--to", "coordinator", "--body", "x").last
    seen = swarm("mail", "read", sent)
    assert seen.code == 0
    assert "not marked" in seen.err
    assert facts(home, MailAcked) == []


def test_pains_10_looking_at_letters_appends_nothing(swarm: Any, home: Home) -> None:
    swarm("mail", "send", "--to", "human", "--body", "x")
    before = events(home)
    for args in (["list"], ["list", "--json"], ["list", "--unread"], ["show"], ["show", "--json"]):
        assert swarm("mail", *args).code == 0
    swarm("mail", "check", "--to", "coordinator")  # nothing is there for it
    assert events(home) == before


def test_a_letter_cannot_play_with_the_terminal(swarm: Any) -> None:
    sent = swarm("mail", "send", "--to", "human", "--body", "\x1b[2Jgone \u202e").last
    for args in (["list"], ["show"], ["read", sent], ["check", "--inject"]):
        out = swarm("mail", *args).out
        assert "\x1b" not in out
        assert "\u202e" not in out
    assert swarm("mail", "read", sent, "--json").json["body"] == "\x1b[2Jgone \u202e"
