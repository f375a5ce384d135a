"""Secrets are taken out of what programs print, before it is written anywhere. Rule: by value first, whatever its name
says is secret in the program's environment; then by pattern, and every pattern begins with its own word.

Only where that word stands is its pattern tried, and each is bounded: so it costs little where there is nothing, and
no text makes it slow. In place of a secret one reads `[redacted:NAME]`, the variable's, or `[redacted:kind]`.

It keeps accidents out of the log. An agent that wants to write a secret down can spell it in another way.
"""

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from ..eventlog.suspects import forms, secrets_of

S = TypeVar("S", bound=msgspec.Struct)

HOLD = 8192
"""Bytes of an unfinished line that are held back: no secret that is known by a pattern is longer."""
_KEY_BLOCK = 16_384  # bytes of a private key

# Not within a word; but after an escape of JSON, of a URL or of a terminal there is a new one.
_NEW = rb"(?:(?<![A-Za-z0-9_\-])|(?<=\\[nrt])|(?<=[0-9;\[]m)|(?<=%[0-9A-Fa-f][0-9A-Fa-f]))"
_IS = rb"""(?:\\?["'])?[ \t]{0,2}(?:=>|:=|[=:])[ \t]{0,2}(?:\\?["'])?(?:%3[Dd])?"""
_CODE = rb"(?!\$|\[redacted:|[A-Za-z_][A-Za-z0-9_.]{0,80}+[(\[])"
_ANY = _CODE + rb"""((?:[^\s"'\\,;&<>\x1b]|\\/){8,4096}+)"""
_ODD = _CODE + rb"(?=[A-Za-z+/=_.~\-]{0,200}+[0-9])([A-Za-z0-9+/=_.~\-]{16,4096}+)"
_LETTERS = rb"(?:[A-Za-z0-9+/=\s\\:,]|-(?!----)){0,16384}+"
_UPPER = rb"(?:_[A-Z0-9]{1,20}+){0,3}+"

_PATTERNS: tuple[tuple[str, tuple[str, ...], bytes], ...] = (
    ("anthropic-key", ("sk-",), rb"sk-ant-[A-Za-z0-9_\-]{16,400}+"),
    ("openrouter-key", ("sk-",), rb"sk-or-v1-[A-Za-z0-9]{16,200}+"),
    ("api-key", ("sk-",), _NEW + rb"sk-[A-Za-z0-9_\-]{20,400}+"),
    ("openai-key", ("t3blbkfj",), rb"T3BlbkFJ[A-Za-z0-9_\-]{16,400}+"),
    ("groq-key", ("gsk_",), rb"gsk_[A-Za-z0-9]{20,200}+"),
    ("xai-key", ("xai-",), rb"xai-[A-Za-z0-9]{20,200}+"),
    ("perplexity-key", ("pplx-",), rb"pplx-[A-Za-z0-9]{20,200}+"),
    ("huggingface-token", ("hf_",), rb"hf_[A-Za-z0-9]{30,200}+"),
    ("google-key", ("aiza",), rb"AIza[A-Za-z0-9_\-]{35}"),
    ("github-token", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), rb"gh[pousr]_[A-Za-z0-9]{36,255}+"),
    ("github-token", ("github_pat_",), rb"github_pat_[A-Za-z0-9_]{50,255}+"),
    ("gitlab-token", ("glpat-",), rb"glpat-[A-Za-z0-9_\-.]{20,300}+"),
    ("aws-key", ("akia", "asia"), rb"A[KS]IA[A-Z2-7]{16}"),
    (
        "slack-token",
        ("xox", "xapp-"),
        rb"(?:xox[abeoprs](?:\.xox[bp])?|xapp)-[A-Za-z0-9\-]{10,400}+",
    ),
    (
        "slack-webhook",
        ("hooks.slack.com/",),
        rb"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9+/]{20,200}+)",
    ),
    ("npm-token", ("npm_",), rb"npm_[A-Za-z0-9]{36}"),
    ("pypi-token", ("pypi-age",), rb"pypi-AgE[A-Za-z0-9_\-]{50,1000}+"),
    ("stripe-key", ("_live_",), rb"(?<=[srp]k)_live_[A-Za-z0-9]{10,200}+"),
    ("tailscale-key", ("tskey-",), rb"tskey-[a-z]{1,20}-[A-Za-z0-9\-]{10,200}+"),
    ("jwt", ("eyj",), _NEW + rb"eyJ[A-Za-z0-9_\-]{10,2000}+\.eyJ[A-Za-z0-9_\-]{10,4000}+\.[A-Za-z0-9_\-]{0,1000}+"),
    ("sendgrid-key", ("sg.",), rb"SG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    ("telegram-token", (":aa", "%3aaa"), rb"(?<=[0-9]{8})(?::|%3[Aa])(AA[A-Za-z0-9_\-]{33})"),
    (
        "private-key",
        ("-----begin",),
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----" + _LETTERS + rb"(?:-----END [A-Z0-9 ]{0,60}-----)?",
    ),
    ("password", ("://",), rb"""(?<=[A-Za-z0-9+.\-])://[^/\s:@"'\\]{0,100}+:((?!\[redacted:)[^@\s/"'\\]{1,200}+)@"""),
    (
        "authorization",
        ("authorization",),
        rb"(?i)authorization" + _IS + rb"(?:(?:bearer|basic|token|apikey|bot)[ \t]{1,4})?" + _ANY,
    ),
    ("bearer-token", ("bearer ",), rb"(?i)bearer " + _ODD),
    ("secret", ("_key", "-key"), rb"(?i:(?<=api)-key|(?<=access)-key|(?-i:_KEY" + _UPPER + rb"))" + _IS + _ANY),
    ("secret", ("apikey",), rb"APIKEY" + _UPPER + _IS + _ANY),
    (
        "secret",
        ("token", "secret"),
        rb"(?:(?<=_)(?:TOKEN|SECRET)" + _UPPER + _IS + rb"|(?:TOKEN|SECRET)=[\"']?)" + _ANY,
    ),
    ("secret", ("passw", "passphrase"), rb"PASS(?:WORD|WD|PHRASE)" + _UPPER + _IS + _ANY),
    ("secret", ("_pass",), rb"_PASS" + _IS + _ANY),
    ("secret", ("credential",), rb"CREDENTIALS?" + _UPPER + _IS + _ANY),
    (
        "secret",
        ("_key", "-key", "apikey", "token", "secret", "passw", "_pass", "passphrase", "credential"),
        rb"(?i)(?:[_-]key|apikey|token|secret|_pass|passw(?:or)?d|passphrase|credentials?)" + _IS + _ODD,
    ),
)
"""Kind, the words in small letters with which it may begin, and the pattern: its group is the secret, or all of it."""

_BY_WORD: dict[bytes, list[tuple[bytes, re.Pattern[bytes]]]] = {}
for _kind, _words, _pattern in _PATTERNS:
    _compiled = re.compile(_pattern)
    for _word in _words:
        _BY_WORD.setdefault(_word.encode(), []).append((b"[redacted:%s]" % _kind.encode(), _compiled))

_ANSI = re.compile(
    rb"\x1b\[[0-?]{0,64}+[ -/]{0,8}+[@-~]"
    rb"|\x1b[\]PX^_][^\x07\x1b]{0,4096}+(?:\x07|\x1b\\)"
    rb"|\x1b[ -/]{0,8}+[0-~]"
)
_NOT_A_NAME = re.compile("[^A-Za-z0-9_]")


class Span(NamedTuple):
    """A secret at `start` up to `end`; what shows that it is one begins at `begin`."""

    start: int
    end: int
    begin: int
    sign: bytes


class Redactor:
    """Takes out the secrets of one environment, and what looks like one."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._values = [
            (form, b"[redacted:%s]" % _NOT_A_NAME.sub("_", name)[:64].encode())
            for name, value in secrets_of(env).items()
            for form in forms(value)
        ]

    def output(self, data: bytes) -> bytes:
        """The same without them. Where one was hidden among colours, the colours go too."""
        shown = self._without(data)
        if b"\x1b" in shown:
            bare = _ANSI.sub(b"", shown)
            clean = self._without(bare)
            if clean != bare:
                return clean
        return shown

    def text(self, text: str) -> str:
        """The same of a text; what UTF-8 cannot say becomes `?`."""
        data = text.encode("utf-8", "replace")
        clean = self.output(data)
        return text if clean == data else clean.decode("utf-8", "replace")

    def fact(self, fact: S) -> S:
        """The same of all texts that stand in a fact."""
        texts = {name: getattr(fact, name) for name in fact.__struct_fields__}
        changes = {name: self.text(value) for name, value in texts.items() if isinstance(value, str) and value}
        return msgspec.structs.replace(fact, **changes)

    def spans(self, data: bytes) -> list[Span]:
        """Where they are, in order, those of the environment first; some may overlap."""
        found = [Span(at, at + len(form), at, sign) for form, sign in self._values for at in _places(form, data)]
        low = data.lower()
        for word, tried in _BY_WORD.items():
            at = low.find(word)
            while at >= 0:
                span = _matched(tried, data, at)
                if span:
                    found.append(span)
                at = low.find(word, span.end if span else at + 1)
        return sorted(found, key=lambda span: span.start)

    def _without(self, data: bytes) -> bytes:
        parts, done = [], 0
        for start, end, _, sign in self.spans(data):
            if start >= done:
                parts += [data[done:start], sign]
            done = max(done, end)
        return b"".join([*parts, data[done:]]) if parts else data


def _matched(tried: list[tuple[bytes, re.Pattern[bytes]]], data: bytes, at: int) -> Span | None:
    for sign, pattern in tried:
        if match := pattern.match(data, at):
            group = 1 if pattern.groups else 0
            return Span(match.start(group), match.end(group), match.start(), sign)
    return None


def _places(form: bytes, data: bytes) -> Iterator[int]:
    at = data.find(form)
    while at >= 0:
        yield at
        at = data.find(form, at + len(form))


class Stream:
    """One stream of output, redacted as it comes. What is not a whole line yet is held back, at most some KiB of it:
    a secret may come in two pieces.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = b""

    def take(self, data: bytes) -> bytes:
        """A block of output; what can be shown of all so far."""
        held = self._held + data
        cut = self._cut(held)
        self._held = held[cut:]
        return self._redactor.output(held[:cut]) if cut else b""

    def end(self) -> bytes:
        """What was held back, at the end."""
        return self._redactor.output(self.let_go())

    def let_go(self) -> bytes:
        """What was held back, as it is."""
        held, self._held = self._held, b""
        return held

    def _cut(self, held: bytes) -> int:
        """Where no secret is cut in two."""
        cut = held.rfind(b"\n") + 1
        if len(held) - cut > HOLD:
            cut = len(held) - HOLD
            cut = min([span.begin for span in self._redactor.spans(held) if span.begin < cut < span.end], default=cut)
        begin = held.rfind(b"-----BEGIN ", max(0, cut - _KEY_BLOCK), cut)
        if begin >= 0 and b"PRIVATE KEY" in held[begin : begin + 64] and held.find(b"-----END", begin, cut) < 0:
            return begin
        return cut
