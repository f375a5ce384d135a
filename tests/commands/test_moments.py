"""A moment: as people name it, and the id that it comes to."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.commands._moments import END, START, resolve
from swarm.eventlog.errors import UsageError
from swarm.eventlog.ids import is_id, rfc3339, time_of

from given import id_of

IDS = [id_of(number) for number in range(10)]
NOW = 1_800_000_000.0


class Ids:
    """A log of these events."""

    def __init__(self, ids: Sequence[str] = IDS) -> None:
        self._ids = ids

    def newest(self) -> str:
        return self._ids[-1] if self._ids else ""

    def nth(self, number: int) -> str:
        return self._ids[number - 1] if 0 < number <= len(self._ids) else ""

    def called(self, words: str) -> list[str]:
        return [id_ for id_ in self._ids if words and (id_.startswith(words) or id_.endswith(words))]


def at(words: str, ids: Sequence[str] = IDS) -> str:
    """The moment that is meant, in a log of these events."""
    return resolve(words, Ids(ids), NOW)


NEVER: Any = None
"""A log that cannot be asked."""


def test_a_whole_id_is_itself_and_is_not_looked_up() -> None:
    assert resolve(IDS[3].upper(), NEVER, NOW) == IDS[3]


@pytest.mark.parametrize("words", ["5m", "2026-11-21T04:20:09Z", "2026-11-21"])
def test_a_full_time_is_not_looked_up_either(words: str) -> None:
    assert is_id(resolve(words, NEVER, NOW))


def test_an_event_is_named_by_its_number_or_by_either_end_of_its_id() -> None:
    assert [at(str(number)) for number in range(11)] == [START, *IDS]
    assert at(IDS[4][-8:]) == at(IDS[4][:13].upper()) == IDS[4]
    assert at("009") == IDS[9]  # digits, but nobody writes a number so
    assert at("000000009") == IDS[9]


@pytest.mark.parametrize("words", ["11", "-1", "9" * 20, "zz", "019a", "9:99", "24:00", "04:60", "1x", "5 m"])
def test_what_is_no_one_moment_is_refused_with_words(words: str) -> None:
    with pytest.raises(UsageError, match=r"event|time") as refused:
        at(words)
    assert refused.value.hint


@pytest.mark.parametrize("words", ["2026-02-30", "2026-11-21T25:00:00Z", "2026-11-21T04:20:09+99:00", "0000-01-01"])
def test_a_time_that_cannot_be_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="no time"):
        at(words)


@pytest.mark.parametrize(
    ("words", "last"),
    [
        ("2026-11-21T04:20:09.123Z", "2026-11-21T04:20:09.123Z"),
        ("2026-11-21T04:20:09.1Z", "2026-11-21T04:20:09.199Z"),
        ("2026-11-21T04:20:09Z", "2026-11-21T04:20:09.999Z"),
        ("2026-11-21T04:20:09", "2026-11-21T04:20:09.999Z"),
        ("2026-11-21t04:20:09z", "2026-11-21T04:20:09.999Z"),
        ("2026-11-21 04:20:09+02:00", "2026-11-21T02:20:09.999Z"),
        ("2026-11-21T04:20-05:30", "2026-11-21T09:50:59.999Z"),
        ("2026-11-21T04:20", "2026-11-21T04:20:59.999Z"),
        ("2026-11-21", "2026-11-21T23:59:59.999Z"),
        ("2024-02-29", "2024-02-29T23:59:59.999Z"),
        ("1970-01-01", "1970-01-01T23:59:59.999Z"),
        ("90s", "2027-01-15T07:58:30.000Z"),
        ("5m", "2027-01-15T07:55:00.000Z"),
        ("2h", "2027-01-15T06:00:00.000Z"),
        ("1d", "2027-01-14T08:00:00.000Z"),
    ],
)
def test_a_time_is_as_exact_as_it_was_written(words: str, last: str) -> None:
    assert rfc3339(at(words)) == last


def test_a_clock_alone_is_that_of_the_newest_day_in_the_log() -> None:
    day = rfc3339(IDS[-1])[:10]
    assert rfc3339(at("00:12")) == f"{day}T00:12:59.999Z"
    assert rfc3339(at("00:12:54")) == f"{day}T00:12:54.999Z"
    assert [id_ for id_ in IDS if id_ <= at(rfc3339(IDS[6])[11:19])] == IDS[:7]
    assert at("00:12", []) < IDS[0]


def test_before_time_began_is_before_every_event() -> None:
    assert at("1960-01-01") == START
    assert at("99999d") == START


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**12 - 1), st.integers(0, 2**62 - 1))
def test_every_event_of_that_millisecond_is_included_and_none_of_the_next(ms: int, counter: int, low: int) -> None:
    ms = min(ms, 253_402_300_799_998)
    id_ = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{counter:03x}-{1 << 15 | low >> 48:04x}-{low & 0xFFFF_FFFF_FFFF:012x}"
    assert is_id(id_)
    when = rfc3339(id_)
    bound = at(when)
    assert id_ <= bound <= END
    assert time_of(bound) == time_of(id_)
    after = f"{ms + 1 >> 16:08x}-{ms + 1 & 0xFFFF:04x}-7000-8000-000000000000"
    assert bound < after
