"""Ten ports for the programs of one worktree. Rule: a block is free when all of it can be bound on loopback now, and
nobody was given it a moment ago, who may not listen yet.
"""

import errno
import socket
import threading
from collections.abc import Callable, Sequence

from .clock import monotonic

FIRST, SIZE = 20_000, 10
_USUAL_END = 32_768  # Linux's own: from there on the kernel gives ports to whoever connects somewhere
_RESERVED = 600.0  # seconds until what was given stands in the log for certain
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
_RANGE = "/proc/sys/net/ipv4/ip_local_port_range"


class Ports:
    """Gives out blocks of ten, to any number of threads. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._given: dict[int, float] = {}
        self._lock = threading.Lock()

    def free_block(self, taken: Sequence[int]) -> int:
        """The first port of a free block, none of those that begin at `taken`; 0 if there is none."""
        with self._lock:
            now = self._clock()
            self._given = {block: at for block, at in self._given.items() if now - at < _RESERVED}
            for block in range(FIRST, _end() - SIZE + 1, SIZE):
                if block not in taken and block not in self._given and _is_free(block):
                    self._given[block] = now
                    return block
            return 0


def _end() -> int:
    """The first port that the kernel gives away by itself."""
    try:
        with open(_RANGE, encoding="ascii") as file:
            low = int(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        low = _USUAL_END
    return low if low >= FIRST + SIZE else _USUAL_END


def _is_free(block: int) -> bool:
    return all(
        _can_bind(family, host, port)
        for port in range(block, block + SIZE)
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
    )


def _can_bind(family: socket.AddressFamily, host: str, port: int) -> bool:
    """Also where a connection has just ended; a machine without IPv6 has nobody there."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((host, port))
    except OSError as error:
        return family == socket.AF_INET6 and error.errno in _NO_IPV6
    return True
