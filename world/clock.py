"""The one place that knows the time and draws random bits. Everything else is given both."""

import os
import time


def now() -> float:
    """Unix time in seconds."""
    return time.time()


def zone() -> float:
    """How many seconds the machine's time is ahead of UTC now."""
    return float(time.localtime().tm_gmtoff)


def entropy() -> int:
    """64 random bits."""
    try:
        return _drawn.pop()
    except IndexError:  # 64 numbers at a time: a call of the system for each would be the dearest part of an id
        _drawn.extend(memoryview(os.urandom(8 * 64)).cast("Q"))
        return _drawn.pop()


_drawn: list[int] = []
os.register_at_fork(after_in_child=_drawn.clear)  # parent and child must not draw the same


def monotonic() -> float:
    """Seconds that only go forward: for durations and deadlines within one process."""
    return time.monotonic()
