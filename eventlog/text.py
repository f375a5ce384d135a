"""Text from a program, a log or a stranger, made fit to keep and to print. Rule: pure, and linear on any input.

Every quantifier is bounded and possessive, and no two alternatives can take the same character: the usual
`ESC P .*? ESC \\` is quadratic, and hung on 400 kB of `ESC P`.
"""

import re
from collections.abc import Sequence

import msgspec

_ANSI = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]{0,64}+[ -/]{0,8}+[@-~]"  # CSI: colours, cursor
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]{0,4096}+(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]{0,8}+[0-~]"  # the short ones
)


def _hidden() -> set[int]:
    """The code points that act on a terminal or hide what a text says."""
    ranges = (
        (0x00, 0x08), (0x0B, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x061C, 0x061C), (0x180E, 0x180E),
        (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F),
    )  # fmt: skip
    return {code for first, last in ranges for code in range(first, last + 1)}


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


_SHOWN: dict[int, str | None] = {code: _escape(code) for code in _hidden()}
_DROPPED: dict[int, str | None] = dict.fromkeys(_hidden())
_SURROGATE = re.compile("[\ud800-\udfff]")


def many(number: int, noun: str) -> str:
    """`1 file`, `2,000 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def printable(text: str) -> str:
    """`text` for a terminal: what could move the cursor, recolour, reorder or hide is shown as an escape (`\\x1b`).

    Newlines and tabs stay. A lone surrogate, which UTF-8 cannot say, becomes U+FFFD.
    """
    return _SURROGATE.sub("\ufffd", text).translate(_SHOWN)


def plain(text: str) -> str:
    """`text` without terminal sequences and control characters; newlines and tabs stay, a lone CR becomes a newline."""
    text = _SURROGATE.sub("\ufffd", _ANSI.sub("", text))
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_DROPPED)


def head(text: str, size: int) -> str:
    """The beginning of `text`, at most `size` bytes in UTF-8, cut between characters. Lone surrogates become U+FFFD."""
    text = _SURROGATE.sub("\ufffd", text[:size])
    return text.encode()[:size].decode(errors="ignore")


def tail(text: str, size: int) -> str:
    """The end of `text`, at most `size` bytes in UTF-8, cut between characters. Lone surrogates become U+FFFD."""
    text = _SURROGATE.sub("\ufffd", text[-size:])
    return text.encode()[-size:].decode(errors="ignore")


def fitting(names: Sequence[str], most: int = 200, room: int = 16_000) -> list[str]:
    """The first of them, at most `most` and `room` bytes as JSON: an event holds 64 KiB. How many were left out is the
    last entry: `… and 3 more`.
    """
    found: list[str] = []
    for name in names[:most]:
        room -= len(msgspec.json.encode(name)) + len(",")
        if room < 0:
            break
        found.append(name)
    left = len(names) - len(found)
    return [*found, f"… and {left} more"] if left else found
