"""Waiting without sleeping blind: poll a condition until a deadline.

Rule: only what fails waits as long as this, so it is long enough for a machine that has much else to do.
"""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds."""


def until(condition: Callable[[], T], seconds: float = PATIENCE, what: str = "") -> T:
    """The first truthy value of `condition()`; raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.01)
