"""How much of a promise a test run checks. Rule: CI runs a seeded part of each; `make soak` the whole."""

import os

SOAK = os.environ.get("SWARM_SOAK", "") not in ("", "0")


def amount(ci: int, full: int) -> int:
    """How many cases: `ci` in every run of the tests, `full` by `make soak`."""
    return full if SOAK else ci
