"""Lines as they should not be: for all that reads the log. Rule: made from good lines and a seeded chance, quickly.

A mutant is damaged as disks, editors and merges do it (bits, cuts, splices), and as an enemy would (numbers, nesting,
keys and texts at the limits of what JSON and its reader allow).
"""

import random
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec.structs import replace

from swarm.eventlog.fact import Event, vocabulary
from swarm.eventlog.ids import rfc3339
from swarm.eventlog.lines import digest, encode, envelope

from arbitrary import Lives

S = TypeVar("S", bound=msgspec.Struct)

NUMBERS = (
    *b"1e999 -1e999 1e308 -1e308 1e-999 NaN -Infinity -0 01 1. .5 -1 9223372036854775808 18446744073709551616".split(),
    *(b"9" * 25, b"9" * 5000, b"-" + b"9" * 400 + b".5", b"1e" + b"9" * 30),
)
TEXTS = (
    *(rb'"\ud800"', rb'"\udc00x"', rb'"\ud83d\ude00"', rb'"\u0000"', rb'"\u000a"', rb'"\q"', rb'"\"', b'"\\'),
    *(b'"\xed\xa0\x80"', b'"\xff"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b'"a\tb"', b'"a\nb"', b'"a\0b"', b'""'),
    *(b'"}\n{\\"type\\":\\""', b'"\x1b[2J"', b'"\xe2\x80\xae"'),
)
VALUES = (
    *b'null true {} [] [[]] {"a":{}} [null] {"a":"b"} ["a"] [1] "00000000-0000-7000-8000-000000000000"'.split(),
    *b'"ffffffff-ffff-7fff-bfff-ffffffffffff" "03bb2cc3-d800-7000-c000-000000000000"'.split(),
)
BITS = (
    *b'\n|\0|\xff|\xc3|\xef\xbb\xbf|"|\\|{|}|[|]|,|:| |\r|\t|\r\n|/**/|\xe2\x80\xa8|\x1b[2J'.split(b"|"),
    *b'}\n{|}\n{"type":"|}}\n{"type":"|{"type":"mail.sent",|"type":"mail.sent",'.split(b"|"),
    *(b"[" * 70, b'{"a":' * 70, b"]" * 70),
)
KEYS = (
    b"type",
    b"id",
    b"time",
    b"source",
    b"seen",
    b"now",
    b"prev",
    b"data",
    b"attempt",
    b"to",
    b"new",
    b"",
    rb"ty\u0070e",
)
"""What may be said twice."""


def good_lines(seed: int) -> list[bytes]:
    """A line for every kind of fact with all its fields, and those of a history; without their newlines."""
    chance = random.Random(seed)
    events: list[Event[Any]] = []
    for number, kind in enumerate(vocabulary().values()):
        id_ = f"019aa3c1-a000-7{number:03x}-8000-{chance.getrandbits(48):012x}"
        given = {"seen": {"n1": id_, "n2": ""}, "now": 1.5} if number % 2 else {}
        events.append(
            envelope(any_struct(kind, chance), id=id_, time=rfc3339(id_), source="agent/kim", subject="sw-0", **given)
        )
    return chained(events + Lives(seed, 100).events)


def chained(events: list[Event[Any]]) -> list[bytes]:
    """The lines as one writer would have written them, without their newlines."""
    lines, prev = list[bytes](), ""
    for event in events:
        lines.append(encode(replace(event, prev=prev))[:-1])
        prev = digest(lines[-1])
    return lines


def any_struct(kind: type[S], chance: random.Random) -> S:
    """One with all of its fields set."""

    def value(hint: Any) -> Any:
        if get_origin(hint) is list:
            return [value(get_args(hint)[0]) for _ in range(chance.randint(1, 3))]
        if get_origin(hint) is tuple:
            return tuple(map(value, get_args(hint)))
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return any_struct(hint, chance)
        if args := get_args(hint):
            return value(args[0])
        words = ["word", "é 😀", 'a"b\\c\n}{[', "human", "agent-builder-1", "sw-0", "a" * 40, "builder", "passed"]
        return {str: chance.choice(words), int: chance.randint(1, 3), float: 2.5, bool: True}[hint]

    hints = {name: hint for name, hint in get_type_hints(kind).items() if name in kind.__struct_fields__}
    return kind(**{name: value(hint) for name, hint in hints.items()})


def mutant(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """The line with something done to it, once or several times. It may have become more lines than one."""
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 6))):
        line = chance.choice(_WAYS)(line, others, chance)
    return line


def _flip(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    if not line:
        return line
    at = chance.randrange(len(line))
    return line[:at] + bytes([line[at] ^ 1 << chance.randrange(8)]) + line[at + 1 :]


def _cut(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    return line[: chance.randrange(len(line) + 1)]


def _take_out(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + line[at + chance.randrange(1, 9) :]


def _put_in(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + chance.choice(BITS) + line[at:]


def _splice(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    other = chance.choice(others)
    return line[: chance.randrange(len(line) + 1)] + other[chance.randrange(len(other) + 1) :]


def _say_again(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    end = at + chance.randrange(1, 60)
    return line[:end] + line[at:end] + line[end:]


def _another_value(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    spots = [at for at, byte in enumerate(line) if byte == b":"[0]]
    if not spots:
        return line
    begin = chance.choice(spots) + 1
    ends = [at for at in range(begin, min(begin + 200, len(line))) if line[at] in b",}"]
    return line[:begin] + _value(chance) + line[chance.choice(ends[:2] or [begin]) :]


def _another_key(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """At the beginning or at the end of an object: one that is there already, perhaps."""
    said = b'"' + chance.choice(KEYS) + b'":' + _value(chance)
    at = chance.randrange(len(line) + 1)
    if chance.random() < 0.5 and (begin := line.find(b"{", at)) >= 0:
        return line[: begin + 1] + said + b"," + line[begin + 1 :]
    end = line.rfind(b"}", 0, at)
    return line[:end] + b"," + said + line[end:] if end >= 0 else line


def _nest(line: bytes, others: list[bytes], chance: random.Random) -> bytes:
    at, depth = chance.randrange(len(line) + 1), chance.choice((10, 60, 63, 64, 65, 70, 500, 5000))
    begin, end = chance.choice(((b"[", b"]"), (b'{"a":', b"}"), (b'[{"":', b"}]")))
    return line[:at] + begin * depth + end * depth + line[at:]


def _value(chance: random.Random) -> bytes:
    return chance.choice(chance.choice((NUMBERS, TEXTS, VALUES)))


_WAYS = (
    *(_flip, _flip, _cut, _take_out, _put_in, _put_in, _splice, _say_again, _nest),
    *(_another_value, _another_value, _another_value, _another_key, _another_key),
)
