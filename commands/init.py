"""Make this repository ready for a swarm: the folders of its log, outside of what git tracks."""

import os

import click

from ..eventlog.place import find, initialise, node_of
from ..world.clock import entropy
from . import say

GROUP = "Begin"


@click.command()
def command() -> None:
    """Make this repository ready for a swarm.

    Nothing that git tracks is touched: the log lies in git's own folder, where every worktree finds it, and `.swarm/`
    is ignored through `info/exclude`. Again is harmless.
    """
    place = find(os.getcwd(), os.environ, initialised=False)
    there = os.path.isdir(place.log)
    initialise(place, entropy)
    say(f"{'already there' if there else 'ready'}: log {place.log} (node {node_of(place, entropy)})")
    say("next:  swarm issue create 'a title' --body 'what is to be done'")
    say("then:  swarm start --until-idle --test 'your test command'")
