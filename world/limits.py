"""What a session may take: time, output, memory, processes. Rule: nobody looks where nothing is limited.

Memory and processes are those of the program and all below it: a limit of each process alone (rlimit) is none for who
has many. They are looked at once a second, by whoever is above them. Time in which the program says that it waits does
not count: that has clocks of its own.
"""

import os
from math import inf

import msgspec

from . import Identity, SessionSpec
from .processes import descendants

LOOK_EVERY = 1.0  # seconds
MB = 1_000_000
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Excess(msgspec.Struct, frozen=True):
    """The limit that was passed, in words too. Without `grace` it ends at once: it takes from everybody."""

    what: str
    why: str
    grace: bool = True


class Bounds:
    """The limits of one session. `next` is when to ask again, if nothing happens before."""

    def __init__(self, spec: SessionSpec, now: float) -> None:
        self._spec = spec
        self._stop_at, self._parked = now + spec.timeout, inf
        self._look_at = now + LOOK_EVERY if spec.memory or spec.processes else inf

    @property
    def next(self) -> float:
        """As monotonic time."""
        return min(self._look_at, self._deadline)

    @property
    def _deadline(self) -> float:
        return self._stop_at if self._parked == inf else inf

    def park(self, waits: bool, now: float) -> None:
        """Stop the clock while it waits."""
        if waits and self._parked == inf:
            self._parked = now
        elif not waits and self._parked < inf:
            self._stop_at += now - self._parked
            self._parked = inf

    def exceeded(self, now: float, output: int) -> Excess | None:
        """The limit that is passed, if one is. `output` is what was printed, in bytes."""
        spec = self._spec
        if now >= self._deadline:
            return Excess("timeout", f"it ran longer than {spec.timeout:g} s")
        if 0 < spec.output < output:
            return Excess("output", f"it printed more than {spec.output / MB:g} MB")
        if now < self._look_at:
            return None
        self._look_at = now + LOOK_EVERY
        below = descendants(os.getpid())
        if 0 < spec.processes < len(below):
            return Excess("processes", f"it had {len(below)} processes, and may have {spec.processes}", grace=False)
        used = memory(below, spec.memory) if spec.memory else 0
        if used > spec.memory:
            words = f"it used {used / MB:.0f} MB of memory, with all that it started, and may use {spec.memory / MB:g}"
            return Excess("memory", words, grace=False)
        return None


def memory(processes: list[Identity], enough: int = 0) -> int:
    """Bytes that they have in memory. What several share counts once, as far as that decides about `enough`: to know
    it is dear.
    """
    resident = sum(_resident(process.pid) for process in processes)
    return sum(_share(process.pid) for process in processes) if resident > enough else resident


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0  # it has ended


def _share(pid: int) -> int:
    """Its proportional share, by proc(5); all that is resident where that is not to be seen."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:"))
    except (OSError, StopIteration):
        return _resident(pid)
