"""P5: whatever is in a line of the log, nothing that reads it raises, and no other line means something else for it."""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.eventlog.fact import Event
from swarm.eventlog.ids import LAST
from swarm.eventlog.lines import LONGEST_READ, Bad, decode_block, encode
from swarm.eventlog.telling import tell
from swarm.projections import Board

from arbitrary import visible
from garbage import good_lines, mutant
from soak import amount

PART = 1_000
LINES = amount(ci=30_000, full=1_000_000)
LONGEST_TIME = 0.5
"""Seconds of the processor for one line, of 2 MiB too: many times what the slowest takes."""

GOOD = good_lines(1)
HEADS = [line[: line.index(b'"data":')] for line in GOOD[:40]]


def alone(block: bytes) -> tuple[list[Event[Any]], list[Bad]]:
    """What the lines mean, each by itself."""
    events, bad, offset = list[Event[Any]](), list[Bad](), 0
    for line in block.split(b"\n"):
        found, wrong = decode_block(line)
        assert len(found) + len(wrong) == bool(line)
        events += found
        bad += [Bad(offset, len(line), one.reason) for one in wrong]
        offset += len(line) + 1
    return events, bad


def check(block: bytes, board: Board) -> None:
    """All that is done with a line, with each of these."""
    found = decode_block(block)
    assert found == alone(block)
    for event in found[0]:
        assert event.id <= LAST
        assert len(tell(event).splitlines()) == 1
        assert decode_block(encode(event, LONGEST_READ * 2)) == ([event], [])
    board.fold(found[0])


@pytest.mark.parametrize("seed", range(amount(ci=3, full=20)))
def test_p5_a_line_means_what_it_means_alone_and_nothing_raises_for_it(seed: int) -> None:
    chance, left, slowest = random.Random(seed), LINES // amount(ci=3, full=20), 0.0
    while left > 0:
        board = Board()
        for _ in range(PART):
            lines = chance.choices(GOOD, k=chance.randrange(1, 6))
            lines = [mutant(line, GOOD, chance) if chance.random() < 0.7 else line for line in lines]
            block = b"\n".join(lines) + b"\n"
            left -= len(lines)
            begin = time.process_time()
            try:
                check(block, board)
            except Exception as error:
                raise AssertionError(f"seed {seed}: {block!r}") from error
            slowest = max(slowest, time.process_time() - begin)
        visible(board)
    assert slowest < LONGEST_TIME


# --- lines that nearly are what the quick way of decoding takes for granted ---

WHOLE, HEAD = st.sampled_from(GOOD), st.sampled_from(HEADS)
PIECES = st.one_of(
    WHOLE,
    WHOLE,
    HEAD,
    WHOLE.flatmap(lambda line: st.integers(1, len(line) - 1).map(lambda at: line[:at] + b"\n" + line[at:])),
    WHOLE.flatmap(lambda line: st.integers(1, len(line) - 1).map(lambda at: line[:at])),
    WHOLE.map(lambda line: line[:-1]),
    WHOLE.map(lambda line: line + line),
    WHOLE.map(lambda line: line.replace(b"}", b"}\n")),
    WHOLE.map(lambda line: line.replace(b"{", b"\n{")),
    WHOLE.map(lambda line: line.replace(b",", b"\n,")),
    st.sampled_from(
        [b"\n", b"\n", b"\n", b"}", b"{", b'"', b",", b" ", b"[", b"]", b":", b'{"type":"', b'"data":', b'"x":']
    ),
)


@settings(max_examples=amount(ci=1_000, full=100_000), deadline=None)
@given(st.lists(PIECES, max_size=8))
def test_p5_lines_that_are_put_together_from_parts_mean_what_they_mean_alone(pieces: list[bytes]) -> None:
    block = b"".join(pieces)
    assert decode_block(block) == alone(block)
    assert decode_block(b"\n".join(pieces)) == alone(b"\n".join(pieces))


@given(st.lists(PIECES, max_size=6), st.sets(st.sampled_from(["issue.", "mail.sent", "session.", "x"]), min_size=1))
def test_p5_a_reader_of_some_types_finds_of_those_what_one_of_all_finds(pieces: list[bytes], only: set[str]) -> None:
    block = b"\n".join(pieces)
    found, bad = decode_block(block, sorted(only))
    events, all_bad = decode_block(block)
    wanted = [event for event in events if event.type.startswith(tuple(only))]
    assert [event for event in found if event.type.startswith(tuple(only))] == wanted
    assert all(event in events for event in found)
    assert all(one in all_bad for one in bad)


# --- inputs that would take long ---

MIB = 1024 * 1024
LETTER = next(line for line in GOOD if b'"mail.sent"' in line)
BEFORE, AFTER = LETTER.split(b'"body":"', 1)
AFTER = AFTER[AFTER.index(b'"') :]


def in_body(text: bytes) -> bytes:
    return BEFORE + b'"body":"' + text + AFTER


SLOW: dict[str, Callable[[], bytes]] = {
    "a line of 2 MiB": lambda: in_body(b"x" * 2 * MIB),
    "no newline for 2 MiB": lambda: b"x" * 2 * MIB,
    "a line of nearly 1 MiB": lambda: in_body(b"x" * (MIB - 1000)),
    "escapes": lambda: in_body(b"\\n" * (MIB // 2 - 1000)),
    "backslashes, and no end": lambda: b'"' + b"\\" * (MIB - 10),
    "quotes": lambda: b'"' * (MIB - 10),
    "quotes and backslashes": lambda: b'"\\' * (MIB // 2 - 10),
    "texts and brackets": lambda: b'"a"[' * (MIB // 4 - 10),
    "opened a million times": lambda: b"[" * (MIB - 10),
    "objects in objects": lambda: b'{"a":' * (MIB // 5 - 10),
    "a deep object after an event": lambda: LETTER + b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "side by side": lambda: b"[" + b"[]," * (MIB // 3 - 10) + b"[]]",
    "brackets in a text": lambda: in_body(b"[{" * (MIB // 2 - 1000)),
    "a number of a million digits": lambda: LETTER.replace(b'"to"', b'"new":' + b"9" * (MIB - 2000) + b',"to"'),
    "a fraction of a million digits": lambda: LETTER.replace(b'"data"', b'"now":0.' + b"9" * (MIB - 2000) + b',"data"'),
    "an exponent of a million digits": lambda: LETTER.replace(
        b'"data"', b'"now":1e' + b"9" * (MIB - 2000) + b',"data"'
    ),
    "a key a hundred thousand times": lambda: LETTER.replace(b'"data"', b'"now":1,' * (MIB // 8 - 1000) + b'"data"'),
    "many keys": lambda: LETTER.replace(
        b'"data"', b'"seen":{' + b",".join(b'"%d":""' % n for n in range(90_000)) + b'},"data"'
    ),
    "many recipients": lambda: LETTER.replace(b'"to":[', b'"to":[' + b'"a",' * (MIB // 4 - 1000)),
    "surrogates": lambda: in_body(b"\\ud83d\\ude00" * (MIB // 12 - 100)),
    "half surrogates": lambda: in_body(b"\\ud83d" * (MIB // 6 - 200)),
    "newlines": lambda: b"\n" * 2 * MIB,
    "lines of one bracket": lambda: b"{\n" * MIB,
    "empty objects": lambda: b"{}\n" * (MIB // 2),
    "what is not UTF-8": lambda: b"\xff" * (MIB - 10),
    "an unknown type of 1 MiB": lambda: in_body(b"x" * (MIB - 2000)).replace(b"mail.sent", b"moon.landed"),
}


@pytest.mark.parametrize("name", SLOW)
def test_p5_no_input_takes_long(name: str) -> None:
    block = LETTER + b"\n" + SLOW[name]() + b"\n" + LETTER + b"\n"
    begin = time.process_time()
    events, _ = decode_block(block)
    took = time.process_time() - begin
    lines = [tell(event) for event in events]
    assert lines[0] == lines[-1] == tell(decode_block(LETTER)[0][0])
    assert took < LONGEST_TIME + block.count(b"\n") / 100_000
