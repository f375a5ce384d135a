"""What may be a secret: the names of variables that hold one, the forms in which a value is printed, and the words by
which tokens are known. Rule: pure and light, the fast lane asks it; in doubt it says yes.

What is a secret indeed, and what is put in its place, is `world/redaction.py`'s to say.
"""

from __future__ import annotations

from _json import encode_basestring, encode_basestring_ascii

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LISTED = "SWARM_REDACT"
"""The variable that names further ones whose values are secret, with commas between them."""

_NAMES = ("KEY", "TOKEN", "SECRET", "PASS", "CRED", "AUTH")
_SHORTEST, _LONGEST = 8, 4096
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

MARKS = (
    "sk-", "t3blbkfj", "gsk_", "xai-", "pplx-", "hf_", "aiza", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_",
    "glpat-", "akia", "asia", "xox", "xapp-", "hooks.slack.com/", "npm_", "pypi-age", "_live_", "tskey-", "eyj", "sg.",
    ":aa", "%3aaa", "-----begin", "://", "_key", "-key", "apikey", "token", "secret", "passw", "_pass", "passphrase",
    "credential", "authorization", "bearer ",
)  # fmt: skip
"""In small letters: every pattern of `world/redaction.py` begins with one of them."""


def may_hold(text: str, env: Mapping[str, str]) -> bool:
    """Whether there may be a secret in what a session writes: one of its `env`, or what looks like one; colours may
    hide one. What a person writes is the person's own business.
    """
    if not env.get("SWARM_SESSION"):
        return False
    low = text.lower()
    if "\x1b" in text or any(mark in low for mark in MARKS):
        return True
    data = text.encode("utf-8", "replace")
    return any(form in data for value in secrets_of(env).values() for form in forms(value))


def secrets_of(env: Mapping[str, str]) -> dict[str, str]:
    """Name -> value of the variables that hold a secret: their names say so, or `SWARM_REDACT` does."""
    listed = env.get(LISTED, "").split(",")
    return {
        name: value
        for name, value in env.items()
        if len(value) >= _SHORTEST and (_tells(name) or name in listed) and name != LISTED
    }


def _tells(name: str) -> bool:
    """An author is no authorization: GIT_AUTHOR_NAME is no secret."""
    upper = name.upper().replace("AUTHOR", "" if "AUTHORIZ" not in name.upper() else "AUTH")
    return any(word in upper for word in _NAMES)


def forms(value: str) -> list[bytes]:
    """How the value may be printed: as it is, in a URL, in JSON (and that in JSON), in base64 wherever it begins in
    there. Of a value of several lines, each long line is one.
    """
    raw = value.encode("utf-8", "surrogateescape")
    lines = [line.strip() for line in raw.split(b"\n")]
    pieces = [line[at : at + _LONGEST] for line in lines for at in range(0, len(line), _LONGEST)]
    least = _SHORTEST if len(pieces) == 1 else 2 * _SHORTEST
    found = [form for piece in pieces if len(piece) >= least for form in _forms(piece)]
    return sorted(dict.fromkeys(found), key=len, reverse=True)


def _forms(piece: bytes) -> Iterator[bytes]:
    from binascii import b2a_base64  # a file to load: only where there is a secret

    yield piece
    quoted = b"".join(bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte for byte in piece)
    yield from (quoted, quoted.replace(b"%20", b"+"), quoted.replace(b"%2F", b"/"))
    yield b"".join(bytes((byte,)) if byte in _UNRESERVED else b"%%%02x" % byte for byte in piece)
    text = piece.decode("utf-8", "replace")
    for encode in (encode_basestring, encode_basestring_ascii):
        once = encode(text)[1:-1]
        yield from (once.encode(), once.replace("/", "\\/").encode(), encode(once)[1:-1].encode())
    for before in range(3):
        # The characters at both ends hold bits of what stands beside it.
        coded = b2a_base64(bytes(before) + piece, newline=False).rstrip(b"=")
        core = coded[(0, 2, 3)[before] : len(coded) - ((before + len(piece)) % 3 > 0)]
        yield from (core, core.replace(b"+", b"-").replace(b"/", b"_"))
