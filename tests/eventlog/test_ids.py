"""Ids grow under any clock, sort as text, and show their time."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.eventlog import ids
from swarm.eventlog.errors import LogError
from swarm.eventlog.ids import Minter

NOW = 1_800_000_000.0
CLOCKS = st.lists(st.floats(min_value=-1e6, max_value=ids.END - 1), min_size=1, max_size=60)


def minter(*times: float, node: int = 7, entropy: int = 0) -> Minter:
    left = list(times)
    return Minter(node, lambda: left.pop(0) if len(left) > 1 else left[0], lambda: entropy)


def made(when: float) -> str:
    return minter(when).mint()


@given(CLOCKS, st.integers(0, 2**64 - 1))
def test_ids_grow_as_text_under_any_clock(times: list[float], entropy: int) -> None:
    clock = minter(*times, entropy=entropy)
    found = [clock.mint() for _ in times]
    assert found == sorted(set(found))
    assert ids.are_ids(found)


def test_a_standing_clock_outlasts_the_counter() -> None:
    clock = minter(NOW)
    found = [clock.mint() for _ in range(10_000)]
    assert found == sorted(set(found))
    assert ids.time_of(found[-1]) == pytest.approx(NOW + 10_000 / 4096 / 1000, abs=0.002)


def test_an_id_sorts_after_what_was_observed_and_after_the_last_of_the_file() -> None:
    ahead, further = made(NOW + 3600), made(NOW + 7200)
    clock = minter(NOW)
    assert clock.observe(ahead)
    assert clock.mint() > ahead
    assert clock.mint(after=further) > further
    assert clock.mint() > further


@pytest.mark.parametrize("ahead", [ids.DAY + 1, 10 * 365 * ids.DAY])
def test_an_observed_id_more_than_a_day_ahead_does_not_move_the_clock(ahead: float) -> None:
    clock = minter(NOW)
    assert not clock.observe(made(NOW + ahead))
    assert ids.time_of(clock.mint()) == pytest.approx(NOW, abs=0.002)


def test_the_own_file_is_followed_when_the_clock_was_set_back_ten_years_but_not_beyond_2100() -> None:
    own = made(NOW + 10 * 365 * ids.DAY)
    assert minter(NOW).mint(after=own) > own
    assert ids.time_of(minter(NOW).mint(after="ffffffff-ffff-7fff-bfff-ffffffffffff")) == pytest.approx(NOW, abs=0.002)


def test_too_far_is_a_day_ahead_of_now_or_the_year_2100() -> None:
    assert not ids.too_far(made(NOW + ids.DAY - 1), NOW)
    assert ids.too_far(made(NOW + ids.DAY + 1), NOW)
    assert ids.too_far("ffffffff-ffff-7fff-bfff-ffffffffffff", 1e15)


def test_ids_of_a_time_on_are_those_that_do_not_sort_before_its_text() -> None:
    for milliseconds in (1, 65_535, 65_536, 1_800_000_000_123):
        begin = ids.begin_of(milliseconds / 1000)
        assert made((milliseconds - 1) / 1000) < begin <= made(milliseconds / 1000)
    assert ids.begin_of(-1.0) == ids.begin_of(0.0)


def test_a_clock_beyond_2100_is_refused_with_words() -> None:
    with pytest.raises(LogError, match="2100"):
        minter(ids.END + 1).mint()


@given(st.integers(0, ids.END * 1000 - 1))
def test_the_time_is_the_calendars(milliseconds: int) -> None:
    found = made(milliseconds / 1000 + 0.0001)
    expected = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    assert ids.rfc3339(found) == f"{expected}.{milliseconds % 1000:03}Z"
    assert ids.time_of(found) == milliseconds / 1000


def test_the_layout_is_that_of_rfc_9562() -> None:
    found = minter(1.0, node=0xABCD, entropy=2**64 - 1).mint()
    # 1000 ms, counter 0, version 7; variant 10, then the node's 16 bits, then 46 ones
    assert found == "00000000-03e8-7000-aaf3-7fffffffffff"


@given(CLOCKS, st.integers(0, 2**16 - 1), st.lists(st.integers(0, 2**64 - 1), min_size=60, max_size=60))
def test_every_id_has_that_layout_and_its_time_in_words(times: list[float], node: int, entropy: list[int]) -> None:
    """What is spelled but once in a millisecond is that of this millisecond."""
    times, drawn, last = [when for when in times for _ in range(2)], iter(entropy * 2), 0
    clock = Minter(node, iter(times).__next__, drawn.__next__)
    for when, random in zip(times, entropy * 2, strict=False):
        last = max(int(when * 1000) << 12, last + 1)
        number = last >> 12 << 80 | (0x7000 | last & 0xFFF) << 64 | 1 << 63 | node << 46 | random % 2**46
        assert clock.mint() == str(UUID(int=number))
        assert clock.time() == ids.rfc3339(str(UUID(int=number)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "019aa3c1",
        "019AA3C1-0000-7000-8000-000000000000",
        "019aa3c1-0000-4000-8000-000000000000",
        "019aa3c1-0000-7000-c000-000000000000",
        "019aa3c1-0000-7000-8000-000000000000\n",
        "019aa3c1-0000-7000-8000-00000000000\u0660",
    ],
)
def test_what_is_no_id_is_seen(text: str) -> None:
    good = made(NOW)
    assert ids.is_id(good)
    assert not ids.is_id(text)
    assert not ids.are_ids([good, text, good])
    assert (ids.are_ids([good]), ids.are_ids([text])) == (True, False)


def test_nodes_have_their_own_bits() -> None:
    assert len({ids.node_bits(f"n{i:012x}") for i in range(100)}) > 95
    assert all(0 <= ids.node_bits(f"n{i:012x}") < 2**16 for i in range(100))
