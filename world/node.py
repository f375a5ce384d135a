"""This node's log, as every process of the node opens it. Rule: how safe an append is, is asked here and nowhere else.

`swarm.toml` says it (`[log] durability`), and `SWARM_DURABILITY` in the environment wins: that is for tests.
"""

import os
from collections.abc import Mapping

from ..eventlog.errors import UsageError
from ..eventlog.files import DURABILITY, GROUP, Log
from ..eventlog.place import Place, node_of
from .clock import entropy, now

_KEY = b"durability"


def open_log(place: Place, env: Mapping[str, str] = os.environ) -> Log:
    """The log to append to; close it. Raises UsageError for a setting that cannot be understood."""
    return Log(place.log, node_of(place, entropy), now, entropy, durability(place.root, env))


def durability(root: str, env: Mapping[str, str]) -> str:
    """`fsync`, `group` or `none`, for the repository at `root`."""
    given = env.get("SWARM_DURABILITY", "")
    if given and given not in DURABILITY:
        raise UsageError(f"SWARM_DURABILITY is {given!r}", f"it is one of: {', '.join(DURABILITY)}")
    return given or _set(root)


def _set(root: str) -> str:
    """What the file says. It is parsed only where the word is in it at all: agents' every letter comes by here."""
    try:
        with open(os.path.join(root, "swarm.toml"), "rb") as file:
            if _KEY not in file.read():
                return GROUP
    except OSError:
        return GROUP
    from .settings import load

    return load(root).log.durability
