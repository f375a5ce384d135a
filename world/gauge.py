"""What is free on this machine. Rule: a look takes microseconds and never raises; what it cannot see hinders nobody."""

import os
from collections.abc import Sequence
from sys import maxsize

from . import Reading
from .ports import Ports


class Machine:
    """Satisfies the Protocol `Gauge`. `folder` (absolute) is where the worktrees are, or will be."""

    def __init__(self, folder: str) -> None:
        self._folder, self._ports = folder, Ports()

    def read(self) -> Reading:
        """What is free now: of the disk, what is left to those who are not root."""
        return Reading(disk=self._disk(), memory=_memory(), load=_load())

    def ports(self, taken: Sequence[int]) -> int:
        """The first of ten ports on which nobody listens, none of them in the tens that begin at `taken`; 0 if there
        are none.
        """
        return self._ports.free_block(taken)

    def _disk(self) -> int:
        folder = self._folder
        while True:
            try:
                found = os.statvfs(folder)
            except FileNotFoundError:
                parent = os.path.dirname(folder)
                if parent == folder:
                    return maxsize
                folder = parent  # it is made with the first worktree
            except OSError:
                return maxsize
            else:
                return found.f_bavail * found.f_frsize


def _memory() -> int:
    """What can be had without swapping, as the kernel estimates it."""
    try:
        with open("/proc/meminfo", "rb") as file:
            found = next(line for line in file if line.startswith(b"MemAvailable:"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return maxsize


def _load() -> float:
    try:
        return os.getloadavg()[0] / (os.cpu_count() or 1)
    except OSError:
        return 0.0
