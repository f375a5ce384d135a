"""`swarm mail check`: each letter is handed out once, and marked only after it was written out. Real processes race."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import MailAcked, MailDeadLettered, MailDelivered, MailSent
from swarm.eventlog.verify import verify

from appended import events, facts
from waiting import until

SWARM = str(Path(sys.executable).with_name("swarm"))


def test_check_prints_what_is_unread_once_most_urgent_first(swarm: Any, home: Home) -> None:
    for body, priority in (("later", "4"), ("now", "1")):
        swarm("mail", "send", "--to", "human", "--body", body, "--priority", priority)
    first = swarm("mail", "check")
    assert 0 < first.out.index("now") < first.out.index("later")
    again = swarm("mail", "check")
    assert (again.code, again.out) == (0, "")
    assert "nothing is unread" in again.err
    assert [e.data.reader for e in facts(home, MailDelivered)] == ["human", "human"]
    assert swarm("mail", "check", "--json").json == []


def test_check_inject_is_fit_for_a_prompt_and_silent_when_nothing_is_unread(
    swarm: Any, issue: str, at_work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_work("kim", issue)
    monkeypatch.setenv("SWARM_AGENT", "kim")
    assert swarm("mail", "check", "--inject") == (0, "", "")
    monkeypatch.delenv("SWARM_AGENT")
    for to in ("agent-kim", f"issue:{issue}", "@builders", "broadcast", "@scouts", "human"):
        swarm("mail", "send", "--to", to, "--body", f"for {to}", "--type", "handoff")
    monkeypatch.setenv("SWARM_AGENT", "kim")
    text = swarm("mail", "check", "--inject").out
    assert text.startswith("You have 4 new messages.")
    for to in ("agent-kim", f"issue:{issue}", "@builders", "broadcast"):
        assert f"for {to}\n" in text
    assert "swarm mail send --to human --reply-to" in text
    assert swarm("mail", "check", "--inject") == (0, "", "")


def test_check_json_is_what_was_marked(swarm: Any, home: Home) -> None:
    sent = [swarm("mail", "send", "--to", "human", "--body", str(n)).last for n in range(3)]
    assert [row["id"] for row in swarm("mail", "check", "--json").json] == sent
    assert [e.data.letter for e in facts(home, MailDelivered)] == sent
    assert [e.causationid for e in facts(home, MailDelivered)] == sent


def test_check_of_a_mailbox_that_nobody_can_have_is_refused(swarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for to in ("agent-bob", "bob", "@builders", "issue:1", "../x"):
        assert swarm("mail", "check", "--to", to).code == 2
    monkeypatch.setenv("SWARM_AGENT", "kim")
    assert swarm("mail", "check", "--to", "human").code == 2
    assert swarm("mail", "check").code == 0


@pytest.mark.parametrize("form", [[], ["--inject"], ["--json"]])
def test_pains_3_what_could_not_be_written_out_stays_unread(
    swarm: Any, home: Home, form: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    swarm("mail", "send", "--to", "human", "--body", "important")
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # else nothing is ever kept back
    reading, writing = os.pipe()
    os.close(reading)
    try:
        closed = subprocess.run([SWARM, "mail", "check", *form], stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    with open("/dev/full", "wb") as full:
        no_room = subprocess.run([SWARM, "mail", "check", *form], stdout=full, stderr=subprocess.PIPE)
    none = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", SWARM, "mail", "check", *form], stderr=subprocess.PIPE)
    assert [closed.returncode, no_room.returncode, none.returncode] == [1, 1, 1]
    assert b"No space left" in no_room.stderr
    assert b"standard output is closed" in none.stderr
    assert facts(home, MailDelivered) == []
    assert "important" in swarm("mail", "check", *form).out


def test_pains_3_a_checker_that_is_killed_while_it_writes_leaves_all_unread(home: Home, swarm: Any) -> None:
    home.append("human", [("", MailSent(to=["human"], body="x" * 1000)) for _ in range(200)])
    checker = subprocess.Popen([SWARM, "mail", "check"], stdout=subprocess.PIPE)
    assert checker.stdout
    checker.stdout.read(1)  # it is writing now, and the pipe holds less than the text
    checker.kill()
    checker.communicate()
    assert facts(home, MailDelivered) == []
    assert len(swarm("mail", "check", "--json").json) == 200


def test_a_checker_that_cannot_go_on_does_not_hold_the_log(home: Home, program: Any, swarm: Any) -> None:
    home.append("human", [("", MailSent(to=["human"], body="x" * 1000)) for _ in range(200)])
    checker = subprocess.Popen([SWARM, "mail", "check"], stdout=subprocess.PIPE)
    assert checker.stdout
    checker.stdout.read(1)
    assert program("mail", "send", "--to", "coordinator", "--body", "x").code == 0
    checker.communicate()
    assert checker.returncode == 0
    assert len(facts(home, MailDelivered)) == 200


def test_pains_4_four_checkers_at_once_get_each_of_2000_letters_once(home: Home, tmp_path: Path) -> None:
    """Two thousand are unread when they begin, and more come in for as long as they check."""
    sent = [e.id for e in home.append("human", [("", MailSent(to=["human"], body=f"{n}")) for n in range(2000)])]
    argv = ["sh", "-c", 'for i in 1 2 3; do "$0" mail check --json || exit 1; done', SWARM]
    outputs = [tmp_path / f"{n}.json" for n in range(4)]
    checkers = []
    for path in outputs:
        with path.open("wb") as out:
            checkers.append(subprocess.Popen(argv, stdout=out))
    while any(checker.poll() is None for checker in checkers) and len(sent) < 3000:
        sent += [e.id for e in home.append("human", [("", MailSent(to=["human"], body="late"))])]
    assert [checker.wait(60) for checker in checkers] == [0, 0, 0, 0]
    last = subprocess.run([SWARM, "mail", "check", "--json"], capture_output=True)
    lines = [line for path in outputs for line in path.read_bytes().splitlines()] + last.stdout.splitlines()
    given = Counter(row["id"] for line in lines for row in json.loads(line))
    assert given == Counter(sent)
    assert Counter(event.data.letter for event in facts(home, MailDelivered)) == given


def test_checkers_of_one_mailbox_wait_for_each_other_and_those_of_others_do_not(home: Home, program: Any) -> None:
    home.append("human", [("", MailSent(to=["human"], body="x" * 1000)) for _ in range(200)])
    first = subprocess.Popen([SWARM, "mail", "check"], stdout=subprocess.PIPE)
    assert first.stdout
    first.stdout.read(1)
    second = subprocess.Popen([SWARM, "mail", "check", "--json"], stdout=subprocess.PIPE)
    until(lambda: _waits_for_a_lock(second.pid), what="the second checker to wait")
    assert program("mail", "check", "--to", "coordinator", "--json").json == []
    first.communicate()
    assert json.loads(second.communicate()[0]) == []


def test_pains_4_who_checks_while_a_letter_is_being_read_does_not_get_it_too(home: Home) -> None:
    body = "\u202e" * 15_000  # six characters each when printed: more than a pipe holds
    sent = home.append("coordinator", [("", MailSent(to=["human"], body=body))])[0].id
    reading = subprocess.Popen([SWARM, "mail", "read", sent], stdout=subprocess.PIPE)
    assert reading.stdout
    reading.stdout.read(1)
    checking = subprocess.Popen([SWARM, "mail", "check", "--json"], stdout=subprocess.PIPE)
    until(lambda: _waits_for_a_lock(checking.pid), what="the checker to wait")
    reading.communicate()
    assert json.loads(checking.communicate()[0]) == []
    assert (len(facts(home, MailAcked)), len(facts(home, MailDelivered))) == (1, 0)


@pytest.mark.parametrize("words", [["read"], ["check"]])
def test_pains_3_a_letter_that_is_called_dead_while_it_is_written_out_is_not_marked_as_read(
    home: Home, at_work: Any, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    at_work("kim", "sw-1")
    monkeypatch.setenv("SWARM_AGENT", "kim")
    body = "\u202e" * 15_000
    first, second = (
        event.id for event in home.append("human", [("", MailSent(to=["agent-kim"], body=body)) for _ in "12"])
    )
    argv = [SWARM, "mail", *words, *([first] if words == ["read"] else [])]
    reading = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert reading.stdout
    reading.stdout.read(1)
    dead = MailDeadLettered(letter=first, recipient="agent-kim", reason="kim is not at work")
    home.append("watchdog", [(first, dead)], cause=first)
    reading.communicate()
    assert reading.returncode == 0
    marked = [event.data.letter for event in events(home) if isinstance(event.data, MailAcked | MailDelivered)]
    assert marked == ([second] if words == ["check"] else [])
    assert verify(home.place.log).errors == []


def _waits_for_a_lock(pid: int) -> bool:
    """Blocked on a flock, by proc_locks(5): such a line has an arrow."""
    blocked = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return any(str(pid) in line for line in blocked)
