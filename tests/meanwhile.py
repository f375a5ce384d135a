"""The real disk, on which somebody else does something in the midst of a reader's work."""

from collections.abc import Callable
from typing import Any

from swarm.eventlog.disk import REAL


class Meanwhile:
    """Satisfies `Disk`: right after the folder was listed for the time of that number, from 1, `act` is called once."""

    def __init__(self, act: Callable[[], object], listing: int = 1) -> None:
        self._act, self._left = act, listing

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    @property
    def done(self) -> bool:
        """Whether it was called."""
        return self._left <= 0

    def listdir(self, path: str, /) -> list[str]:
        """As ever; and then it happens."""
        found = REAL.listdir(path)
        self._left -= 1
        if self._left == 0:
            self._act()
        return found
