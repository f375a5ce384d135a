"""An event as one line of JSON, and back. Rule: this is pure, and what was not meant to be a line never raises here.

`type` stands first and the order of keys is fixed (fact.py), so a reader can drop lines by their first bytes. A line
that is no event becomes `Bad`; a line of a type that this version does not know, or whose data do not fit, is an
event with an `Unknown` fact. What a line means depends on that line alone, never on its neighbours in the block.
"""

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from io import BytesIO
from typing import Any, Union, cast

import msgspec
from msgspec.json import Decoder, Encoder

from . import events as _events  # noqa: F401  (the vocabulary)
from .errors import FactError
from .fact import NEVER, NOTHING, Event, Fact, Unknown, vocabulary
from .hashes import blake2b
from .ids import LAST, are_ids, is_id
from .upcasts import TABLE, Upcast, upcast

LONGEST_WRITTEN = 64 * 1024
LONGEST_READ = 1024 * 1024
DEEPEST = 64
BLOCK = 64 * 1024
"""How much to decode at once: at this size the objects stay in the cache of the processor."""

_HEAD = b'{"type":"'
_encode = Encoder().encode
_blake2b_8 = blake2b(digest_size=8).copy
"""A copy is made quicker than a new one with its parameters."""
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
    seen: dict[str, str] = NOTHING
    now: float = NEVER
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
    made = _blake2b_8()
    made.update(line.removesuffix(b"\n"))
    return made.hexdigest()


def decode_block(
    block: bytes, only: Sequence[str] = (), upcasts: Sequence[Upcast] = TABLE
) -> tuple[list[Event[Any]], list[Bad]]:
    """The events of whole lines, in order, and the lines that are none. Empty lines are nothing.

    With `only`, a line that begins as ours but with a type outside these prefixes (`("issue.", "mail.")`) is passed by.
    """
    if only:
        heads = _heads(tuple(only))
        wanted = b"\n".join([line for line in block.split(b"\n") if _wanted(line, heads)])
    else:
        wanted = block[:-1] if block.endswith(b"\n") else block
    if (found := _decode_all(wanted)) is not None:
        return found, []
    events: list[Event[Any]] = []
    bad: list[Bad] = []
    offset = 0
    for line in block.split(b"\n"):
        if line and (not only or _wanted(line, _heads(tuple(only)))):
            result = _decode_one(line, upcasts)
            if isinstance(result, Event):
                events.append(result)
            else:
                bad.append(Bad(offset, len(line), result))
        offset += len(line) + 1
    return events, bad


def id_and_time(line: bytes) -> tuple[str, str] | None:
    """Those of the line's event, None if it is none: what `decode_block` finds, but the data are only passed over, and
    no decoder of all types is made.
    """
    if len(line) > LONGEST_READ or not _is_text(line) or _depth(line) > DEEPEST:
        return None
    try:
        found = _carrier.decode(line)
    except msgspec.MsgspecError:
        return None
    return (found.id, found.time) if is_id(found.id) and found.id <= LAST else None


def _decode_all(block: bytes) -> list[Event[Any]] | None:
    """The events of these lines at once; None if any of them needs a closer look.

    Line by line, for msgspec's `decode_lines` also takes an event on two lines, or two on one, and to look for such
    costs more than it gains. No line is nested too deep: the fields of an event are flat, and others are refused here
    (`forbid_unknown_fields`) before they are read.
    """
    if not block:
        return []
    if len(block) > LONGEST_READ:
        return None
    try:
        events = list(map(_decoder().decode, BytesIO(block)))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # (deep: it looks for the type in a line)
        return None
    ids = [event.id for event in events]
    return events if are_ids(ids) and max(ids) <= LAST else None


def _decode_one(line: bytes, upcasts: Sequence[Upcast]) -> Event[Any] | str:
    """The event of this line, or why it is none."""
    if len(line) > LONGEST_READ:
        return f"longer than {LONGEST_READ} bytes"
    if not _is_text(line):
        return "not UTF-8"
    if _depth(line) > DEEPEST:
        return f"nested deeper than {DEEPEST}"
    try:
        try:
            event = _decoder().decode(line)
        except msgspec.ValidationError:
            event = _closer(_carrier.decode(line), upcasts)
    except msgspec.MsgspecError as error:
        return str(error)
    if not is_id(event.id):
        return f"not an id: {event.id[:48]!r}"
    return event if event.id <= LAST else f"its id is from beyond the year 2100: {event.id}"


def _closer(found: _Carrier, upcasts: Sequence[Upcast]) -> Event[Any]:
    """The event of a line that is not in today's shape: what is more than that is left out, what is older is upcast; a
    type that is not known, or data that do not fit, make it `Unknown`.
    """
    attributes = {name: getattr(found, name) for name in found.__struct_fields__ if name not in ("type", "data")}
    kind = _vocabulary().get(found.type)
    if kind is not None:
        try:
            data = msgspec.json.decode(found.data, type=dict[str, Any])
            for shape in (data, upcast(found.type, data, upcasts)):
                if shape is not None and (fact := _fitted(kind, shape)) is not None:
                    return envelope(fact, **attributes)
        except msgspec.MsgspecError:
            pass
    return Event(data=Unknown(name=found.type, raw=bytes(found.data)), **attributes)


def _fitted(kind: type[Fact], data: dict[str, Any]) -> Fact | None:
    """The fact with the fields of `data` that it has; None if they do not fit."""
    try:
        return msgspec.convert({name: data[name] for name in kind.__struct_fields__ if name in data}, kind)
    except msgspec.ValidationError:
        return None


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
def _vocabulary() -> dict[str, type[Fact]]:
    return vocabulary()


@cache
def _decoder() -> "Decoder[Event[Any]]":
    """Made when it is first needed: a writer needs none."""
    return Decoder(Union[tuple(envelope_of(fact) for fact in _vocabulary().values())])  # noqa: UP007
