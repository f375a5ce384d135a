"""What an actor wants done, as data a test can compare. Rule: a command holds everything its doing needs; it asks
nobody.
"""

from collections.abc import Callable, Hashable, Iterable

import msgspec

from ..eventlog.errors import SwarmError
from ..eventlog.fact import Fact
from ..eventlog.text import head
from .hands import Hands

PATIENCE = 5.0


class Command(msgspec.Struct, frozen=True):
    """Something due."""

    @property
    def key(self) -> Hashable:
        """What of equal key is done one after the other."""
        return self

    def patience(self, _hands: Hands) -> float:
        """Seconds after which it is tried again, if it led to nothing."""
        return PATIENCE


class Step(Command, frozen=True):
    """Something due for one attempt. Its steps are done one after the other: none may pull the worktree away from under
    another that is still being done.
    """

    issue: str
    attempt: int

    @property
    def key(self) -> Hashable:
        """The attempt."""
        return self.issue, self.attempt


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


TOLD = ("reason", "error", "detail", "output", "why", "body")
"""Fields of facts in which the words of other programs may stand."""


def redacted(said: Iterable[Said], redact: Callable[[str], str]) -> list[Said]:
    """The same, with nothing secret in their words: what git and others print may name it."""
    return [_redacted(one, redact) for one in said]


def _redacted(said: Said, redact: Callable[[str], str]) -> Said:
    texts = {name: getattr(said.fact, name, "") for name in TOLD}
    changes = {name: clean for name, text in texts.items() if text and (clean := redact(text)) != text}
    return msgspec.structs.replace(said, fact=msgspec.structs.replace(said.fact, **changes)) if changes else said


def words(error: SwarmError) -> str:
    """The error on one line that fits into a fact."""
    return head(" ".join(str(error).split()), 1000) or type(error).__name__
