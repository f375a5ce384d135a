"""Whether this machine has room for one more agent: the Coordinator has it measured. Rule: measuring is one look of a
moment, and only an answer that changes is told.

Once there was too little, there must be a tenth more than is wanted: an answer is not to change with every breath.
"""

import re
from collections.abc import Hashable, Iterator

from ..eventlog.events import AdmissionClosed, AdmissionOpened
from ..projections import Board, admission, runs
from ..world import Reading
from .command import Command, Said
from .hands import Hands

MARGIN = 1.1


class Measure(Command, frozen=True):
    """Look at what is free: `disk` and `memory` (bytes) and the `load` of a core are wanted, those that are 0 do not
    matter. `closed` is the answer so far.
    """

    node: str
    disk: int
    memory: int
    load: float
    closed: str

    @property
    def key(self) -> Hashable:
        """One at a time."""
        return "measure"


def due(board: Board, _now: float) -> list[Command]:
    """A look, again and again, while a run goes on that wants something free."""
    run = board[runs.State].current
    if run is None or run.started is None or run.stopping:
        return []
    limits, node = run.started.admission, run.started.node
    if not (limits.disk or limits.memory or limits.load):
        return []
    return [Measure(node, limits.disk, limits.memory, limits.load, board[admission.State].closed(node))]


def perform(command: Measure, hands: Hands) -> list[Said]:
    """Measure, and tell what changed."""
    if hands.gauge is None:
        return []
    reading = hands.gauge.read()
    short = "; ".join(_short(command, reading, MARGIN if command.closed else 1.0))
    if _what(short) == _what(command.closed):
        return []
    if short:
        return [Said(command.node, AdmissionClosed(reason=short))]
    free = f"{_gb(reading.disk)} of disk and {_gb(reading.memory)} of memory free, load {reading.load:.2f}"
    return [Said(command.node, AdmissionOpened(reason=free))]


def _short(wanted: Measure, reading: Reading, margin: float) -> Iterator[str]:
    """What there is too little of, in words."""
    for name, free, least in (("disk", reading.disk, wanted.disk), ("memory", reading.memory, wanted.memory)):
        if free < least * margin:
            yield f"{_gb(free)} of {name} free, {_gb(least)} wanted"
    if wanted.load and reading.load * margin > wanted.load:
        yield f"load {reading.load:.2f} of a core, {wanted.load:.2f} at most"


def _gb(size: int) -> str:
    return f"{size / 1e9:.2f} GB"


def _what(reason: str) -> str:
    """A reason without its numbers."""
    return re.sub(r"[0-9.]+", "", reason)
