"""Ids that are UUIDv7 outside and a hybrid logical clock inside. Rule: ids are made here and nowhere else, and purely.

    48 bits Unix milliseconds | version 7 | 12 bits counter | variant | 16 bits node | 46 random bits

The first 60 bits (milliseconds and counter) are one number that only grows: it is the wall clock where that is ahead,
and the greatest id known plus one where it is not. So an id sorts, as text too, after all that its author had seen.
Sources: RFC 9562 §5.7 and §6.2; Kulkarni et al., "Logical Physical Clocks" (2014).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from math import ceil

from .errors import LogError
from .hashes import blake2b

DAY = 86_400
END = 4_102_444_800
"""Unix time of 2100-01-01: no id lies beyond it."""

_FORM = "[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_one = re.compile(_FORM).fullmatch
_spelled = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII).fullmatch
_HEX = b"0123456789abcdef"
_STEP = 37
_END_CLOCK = END * 1000 << 12
LAST = f"{END * 1000 >> 16:08x}-{END * 1000 & 0xFFFF:04x}-7000-bfff-ffffffffffff"
"""The greatest id there can be. A line with a greater one is no event: in a fold it would be the newest for ever."""


def is_id(text: str) -> bool:
    """Whether this is an id in its one spelling (lower case, with hyphens)."""
    return _one(text) is not None


def are_ids(texts: Sequence[str]) -> bool:
    """The same of many, in a fraction of the time: what stands at each place is looked at in all of them at once."""
    many = len(texts)
    if many == 1:
        return is_id(texts[0])
    try:
        block = "\n".join(texts).encode("ascii")
    except UnicodeEncodeError:
        return False
    return (
        block.translate(None, _HEX) == b"----\n" * (many - 1) + b"----" * bool(many)
        and all(
            block[at::_STEP] == mark * many for at, mark in ((8, b"-"), (13, b"-"), (14, b"7"), (18, b"-"), (23, b"-"))
        )
        and block[36::_STEP] == b"\n" * (many - 1)
        and not block[19::_STEP].translate(None, b"89ab")
        and len(block) == _STEP * many - bool(many)
    )


def time_of(id: str) -> float:  # noqa: A002
    """When it was made by its author's hybrid clock: Unix seconds, to the millisecond."""
    return int(id[:8] + id[9:13], 16) / 1000


def begin_of(time: float) -> str:
    """What no id made before that Unix time is greater than, and every one made from then on is."""
    milliseconds = max(0, ceil(time * 1000))
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def rfc3339(id: str) -> str:  # noqa: A002
    """The same for people: `2026-11-21T04:20:09.123Z`."""
    return _rfc3339(int(id[:8] + id[9:13], 16))


def day_of(id: str) -> str:  # noqa: A002
    """The day in UTC on which it was made: `2026-11-21`."""
    return _date(int(id[:8] + id[9:13], 16) // (DAY * 1000))


def day(now: float) -> str:
    """The day in UTC of that Unix time."""
    return _date(int(now // DAY))


def says_time(id: str, time: str) -> bool:  # noqa: A002
    """Whether a line with this id may say this `time`: it is the same, or in a spelling that our writers do not use."""
    seconds, thousandth = divmod(int(id[:8] + id[9:13], 16), 1000)
    return time == f"{_second(seconds)}{thousandth:03}Z" or _spelled(time) is None


def too_far(id: str, now: float) -> bool:  # noqa: A002
    """Whether the id claims a time that no sane clock can show: over a day after `now`, or beyond the year 2100."""
    return id > LAST or time_of(id) > now + DAY


def too_far_from(now: float) -> str:
    """The same for many ids: those that are too far are not less than this text."""
    milliseconds = int(min(now + DAY, END) * 1000) + 1
    return f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}"


def node_bits(node: str) -> int:
    """The 16 bits that stand for a node in its ids."""
    return int.from_bytes(blake2b(node.encode(), digest_size=2).digest(), "big")


def made_on(id: str, node: str) -> bool:  # noqa: A002
    """Whether it was made on that node; of 65,536 other nodes one looks the same."""
    return node_bits_of(id) == node_bits(node)


def node_bits_of(id: str) -> int:  # noqa: A002
    """The 16 bits of the node that made it."""
    return int(id[19:23] + id[24], 16) >> 2 & 0xFFFF


class Minter:
    """Makes the ids of one writer. Not thread-safe: its owner holds a lock.

    `now` gives Unix seconds and may do anything (jump, stand, run backwards); `entropy` gives 46 or more random bits.
    """

    def __init__(self, node: int, now: Callable[[], float], entropy: Callable[[], int]) -> None:
        self._now = now
        self._entropy = entropy
        self._node = f"-{0x8000 | (node & 0xFFFF) >> 2:04x}-"
        self._rest = 1 << 48 | (node & 3) << 46
        self._clock = 0
        self._made = ""
        self._second = -1, ""
        self._begin(0)

    def observe(self, id: str) -> bool:  # noqa: A002
        """Sort after this id from now on. One too far ahead is refused (False): a bad clock must not pull all along."""
        if too_far(id, self._now()):
            return False
        self._clock = max(self._clock, _clock_of(id))
        return True

    def mint(self, after: str = "") -> str:
        """An id greater than `after` and than every id made or observed before.

        `after` is the last id of the writer's own file. It is followed even if it is days ahead (this machine's own
        clock was wrong and was set back: what comes later must still sort later), but not beyond the year 2100: that
        is garbage (as is an id that its own line belies: end.py). Raises LogError if this machine's clock itself is
        beyond it.
        """
        clock = int(self._now() * 1000) << 12
        if clock <= self._clock:
            clock = self._clock + 1
        if after and after != self._made:
            followed = _clock_of(after) + 1
            if clock < followed <= _END_CLOCK:
                clock = followed
        if clock > _END_CLOCK:
            raise LogError(
                "the clock of this machine is beyond the year 2100: no event can be written", "set the clock"
            )
        self._clock = clock
        if clock >> 12 != self._millisecond:
            self._begin(clock >> 12)
        fourth, last = 0x7000 | clock & 0xFFF, self._rest | self._entropy() & 0x3FFF_FFFF_FFFF
        self._made = f"{self._head}{fourth:x}{self._node}{hex(last)[3:]}"  # (a format with a width is slower)
        return self._made

    def time(self) -> str:
        """The time in the id that was made last, as RFC 3339 has it."""
        return self._time

    def _begin(self, millisecond: int) -> None:
        """Spell what is the same in all ids of this millisecond: of a burst, only the first has to."""
        self._millisecond = millisecond
        self._head = f"{millisecond >> 16:08x}-{millisecond & 0xFFFF:04x}-"
        seconds, thousandth = divmod(millisecond, 1000)
        if seconds != self._second[0]:
            self._second = seconds, _rfc3339(seconds * 1000)[:20]
        self._time = f"{self._second[1]}{thousandth:03}Z"


def _clock_of(id: str) -> int:  # noqa: A002
    return int(id[:8] + id[9:13] + id[15:18], 16)


def _rfc3339(milliseconds: int) -> str:
    seconds, thousandth = divmod(milliseconds, 1000)
    days, second = divmod(seconds, DAY)
    return f"{_date(days)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{thousandth:03}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return _rfc3339(seconds * 1000)[:20]


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    """The civil date of a day since 1970-01-01 (`civil_from_days` in Howard Hinnant's "chrono-Compatible Low-Level Date
    Algorithms"): eras of 400 years have 146,097 days, and years begin on 1 March so that the leap day comes last."""
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    day = of_year - (153 * shifted + 2) // 5 + 1
    month = shifted + 3 if shifted < 10 else shifted - 9
    return f"{year + era * 400 + (month <= 2):04}-{month:02}-{day:02}"
