"""The end of a file is found by a look at its last bytes, as it would be by a look at all of them."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog.end import End, end_of
from swarm.eventlog.events import MailSent
from swarm.eventlog.ids import Minter, says_time
from swarm.eventlog.lines import decode_block, encode, envelope

from disk import FOLDER, SimDisk

_MINTER = Minter(1, lambda: 1_800_000_000.0, lambda: 0)


def event(size: int) -> bytes:
    return encode(envelope(MailSent(to=["human"], body="." * size), id=_MINTER.mint(), time=_MINTER.time(), source="x"))


def belied(size: int) -> bytes:
    """With an id in which one bit was flipped."""
    return event(size).replace(b'"id":"01', b'"id":"03')


PIECES = st.one_of(
    st.sampled_from([0, 1000]).map(belied),
    st.sampled_from([0, 10, 700, 1000, 20_000]).map(event),
    st.sampled_from(
        [b"\n", b"garbage\n", b"\0\0\0\n", b"x" * 1500 + b"\n", b"x" * 40_000 + b"\n", event(5)[:-2] + b"\n"]
    ),
)
TORN = st.one_of(
    st.sampled_from([b"", b"", b"x", b"x" * 2000, b"\0"]), st.integers(1, 150).map(lambda n: event(99)[:n])
)


def end_in(content: bytes) -> End:
    disk = SimDisk()
    fd = disk.open(f"{FOLDER}/a", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    disk.write(fd, content)
    return end_of(disk, fd, len(content))


def plainly(content: bytes) -> End:
    id_, last = "", b""
    for line in content.split(b"\n"):
        for found in decode_block(line)[0]:
            id_, last = found.id if says_time(found.id, found.time) else id_, line
    return End(len(content), id_, last, content[-1:] not in (b"", b"\n"))


@given(st.lists(PIECES, max_size=8), TORN)
def test_the_end_is_the_last_line_that_is_an_event(pieces: list[bytes], torn: bytes) -> None:
    content = b"".join(pieces) + torn
    assert end_in(content) == plainly(content)


@pytest.mark.parametrize("cut", range(-2, 3))
def test_a_line_that_begins_where_the_look_does_is_seen_whole(cut: int) -> None:
    lines = [event(100), event(1024 - len(event(0)) + cut)]
    content = b"".join(lines)
    assert len(lines[1]) == 1024 + cut
    assert end_in(content) == plainly(content)
    assert end_in(content).line == lines[1][:-1]


def test_a_whole_event_without_its_newline_is_the_last_one_and_torn() -> None:
    content = event(3) + event(4)[:-1]
    assert end_in(content) == End(len(content), decode_block(content)[0][1].id, content.split(b"\n")[1], True)
