"""P5 for verify, repair and stats: whatever bytes the files hold, it is told and never fatal; and no change of a line
escapes the chain.
"""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from swarm.eventlog.events import MailSent
from swarm.eventlog.lines import DEEPEST, LONGEST_READ
from swarm.eventlog.repair import plan
from swarm.eventlog.stats import stats
from swarm.eventlog.verify import verify

from driver import driver
from soak import amount


@pytest.fixture(scope="module")
def log() -> bytes:
    """A log of 200 events."""
    with driver({name: ["breaks", "well"] for name in "abcdefg"}) as d:
        d.person(MailSent(to=["coordinator"], body='grüße\n\t"\\'), "")
        d.run(Random(1))
        (file,) = Path(d.folder).iterdir()
        lines = file.read_bytes().splitlines(keepends=True)
    assert len(lines) >= 200
    return b"".join(lines[:200])


def look(folder: str) -> tuple[list[str], list[str]]:
    """All three look at it; what is an error, and what is noted."""
    plan(folder, "n1.jsonl")
    stats(folder)
    report = verify(folder)
    return report.errors, report.notes


def test_every_byte_flipped_is_an_error_but_in_the_last_line_which_no_line_names(folder: str, log: bytes) -> None:
    """The last line is vouched for only by the next one to come: there a flip is an error where it spoils the line, a
    note where it unfinishes it, and unseen where it says something else that can be.
    """
    path, last = Path(folder, "n1.jsonl"), log.rfind(b"\n", 0, -1) + 1
    path.write_bytes(log)
    assert verify(folder).errors == []
    chance = Random(5)
    for at in range(0, last, amount(211, 1)):
        flipped = bytearray(log)
        flipped[at] ^= chance.randint(1, 255)
        path.write_bytes(flipped)
        assert verify(folder).errors, f"{flipped[at - 20 : at + 20]!r}"
    for at in range(last, len(log), amount(7, 1)):
        flipped = bytearray(log)
        flipped[at] ^= chance.randint(1, 255)
        path.write_bytes(flipped)
        look(folder)  # it does not raise


def test_a_flip_in_the_last_line_is_found_once_another_line_was_written_after_it(folder: str, log: bytes) -> None:
    path, lines = Path(folder, "n1.jsonl"), log.splitlines(keepends=True)
    before, last, after = b"".join(lines[:-2]), lines[-2], lines[-1]
    for at in range(0, len(last), amount(5, 1)):
        flipped = bytearray(last)
        flipped[at] ^= 1
        path.write_bytes(before + flipped + after)
        assert verify(folder).errors


def test_a_file_cut_at_any_byte_of_its_last_three_lines_has_a_line_that_is_not_finished(
    folder: str, log: bytes
) -> None:
    path, lines = Path(folder, "n1.jsonl"), log.splitlines(keepends=True)
    begin = len(log) - sum(map(len, lines[-3:]))
    for cut in range(begin, len(log), amount(13, 1)):
        path.write_bytes(log[:cut])
        errors, notes = look(folder)
        assert errors == []
        assert ["not finished" in note for note in notes] == [True] * (log[cut - 1 : cut] != b"\n")


GARBAGE = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\n", b"\r\n", b"{}", b"null", b"[]", b"\xef\xbb\xbf", b"\x00" * 4096, b"\xff\xfe"]),
    st.builds(
        bytes.__mul__, st.sampled_from([b"[", b'{"a":', b"x"]), st.sampled_from([DEEPEST, 2000, LONGEST_READ + 1])
    ),
)
NAMES = st.one_of(
    st.sampled_from(["n1.jsonl", "n2.jsonl", "n1-01a1fdda-6be3-7000-9073-4d5164aee8bc.jsonl", ".x.jsonl", "notes.txt"]),
    st.binary(min_size=1, max_size=9)
    .filter(lambda name: not {0, 10, 47} & set(name))
    .map(lambda name: name + b".jsonl"),
)


@settings(
    max_examples=amount(60, 5000),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)
@given(st.data())
def test_any_garbage_among_any_lines_in_any_files_is_told(tmp_path: Path, log: bytes, data: st.DataObject) -> None:
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    lines = log.splitlines(keepends=True)
    for name in data.draw(st.lists(NAMES, max_size=4, unique_by=str)):
        pieces = data.draw(st.lists(st.one_of(GARBAGE, st.sampled_from(lines), st.integers(0, 199)), max_size=8))
        content = b"".join(lines[piece] if isinstance(piece, int) else piece for piece in pieces)
        (folder / (name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name)).write_bytes(content)
    look(str(folder))


def mutants(lines: list[bytes], chance: Random) -> Iterator[bytes]:
    """Lines with bytes changed, cut out, doubled, or put in from another line."""
    while True:
        line = bytearray(chance.choice(lines))
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            at, length = chance.randrange(len(line)), chance.randrange(30)
            act = chance.randrange(4)
            if act == 0:
                line[at] = chance.randrange(256)
            elif act == 1:
                del line[at : at + length]
            elif act == 2:
                line[at:at] = line[at : at + length]
            else:
                line[at : at + length] = chance.choice(lines)[at : at + length]
            line = line or bytearray(b"x")
        yield bytes(line)


@pytest.mark.parametrize("seed", range(amount(2, 100)))
def test_pains_30_mutated_lines_are_counted_and_hide_nothing(folder: str, log: bytes, seed: int) -> None:
    """100 x 10,000 by `make soak`."""
    source = mutants(log.splitlines(keepends=True), Random(seed))
    garbage = b"".join(next(source) for _ in range(amount(1000, 10_000)))
    Path(folder, "n1.jsonl").write_bytes(log)
    Path(folder, "n2.jsonl").write_bytes(garbage)
    errors, _ = look(folder)
    assert errors
    assert verify(folder).events >= 200
