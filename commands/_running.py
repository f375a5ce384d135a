"""One run of the actors in front of a person: `swarm start`, and `swarm merge now`. Rule: what a run is told stands in
its options, what it did is told as it happens, and its exit code says how it went.
"""

import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..eventlog.errors import UsageError
from ..eventlog.events import RunStarted, SessionExited, SessionStarted
from ..eventlog.fact import Event
from ..eventlog.telling import tell
from ..projections import Board
from . import Home, say
from ._ending import report

CONFLICTS = ("stop", "skip", "reopen", "resolve")
QUIET = {
    "batch.dissolved",
    "batch.formed",
    "batch.stacked",
    "checkout.seen",
    "issue.opened",
    "merge.predicted",
    "merge.prepared",
    "merge.queued",
    "run.started",
    "run.stopped",
    "session.progressed",
    "session.requested",
    "usage.reported",
    "work.secured",
    "worktree.prepared",
    "worktree.removed",
}
"""Facts that the live view leaves out; `swarm log -f` shows all."""


def run(
    home: Home,
    until_idle: bool,
    options: dict[str, Any],
    told: Callable[[Board, str, bool], int] = report,
) -> int:
    """Take the run's lock, work, and say with `told` how it went; returns the exit code."""
    from ..actors import boot
    from ..world import clock, running
    from ..world.git import Git
    from ..world.settings import load
    from ..world.upstream import Follower
    from ._clones import warnings

    place, run = home.place, f"run-{clock.entropy() >> 32:08x}"
    settings = load(place.root)
    git = Git(place.root, place.common)
    for problem, mend in git.problems():
        raise UsageError(problem, mend)
    force = boot.in_force(git, settings, boot.Options(**options), place.root)
    lock = running.RunLock(os.path.join(place.home, "run.lock"))
    lock.take(running.Holder(os.getpid(), run, datetime.fromtimestamp(clock.now(), UTC).isoformat(timespec="seconds")))
    try:
        follow = Follower(git.follow, settings.start.fetch_minutes * 60)
        system, log = boot.system(place, git, settings, force, run, follow, _show)
        try:
            signal.signal(signal.SIGINT, lambda *_: system.interrupt())
            signal.signal(signal.SIGTERM, lambda *_: system.interrupt())
            for words, mend in follow(force.target):
                say(f"warning: {words}\n  {mend}" if mend else words)
            for words in warnings(place, force.sync, force.target):
                say(f"warning: {words}")
            agents = f"{force.max_agents} agents at most" if force.max_agents else "no agents"
            say(f"{run}: landing on {force.target}, {agents}, test: {_tests(force)}")
            ending = system.run(until_idle)
            code = told(home.board(), ending.reason, until_idle)
            system.stopped(ending.reason, code)
        finally:
            log.close()
    finally:
        lock.drop()
    return code


def _tests(force: RunStarted) -> str:
    """What judges work: the names of the gates, or the lone command."""
    return ", ".join(gate.name for gate in force.gates) or force.test or "none"


def _show(event: Event[Any]) -> None:
    """One line of the live view. Of sessions only the agents' own: what a test meant is told by its verdict.

    Nobody may be reading any more (`swarm start | head`): the work goes on all the same.
    """
    fact = event.data
    if isinstance(fact, SessionStarted | SessionExited) and fact.session != f"{event.subject}-{fact.attempt}":
        return
    if event.type not in QUIET:
        try:
            say(tell(event))
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
