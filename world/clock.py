"""The one place that knows the time and draws random bits. Everything else is given both."""

import os
import time


def now() -> float:
    """Unix time in seconds."""
    return time.time()


def entropy() -> int:
    """64 random bits."""
    return int.from_bytes(os.urandom(8), "big")


def monotonic() -> float:
    """Seconds that only go forward: for durations and deadlines within one process."""
    return time.monotonic()
