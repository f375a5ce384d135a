"""The fast lane of `swarm mail send`: the line is that of the whole command line, to the byte, or nothing is done."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.eventlog.place import Place
from swarm.eventlog.segments import FULL

from given import id_of
from lanes import FOREIGN, KIM, NONE, Files, letter, own, ready, taken

TOMORROW, BEYOND = 10**8, 3 * 10**9
"""Numbers of ids: some years from now, and after 2100."""
SEND = ["mail", "send", "--to", "human", "--body", "y"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return ready(tmp_path_factory.mktemp("lane") / "repo")


@pytest.fixture
def files(place: Place) -> Files:
    """A log of one letter."""
    return {own(place): letter(0, "human")}


@pytest.mark.parametrize(
    "words",
    [
        ["--to", "human", "--body", "y"],
        ["--to=merger", "--to", "watchdog", "--to", "merger", "--body=a=b", "--body", "-x"],
        ["--to", "coordinator", "--type", "blocked", "--priority=1", "--body", "--to"],
        ["--to", "human", "--type", "event", "--priority", "3", "--body", '\x1b\x7f\u2028é\U0001f600\t\\"/\r\n\b\f'],
        ["--to", "human", "--body", '"' * 29_999],
    ],
)
@pytest.mark.parametrize("env", [NONE, KIM, KIM | {"SWARM_ISSUE": 'sw-"a"'}, {"SWARM_DURABILITY": "fsync"}, {}])
def test_a_plain_letter_is_taken(place: Place, files: Files, words: list[str], env: dict[str, str]) -> None:
    assert taken(place, files, ["mail", "send", *words], env)


@pytest.mark.parametrize(
    "words",
    [
        *(["--to", to, "--body", "y"] for to in ("agent-kim", "issue:sw-a", "broadcast", "@builders", "Human", "")),
        *(["--to", "human", "--body", body] for body in ("-", "", " \n", '"' * 29_999 + "x", "\udcff")),
        *([*SEND[2:], *more] for more in (["--type", "Blocked"], ["--priority", "6"], ["--priority", "03"])),
        *([*SEND[2:], *more] for more in (["--issue", "sw-a"], ["--reply-to", id_of(0)], ["--from", "human"])),
        *([*SEND[2:], *more] for more in (["--help"], ["--bod", "z"], ["--to"], ["--"], ["x"], ["-"])),
        ["--body", "y"],
        ["--to", "human"],
        [],
    ],
)
def test_any_other_letter_is_left_to_the_whole_command_line(place: Place, files: Files, words: list[str]) -> None:
    assert not taken(place, files, ["mail", "send", *words], KIM)


SESSION = KIM | {"SWARM_SESSION": "sw-a-1", "MY_TOKEN": "correct+horse", "GIT_AUTHOR_NAME": "builder-1"}


@pytest.mark.parametrize(
    ("body", "may_hold"),
    [
        ("builder-1 is done with src/parser.py: 12 of 12 are green", False),
        ("it is correct+horse", True),
        ("it is correct%2Bhorse", True),
        ("it is Y29ycmVjdCtob3JzZQ==", True),
        ("it is ghp_" + "a1B2" * 9, True),
        ("it is gh\x1b[0mp_" + "a1B2" * 9, True),
        ("the token is missing", True),
    ],
)
def test_what_may_hold_a_secret_is_left_to_it_in_a_session(
    place: Place, files: Files, body: str, may_hold: bool
) -> None:
    words = ["mail", "send", "--to", "human", "--body", body]
    assert taken(place, files, words, SESSION) is not may_hold
    assert taken(place, files, words, {**SESSION, "SWARM_SESSION": ""})


@pytest.mark.parametrize("name", ["Kim", "k_", "-", "agent-", "a" * 49, "kim\n", "a b"])
def test_who_cannot_be_an_agent_is_left_to_it(place: Place, files: Files, name: str) -> None:
    assert not taken(place, files, SEND, NONE | {"SWARM_AGENT": name})


def test_a_line_that_gets_too_long_by_its_subject_is_left_to_it(place: Place, files: Files) -> None:
    assert not taken(place, files, [*SEND, "--body", "y" * 59_998], KIM | {"SWARM_ISSUE": "x" * 3000})


@pytest.mark.parametrize("number", [0, TOMORROW, BEYOND])
def test_a_letter_sorts_after_the_last_line_wherever_the_clock_is(place: Place, number: int) -> None:
    files = {own(place): letter(0, "human") + letter(number, "human")}
    assert taken(place, files, SEND, NONE) is (number != BEYOND)


def test_a_last_line_that_is_far_ahead_is_left_to_it(place: Place) -> None:
    """By a clock that was set back, and it is followed; or by a bit that was flipped, and it is not."""
    assert not taken(place, {own(place): letter(0, "human").replace(b'"id":"01', b'"id":"03')}, SEND, NONE)


def test_odd_ends_of_the_file_are_left_to_it(place: Place) -> None:
    one, mine = letter(0, "human"), own(place)
    long = one.replace(b'"body":"x', b'"body":"' + b"x" * 66_000)
    ends: list[Files] = [
        {},
        {mine: b""},
        {mine: b"", FOREIGN: one},
        {mine: one[:-1]},
        {mine: one + one[:40]},
        {mine: one + b"\n"},
        {mine: one + b"no event\n"},
        {mine: long},
        {mine: one + long},
        {mine: one * (FULL // len(one) + 1)},
    ]
    assert [taken(place, files, SEND, NONE) for files in ends] == [False] * len(ends)


def test_it_is_found_from_any_folder_and_by_the_environment(place: Place, files: Files, tmp_path: Path) -> None:
    worktree, deep = os.path.join(place.worktrees, "sw-a-1"), os.path.join(place.root, "a", "b")
    os.makedirs(deep, exist_ok=True)
    here = {"SWARM_LOG": place.log}
    assert taken(place, files, SEND, NONE, deep)
    assert taken(place, files, SEND, NONE | here, str(tmp_path))
    assert taken(place, files, SEND, KIM | here, worktree)
    assert not taken(place, files, SEND, KIM, worktree)  # `.git` is a file there
    assert not taken(place, files, SEND, NONE | here, worktree)  # an agent, and which one has to be looked up
    assert not taken(place, files, SEND, NONE, str(tmp_path))
    assert not taken(place, files, SEND, NONE | {"SWARM_LOG": str(tmp_path)}, place.root)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("node.json", lambda text: json.dumps(json.loads(text))),
        ("node.json", lambda text: text.replace('"node":"n', '"node":"\\u006e')),
        ("node.json", lambda text: text.replace('"inode":', '"inode":1')),
        ("node.json", lambda text: text.replace('"machine":"', '"machine":"x')),
        ("node.json", lambda _: ""),
        ("../config", lambda text: text.replace("bare = false", "bare = true")),
        ("../../swarm.toml", lambda _: '[log]\ndurability = "none"\n'),
    ],
)
def test_an_odd_repository_is_left_to_it(place: Place, files: Files, name: str, change: Callable[[str], str]) -> None:
    path = Path(place.home, name)
    before = path.read_text() if path.exists() else None
    path.write_text(change(before or ""))
    try:
        assert not taken(place, files, SEND, {})
    finally:
        path.write_text(before) if before is not None else path.unlink()


def test_settings_that_say_nothing_of_durability_are_no_hindrance(place: Place, files: Files) -> None:
    path = Path(place.root, "swarm.toml")
    path.write_text("[start]\nmax_agents = 2\n")
    try:
        assert taken(place, files, SEND, {})
    finally:
        path.unlink()
    assert not taken(place, files, SEND, {"SWARM_DURABILITY": "odd"})
