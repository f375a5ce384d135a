"""What a fact is, and its envelope. Rule: the vocabulary itself stands on one page, `events.py`; here is only its
grammar.
"""

import re
from typing import Any, ClassVar, Generic, NoReturn, TypeVar, dataclass_transform

import msgspec

NEVER = 0.0
"""The time that is none. One object: msgspec leaves a default out of a line only if it is the very same."""


class _Nothing(dict[str, str]):
    """An empty dict for everybody: nothing can be put into it."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this is the `seen` of every event that is no decision: make another")

    __setitem__ = __ior__ = update = setdefault = _refuse


NOTHING: dict[str, str] = _Nothing()
"""What was seen by who did not look. One object too: to make a dict for each event is dear, and where events are kept,
the garbage collector looks at every one of them again and again.
"""


def wire_name(class_name: str) -> str:
    """`MailDeadLettered` -> `mail.dead_lettered`: the first word is the noun, the rest is the verb."""
    noun, *verb = re.findall("[A-Z][a-z]*", class_name)
    return f"{noun}.{'_'.join(verb)}".lower()


@dataclass_transform(
    frozen_default=True, field_specifiers=(msgspec.field,)
)  # `frozen` is inherited: tell the type checker
class Fact(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """What happened. Subclasses are the vocabulary; `type` is the wire name."""

    type: ClassVar[str] = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = wire_name(cls.__name__)


class Decision(Fact):
    """A fact that an actor chose. Its envelope records `seen` and `now`, so that it can be derived again."""


class Unknown(Fact):
    """A fact whose type this version does not know, or whose data do not fit. Folds pass it by; `log` shows it."""

    name: str
    raw: bytes


F = TypeVar("F", bound=Fact, covariant=True)


class Event(
    msgspec.Struct, Generic[F], frozen=True, kw_only=True, omit_defaults=True, gc=False, forbid_unknown_fields=True
):
    """A fact in its envelope (attribute names of CloudEvents 1.0). The order of fields is the order in the line.

    `id` is a UUIDv7 that sorts as text after everything its author had seen. `time` is RFC 3339, UTC, for people
    only. `seen` maps each node to the last id read from its file when a decision was made; `now` is the Unix time it
    was given. `prev` is the hash of the line before it in the file, as the writer saw it (blake2b, 8 bytes, hex).
    """

    id: str
    time: str
    source: str
    subject: str = ""
    causationid: str = ""
    correlationid: str = ""
    seen: dict[str, str] = NOTHING
    now: float = NEVER
    prev: str = ""
    data: F

    @property
    def type(self) -> str:
        """The wire name of the fact."""
        return self.data.name if isinstance(self.data, Unknown) else self.data.type


def vocabulary() -> dict[str, type[Fact]]:
    """Wire name -> class, for every fact in `events.py` (import it first)."""
    found: dict[str, type[Fact]] = {}
    queue: list[type[Fact]] = [Fact]
    while queue:
        for kind in queue.pop().__subclasses__():
            queue.append(kind)
            if kind not in (Decision, Unknown):
                found[kind.type] = kind
    return dict(sorted(found.items()))
