"""What the proxy says was spent: the JSON-lines file that docs/litellm/swarm_spend.py writes, one line per call.

Rule: whole lines only, each counted once, and what is no line of that file is passed by. A call belongs to the session
in its request tag `session=…`; calls without one are somebody else's.
"""

import os
from typing import Annotated

import msgspec
from msgspec import Meta

from ..eventlog.errors import SwarmError
from . import Spend

TAG = "session="
FINGERPRINT = 1024  # bytes: more than a line, whose time and id no other has

Count = Annotated[int, Meta(ge=0, le=10**15)]


class Call(msgspec.Struct, frozen=True):
    """One line. `cost` in dollars, None where LiteLLM knows no price; `input_tokens` has the cached ones in it."""

    ok: bool
    model_group: str
    tags: list[str]
    input_tokens: Count = 0
    output_tokens: Count = 0
    cached_tokens: Count = 0
    cost: Annotated[float, Meta(ge=0)] | None = None


CALL = msgspec.json.Decoder(Call)


class SpendFile:
    """The `SpendLog` over one file, read from where the last look ended.

    The bytes before that place tell whether it is still the same file: if they changed (it was rotated, truncated or
    written anew), it is read from its start, and what it holds is counted on top.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._before = b""
        self._totals: dict[tuple[str, str], Spend] = {}

    def totals(self) -> list[Spend]:
        """All totals that changed since the last call; raises SwarmError if the file cannot be read. Missing: none."""
        changed: dict[tuple[str, str], None] = {}
        for line in self._lines():
            key = self._count(line)
            if key:
                changed[key] = None
        return [self._totals[key] for key in changed]

    def _lines(self) -> list[bytes]:
        """The whole lines that are new."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset - len(self._before))
                if file.read(len(self._before)) != self._before:
                    self._offset, self._before = 0, b""
                file.seek(self._offset)
                new = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SwarmError(
                f"the spend log {self._path} cannot be read: {error.strerror}",
                f"mend [llm] spend_log in swarm.toml, or the rights of {os.path.basename(self._path)}",
            ) from None
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._before = (self._before + whole)[-FINGERPRINT:]
        return whole.split(b"\n")[:-1]

    def _count(self, line: bytes) -> tuple[str, str] | None:
        """Add one call; returns whose it was, None if nobody's."""
        try:
            call = CALL.decode(line)
        except (ValueError, RecursionError):
            return None
        session = next((tag.removeprefix(TAG) for tag in call.tags if tag.startswith(TAG)), "")
        if not session or not call.ok:
            return None
        key = (session, call.model_group)
        held = self._totals.get(key, Spend(session, call.model_group, 0, 0, 0, 0, 0.0))
        unpriced = held.cost is None or call.cost is None  # a sum that leaves calls out would pass for the whole
        self._totals[key] = Spend(
            session,
            call.model_group,
            calls=held.calls + 1,
            input_tokens=held.input_tokens + call.input_tokens,
            output_tokens=held.output_tokens + call.output_tokens,
            cached_tokens=held.cached_tokens + call.cached_tokens,
            cost=None if unpriced else (held.cost or 0.0) + (call.cost or 0.0),
        )
        return key
