"""Stop the running swarm; agents work on unless --now ends them too."""

import os
import time

import click

from ..eventlog.errors import SwarmError
from ..eventlog.events import RunStopRequested, SessionKillRequested
from ..eventlog.fact import Fact
from ..projections import agents
from ..world import running
from . import Home, say, whoami

GROUP = "Begin"
PATIENCE = 60.0


@click.command()
@click.option("--now", "now_", is_flag=True, help="End the agents too; what they did so far is secured.")
def command(now_: bool) -> None:
    """Stop the running swarm.

    Without --now the agents work on, and the next `swarm start` takes them over. With --now they are ended, their
    work is committed to refs/swarm/wip/, and their issues are open again.
    """
    home = Home()
    lock = os.path.join(home.place.home, "run.lock")
    holder = running.holder(lock)
    if holder is None:
        say("no swarm runs on this repository")
        if now_:
            _end_sessions(home)
        return
    home.append(whoami(home.place), [(holder.run, RunStopRequested(agents=now_))])
    deadline = time.monotonic() + PATIENCE
    while running.holder(lock) == holder:
        if time.monotonic() > deadline:
            raise SwarmError(
                f"pid {holder.pid} did not stop within {PATIENCE:.0f} s", f"end it with: kill {holder.pid}"
            )
        time.sleep(0.05)
    left = sum(1 for _ in home.board(("agents",))[agents.State].sessions())
    say(f"stopped {holder.run}" + (f"; {left} sessions work on, `swarm start` takes them over" if left else ""))


def _end_sessions(home: Home) -> None:
    """Nobody runs who could see to it: ask the sessions' own hosts, which record what came of it."""
    from ..world.sessions import end_all

    sessions = list(home.board(("agents",))[agents.State].sessions())
    wishes: list[tuple[str, Fact]] = [
        (s.issue, SessionKillRequested(session=s.id, attempt=s.attempt, reason="swarm stop --now"))
        for s in sessions
        if not s.killed
    ]
    if wishes:
        home.append(whoami(home.place), wishes)
    if sessions:
        end_all(home.place, sessions)
        say(f"ended {len(sessions)} sessions; `swarm start` secures their work")
