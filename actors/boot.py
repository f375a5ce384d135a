"""From settings to a running system: the real hands, and the lock that keeps it the only one. Rule: it wires, nothing
else.
"""

import os
from collections.abc import Callable
from typing import Any

import msgspec

from .. import __version__
from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import Admission, Fallback, Gate, MergePolicy, Patience, RetryPolicy, RunStarted
from ..eventlog.fact import Event
from ..eventlog.files import Log
from ..eventlog.place import Place, node_of
from ..runtimes import Llm, runtime
from ..world import alerts as outside
from ..world import clock, environment, processes, proxy
from ..world.carrier import LogCarrier
from ..world.door import Door
from ..world.gauge import Machine
from ..world.git import Git
from ..world.logbranch import chosen
from ..world.node import open_log
from ..world.redaction import Redactor
from ..world.sessions import HostedSessions
from ..world.spend import SpendFile
from ..world.tables import Settings, seconds
from ..world.upstream import Follower
from . import budgets
from .hands import Hands, Limits, Recipe, RuntimeOptions
from .system import System


class Options(msgspec.Struct, frozen=True):
    """What `swarm start` was told; None is what `swarm.toml` says."""

    max_agents: int | None = None
    max_retries: int | None = None
    runtime: str | None = None
    model: str | None = None
    test: str | None = None
    target: str | None = None
    on_conflict: str | None = None
    validate: str | None = None
    rollback: bool | None = None


def in_force(git: Git, settings: Settings, options: Options, root: str) -> RunStarted:
    """The settings of this run, as the fact that records them; raises UsageError if they cannot be met here."""
    start = settings.start
    name = options.runtime or start.runtime
    _check_runtime(name, settings)
    _check_proxy(settings)
    target = options.target or start.target or git.default_branch()
    if not git.branch_exists(target):
        raise UsageError(f"there is no branch {target!r} to land on", f"git branch {target}")
    myself = processes.identity(os.getpid())
    return RunStarted(
        pid=os.getpid(),
        boot_id=myself.boot_id if myself else "",
        start_ticks=myself.start_ticks if myself else 0,
        version=__version__,
        target=target,
        runtime=name,
        max_agents=start.max_agents if options.max_agents is None else options.max_agents,
        max_retries=_max_retries(start.max_retries) if options.max_retries is None else options.max_retries,
        model=start.model if options.model is None else options.model,
        test=start.test if options.test is None else options.test,
        spend_log=_spend_log(settings, root),
        sync=settings.sync.remote,
        lease=settings.sync.lease_minutes * 60 if settings.sync.remote else 0.0,
        alerts=channels.names if (channels := outside.configured(os.environ, settings.alerts.command)) else [],
        **_policies(settings, options) | ({} if options.test is None else {"gates": []}),
    )


def _max_retries(configured: int) -> int:
    """What the environment says counts more than the file; raises UsageError if it is no number of retries."""
    given = os.environ.get("SWARM_MAX_RETRIES", "")
    if not given:
        return configured
    if not (given.isascii() and given.isdigit() and int(given) <= 1000):
        raise UsageError(f"SWARM_MAX_RETRIES is {given[:40]!r}", "it is a number of retries, 0 to 1000, or unset")
    return int(given)


def _policies(settings: Settings, options: Options) -> dict[str, Any]:
    """The rest of the settings that are decided by, in the units of events: seconds and bytes."""
    merge, retry, patience, admission = settings.merge, settings.retry, settings.patience, settings.admission
    return {
        "gates": [Gate(gate.name, gate.command, gate.timeout_minutes * 60, gate.when) for gate in settings.gates],
        "merge": MergePolicy(
            merge.batch_max,
            merge.parallel,
            options.on_conflict or merge.on_conflict,
            merge.mode,
            merge.validate if options.validate is None else options.validate,
            merge.rollback if options.rollback is None else options.rollback,
            merge.ageing_minutes * 60,
        ),
        "retry": RetryPolicy(retry.backoff, retry.longest, dict(retry.roles)),
        "patience": Patience(
            patience.nudge * 60,
            patience.interrupt * 60,
            patience.kill * 60,
            patience.waiting * 60,
            patience.limited * 60,
        ),
        "budgets": budgets.limits(budgets.stated(settings.budgets), os.environ),
        "admission": Admission(
            int(admission.disk_gb * 1e9),
            int(admission.memory_gb * 1e9),
            admission.load,
            dict(admission.roles),
            admission.rate,
        ),
        "fallback": [Fallback(*one.split(":", 1)) for one in settings.routing.fallback],
        "keep_failed": seconds(settings.workspace.keep_failed),
        "setup": settings.workspace.setup,
        "cleanup": settings.workspace.cleanup,
        "ports": settings.workspace.ports,
    }


def _check_runtime(name: str, settings: Settings) -> None:
    """The default runtime's program must be there before anything starts; others are found missing when they are
    needed.
    """
    import shutil

    module = runtime(name)
    options = settings.runtimes.get(name)
    binary = (options.binary if options else "") or module.BINARY
    if shutil.which(binary) is None:
        raise UsageError(f"the runtime {name!r} needs the program {binary!r}, which is not on PATH", module.INSTALL)


def _check_proxy(settings: Settings) -> None:
    """A proxy that is configured must answer, with the key we have: else every attempt would fail, one by one."""
    llm = settings.llm
    if not llm.base_url:
        return
    key = os.environ.get(llm.key_env, "")
    if not key:
        hint = f"export {llm.key_env}=… (any word, if the proxy wants none)"
        raise UsageError(f"llm.base_url is set, but the variable {llm.key_env} is not", hint)
    trouble = proxy.trouble(llm.base_url, key)
    if trouble:
        raise SwarmError(trouble, "start it (docs/litellm says how), or mend [llm] in swarm.toml")


def _spend_log(settings: Settings, root: str) -> str:
    path = settings.llm.spend_log
    return os.path.join(root, os.path.expanduser(path)) if path else ""


def system(
    place: Place,
    git: Git,
    settings: Settings,
    force: RunStarted,
    run: str,
    follow: Follower,
    show: Callable[[Event[Any]], None],
) -> tuple[System, Log]:
    """The system with its real hands. The caller closes the log after the run."""
    log = open_log(place)
    carrier = _carrier(place, log, force, run) if force.sync else None
    llm, seen = settings.llm, settings.environment
    hands = Hands(
        root=place.root,
        runs=place.runs,
        log=place.log,
        run=run,
        repository=git,
        follow=follow,
        sessions=HostedSessions(place.runs, log),
        environment=lambda extra: environment.of_session(os.environ, extra, seen.allow, seen.redact),
        write=environment.write_private,
        author=_author,
        spend=SpendFile(force.spend_log) if force.spend_log else None,
        carrier=carrier,
        every=settings.sync.every,
        llm=Llm(base_url=llm.base_url, key=os.environ.get(llm.key_env, ""), prices=llm.prices),
        limits=Limits(
            attempt=settings.limits.attempt_minutes * 60,
            gate=settings.limits.gate_minutes * 60,
            log=int(settings.limits.log_mb * 1_000_000),
            memory=int(settings.limits.memory_mb * 1_000_000),
            processes=settings.limits.processes,
            output=int(settings.limits.output_mb * 1_000_000),
        ),
        options={name: RuntimeOptions(o.binary, tuple(o.args)) for name, o in settings.runtimes.items()},
        recipe=_recipe(settings),
        gauge=Machine(place.worktrees),
        alerts=outside.configured(os.environ, settings.alerts.command),
        redact=Redactor(os.environ).text,
    )
    force = msgspec.structs.replace(force, node=node_of(place, clock.entropy))
    return System(log, place.log, place.cache, hands, force, clock.now, show, clock.monotonic), log


def _recipe(settings: Settings) -> Recipe:
    made = settings.workspace
    return Recipe(tuple(made.copy), tuple(made.link), made.setup, made.cleanup, made.minutes * 60, made.ports)


def _carrier(place: Place, log: Log, force: RunStarted, run: str) -> LogCarrier:
    """The way to the other clones; raises UsageError if there is no such remote."""
    door = Door(place.root, place.common)
    return LogCarrier(place, door, log, chosen(door, force.sync), force.lease, run)


def _author(agent: str) -> str:
    """Commits made on an agent's behalf carry its name; `.invalid` can be nobody's address (RFC 2606)."""
    return f"{agent} <{agent}@swarm.invalid>"
