"""Run the swarm: give ready issues to agents, test what they did, land what passes."""

import os
import signal
import sys
from datetime import UTC, datetime
from typing import Any

import click

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import RunStarted, SessionExited, SessionStarted
from ..eventlog.fact import Event
from ..eventlog.telling import tell
from ..mailbox import waits
from ..projections import Board, agents, issues, merges, runs
from ..world.running import Holder
from . import Home, say

GROUP = "Begin"
QUIET = {
    "issue.opened",
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


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do; exit 1 if an issue is not done.")
@click.option("--detach", is_flag=True, help="Run in the background.")
@click.option("--max-agents", type=click.IntRange(1, 1000), help="Agents at once (default 4).")
@click.option("--max-retries", type=click.IntRange(0, 1000), help="Attempts after the first (default 1).")
@click.option("--runtime", help="For issues that name none (default shell).")
@click.option("--model", help="For issues that name none.")
@click.option("--test", metavar="CMD", help="Shell command that must pass before anything lands.")
@click.option("--target", metavar="BRANCH", help="Where work lands (default: the branch that is checked out).")
def command(until_idle: bool, detach: bool, **options: Any) -> int:
    """Run the swarm.

    Every ready issue is given to an agent in a git worktree of its own; what it did is tested, merged with the target
    in the swarm's own worktree, tested again, and landed. Ctrl-C stops the swarm and leaves the agents at work: the
    next `swarm start` takes them over. Defaults stand in swarm.toml.
    """
    if detach:
        return _detach()
    return _run(Home(), until_idle, options)


def _run(home: Home, until_idle: bool, options: dict[str, Any]) -> int:
    from ..actors import boot
    from ..world import clock, running
    from ..world.git import Git
    from ..world.settings import load
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
        system, log = boot.system(place, git, settings, force, run, _show)
        try:
            signal.signal(signal.SIGINT, lambda *_: system.interrupt())
            signal.signal(signal.SIGTERM, lambda *_: system.interrupt())
            for words in warnings(place, force.sync, force.target):
                say(f"warning: {words}")
            say(f"{run}: landing on {force.target}, {force.max_agents} agents at most, test: {_tests(force)}")
            ending = system.run(until_idle)
            code = _report(home.board(), ending.reason, until_idle)
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


def _report(board: Board, reason: str, until_idle: bool) -> int:
    """Say how it went; returns the exit code."""
    from ..actors import budgets
    from ..world import clock

    state, accounts, settings = board[issues.State], budgets.book(board, clock.now()), board[runs.State].settings
    counts = state.counts()
    left = [issue for issue in state.known() if issue.status != issues.DONE]
    reasons = waits.reasons(board, left)
    say(f"{reason}: {counts[issues.DONE]} of {sum(counts.values())} issues done")
    for issue in left:
        needs = state.waiting(issue)
        spent = accounts.waits(issue, settings) if settings and issue.status == issues.OPEN else ""
        waiting = spent or (f"waits: {reasons[issue.id]}" if issue.id in reasons else "")
        why = waiting or issue.reason or (f"needs {', '.join(needs)}" if needs else "")
        say(
            f"  {issue.id}  {issue.status:<11}  {issue.opened.title if issue.opened else ''}{': ' + why if why else ''}"
        )
    blocked = [issue.id for issue in left if issue.status == issues.BLOCKED]
    held = board[runs.State].held
    if held:
        say(f"the merge queue is held: {held.reason}")
    if blocked:
        say(f"what went wrong, in full: swarm issue show {blocked[0]}")
    for line in accounts.lines():
        if line.over:
            more = f"to allow more: swarm budget raise {line.subject} --{line.unit} N"
            ended = line.subject.startswith("run:")
            say(f"budget {line.subject}: {line.words}; {'the next run has one of its own' if ended else more}")
    for merge in board[merges.State].queue():
        if merge.held:
            say(f"  {merge.issue} is ready to land, but git says: {merge.held.reason}")
            say(f"  when that is out of the way: {merge.held.command}")
    for attempt in board[agents.State].ongoing():
        if attempt.leak and not attempt.ended:
            say(f"  {attempt.issue} is held, for your checkout changed: {attempt.leak}")
            say(f"  look at it, and if the work may land: swarm work clear {attempt.issue}")
    sessions = list(board[agents.State].sessions())
    if sessions:
        say(f"{len(sessions)} sessions work on; `swarm start` takes them over, `swarm stop --now` ends them")
    if reason == "interrupted":
        return 130
    return 1 if left and until_idle else 0


def _of(holder: Holder | None, pid: int) -> Holder | None:
    """The holder, if it is that process: what the file says may still be of a run that was killed."""
    return holder if holder and holder.pid == pid else None


def _detach() -> int:
    """The same command again, in the background; returns when it runs, or with its words if it does not come up."""
    from ..world import background, running

    home = Home()
    lock = os.path.join(home.place.home, "run.lock")
    if running.holder(lock):
        running.RunLock(lock).take(running.Holder(0, "", ""))  # raises, and says who runs
    output = os.path.join(home.place.home, "start.log")
    args = [argument for argument in sys.argv[1:] if argument != "--detach"]
    try:
        started = background.start([sys.executable, "-P", "-m", "swarm.cli", *args], output)
    except OSError as error:
        raise SwarmError(f"cannot begin in the background: {error}", "mend that and run it again") from error
    holder = background.wait(started, lambda: _of(running.holder(lock), started.pid))
    if holder is None:
        with open(output, encoding="utf-8", errors="replace") as file:
            words = file.read().strip()
        if started.poll() == 0:  # it had nothing to do
            say(words)
            return 0
        raise SwarmError("the swarm did not come up in the background:\n" + words[-2000:], f"see {output}")
    say(f"{holder.run} runs in the background (pid {holder.pid}); see it with: swarm status; stop it with: swarm stop")
    return 0
