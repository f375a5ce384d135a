"""Carry the log to the other clones and back, through a git remote."""

import os

import click

from ..eventlog.text import many
from . import Home, as_json, emit, say

GROUP = "Log"


@click.command()
@click.argument("remote", required=False, default="")
@as_json
def command(remote: str, json_: bool) -> None:
    """Carry the log to the other clones and back, through a git remote.

    REMOTE is the name of a remote or an address; without it that of swarm.toml ([sync] remote), else the only one, else
    origin. The branch swarm-log is committed, merged and pushed; nothing is checked out, and nothing else is touched.
    Clones that worked apart then show the same. When the remote cannot be reached nothing is lost: run it again.
    """
    from ..world.carrier import LogCarrier
    from ..world.door import Door
    from ..world.logbranch import chosen
    from ..world.node import open_log

    place = Home().place
    door = Door(place.root, place.common)
    log = open_log(place)
    try:
        done = LogCarrier(place, door, log, chosen(door, remote or _set(place.root))).sync()
    finally:
        log.close()
    if json_:
        emit(done)
        return
    for note in done.notes:
        say(note)
    if done.refused:
        say(f"{many(done.refused, 'thing')} from elsewhere not taken over; see: swarm log --type event.refused")
    sent = f"sent {many(done.sent, 'event')} in {many(done.files_sent, 'file')}" if done.sent else "sent nothing"
    came = f"{many(done.received, 'event')} in {many(done.files_received, 'file')}" if done.received else "nothing"
    say(f"{done.remote}: {sent}, received {came}")


def _set(root: str) -> str:
    """The remote that `swarm.toml` names. It is parsed only where there is the word in it at all."""
    try:
        with open(os.path.join(root, "swarm.toml"), "rb") as file:
            if b"sync" not in file.read():
                return ""
    except OSError:
        return ""
    from ..world.settings import load

    return load(root).sync.remote
