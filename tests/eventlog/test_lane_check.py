"""The fast lane of `swarm mail check`: it says that nothing is new only where the whole command line would."""

import os
import subprocess
import sys
from fcntl import LOCK_EX, LOCK_UN, flock

import pytest

from swarm.eventlog import lane
from swarm.eventlog.events import MailSent
from swarm.eventlog.place import Place
from swarm.eventlog.segments import FULL

from given import id_of
from lanes import ALWAYS, FOREIGN, KIM, NONE, dead, given_to, had, letter, line, own, put, ready, taken

CHECK = ["mail", "check"]
OTHERS = [given_to(number, "ann", "sw-b") for number in range(10, 70)]
"""So many lines that letters among them are few."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return ready(tmp_path_factory.mktemp("lane") / "repo")


QUIET = {
    "no line at all": [],
    "for others": [letter(0, "human", "agent-ann", "coordinator", "merger")],
    "delivered": [letter(0, "agent-kim", "human"), had(1, 0, "agent-kim")],
    "acked": [letter(0, "agent-kim", "human"), had(1, 0, "agent-kim", acked=True)],
    "delivered, seen before it was sent": [had(1, 0, "agent-kim"), letter(0, "agent-kim")],
    "dead": [letter(0, "agent-kim"), dead(1, 0, "agent-kim")],
    "to groups, and never at work": [letter(0, "broadcast", "@builders", "@scouts", "issue:sw-a")],
    "a broadcast before the first work": [letter(0, "broadcast", "@builders"), given_to(1, "kim", "sw-a")],
    "one's own broadcast": [given_to(0, "kim", "sw-a"), letter(1, "broadcast", source="agent/kim")],
    "a broadcast that one had": [given_to(0, "kim", "sw-a"), letter(1, "broadcast"), had(2, 1, "agent-kim")],
    "a broadcast that is dead": [given_to(0, "kim", "sw-a"), letter(1, "broadcast"), dead(2, 1, "broadcast")],
    "another's issue": [given_to(0, "kim", "sw-a"), given_to(1, "ann", "sw-b"), letter(2, "issue:sw-b")],
    "one's name in texts": [line(0, MailSent(to=["human"], body='"agent-kim", "broadcast"', issue="agent-kim"))],
    "escapes in a text": [line(0, MailSent(to=["human"], body="\x1b[1m\x00"))],
    "many letters": [letter(number, "human") for number in range(300)],
    "few letters": [letter(0, "human"), *OTHERS],
}
UNREAD = {
    "a letter": [letter(0, "agent-kim")],
    "a letter to many": [letter(0, "human", "agent-kim")],
    "a letter among few": [letter(0, "agent-kim"), *OTHERS],
    "one that another had": [letter(0, "human", "agent-kim"), had(1, 0, "human")],
    "one that is dead for another": [letter(0, "human", "agent-kim"), dead(1, 0, "human")],
    "the second": [letter(0, "agent-kim"), had(1, 0, "agent-kim"), letter(2, "agent-kim")],
    "one that nobody had": [given_to(0, "kim", "sw-a"), letter(1, "broadcast"), had(2, 1, "broadcast")],
    "a broadcast": [given_to(0, "kim", "sw-a"), letter(1, "broadcast")],
    "a broadcast, then other work": [
        given_to(0, "kim", "sw-a"),
        letter(1, "@builders"),
        given_to(2, "kim", "sw-b", "scout"),
    ],
    "to builders": [given_to(0, "kim", "sw-a"), letter(1, "@builders")],
    "to scouts": [given_to(0, "kim", "sw-a", "scout"), letter(1, "@scouts")],
    "about one's issue": [given_to(0, "kim", "sw-a"), letter(1, "issue:sw-a")],
    "about one's issue, before the work": [letter(0, "issue:sw-a"), given_to(1, "kim", "sw-a")],
}


@pytest.mark.parametrize("case", [*QUIET, *UNREAD])
@pytest.mark.parametrize("form", [[], ["--json"], ["--inject"], ["--json", "--inject"], ["--to="]])
def test_nothing_new_is_said_only_where_nothing_is(place: Place, case: str, form: list[str]) -> None:
    lines = (QUIET | UNREAD)[case]
    files = {own(place): b"".join(lines[::2]), FOREIGN: b"".join(lines[1::2])}
    assert taken(place, files, [*CHECK, *form], KIM) is (case in QUIET)


@pytest.mark.parametrize("to", ALWAYS)
def test_a_person_may_look_for_the_actors(place: Place, to: str) -> None:
    other = next(name for name in ALWAYS if name != to)
    assert taken(place, {own(place): letter(0, other, "agent-kim", source=to)}, [*CHECK, "--to", to], NONE)
    assert not taken(place, {own(place): letter(0, to)}, [*CHECK, "--to", to], NONE)
    assert not taken(place, {}, [*CHECK, "--to", to], KIM)


def test_a_broadcast_is_for_the_person_unless_it_is_theirs(place: Place) -> None:
    groups = ("coordinator", "@builders", "issue:sw-a")
    assert taken(place, {own(place): letter(0, "broadcast", *groups)}, CHECK, NONE)
    assert taken(place, {own(place): letter(0, *groups, source="agent/kim")}, CHECK, NONE)
    assert not taken(place, {own(place): letter(0, "broadcast", source="agent/kim")}, CHECK, NONE)


@pytest.mark.parametrize("words", [["--to", "agent-kim"], ["--to", "@builders"], ["--json=x"], ["x"], ["--help"]])
def test_any_other_look_is_left_to_the_whole_command_line(place: Place, words: list[str]) -> None:
    assert not taken(place, {own(place): given_to(0, "kim", "sw-a")}, [*CHECK, *words], NONE)
    assert not taken(place, {own(place): given_to(0, "kim", "sw-a")}, [*CHECK, *words], KIM)


def test_a_long_log_and_a_torn_line_are_left_to_it(place: Place) -> None:
    one, mine = letter(0, "human"), own(place)
    megabyte = one * (FULL // len(one))
    assert taken(place, {mine: megabyte}, CHECK, KIM)
    many = {FOREIGN.replace(id_of(0), id_of(number)): megabyte for number in range(8)}
    assert not taken(place, {mine: megabyte, **many}, CHECK, KIM)
    assert not taken(place, {mine: one + one[:40]}, CHECK, KIM)


def test_a_mailbox_that_is_being_read_is_left_to_it(place: Place) -> None:
    put(place, {own(place): letter(0, "human")})
    words, env = [*CHECK, "--inject"], KIM | {"SWARM_LOG": place.log}
    reader = os.open(os.path.join(place.locks, "mail-agent-kim.lock"), os.O_RDWR | os.O_CREAT)
    try:
        flock(reader, LOCK_EX)
        assert lane.take(words, env) is None
        flock(reader, LOCK_UN)
        assert lane.take(words, env) == 0
    finally:
        os.close(reader)


SEALED_MEANWHILE = """
import os, sys
from swarm.eventlog import lane
growing, sealed = sys.argv[1:3]
def seal(event, args):
    if event == "open" and args[0] == growing and not os.path.exists(sealed):
        os.rename(growing, sealed)
        os.close(os.open(growing, os.O_CREAT | os.O_WRONLY))
sys.addaudithook(seal)
print(lane.take(["mail", "check", "--inject"], dict(os.environ)), os.path.exists(sealed))
"""


def test_a_letter_is_not_overlooked_when_its_file_is_sealed_before_it_is_read(place: Place) -> None:
    put(place, {own(place): letter(0, "agent-kim")})
    growing = os.path.join(place.log, own(place))
    sealed = growing.replace(".jsonl", f"-{id_of(0)}.jsonl")
    argv = [sys.executable, "-P", "-c", SEALED_MEANWHILE, growing, sealed]
    done = subprocess.run(argv, env=os.environ | KIM | {"SWARM_LOG": place.log}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("None True\n", "")


def test_what_is_no_file_is_left_to_it(place: Place) -> None:
    """A pipe would be waited for, for ever."""
    put(place, {own(place): letter(0, "human")})
    pipe = os.path.join(place.log, "pipe.jsonl")
    os.mkfifo(pipe)
    try:
        assert lane.take([*CHECK, "--inject"], KIM | {"SWARM_LOG": place.log}) is None
    finally:
        os.unlink(pipe)
