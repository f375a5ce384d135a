"""What actors act with: the Protocols of `world/`, and where things are. Rule: it is a bundle, it decides nothing."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from ..runtimes import Llm
from ..world import Alerts, Carrier, Gauge, Repository, Sessions, SpendLog


def as_it_is(text: str) -> str:
    """Where nothing is secret."""
    return text


def nowhere(_target: str) -> Sequence[tuple[str, str]]:
    """Where no remote is asked."""
    return ()


class RuntimeOptions(msgspec.Struct, frozen=True):
    """A user's `[runtimes.<name>]`."""

    binary: str = ""
    args: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a session: seconds and bytes, and how many processes (0: any number)."""

    attempt: float = 3600.0
    gate: float = 1800.0
    log: int = 50_000_000
    memory: int = 0
    processes: int = 0
    output: int = 0


class Recipe(msgspec.Struct, frozen=True):
    """A user's `[workspace]`: paths (relative to the repository) to copy and to link into a worktree, the commands that
    set it up and clean it up, with their seconds, and whether it gets ports of its own.
    """

    copy: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    setup: str = ""
    cleanup: str = ""
    seconds: float = 600.0
    ports: bool = False


class Hands(msgspec.Struct, frozen=True):
    """Everything an actor may touch.

    `root`, `runs` and `log` are absolute folders. `environment(extra)` is the environment of a session; `write(path,
    text)` writes a private file. `author(agent)` is `Name <email>` for commits made on an agent's behalf. `spend` is
    None where no LLM proxy is configured, `carrier` where the log is this clone's alone; else it is to be used `every`
    so many seconds. `gauge` and `alerts` are None where nothing is to be measured, or nobody told. `run` is the id of
    this run. `redact(text)` is the text without secrets. `follow(target)` brings the target up to date with its
    upstream, if that was long ago; what there is to say: (words, a command for the person or empty).
    """

    root: str
    runs: str
    log: str
    run: str
    repository: Repository
    sessions: Sessions
    environment: Callable[[Mapping[str, str]], dict[str, str]]
    write: Callable[[str, str], None]
    author: Callable[[str], str]
    spend: SpendLog | None = None
    carrier: Carrier | None = None
    every: float = 10.0
    llm: Llm = Llm()
    limits: Limits = Limits()
    options: Mapping[str, RuntimeOptions] = {}
    recipe: Recipe = Recipe()
    gauge: Gauge | None = None
    alerts: Alerts | None = None
    redact: Callable[[str], str] = as_it_is
    follow: Callable[[str], Sequence[tuple[str, str]]] = nowhere
