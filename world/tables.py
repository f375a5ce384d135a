"""What may stand in `swarm.toml`: one class per table. Rule: strict and typed, every default a working one; what each
key means stands at the head of settings.py.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Minutes = Annotated[float, Meta(gt=0, le=100_000)]
Amount = Annotated[float, Meta(ge=0, le=1_000_000_000)]
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
    fetch_minutes: Amount = 10.0


class Limits(Table, frozen=True):
    """Where an outside program is stopped, and where its raw log is cut."""

    attempt_minutes: Minutes = 60.0
    gate_minutes: Minutes = 30.0
    log_mb: Annotated[float, Meta(gt=0, le=100_000)] = 50.0
    output_mb: Amount = 0.0
    memory_mb: Amount = 0.0
    processes: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class GateSettings(Table, frozen=True):
    """One test. Its name does not end in a number of its own: so do its second and later sessions."""

    name: Annotated[str, Meta(pattern=r"^(?!(.*-)?[0-9]+$)[a-z0-9][a-z0-9_-]{0,30}$")]
    command: Annotated[str, Meta(min_length=1)]
    timeout_minutes: Minutes = 30.0
    when: Literal["attempt", "batch", "both", "landing"] = "both"


class MergeSettings(Table, frozen=True):
    """How work lands."""

    batch_max: Annotated[int, Meta(ge=1, le=1000)] = 32
    parallel: Annotated[int, Meta(ge=1, le=64)] = 1
    on_conflict: Literal["stop", "skip", "reopen", "resolve"] = "reopen"
    mode: Literal["merge", "squash", "rebase"] = "merge"
    validate: str = ""
    rollback: bool = False
    ageing_minutes: Minutes = 10.0


class RetrySettings(Table, frozen=True):
    """When what failed is tried again."""

    backoff: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    longest: Annotated[float, Meta(ge=0, le=86_400)] = 600.0
    roles: dict[str, Annotated[int, Meta(ge=0, le=1000)]] = {}


class PatienceSettings(Table, frozen=True):
    """How long an agent may be silent, in minutes."""

    nudge: Amount = 0.0
    interrupt: Amount = 0.0
    kill: Amount = 0.0
    waiting: Minutes = 1440.0
    limited: Minutes = 360.0


class BudgetSettings(Table, frozen=True):
    """One budget."""

    scope: Annotated[str, Meta(pattern=r"^(run|issue|agent|role|model|day)(:.+)?$")]
    usd: Amount = 0.0
    tokens: Annotated[int, Meta(ge=0, le=10**15)] = 0


class AdmissionSettings(Table, frozen=True):
    """What must be free before an agent is started."""

    disk_gb: Amount = 1.0
    memory_gb: Amount = 0.5
    load: Amount = 0.0
    rate: Amount = 0.0
    roles: dict[str, Annotated[int, Meta(ge=0, le=1000)]] = {}


class RoutingSettings(Table, frozen=True):
    """What is used instead: `runtime` or `runtime:model`."""

    fallback: list[str] = []


class AlertSettings(Table, frozen=True):
    """Whom to tell."""

    command: str = ""


class WorkspaceSettings(Table, frozen=True):
    """What a worktree gets that is not in git."""

    copy: list[str] = []
    link: list[str] = []
    setup: str = ""
    cleanup: str = ""
    minutes: Minutes = 10.0
    ports: bool = False
    keep_failed: Annotated[str, Meta(pattern=r"^[0-9]{1,6}[smhd]$")] = "7d"


class EnvironmentSettings(Table, frozen=True):
    """What agents and tests see of our environment."""

    allow: list[str] = []
    redact: list[str] = []


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
    gates: list[GateSettings] = []
    merge: MergeSettings = MergeSettings()
    retry: RetrySettings = RetrySettings()
    patience: PatienceSettings = PatienceSettings()
    budgets: list[BudgetSettings] = []
    admission: AdmissionSettings = AdmissionSettings()
    routing: RoutingSettings = RoutingSettings()
    alerts: AlertSettings = AlertSettings()
    workspace: WorkspaceSettings = WorkspaceSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
    runtimes: dict[str, RuntimeSettings] = {}


def seconds(text: str) -> float:
    """`7d`, `12h`, `30m` or `90s` in seconds."""
    return float(text[:-1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[text[-1]]
