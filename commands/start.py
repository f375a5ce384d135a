"""Run the swarm: give ready issues to agents, test what they did, land what passes."""

import os
import sys
from typing import Any

import click

from ..eventlog.errors import SwarmError
from ..world.running import Holder
from . import Home, say
from ._running import CONFLICTS, run

GROUP = "Begin"


@click.command()
@click.option("--until-idle", is_flag=True, help="Stop when nothing is left to do; exit 1 if an issue is not done.")
@click.option("--detach", is_flag=True, help="Run in the background.")
@click.option("--max-agents", type=click.IntRange(1, 1000), help="Agents at once (default 4).")
@click.option("--max-retries", type=click.IntRange(0, 1000), help="Attempts after the first (default 1).")
@click.option("--runtime", help="For issues that name none (default shell).")
@click.option("--model", help="For issues that name none.")
@click.option("--test", metavar="CMD", help="Shell command that must pass before anything lands.")
@click.option("--target", metavar="BRANCH", help="Where work lands (default: the branch that is checked out).")
@click.option("--on-conflict", type=click.Choice(CONFLICTS), help="What becomes of a branch that does not merge.")
@click.option("--validate", metavar="CMD", help="Shell command that judges the target after each landing.")
@click.option("--rollback-on-validate-fail", "rollback", is_flag=True, default=None, help="Then revert what landed.")
def command(until_idle: bool, detach: bool, **options: Any) -> int:
    """Run the swarm.

    Every ready issue is given to an agent in a git worktree of its own; what it did is tested, merged with the target
    in the swarm's own worktree, tested again, and landed. Ctrl-C stops the swarm and leaves the agents at work: the
    next `swarm start` takes them over. Defaults stand in swarm.toml.
    """
    if detach:
        return _detach()
    return run(Home(), until_idle, options)


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
