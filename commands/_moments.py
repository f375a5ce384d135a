"""A moment of a log, as people name it: `ID`, `INDEX` or `TIME`. Rule: a moment is an id, and as of it is all that
sorts up to it; a time given to the second is that whole second, so what `swarm log` shows with it is included.

    019aa3c1-b2c3-…, 4f2e91d0      an event, by its id, or by a beginning or the end of it
    7                              so many events; 0 is before the first
    2026-11-21T04:20:09Z           RFC 3339; without a zone it is UTC, the seconds or the whole clock may be missing
    04:20, 04:20:09                on the newest day in the log, UTC
    30s, 5m, 2h, 1d                so long ago
"""

import re
from datetime import UTC, datetime, timedelta
from typing import Protocol

from ..eventlog.errors import UsageError
from ..eventlog.ids import is_id, rfc3339

START = ""
"""Before every event."""
END = "ffffffff-ffff-7fff-bfff-ffffffffffff"
"""After every event."""

_EPOCH = "00000000-0000"
_SPAN = re.compile(r"(\d{1,5})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_NUMBER = re.compile(r"0|[1-9]\d{0,8}")
_TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)?(?:(?:(?<=\d)[Tt ]|^)(?P<clock>\d\d:\d\d(?P<second>:\d\d(?P<part>\.\d{1,3})?)?)"
    r"(?P<zone>[Zz]|[+-]\d\d:\d\d)?)?"
)


class Ids(Protocol):
    """A log, as far as naming its events takes."""

    def newest(self) -> str:
        """The last id; empty if there is none."""

    def nth(self, number: int) -> str:
        """The id of the event with that number, from 1; empty if there are not so many."""

    def called(self, words: str) -> list[str]:
        """The ids that start or end so."""


def resolve(words: str, log: Ids, now: float) -> str:
    """The moment that is meant; `now` is Unix time. A whole id is not looked up. Raises UsageError for what is none."""
    if is_id(wanted := words.lower()):
        return wanted
    if span := _SPAN.fullmatch(words):
        return _last_at(int(now * 1000) - int(span[1]) * _SECONDS[span[2]] * 1000)
    if words and (found := _TIME.fullmatch(words)):
        return _time(words, found, log)
    return _event(words, wanted, log)


def _event(words: str, wanted: str, log: Ids) -> str:
    number = int(words) if _NUMBER.fullmatch(words) else -1
    if number == 0:
        return START
    if number > 0 and (nth := log.nth(number)):
        return nth
    hits = log.called(wanted)
    if len(hits) == 1:
        return hits[0]
    if hits:
        some = ", ".join(hits[:4])
        raise UsageError(f"{words!r} matches {len(hits)} events: {some}", "give more letters, or the end of the id")
    what = f"event number {words}" if number > 0 else f"event {words!r}"
    raise UsageError(f"there is no {what}", "name one as `swarm log` does, or a time: 04:20, 2026-11-21T04:20:09Z, 5m")


def _time(words: str, found: "re.Match[str]", log: Ids) -> str:
    day = found["day"] or rfc3339(log.newest() or _EPOCH)[:10]
    zone = "+00:00" if (found["zone"] or "z").lower() == "z" else found["zone"]
    try:
        begin = datetime.fromisoformat(f"{day}T{found['clock'] or '00:00'}{zone}")
    except ValueError:
        raise UsageError(f"{words!r} is no time", "write it so: 04:20, 04:20:09, 2026-11-21T04:20:09Z") from None
    since = (begin - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return _last_at(since + _width(found) - 1)


def _width(found: "re.Match[str]") -> int:
    """How many milliseconds the time is meant to be long: it is as exact as it was written."""
    if found["part"]:
        return int(10 ** (4 - len(found["part"])))
    return 1000 if found["second"] else 60_000 if found["clock"] else 86_400_000


def _last_at(milliseconds: int) -> str:
    """The greatest id that can be made in that millisecond."""
    if milliseconds < 0:
        return START
    return min(f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}-7fff-bfff-ffffffffffff", END)
