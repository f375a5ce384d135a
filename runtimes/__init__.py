"""One file per coding agent: how it is started, and how its output is read. Pure: no I/O, no clock.

The file is the registration: `runtimes/<name>.py` is the runtime `<name>`, and tests/runtimes/test_runtimes.py runs
over every file. A runtime module has

    BINARY: str                                  the program looked for on PATH
    INSTALL: str                                 the command that installs it, for people
    def launch(task: Task) -> Launch             how to run it; raises UsageError if the task does not fit
    def reader() -> Reader                       reads one session's standard output, line by line

(`quota.py` is none: it is what they share about providers that refuse.)

Never trust the exit code alone: `Reader.outcome` is the runtime's verdict, and the orchestrator then checks the
commits.
"""

import pkgutil
import signal
from collections.abc import Mapping
from importlib import import_module
from typing import Protocol, cast

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.text import plain
from ..projections.quotas import provider as provider  # the runtime and the model -> who answers

_SHARED = ("quota", "runners")


class Llm(msgspec.Struct, frozen=True):
    """An OpenAI-compatible endpoint (a LiteLLM proxy). `base_url` empty: the runtime uses its user's own configuration.

    `prices` maps a model to (input, output) dollars per million tokens, for runtimes that price their own usage.
    """

    base_url: str = ""
    key: str = ""
    prices: Mapping[str, tuple[float, float]] = {}


class Task(msgspec.Struct, frozen=True):
    """What a runtime is given. `prompt` is the whole text for a model; `body` is the issue's body as it was written.

    Paths are absolute. `options` are the user's `[runtimes.<name>]` settings: `binary` and extra `args`.
    """

    session: str
    issue: str
    agent: str
    role: str
    prompt: str
    body: str
    worktree: str
    run_dir: str
    model: str = ""
    llm: Llm = Llm()
    binary: str = ""
    args: tuple[str, ...] = ()


class Launch(msgspec.Struct, frozen=True):
    """How to run it: `env` is added to the session's environment; `files` (absolute path -> text) are written first,
    0600.

    `stdin` is fed to the program and closed. `terminal` asks for a PTY instead of pipes.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = {}
    files: Mapping[str, str] = {}
    stdin: str = ""
    terminal: bool = False


class Usage(msgspec.Struct, frozen=True):
    """Totals of one session and model so far. `cost` in dollars, None where the runtime knows no price.

    `calls` counts answered calls only; `input_tokens` is everything the model was sent, with `cached_tokens` among it.
    """

    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


class Outcome(msgspec.Struct, frozen=True):
    """The runtime's verdict on its own session. `why` is one line when not ok; `report` the agent's last word. `quota`:
    the words in which its provider refused for lack of quota, if that is why it failed.
    """

    ok: bool
    why: str = ""
    report: str = ""
    resume: str = ""
    quota: str = ""


class Reader(Protocol):
    """Reads one session's standard output. Never raises on any bytes: what it does not understand it passes by."""

    @property
    def tools(self) -> int:
        """How many tools the agent has used so far."""

    @property
    def note(self) -> str:
        """What the agent is doing now, one short line, or empty."""

    @property
    def usage(self) -> tuple[Usage, ...]:
        """Totals so far, one entry per model."""

    @property
    def state(self) -> str:
        """What the agent says it waits for: `waiting_input` (a person) or `rate_limited` (its provider); empty while
        it works. What it prints next ends it.
        """

    def feed(self, line: bytes) -> None:
        """Take one line of output, without its newline."""

    def outcome(self, code: int) -> Outcome:
        """The verdict, once the program has exited with `code` (< 0: by that signal)."""


class Runtime(Protocol):
    """What every file of this room offers."""

    BINARY: str
    INSTALL: str

    def launch(self, task: Task) -> Launch:
        """How to run this task; raises UsageError when it does not fit the runtime."""

    def reader(self) -> Reader:
        """A fresh reader for one session."""


def names() -> list[str]:
    """The runtimes there are, by file name."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)


def runtime(name: str) -> Runtime:
    """The runtime of that name; raises UsageError with the known ones."""
    if name not in names():
        raise UsageError(f"there is no runtime {name!r}", f"known runtimes: {', '.join(names())}")
    return cast(Runtime, import_module(f"{__name__}.{name}"))


def one_line(text: str, limit: int = 160) -> str:
    """The text as one plain line of at most `limit` characters."""
    line = " ".join(plain(text[: 8 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def ending(code: int) -> str:
    """How a program ended, in words: `exit code 3`, `killed by signal 9 (SIGKILL)`."""
    if code >= 0:
        return f"exit code {code}"
    known = {int(s): s.name for s in signal.Signals}
    return f"killed by signal {-code} ({known[-code]})" if -code in known else f"killed by signal {-code}"
