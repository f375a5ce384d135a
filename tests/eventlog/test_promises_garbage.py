"""P5: any garbage in the log is skipped and reported, never fatal; what stands around it is read, and appends go on.

What a single line may hold is in `test_fuzz.py`.
"""

import os
import random
from bisect import bisect_left
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swarm.cli import run
from swarm.eventlog import place
from swarm.eventlog.events import IssueClosed, IssueOpened, MailSent
from swarm.eventlog.fact import Unknown
from swarm.eventlog.files import NONE, Draft, Log
from swarm.eventlog.ids import LAST
from swarm.eventlog.lines import decode_block, encode, envelope
from swarm.eventlog.tail import Tail, read_all
from swarm.eventlog.verify import verify
from swarm.projections import Board, issues
from swarm.world.checkpoints import Keeper
from swarm.world.clock import entropy

import repository
from arbitrary import Lives, visible
from garbage import chained, good_lines, mutant
from soak import amount

OpenLog = Callable[..., Log]
LINES = chained(Lives(1, 200).events)[:200]
WHOLE = b"\n".join(LINES) + b"\n"
EVENTS = decode_block(WHOLE)[0]
ENDS = [n for n, byte in enumerate(WHOLE) if byte == 10]
NEW = Draft(MailSent(to=["human"], body="after all"), source="agent/kim")
BEYOND = "ffffffff-ffff-7fff-bfff-ffffffffffff"


def opened(content: bytes, folder: str) -> Path:
    path = Path(folder, "n1.jsonl")
    path.write_bytes(content)
    return path


def check(folder: str, log: Log, intact: list[Any]) -> None:
    """The intact events are there, in order; an append works, and is read; nothing raises for the rest."""
    tail = Tail(folder)
    found = tail.read()
    new = log.append([NEW])
    found += tail.read()
    assert [event for event in found if event in intact] == intact
    assert found[-1:] == new
    log.close()


# --- a log that was damaged -----------------------------------------------------------------------


@pytest.mark.parametrize("part", range(10))
def test_p5_a_flipped_byte_anywhere_costs_the_line_that_it_is_in_and_no_other(
    folder: str, open_log: OpenLog, part: int
) -> None:
    """A flipped newline costs the two that it makes one."""
    chance, places = random.Random(part), range(part, len(WHOLE), 10)
    assert len(EVENTS) == len(ENDS) == 200
    for at in sorted(chance.sample(places, amount(ci=50, full=len(places)))):
        flipped = WHOLE[at] ^ chance.choice((1, 2, 4, 8, 16, 32, 64, 128, 255, 10))
        opened(WHOLE[:at] + bytes([flipped]) + WHOLE[at + 1 :], folder)
        hit = bisect_left(ENDS, at)
        after = hit + 1 + (at in ENDS)
        check(folder, open_log(folder, durability=NONE), EVENTS[:hit] + EVENTS[after:])
        if chance.random() < 0.02:
            verify(folder)
            visible(Board().fold(Tail(folder).read()))


def test_p5_a_log_cut_at_any_byte_loses_only_the_torn_line(folder: str, open_log: OpenLog) -> None:
    """Pain 30: a torn line is not glued to the next."""
    for cut in range(ENDS[-4] + 1, len(WHOLE) + 1, amount(ci=7, full=1)):
        opened(WHOLE[:cut], folder)
        kept = sum(end <= cut for end in ENDS)  # a line that only lacks its newline is whole again
        check(folder, open_log(folder, durability=NONE), EVENTS[:kept])
        report = verify(folder)
        assert report.events == kept + 1
        assert sum("no event" in error for error in report.errors) == (cut not in ENDS and cut - 1 not in ENDS)
        assert not [error for error in report.errors if "changed or taken out" in error]


# --- what may have got into it --------------------------------------------------------------------

GARBAGE: dict[str, bytes] = {
    "words": b"garbage\n",
    "not UTF-8": LINES[0].replace(b"hello", b"hel\xfflo") + b"\n\xff\xfe\x00\n",
    "NULs": b"\0" * 5000 + b"\n",
    "a BOM": b"\xef\xbb\xbf" + LINES[0] + b"\n",
    "UTF-16": LINES[0].decode().encode("utf-16") + b"\n",
    "a line of 2 MiB": b"x" * 2 * 1024 * 1024 + b"\n",
    "nesting": b'{"type":"mail.sent","data":' + b"[" * 100_000 + b"\n",
    "a conflict": b"<<<<<<< ours\n=======\n>>>>>>> theirs\n",
    "two lines in one": LINES[0] + LINES[1] + b"\n",
    "half a line": LINES[0][:60] + b"\n",
    "another's JSON": b'{"specversion":"1.0","id":"1"}\n[]\nnull\n"text"\n1\n',
    "an id beyond 2100": LINES[0].replace(EVENTS[0].id.encode(), BEYOND.encode()) + b"\n",
    "an id that is none": LINES[0].replace(EVENTS[0].id.encode(), b"1") + b"\n",
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("where", [0, 100, 200])
def test_p5_garbage_is_passed_over_and_reported(folder: str, open_log: OpenLog, name: str, where: int) -> None:
    before, after = (b"".join(line + b"\n" for line in part) for part in (LINES[:where], LINES[where:]))
    opened(before + GARBAGE[name] + after, folder)
    tail = Tail(folder)
    assert tail.read() == EVENTS
    assert len(tail.bad) == GARBAGE[name].count(b"\n")
    assert {bad.offset for bad in tail.bad} >= {len(before)}
    assert tail.seen == {"n1": EVENTS[-1].id}
    check(folder, open_log(folder, now=lambda: 1.0), EVENTS)
    assert [event.id for event in read_all(folder)][:-1] == [event.id for event in EVENTS], "the new one sorts last"
    report = verify(folder)
    assert report.events == 201
    assert sum(f"jsonl:{len(before)}: no event" in error for error in report.errors) == 1
    assert not [error for error in report.errors if "changed or taken out" in error]


def test_p5_what_a_newer_version_writes_is_kept_and_passed_by(folder: str, open_log: OpenLog) -> None:
    newer = [
        LINES[0].replace(b'"type":"', b'"type":"moon.'),
        LINES[1].replace(b'"time"', b'"level":[1,{}],"time"'),
        LINES[2].replace(b'"data":{', b'"data":{"mood":{"good":1},'),
        LINES[3].replace(LINES[3][LINES[3].index(b'"data":') :], b'"data":[1,2]}'),
    ]
    opened(b"".join(line + b"\n" for line in (*newer, *LINES[4:])), folder)
    tail = Tail(folder)
    found = tail.read()
    assert tail.bad == []
    assert [event.id for event in found] == [event.id for event in EVENTS]
    assert [isinstance(event.data, Unknown) for event in found[:5]] == [True, False, False, True, False]
    assert found[1:3] == EVENTS[1:3]
    visible(Board().fold(found))
    check(folder, open_log(folder), EVENTS[4:])


# --- ids from beyond 2100 -------------------------------------------------------------------------


def test_p5_an_id_from_beyond_2100_poisons_neither_later_ids_nor_what_is_shown(folder: str, open_log: OpenLog) -> None:
    """In a register that keeps the greatest id it would be the newest for ever."""
    issue = envelope(IssueOpened(title="a"), id=EVENTS[0].id, time="", source="human", subject="sw-1")
    closed = envelope(IssueClosed(generation=issue.id), id=BEYOND, time="", source="human", subject="sw-1")
    log = open_log(folder)
    for name in ("n1", "n2", f"n3-{BEYOND}"):
        Path(folder, f"{name}.jsonl").write_bytes(encode(issue) + encode(closed))
    tail = Tail(folder)
    board = Board().fold(tail.read())
    assert board.newest == issue.id
    assert board[issues.State].all["sw-1"].status == issues.OPEN
    assert ["2100" in bad.reason for bad in tail.bad] == [True] * 3
    new = log.append([NEW])[0]
    assert issue.id < new.id < LAST
    assert log.seal(1) == f"n1-{issue.id}.jsonl"


def test_p5_the_last_id_that_can_be_made_is_an_event_and_the_next_one_is_not() -> None:
    next_one = LAST.replace("bfff", "c000").replace("-7000-c", "-7001-8")
    for id_, is_event in ((LAST, True), (next_one, False), (BEYOND, False)):
        line = LINES[0].replace(EVENTS[0].id.encode(), id_.encode()) + b"\n"
        for block in (line, LINES[1] + b"\n" + line, line + b"garbage\n"):
            assert (id_ in [event.id for event in decode_block(block)[0]]) == is_event


# --- a file that was changed under a checkpoint ---------------------------------------------------


@pytest.mark.parametrize("seed", range(amount(ci=12, full=500)))
def test_p5_what_was_changed_under_a_checkpoint_is_shown_as_it_is_now(folder: str, tmp_path: Path, seed: int) -> None:
    """In a sealed file or in the one that grows: what is shown is what a fold of the whole log shows."""
    chance, cache = random.Random(seed), str(tmp_path / "cache")
    events = Lives(seed, 120).events
    lines = [line + b"\n" for line in chained(events)]
    sealed = Path(folder, f"n1-{events[0].id}.jsonl")
    sealed.write_bytes(b"".join(lines[:60]))
    opened(b"".join(lines[60:]), folder)
    Keeper(folder, cache, owner=True).close()
    assert shown(folder, cache) == seen(Board().fold(events))
    path = chance.choice((sealed, Path(folder, "n1.jsonl")))
    content = path.read_bytes()
    at = chance.randrange(len(content))
    changed = chance.choice(
        (
            content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
            content.replace(b"sw-0", b"sw-1"),
            content[: content.rindex(b"\n", 0, -1) + 1],
            content[:at] + b"\ngarbage\n" + content[at:],
            b"".join(reversed(content.splitlines(keepends=True))),
        )
    )
    with path.open("r+b") as file:
        file.write(changed)
        file.truncate()
    for _ in range(2):
        assert shown(folder, cache) == seen(Board().fold(Tail(folder).read()))
        Keeper(folder, cache, owner=True).close()


def shown(folder: str, cache: str) -> Any:
    """To somebody who trusts the checkpoint as far as it goes."""
    keeper = Keeper(folder, cache)
    keeper.read()
    try:
        return seen(keeper.board)
    finally:
        keeper.close()


def seen(board: Board) -> Any:
    """What people and actors see, without the lists that are of what is in memory."""
    views = visible(board)
    return views[0][0], views[0][2], views[1][0], views[3:6], board.newest


# --- commands -------------------------------------------------------------------------------------

READING = [
    *(["status"], ["status", "--json"], ["log"], ["log", "--json"], ["log", "verify"], ["log", "verify", "--json"]),
    *(
        ["replay"],
        ["replay", "--at", "50"],
        ["replay", "--json"],
        ["replay", "--diff", "10", "90"],
        ["replay", "--verify"],
    ),
    *(["replay", "--follow", "--speed", "max"], ["issue", "list"], ["issue", "list", "--json"], ["issue", "ready"]),
    *(["issue", "show", "sw-0"], ["agent", "list"], ["agent", "list", "--json"], ["agent", "show", "builder-1"]),
    *(["mail", "list"], ["mail", "list", "--json"], ["mail", "show", "50"], ["why", EVENTS[150].id], ["why", "sw-0"]),
]


@pytest.mark.parametrize("seed", range(amount(ci=3, full=100)))
def test_p5_every_command_reads_a_log_that_is_full_of_garbage(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    chance, good = random.Random(seed), good_lines(seed)
    monkeypatch.chdir(repository.make(tmp_path / "repo").root)
    here = place.find(os.getcwd(), {}, initialised=False)
    place.initialise(here, entropy)
    mutants = [mutant(line, good, chance) for line in chance.choices(good, k=400)]
    for number, node in enumerate(("n1", "n2", f"n3-{EVENTS[0].id}")):
        Path(here.log, f"{node}.jsonl").write_bytes(b"\n".join([*good, *mutants[number::3], b'{"type":"mail.s']))
    for words in READING:
        capfd.readouterr()
        code = run(words)
        out, err = capfd.readouterr()
        assert code in (0, 1, 2), f"swarm {' '.join(words)}: {err}"
        assert "\x1b" not in out + err
        assert words[0] != "status" or code == 0
