"""Secrets: whatever they are wrapped in, and however the output falls into pieces, nothing of them is left; and what is
no secret stays as it is.
"""

import base64
import json
import string
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import pytest

from swarm.eventlog.events import SessionExited
from swarm.eventlog.suspects import MARKS, may_hold, secrets_of
from swarm.world import redaction
from swarm.world.redaction import HOLD, Redactor, Stream

ALNUM = string.ascii_letters + string.digits
URLSAFE = ALNUM + "-_"
SAMPLES = 12
"""Of each kind, in each wrapping."""


def word(random: Random, length: int, letters: str = ALNUM) -> str:
    return "".join(random.choice(letters) for _ in range(length - 1)) + random.choice(string.digits)


KINDS = {
    "anthropic-key": lambda r: "sk-ant-api03-" + word(r, 93, URLSAFE),
    "openrouter-key": lambda r: "sk-or-v1-" + word(r, 64, "0123456789abcdef"),
    "api-key": lambda r: "sk-" + r.choice(("", "proj-", "svcacct-")) + word(r, 40),
    "groq-key": lambda r: "gsk_" + word(r, 52),
    "xai-key": lambda r: "xai-" + word(r, 80),
    "perplexity-key": lambda r: "pplx-" + word(r, 48),
    "huggingface-token": lambda r: "hf_" + word(r, 34),
    "google-key": lambda r: "AIza" + word(r, 35, URLSAFE),
    "github-token": lambda r: f"gh{r.choice('pousr')}_" + word(r, 36),
    "github-pat": lambda r: "github_pat_" + word(r, 82, ALNUM + "_"),
    "gitlab-token": lambda r: "glpat-" + word(r, 20, URLSAFE),
    "aws-key": lambda r: r.choice(("AKIA", "ASIA")) + "".join(r.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", k=16)),
    "slack-token": lambda r: f"xox{r.choice('bpars')}-" + word(r, 12, string.digits) + "-" + word(r, 24),
    "slack-app": lambda r: "xapp-1-" + word(r, 40),
    "slack-webhook": lambda r: "hooks.slack.com/services/T" + word(r, 8) + "/B" + word(r, 8) + "/" + word(r, 24),
    "npm-token": lambda r: "npm_" + word(r, 36),
    "pypi-token": lambda r: "pypi-AgEIcHlwaS5vcmc" + word(r, 120, URLSAFE),
    "stripe-key": lambda r: f"{r.choice('srp')}k_live_" + word(r, 24),
    "tailscale-key": lambda r: "tskey-auth-" + word(r, 12) + "-" + word(r, 24),
    "sendgrid-key": lambda r: "SG." + word(r, 22, URLSAFE) + "." + word(r, 43, URLSAFE),
    "jwt": lambda r: f"eyJ{word(r, 33, URLSAFE)}.eyJ{word(r, 80, URLSAFE)}.{word(r, 43, URLSAFE)}",
    "telegram-token": lambda r: f"{word(r, 10, string.digits)}:AA{word(r, 33, URLSAFE)}",
    "private-key": lambda r: "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(word(r, 64, ALNUM + "+/") for _ in range(25))
    + "\n-----END RSA PRIVATE KEY-----",
}  # fmt: skip
WRAPPINGS = {
    "alone": lambda s: s,
    "quoted": lambda s: f'the key is "{s}".',
    "json": lambda s: json.dumps({"type": "text", "text": f"first line\n{s}\nnext"}),
    "json in json": lambda s: json.dumps({"out": json.dumps({"text": f"a\n{s}\tb"})}),
    "coloured": lambda s: f"\x1b[1;31m{s}\x1b[0m and more",
    "colours in json": lambda s: json.dumps({"out": f"\x1b[31m{s}\x1b[m"}),
    "matched by grep": lambda s: f"a:\x1b[01;31m\x1b[K{s[:6]}\x1b[m\x1b[K{s[6:]}",
    "url": lambda s: f"GET https://x.example/v1?a=1&key={quote(s)}&b=2",
    "env line": lambda s: f"MY_THING={s}",
    "export": lambda s: f"export SERVICE_API_KEY='{s}'",
    "header": lambda s: f'curl -H "Authorization: Bearer {s}" https://x.example',
    "markdown": lambda s: f"use `{s}`, or ({s})",
}


def wrapped() -> Iterator[tuple[str, str, str]]:
    """(kind and wrapping, secret, text)."""
    random = Random(1)
    for kind, make in KINDS.items():
        for name, wrap in WRAPPINGS.items():
            if kind == "private-key" and name in ("url", "matched by grep", "header"):
                continue
            for _ in range(SAMPLES):
                secret = make(random)
                yield f"{kind}, {name}", secret, wrap(secret)


def core(kind: str, secret: str) -> str:
    """The middle of what must not be seen: no half of it either."""
    if kind.startswith("private-key"):
        return secret.splitlines()[12]
    if kind.startswith("jwt"):
        return secret.split(".")[1][3:30]
    return secret[-14:-2]


def test_no_generated_secret_is_left_in_any_wrapping() -> None:
    redactor, samples = Redactor({}), list(wrapped())
    assert len(samples) > 3000
    left = [name for name, secret, text in samples if core(name, secret) in redactor.text(text)]
    assert not left, f"{len(left)} of {len(samples)}: {sorted(set(left))}"


def test_what_is_redacted_is_suspected_by_the_fast_lane() -> None:
    redactor, session = Redactor({}), {"SWARM_SESSION": "s"}
    assert all(may_hold(text, session) for _, _, text in wrapped() if redactor.text(text) != text)
    assert {word for _, words, _ in redaction._PATTERNS for word in words} == set(MARKS)


def test_the_kind_is_said_and_what_stands_around_stays() -> None:
    clean = Redactor({}).text
    token = "ghp_" + "a1B2" * 9
    assert clean(f"a {token}, b") == "a [redacted:github-token], b"
    assert (
        clean("git clone https://me:hunter2@x.example/r.git")
        == "git clone https://me:[redacted:password]@x.example/r.git"
    )
    assert clean("export DB_PASSWORD=correct-horse; ls") == "export DB_PASSWORD=[redacted:secret]; ls"
    assert clean("x-api-key: abcdef12") == "x-api-key: [redacted:secret]"
    assert clean('{"client_secret":"abcdefgh12345678","n":1}') == '{"client_secret":"[redacted:secret]","n":1}'
    assert clean("authorization: Basic dXNlcjpwYXNz\r\n") == "authorization: Basic [redacted:authorization]\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "task-0123456789abcdef0123456789",
        "risk-assessment-of-the-whole-module-2",
        'API_KEY = os.environ["API_KEY"]',
        "token = tokenizer.next_token(stream)",
        "TOKEN=$GITHUB_TOKEN DB_PASSWORD=${DB_PASSWORD}",
        "the key: a good name; secret: none; PRIMARY KEY: identifier",
        "https://x.example:8080/a@b",
        "msg.sg. akia asian eyJ- hf_hub hf_transfer npm_config_registry",
        '{"input_tokens": 12345678901234567890, "max_tokens":4096, "type":"assistant"}',
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
        "fatal: could not read Password for 'https://x.example': terminal prompts disabled",
        "",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor({}).text(text) == text


def test_clean_text_stays_clean_the_second_time() -> None:
    clean = Redactor({"MY_TOKEN": "a-b-c-d-e"}).text
    for _, _, text in list(wrapped())[::7]:
        assert clean(clean(text)) == clean(text)
    assert clean("MY_TOKEN=a-b-c-d-e") == "MY_TOKEN=[redacted:MY_TOKEN]"


# --- by value -------------------------------------------------------------------------------------

ODD = 'pa"ss/wo rd+é\\=?'


@pytest.mark.parametrize("value", ["correct-horse", ODD, "0123456789abcdef" * 4])
@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
def test_a_value_of_the_environment_is_known_in_every_form(value: str, before: str) -> None:
    redactor = Redactor({"DB_PASSWORD": value, "OTHER": "something else"})
    coded = base64.b64encode(f"{before}{value}:end".encode()).decode()
    shown = [
        value,
        quote(value, safe=""),
        quote(value),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(json.dumps(value)),
        f"\x1b[32m{value[:3]}\x1b[0m{value[3:]}",
        coded,
        coded.replace("+", "-").replace("/", "_"),
    ]
    for form in shown:
        clean = redactor.text(f"x {before}{form} y")
        assert "[redacted:DB_PASSWORD]" in clean, form
        assert value not in clean
        assert len(clean) < len(before) + 60, clean


def test_which_variables_are_secret() -> None:
    env = {
        "GITHUB_TOKEN": "12345678",
        "db_password": "12345678",
        "AWS_CREDS": "12345678",
        "HTTP_AUTH": "12345678",
        "PLAIN": "12345678",
        "LISTED": "12345678",
        "SHORT_KEY": "1234567",
        "GIT_AUTHOR_NAME": "builder-1",
        "GIT_AUTHOR_EMAIL": "builder-1@swarm.invalid",
        "AUTHORIZATION": "12345678",
        "SWARM_REDACT": "LISTED,UNHEARD_OF",
        "HOME": "/home/somebody",
    }
    assert set(secrets_of(env)) == {"GITHUB_TOKEN", "db_password", "AWS_CREDS", "HTTP_AUTH", "LISTED", "AUTHORIZATION"}


def test_a_value_of_several_lines_is_known_by_each() -> None:
    lines = [word(Random(n), 64) for n in range(5)]
    clean = Redactor({"TLS_KEY": "\n".join(lines)}).text("x\n" + "\r\n".join(lines))
    assert not any(line in clean for line in lines)


def test_the_longer_of_two_values_is_hidden_whole() -> None:
    clean = Redactor({"A_KEY": "abcdefgh", "B_KEY": "abcdefghijkl"}).text("abcdefghijkl")
    assert clean in ("[redacted:A_KEY]", "[redacted:B_KEY]")


def test_bytes_that_are_no_text_are_no_hindrance() -> None:
    redactor = Redactor({"A_KEY": "abcdefgh"})
    assert redactor.output(b"\xff\x00abcdefgh\xfe") == b"\xff\x00[redacted:A_KEY]\xfe"
    assert redactor.output(b"\xff\x00\xfe") == b"\xff\x00\xfe"


def test_every_text_of_a_fact_is_redacted() -> None:
    fact = SessionExited("s", 1, 0, True, 1.0, why="abcdefgh", report="x abcdefgh", tail="abcdefgh", resume="r")
    found = Redactor({"A_KEY": "abcdefgh"}).fact(fact)
    assert (found.why, found.report, found.tail) == ("[redacted:A_KEY]", "x [redacted:A_KEY]", "[redacted:A_KEY]")
    assert (found.session, found.resume, found.seconds) == ("s", "r", 1.0)


# --- as it comes ----------------------------------------------------------------------------------


def streamed(redactor: Redactor, pieces: list[bytes]) -> bytes:
    stream = Stream(redactor)
    return b"".join([*map(stream.take, pieces), stream.end()])


def test_a_secret_that_comes_in_two_pieces_is_found_wherever_it_is_cut() -> None:
    redactor = Redactor({"DB_PASSWORD": "correct-horse"})
    secrets = ["correct-horse", "ghp_" + "a1B2" * 9, KINDS["private-key"](Random(3)), "API_KEY=abcdefghijkl"]
    for secret in secrets:
        text = f"one\ntwo {secret} three\nfour".encode()
        whole = redactor.output(text)
        assert whole != text
        for cut in range(len(text) + 1):
            assert streamed(redactor, [text[:cut], text[cut:]]) == whole


def test_lines_are_given_out_as_soon_as_they_are_whole() -> None:
    stream = Stream(Redactor({}))
    assert stream.take(b"one\ntw") == b"one\n"
    assert stream.take(b"o\n") == b"two\n"
    assert stream.take(b"three") == b""
    assert stream.end() == b"three"
    assert stream.end() == b""


@pytest.mark.parametrize("size", [1000, 4096, 65536])
def test_in_a_line_without_an_end_nothing_is_lost_and_nothing_shown(size: int) -> None:
    """As a stream of JSON has them: megabytes, with a secret now and then."""
    random, redactor = Random(size), Redactor({"DB_PASSWORD": "correct-horse"})
    secrets = [make(random) for kind, make in KINDS.items() if kind != "private-key"] + ["correct-horse"]
    parts = [" ".join([word(random, random.randrange(400, 3000)), secret]) for secret in secrets * 2]
    text = " ".join(parts).encode()
    out = streamed(redactor, [text[at : at + size] for at in range(0, len(text), size)])
    assert not [secret for secret in secrets if core("", secret).encode() in out]
    assert out == redactor.output(text)


def test_what_is_held_back_is_bounded() -> None:
    stream, given, shown = Stream(Redactor({})), 0, 0
    for text in (b"x" * 65536, b"eyJ" + b"a" * 65533, b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 30_000 + b"\n"):
        for _ in range(5):
            given += len(text)
            shown += len(stream.take(text))
            assert len(stream._held) <= 2 * HOLD + 100


@pytest.mark.parametrize(
    "evil",
    ["A", "sk-", "eyJ", "x://", "KEY", "A_KEY_", "a://b:", "token=", "_KEY=$ ", "SECRET_", "eyJabcdefghijkl.eyJ",
     "\x1b]", "\x1b[31m", "-----BEGIN PRIVATE KEY-----", "T3BlbkFJ", "authorization:", "password=a.b", "_key_A"],
)  # fmt: skip
def test_no_text_makes_it_slow(evil: str) -> None:
    text = (evil * (200_000 // len(evil))).encode()
    begun = time.process_time()
    streamed(Redactor({"A_KEY": "sk-sk-sk-sk"}), [text[at : at + 65536] for at in range(0, len(text), 65536)])
    assert time.process_time() - begun < 2  # seconds; a third of that here


def test_ordinary_output_is_quick() -> None:
    source = b"".join(path.read_bytes() for path in sorted(Path(redaction.__file__).parent.glob("*.py"))) * 4
    begun = time.process_time()
    streamed(Redactor({"A_KEY": "abcdefgh", "B_TOKEN": "ijklmnop"}), [source])
    speed = len(source) / (time.process_time() - begun)
    assert speed > 3_000_000  # bytes a second; five times that here
