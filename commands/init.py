"""Make this repository ready for a swarm: the folders of its log, outside of what git tracks."""

import os
from contextlib import suppress

import click

from ..eventlog.errors import UsageError
from ..eventlog.place import Place, find, initialise, node_of
from ..eventlog.text import many
from ..world.clock import entropy
from . import say

GROUP = "Begin"


@click.command()
def command() -> None:
    """Make this repository ready for a swarm.

    Nothing that git tracks is touched: the log lies in git's own folder, where every worktree finds it, and `.swarm/`
    is ignored through `info/exclude`. Again is harmless. In a fresh clone the log that its remote carries (the branch
    swarm-log) is taken over.
    """
    place = find(os.getcwd(), os.environ, initialised=False)
    there = os.path.isdir(place.log)
    initialise(place, entropy)
    say(f"{'already there' if there else 'ready'}: log {place.log} (node {node_of(place, entropy)})")
    _take_over(place)
    say("next:  swarm issue create 'a title' --body 'what is to be done'")
    say("then:  swarm start --until-idle --test 'your test command'")


def _take_over(place: Place) -> None:
    """What git has brought of other clones' logs."""
    from ..world.carrier import LogCarrier
    from ..world.door import Door
    from ..world.node import open_log
    from ..world.settings import load
    from ._clones import others, unset

    log = open_log(place)
    try:
        done = LogCarrier(place, Door(place.root, place.common), log, "").adopt()
    finally:
        log.close()
    for note in done.notes:
        say(note)
    if done.received:
        say(f"took over {many(done.received, 'event')} of other clones; to exchange what comes: swarm sync")
        with suppress(UsageError):  # `swarm doctor` says what is wrong with it
            if not load(place.root).sync.remote:
                say(f"warning: {unset(others(place))}")
