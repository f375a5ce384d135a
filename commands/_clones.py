"""What a person who shares a log should know before a run: what other clones have to do with it. Asks no network."""

import re
from collections.abc import Iterator

from ..eventlog.events import MergeLanded
from ..eventlog.ids import made_on
from ..eventlog.place import Place, known_node
from ..eventlog.segments import node_of_file
from ..eventlog.tail import node_files
from ..projections import fact, happened, merges
from . import Home

_ID = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


def warnings(place: Place, remote: str, target: str) -> Iterator[str]:
    """Sentences; none for a log that was never synced. `remote` is that of the settings, `target` a branch."""
    from ..world.door import Door
    from ..world.landing import lacking
    from ..world.logbranch import LogBranch

    door = Door(place.root, place.common)
    if not LogBranch(door).is_carried():
        return
    many = others(place)
    if not remote:
        yield unset(many)
    absent = len(lacking(door, target, _landed_elsewhere(place))) if many else 0
    if absent:
        them = "a landing of another clone is" if absent == 1 else f"{absent} landings of other clones are"
        yield f"{them} not in your {target}: git pull  (once it was pushed there; sync carries the log alone)"


def unset(many: int) -> str:
    """That so many other clones write to the log, and nothing keeps them and us from the same issue."""
    clones = f"{many} other clones" if many > 1 else "another clone" if many else "whoever fetches it"
    words = f"this log is shared with {clones}, and [sync] remote is not set: the same issue may be begun twice"
    return f"{words}; set it in swarm.toml"


def others(place: Place) -> int:
    """How many other nodes have written to the log. (Leases are in files of their own, `l…`.)"""
    nodes = {node_of_file(name) for name in node_files(place.log)}
    return len([node for node in nodes if node[:1] == "n" and node != known_node(place)])


def _landed_elsewhere(place: Place) -> list[str]:
    """The commits that landed last, of those that landed in other clones."""
    home, node = Home(place), known_node(place)
    found = []
    for merge in home.board(("merges",))[merges.State].recent():
        landed = fact(merge.latest, MergeLanded)
        if landed and _ID.fullmatch(landed.commit) and not made_on(happened(merge.latest, MergeLanded), node):
            found.append(landed.commit)
    home.close()  # or its board stays in memory for as long as the run lasts
    return found
