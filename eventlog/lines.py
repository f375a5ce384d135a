"""An event as one line of JSON, and back. Rule: this is pure, and what was not meant to be a line never raises here.

`type` stands first and the order of keys is fixed (fact.py), so a reader can drop lines by their first bytes. A line
that is no event becomes `Bad`; a line of a type that this version does not know, or whose data do not fit, is an
event with an `Unknown` fact. What a line means depends on that line alone, never on its neighbours in the block.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from hashlib import blake2b
from typing import Any, Union, cast

import msgspec
from msgspec.json import Decoder, Encoder

from . import events as _events  # noqa: F401  (the vocabulary)
from .errors import FactError
from .fact import Event, Fact, Unknown, vocabulary
from .ids import are_ids, is_id

LONGEST_WRITTEN = 64 * 1024
LONGEST_READ = 1024 * 1024
DEEPEST = 64
BLOCK = 64 * 1024
"""How much to decode at once: at this size the objects stay in the cache of the processor."""

_HEAD = b'{"type":"'
_encode = Encoder().encode
_STRING = re.compile(rb'(?s)"[^"\\]*+(?:\\.[^"\\]*+)*+"?')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Bad(msgspec.Struct, frozen=True):
    """A line that is no event: where (bytes, from the start of the block or of `file`), how long, and why."""

    offset: int
    length: int
    reason: str
    file: str = ""


class _Carrier(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The envelope of any type, with its data left as bytes. The same keys in the same order as `Event`."""

    type: str
    id: str
    time: str
    source: str
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    seen: dict[str, str] = {}
    now: float = 0.0
    prev: str = ""
    data: msgspec.Raw


_carrier = Decoder(_Carrier)


@cache
def envelope_of(fact: type[Fact]) -> type[Event[Any]]:
    """The class of event that carries this kind of fact: `Event` with typed data, and the type first in its line."""
    if fact is Unknown:
        return Event
    made = msgspec.defstruct(
        f"{fact.__name__}Event",
        [("data", fact)],
        bases=(Event,),
        tag=fact.type,
        tag_field="type",
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        gc=False,
    )
    return cast("type[Event[Any]]", made)


def envelope(fact: Fact, **attributes: Any) -> Event[Any]:
    """The event that carries `fact`; the attributes are those of `Event`."""
    return envelope_of(type(fact))(data=fact, **attributes)


def encode(event: Event[Any], longest: int = LONGEST_WRITTEN) -> bytes:
    """The event's line, newline included. Raises FactError if it is longer than `longest` bytes or is not text."""
    try:
        line = _encode(event if type(event) is not Event else _carried(event)) + b"\n"
    except UnicodeEncodeError as error:
        raise FactError(
            f"{event.type} holds what is not text: {error.reason}", "write it without broken characters"
        ) from error
    if len(line) > longest:
        raise FactError(
            f"{event.type} is {len(line)} bytes long, and a line of the log at most {longest}",
            "put the text into a file and name the file",
        )
    return line


def digest(line: bytes) -> str:
    """What the next line says in `prev`: blake2b, 8 bytes, of the line without its newline, in hex."""
    return blake2b(line.removesuffix(b"\n"), digest_size=8).hexdigest()


def decode_block(block: bytes, only: Sequence[str] = ()) -> tuple[list[Event[Any]], list[Bad]]:
    """The events of whole lines, in order, and the lines that are none. Empty lines are nothing.

    With `only`, a line that begins as ours but with a type outside these prefixes (`("issue.", "mail.")`) is passed by.
    """
    lines = block.split(b"\n")
    wanted = (
        [line for line in lines if line] if not only else [line for line in lines if _wanted(line, _heads(tuple(only)))]
    )
    if (found := _decode_all(wanted)) is not None:
        return found, []
    events: list[Event[Any]] = []
    bad: list[Bad] = []
    offset = 0
    for line in lines:
        if line and (not only or _wanted(line, _heads(tuple(only)))):
            result = _decode_one(line)
            if isinstance(result, Event):
                events.append(result)
            else:
                bad.append(Bad(offset, len(line), result))
        offset += len(line) + 1
    return events, bad


def _decode_all(lines: list[bytes]) -> list[Event[Any]] | None:
    """All of the lines at once; None if any of them needs a closer look.

    Line by line is as fast as `decode_lines`, which would also take an event on two lines, or two events on one.
    """
    block = b"\n".join(lines)
    if len(block) > LONGEST_READ or not _is_text(block) or not _is_flat(lines):
        return None
    decode = _decoder().decode
    try:
        events = [decode(line) for line in lines]
    except msgspec.MsgspecError:
        return None
    return events if are_ids([event.id for event in events]) else None


def _decode_one(line: bytes) -> Event[Any] | str:
    """The event of this line, or why it is none."""
    if len(line) > LONGEST_READ:
        return f"longer than {LONGEST_READ} bytes"
    if not _is_text(line):
        return "not UTF-8"
    if not _is_flat([line]):
        return f"nested deeper than {DEEPEST}"
    try:
        try:
            event = _decoder().decode(line)
        except msgspec.ValidationError:
            event = _unknown(_carrier.decode(line))
    except msgspec.MsgspecError as error:
        return str(error)
    return event if is_id(event.id) else f"not an id: {event.id[:48]!r}"


def _unknown(found: _Carrier) -> Event[Any]:
    attributes = {name: getattr(found, name) for name in found.__struct_fields__ if name not in ("type", "data")}
    return Event(data=Unknown(name=found.type, raw=bytes(found.data)), **attributes)


def _carried(event: Event[Any]) -> msgspec.Struct:
    attributes = {name: getattr(event, name) for name in event.__struct_fields__ if name != "data"}
    if isinstance(event.data, Unknown):
        return _Carrier(type=event.data.name, data=msgspec.Raw(event.data.raw), **attributes)
    return envelope(event.data, **attributes)


def _is_text(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


def _is_flat(lines: list[bytes]) -> bool:
    """Whether no line is nested too deep. Counting brackets in a few lines at once is quick and clears nearly all."""
    for first in range(0, len(lines), 16):
        group = lines[first : first + 16]
        block = b"".join(group)
        brackets = len(block) - len(block.translate(None, b"[{"))
        if brackets > DEEPEST and any(_depth(line) > DEEPEST for line in group):
            return False
    return True


def _depth(line: bytes) -> int:
    """How deep a line is nested that might be too deep; brackets inside of strings do not count."""
    if line.count(b"[") + line.count(b"{") <= DEEPEST:
        return 0
    depth = deepest = 0
    for bracket in _STRING.sub(b"", line).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _wanted(line: bytes, heads: tuple[bytes, ...]) -> bool:
    return line.startswith(heads) or (line != b"" and not line.startswith(_HEAD))


@lru_cache(maxsize=64)
def _heads(only: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(_HEAD + prefix.encode() for prefix in only)


@cache
def _decoder() -> "Decoder[Event[Any]]":
    """Made when it is first needed: a writer needs none."""
    return Decoder(Union[tuple(envelope_of(fact) for fact in vocabulary().values())])  # noqa: UP007
