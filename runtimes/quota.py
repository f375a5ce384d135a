"""How providers say that there is no quota left, and until when: shared by the runtimes, and itself none.

Rule: pure, and linear on any output; the time is an argument. Only what a session that failed printed last is looked
at: a script that met a 429, waited and went on is no matter. Times of day without a zone are those of the machine.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

LINES, WIDTH = 12, 4000
"""So many of the last lines are looked at, and so many characters of each."""
WORDS = 400
"""Characters of what was said that are kept: the line that says so, and what follows it."""
FURTHEST = 40 * 86_400.0
"""Seconds: a time further ahead than a month's quota lasts is not believed."""

SAID: Mapping[str, Sequence[str]] = {
    "claude": (
        r"\bclaude (?:ai |code )?usage limit reached",
        r"\b(?:hour|session|daily|weekly|monthly|opus|sonnet|usage|message) limit reached",
        r"\byou[^a-z ]ve (?:hit|reached) your (?:[\w-]{1,20} ){0,3}limit",
        r"\bapi error: (?:request rejected \()?429\b",
        r'"api_error_status": ?429\b',
        r"\bcredit balance is too low",
    ),
    "codex": (r"\bexceeded retry limit, last status: 429\b", r"\busage_limit_reached\b"),
    "opencode": (r'"statuscode": ?429\b', r"\bai_apicallerror: (?:rate|usage|quota)"),
    "aider": (r"\blitellm\.ratelimiterror\b", r"\bthe api provider has rate limited you"),
    "amp": (r"\b(?:out of|insufficient) (?:[\w-]{1,20} )?credits?\b",),
    "pi": (r"\ball_deployments_in_cooldown\b", r"\bno deployments available for selected model"),
    "openai": (
        r"\binsufficient_quota\b",
        r"\bexceeded your current quota",
        r"\brate_limit_(?:error|exceeded|reached)\b",
        r"\brate limit (?:reached|exceeded) for\b",
    ),
    "gemini": (r"\bquota exceeded for\b", r"\bresource_exhausted\b"),
    "http": (r"\b429:? too many requests\b",),
}
"""Who says it -> how (regular expressions, whatever the case of the letters; every repetition bounded). The agents' own
words stand here too where they have no runtime of their own: a script often is but a call of one.
"""
_SAID = re.compile("|".join(f"(?:{said})" for says in SAID.values() for said in says), re.IGNORECASE)


def refusal(lines: Iterable[str]) -> str:
    """The words in which the last of these lines say that there is no quota left; empty if they do not."""
    last = [line[:WIDTH] for line in lines][-LINES:]
    for number, line in enumerate(last):
        if found := _SAID.search(line):
            begin = 0 if len(line) <= WORDS else max(0, found.start() - 40)
            return " ".join(" ".join([line[begin:], *last[number + 1 :]]).split())[:WORDS]
    return ""


# --- until when -----------------------------------------------------------------------------------


def until(words: str, now: float, zone: float = 0.0) -> float:
    """The Unix time of the reset that the words name; 0 if they name none that is still to come.

    `zone`: how many seconds the machine's time is ahead of UTC. A time without its date is the next such moment.
    """
    for find in _WAYS:
        for when in find(words, now, zone):
            if now < when <= now + FURTHEST:
                return when
    return 0.0


_BEFORE = r"(?:resets?|resetting|refresh(?:es|ed)?|restored|again|retry(?:ing)?|retrydelay|wait|until|available)\b"
_GAP = r"[^\d\n]{0,24}?"
_ZONE = r"(?: ?\(?(?P<zone>z|utc|gmt|[+-]\d\d:?\d\d)\b\)?)?"
_CLOCK = r"(?P<hour>\d{1,2})(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)? ?(?P<half>[ap]m)?"
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}

_SPAN = re.compile(rf"{_BEFORE}{_GAP}(?=\d)", re.IGNORECASE)
_PART = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?) ?(ms|d(?:ays?)?|h(?:ours?|rs?)?|m(?:in(?:ute)?s?)?|s(?:ec(?:ond)?s?)?)(?![a-z])[, ]{0,2}"
    r"(?:and )?",
    re.IGNORECASE,
)
_AFTER = re.compile(r"retry[-_ ]after[\"']?\s?[:=]\s?[\"']?(\d{1,7})(?![\d:a-z-])", re.IGNORECASE)
_UNIX = re.compile(r"(?:\||resets?(?:[ _]?at)?[\"']?[:= ]{1,3})(\d{13}|\d{10})\b", re.IGNORECASE)
_ISO = re.compile(
    rf"{_BEFORE}{_GAP}(?P<year>\d{{4}})-(?P<month>\d\d)-(?P<day>\d\d)[T ]{_CLOCK}(?:\.\d{{1,9}})?{_ZONE}",
    re.IGNORECASE,
)
_DATED = re.compile(
    rf"{_BEFORE}{_GAP}(?P<month>{'|'.join(_MONTHS)})[a-z]{{0,6}}\.? (?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?"
    rf"(?: (?P<year>\d{{4}}),?)?(?: at)? {_CLOCK}\b{_ZONE}",
    re.IGNORECASE,
)
_TIMED = re.compile(rf"{_BEFORE}{_GAP}(?=\d{{1,2}}(?::\d\d| ?[ap]m)){_CLOCK}\b{_ZONE}", re.IGNORECASE)


def _spans(words: str, now: float, _zone: float) -> Iterator[float]:
    """`try again in 2h 3m`, `retry-after: 30`."""
    for found in _AFTER.finditer(words):
        yield now + float(found[1])
    for begin in _SPAN.finditer(words):
        at, total = begin.end(), 0.0
        while part := _PART.match(words, at):
            at, total = part.end(), total + float(part[1]) * _unit(part[2].lower())
        yield now + total


def _unit(name: str) -> float:
    return _UNITS["ms"] if name == "ms" else _UNITS[name[0]]


def _unix(words: str, _now: float, _zone: float) -> Iterator[float]:
    """`usage limit reached|1795230559`; milliseconds have three digits more."""
    for found in _UNIX.finditer(words):
        yield float(found[1][:10])


def _iso(words: str, _now: float, zone: float) -> Iterator[float]:
    for found in _ISO.finditer(words):
        yield _days(int(found["year"]), int(found["month"]), int(found["day"])) * 86_400 + _clock(found, zone)


def _dated(words: str, now: float, zone: float) -> Iterator[float]:
    """`resets Nov 24 at 3pm`: without a year, the next such day."""
    for found in _DATED.finditer(words):
        month, day = _MONTHS.index(found["month"].lower()) + 1, int(found["day"])
        about = 1970 + int(now // 31_556_952)
        years = (int(found["year"]),) if found["year"] else (about - 1, about, about + 1)
        for when in (_days(year, month, day) * 86_400 + _clock(found, zone) for year in years):
            if when > now:
                yield when
                break


def _timed(words: str, now: float, zone: float) -> Iterator[float]:
    for found in _TIMED.finditer(words):
        time = _clock(found, zone)
        yield now + ((time - now) % 86_400 or 86_400)


def _clock(found: re.Match[str], zone: float) -> float:
    """Seconds from the day's begin in UTC to the time of day that was found."""
    hour, half = int(found["hour"]), (found["half"] or "").lower()
    if half:
        hour = hour % 12 + 12 * (half == "pm")
    named = (found["zone"] or "").lower()
    if named in ("z", "utc", "gmt"):
        zone = 0.0
    elif named:
        zone = float(f"{named[0]}1") * (int(named[1:3]) * 3600 + int(named[-2:]) * 60)
    return hour * 3600 + int(found["minute"] or 0) * 60 + int(found["second"] or 0) - zone


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970 of a Gregorian date."""
    year -= month < 3
    of_year = (153 * (month + (9 if month < 3 else -3)) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + of_year - 719_468


_WAYS: Sequence[Callable[[str, float, float], Iterator[float]]] = (_spans, _unix, _iso, _dated, _timed)
