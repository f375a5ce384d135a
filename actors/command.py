"""What an actor wants done, as data a test can compare. Rule: a command holds everything its doing needs; it asks
nobody.
"""

import msgspec

from ..eventlog.fact import Fact


class Command(msgspec.Struct, frozen=True):
    """Something due."""


class Decide(Command, frozen=True):
    """Append this fact, if it is still due when the log is locked. `cause` is the id of the event that led to it."""

    subject: str
    fact: Fact
    cause: str = ""


class Said(msgspec.Struct, frozen=True):
    """A fact to append: what came of a command."""

    subject: str
    fact: Fact
    cause: str = ""
