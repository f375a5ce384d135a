"""Settings: the `swarm.toml` at the root of the repository. Rule: strict and typed, and an error names the key.

[start]                 # what `swarm start` does unless an option says otherwise
max_agents = 4          # agents at once
max_retries = 1         # attempts after the first
runtime = "shell"       # for issues that name none
model = ""
test = ""               # the gate, a shell command; empty: no gate
target = ""             # the branch to land on; empty: the one that is checked out

[limits]
attempt_minutes = 60.0
gate_minutes = 30.0
log_mb = 50.0           # raw output kept per session

[log]
durability = "group"    # when an append is safe from a loss of power: "group" within 50 ms, "fsync" at once, "none"

[sync]                  # share the log, and so the issues, with other clones; `swarm sync` does it once
remote = ""             # "origin": a running swarm does it by itself; empty: the log is this clone's alone
every = 10.0            # seconds
lease_minutes = 60.0    # an issue that a node began is its own for so long after it was heard of last

[llm]                   # an OpenAI-compatible proxy, see docs/litellm; empty: runtimes use their user's own set-up
base_url = ""
key_env = "SWARM_LLM_KEY"    # the variable that holds the key
spend_log = ""          # the proxy's spend file; a relative path begins at the repository
prices = { "kimi-k2" = [0.6, 2.5] }    # dollars per million tokens, in and out

[runtimes.pi]
binary = ""             # the program, if not the one on PATH
args = []               # options to add
"""

import difflib
import json
import os
import re
import tomllib
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from .. import runtimes
from ..eventlog.errors import UsageError

FILE = "swarm.toml"

Minutes = Annotated[float, Meta(gt=0, le=100_000)]
Price = Annotated[float, Meta(ge=0, le=1_000_000)]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: a key that it does not know is an error."""


class Start(Table, frozen=True):
    """What `swarm start` does unless an option says otherwise."""

    max_agents: Annotated[int, Meta(ge=1, le=1000)] = 4
    max_retries: Annotated[int, Meta(ge=0, le=1000)] = 1
    runtime: str = "shell"
    model: str = ""
    test: str = ""
    target: str = ""


class Limits(Table, frozen=True):
    """Where an outside program is stopped, and where its raw log is cut."""

    attempt_minutes: Minutes = 60.0
    gate_minutes: Minutes = 30.0
    log_mb: Annotated[float, Meta(gt=0, le=100_000)] = 50.0


class LogSettings(Table, frozen=True):
    """When an append is synced: `eventlog/files.py` says what the words mean."""

    durability: Literal["fsync", "group", "none"] = "group"


class SyncSettings(Table, frozen=True):
    """With whom the log is shared."""

    remote: str = ""
    every: Annotated[float, Meta(gt=0, le=86_400)] = 10.0
    lease_minutes: Minutes = 60.0


class LlmSettings(Table, frozen=True):
    """The proxy for the models. `prices`: model -> (input, output) in dollars per million tokens."""

    base_url: str = ""
    key_env: str = "SWARM_LLM_KEY"
    spend_log: str = ""
    prices: dict[str, tuple[Price, Price]] = {}


class RuntimeSettings(Table, frozen=True):
    """One runtime's program, if not the one on PATH, and options to add."""

    binary: str = ""
    args: list[str] = []


class Settings(Table, frozen=True):
    """The whole file."""

    start: Start = Start()
    limits: Limits = Limits()
    log: LogSettings = LogSettings()
    sync: SyncSettings = SyncSettings()
    llm: LlmSettings = LlmSettings()
    runtimes: dict[str, RuntimeSettings] = {}


def load(root: str) -> Settings:
    """The settings of the repository at `root`, defaults where there is no file; raises UsageError naming the key."""
    document = _read(os.path.join(root, FILE))
    try:
        settings = msgspec.convert(document, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(error, document) from None
    _check(settings)
    return settings


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{FILE} is not TOML: {error}", f"mend that line of {path}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{FILE} is not UTF-8: byte {error.start} is {error.object[error.start]:#04x}") from None
    except OSError as error:
        raise UsageError(f"{FILE} cannot be read: {error.strerror}", f"look at {path}") from None


def _check(settings: Settings) -> None:
    """What types cannot say."""
    known = runtimes.names()
    for name in settings.runtimes:
        if name not in known:
            raise UsageError(f"{FILE}: runtimes.{name}: there is no runtime {name!r}", _meant(name, known))
    if settings.start.runtime not in known:
        name = settings.start.runtime
        raise UsageError(f"{FILE}: start.runtime: there is no runtime {name!r}", _meant(name, known))
    address = settings.llm.base_url
    if address and not re.match("https?://[^/]", address):
        raise UsageError(f"{FILE}: llm.base_url: expected an http:// or https:// address, got {json.dumps(address)}")
    if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", settings.llm.key_env):
        # Not shown: this is where a key is pasted by mistake.
        raise UsageError(f"{FILE}: llm.key_env: expected the name of an environment variable, not a key")


# --- words for an error ---------------------------------------------------------------------------

ANY_KEY = "[...]"


def _explained(error: msgspec.ValidationError, document: dict[str, Any]) -> UsageError:
    """msgspec's message as words: "Expected `int`, got `str` - at `$.start.max_agents`" and its like."""
    what, _, where = str(error).partition(" - at `$")
    where = _named(where.rstrip("`").lstrip("."), document)
    if unknown := re.fullmatch("Object contains unknown field `(.*)`", what, re.DOTALL):
        word = unknown[1]
        key = f"{where}.{word}" if where else word
        return UsageError(f"{FILE}: {key}: there is no such setting", _meant(word, _keys(where)))
    what = what.replace("`", "").replace("object", "table").replace("Expected", "expected")
    return UsageError(f"{FILE}: {where}: {what}{_shown(where, document)}", f"mend {where} in {FILE}")


def _named(where: str, document: dict[str, Any]) -> str:
    """msgspec calls every key of a mapping `[...]`: find the first that is wrong by trying each alone."""
    if ANY_KEY not in where:
        return where
    before, _, after = where.partition(ANY_KEY)
    for key, value in _at(before, document).items():
        alone: dict[str, Any] = {key: value}
        for step in reversed(before.split(".")):
            alone = {step: alone}
        try:
            msgspec.convert(alone, Settings, strict=True)
        except msgspec.ValidationError:
            return f"{before}.{key}{after}"
    return where


def _at(where: str, document: Any) -> Any:
    for step in re.findall(r"[^.\[\]]+", where):
        document = document[int(step) if isinstance(document, list) else step]
    return document


def _shown(where: str, document: dict[str, Any]) -> str:
    """The value that is there, if it is a plain one and the path leads to it."""
    try:
        value = _at(where, document)
    except (KeyError, ValueError, IndexError, TypeError):
        return ""  # a key that holds a dot
    return f" ({json.dumps(value)[:60]})" if isinstance(value, str | int | float) else ""


def _keys(where: str) -> list[str]:
    """The settings there are at that place."""
    tables: dict[str, type[Table]] = {
        "": Settings,
        "start": Start,
        "limits": Limits,
        "log": LogSettings,
        "sync": SyncSettings,
        "llm": LlmSettings,
    }
    return list(tables.get(where, RuntimeSettings).__struct_fields__)


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
