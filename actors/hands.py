"""What actors act with: the Protocols of `world/`, and where things are. Rule: it is a bundle, it decides nothing."""

from collections.abc import Callable, Mapping

import msgspec

from ..runtimes import Llm
from ..world import Carrier, Repository, Sessions, SpendLog


class RuntimeOptions(msgspec.Struct, frozen=True):
    """A user's `[runtimes.<name>]`."""

    binary: str = ""
    args: tuple[str, ...] = ()


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a session: seconds and bytes."""

    attempt: float = 3600.0
    gate: float = 1800.0
    log: int = 50_000_000


class Hands(msgspec.Struct, frozen=True):
    """Everything an actor may touch.

    `root`, `runs` and `log` are absolute folders. `environment(extra)` is the environment of a session; `write(path,
    text)` writes a private file. `author(agent)` is `Name <email>` for commits made on an agent's behalf. `spend` is
    None where no LLM proxy is configured, `carrier` where the log is this clone's alone; else it is to be used `every`
    so many seconds. `run` is the id of this run.
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
