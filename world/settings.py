"""Settings: the `swarm.toml` at the root of the repository. Rule: strict and typed, and an error names the key.

[start]                 # what `swarm start` does unless an option says otherwise
max_agents = 4          # agents at once
max_retries = 1         # attempts after the first
runtime = "shell"       # for issues that name none
model = ""
test = ""               # the gate, a shell command; empty: no gate
target = ""             # the branch to land on; empty: the one that is checked out
fetch_minutes = 10.0    # so old may what is known of its upstream be when work is cut from it; 0: it is never fetched

[limits]
attempt_minutes = 60.0
gate_minutes = 30.0
log_mb = 50.0           # raw output kept per session
output_mb = 0           # an agent that prints more is ended; 0: it may
memory_mb = 0           # one that uses more, with all its children
processes = 0           # one that has more of them

[[gates]]               # instead of `test`: as many as are needed, in order
name = "unit"
command = "pytest -q"
timeout_minutes = 30.0
when = "both"           # attempt: an agent's own commit; batch: what is to land; both; landing: that too, but last

[merge]
batch_max = 32          # branches that are tested together at most
parallel = 1            # batches that are tested side by side; more where your tests leave processors idle
on_conflict = "reopen"  # or: stop (the queue), skip (the branch), resolve (by an agent)
mode = "merge"          # or: squash, rebase
validate = ""           # a command that judges the target after a landing
rollback = false        # whether what it does not accept is reverted
ageing_minutes = 10.0   # waiting so long counts as one step of priority

[retry]
backoff = 0.0           # seconds before the first retry; then twice as long each time,
longest = 600.0         # at most this
roles = { scout = 0 }   # retries of a role, where it is not max_retries

[patience]              # minutes of silence until an agent is nudged, then interrupted, then ended; 0: never
nudge = 0.0
interrupt = 0.0
kill = 0.0
waiting = 1440.0        # what one that waits for a person may take
limited = 360.0         # what one whose provider slows it down may take

[[budgets]]
scope = "day"           # run, issue, agent, role, model, day; or one of them: "agent:builder-1"
usd = 20.0
tokens = 0              # in and out; 0: not limited

[admission]             # nothing is begun with less than this; 0: does not matter
disk_gb = 1.0
memory_gb = 0.5
load = 0.0              # the load of a core
rate = 0.0              # starts a minute, evenly
roles = { scout = 2 }   # agents of a role at once

[routing]
fallback = []           # used while a provider has no quota left: "claude", "pi:kimi-k2", …

[alerts]                # also: SWARM_ALERT_HOOK, SWARM_SLACK_WEBHOOK_URL
command = ""            # a shell command; "$1" is the kind, "$2" the text

[workspace]             # what a worktree gets that is not in git
copy = [".env"]
link = ["node_modules"]
setup = ""              # a command, run in each new worktree
cleanup = ""
minutes = 10.0          # what each of them may take
ports = false           # ten ports of its own, as SWARM_PORT_0 to SWARM_PORT_9
keep_failed = "7d"      # how long what a failed attempt left stays on disk

[environment]           # of agents and tests
allow = []              # names, or beginnings as "AWS_*"; empty: everything but what would confuse them
redact = []             # variables whose values are secret, besides those whose names say so

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
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from .. import runtimes
from ..eventlog.errors import UsageError
from .tables import Settings

FILE = "swarm.toml"
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")


def load(root: str) -> Settings:
    """The settings of the repository at `root`, defaults where there is no file; raises UsageError naming the key."""
    document = _read(os.path.join(root, FILE))
    try:
        settings = msgspec.convert(document, Settings, strict=True)
    except msgspec.ValidationError as error:
        raise _explained(error, document) from None
    _check(settings)
    _check_paths(settings, root)
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
    for name in (one.partition(":")[0] for one in settings.routing.fallback):
        if name and name not in known:
            raise UsageError(f"{FILE}: routing.fallback: there is no runtime {name!r}", _meant(name, known))
    if settings.start.runtime not in known:
        name = settings.start.runtime
        raise UsageError(f"{FILE}: start.runtime: there is no runtime {name!r}", _meant(name, known))
    gates = [gate.name for gate in settings.gates]
    for name in gates:
        if gates.count(name) > 1:
            raise UsageError(f"{FILE}: gates: two of them have the name {name!r}", "give each a name of its own")
    _check_words(settings)


def _check_words(settings: Settings) -> None:
    """Addresses, and names of variables."""
    address = settings.llm.base_url
    if address and not re.match("https?://[^/]", address):
        raise UsageError(f"{FILE}: llm.base_url: expected an http:// or https:// address, got {json.dumps(address)}")
    if not _VARIABLE.fullmatch(settings.llm.key_env):
        # Not shown: this is where a key is pasted by mistake.
        raise UsageError(f"{FILE}: llm.key_env: expected the name of an environment variable, not a key")
    for key, names in (("allow", settings.environment.allow), ("redact", settings.environment.redact)):
        if not all(_VARIABLE.fullmatch(name.removesuffix("*") if key == "allow" else name) for name in names):
            what = "names of environment variables" + (", or beginnings as AWS_*" if key == "allow" else "")
            raise UsageError(f"{FILE}: environment.{key}: expected {what}", f"mend environment.{key} in {FILE}")


def _check_paths(settings: Settings, root: str) -> None:
    """What a worktree is to get must be the repository's own."""
    for key, paths in (("copy", settings.workspace.copy), ("link", settings.workspace.link)):
        for path in paths:
            if wrong := astray(root, path):
                raise UsageError(
                    f"{FILE}: workspace.{key}: {json.dumps(path)} {wrong}", "name files and folders of this repository"
                )


def astray(root: str, path: str) -> str:
    """Why the path is none of a file or folder in the repository at `root`, apart from git's and the swarm's own;
    empty if it is one, or would be.
    """
    if not path or os.path.isabs(path) or ".." in path.split("/") or "\0" in path:
        return "is no path within the repository"
    root = os.path.realpath(root)
    for full in (os.path.normpath(os.path.join(root, path)), os.path.realpath(os.path.join(root, path))):
        inner = os.path.relpath(full, root).split("/")
        if inner[0] == "..":
            return "leads out of the repository by a symbolic link"
        if inner[0] in (".", ".git", ".swarm"):
            return "is not for worktrees"
    return ""


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
    """The settings there are at that place (`merge`, `gates[0]`, `runtimes.pi`)."""
    kind: Any = Settings
    for step in re.findall(r"[^.\[\]]+", where):
        kind = get_args(kind)[-1] if get_origin(kind) in (dict, list) else get_type_hints(kind)[step]
    return list(kind.__struct_fields__)


def _meant(word: str, known: list[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
