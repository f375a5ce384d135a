"""What is known of those that wait from batches that were tested and did not land. Where several are tested side by
side, it says who is tested with whom.

Rule: pure, and no more than a hint: whatever it says, nothing lands whose own tree has not passed.
"""

from collections.abc import Mapping

import msgspec

from ..eventlog.events import RunStarted
from ..projections import Board, batches
from . import gates


class Record(msgspec.Struct, frozen=True):
    """Of one attempt: the batch of several that `failed` with it, since when it is a suspect (empty: none did), or
    whether it is `good`: it passed in one that did not land, for another had landed meanwhile.
    """

    failed: str = ""
    good: bool = False


NEW = Record()
Records = Mapping[batches.Member, Record]


def known(board: Board, settings: RunStarted) -> Records:
    """What the newest batches say of each; the last word counts. Nothing where one batch is tested at a time: there the
    parts of what failed are known by their places in the line.
    """
    found: dict[batches.Member, Record] = {}
    for batch in board[batches.State].recent() if settings.merge.parallel > 1 else ():
        if batch.dissolved is None or batch.landed:
            continue
        if batch.dissolved.failed and len(batch.members) > 1:
            found.update(dict.fromkeys(batch.members, Record(failed=batch.id)))
        elif _passed(batch, settings):
            found.update(dict.fromkeys(batch.members, Record(good=True)))
    return found


def _passed(batch: batches.Batch, settings: RunStarted) -> bool:
    """Whether it passed all that a batch has to, if there is anything."""
    said = {(test.data.gate, test.data.command) for test in batch.tests if test.data.verdict == gates.PASSED}
    return bool(said) and said >= {(gate.name, gate.command) for gate in gates.chosen(settings, "batch")}
