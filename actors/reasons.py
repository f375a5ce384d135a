"""Which rule of an actor's code made a decision: the code's own names and docstrings. Rule: nothing is kept in step by
hand; an actor is watched while it decides, or its code is asked which facts it names.
"""

import sys
from collections.abc import Iterator
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any, Protocol

from ..eventlog.fact import Fact
from ..projections import Board
from .command import Command, Decide


class Decider(Protocol):
    """The part of an actor that decides."""

    NAME: str

    def due(self, board: Board, now: float) -> list[Command]:
        """What is to be done, given the state."""


def made_by(actor: Decider, board: Board, now: float, decision: Decide) -> str:
    """The way from `due` to the function that gave out the decision first: its names, where it stands, what it is for.

    `due` is asked once more, and watched. Empty if it does not decide so.
    """
    found: list[tuple[dict[str, Any], CodeType]] = []
    before = sys.getprofile()

    def watch(frame: FrameType, event: str, value: Any) -> None:  # no frame is kept: it would keep all that called it
        if event == "return" and not found and _holds(value, decision):
            caller: FrameType | None = frame
            while caller is not None and caller.f_code is not made_by.__code__:
                found.append((caller.f_globals, caller.f_code))
                caller = caller.f_back

    sys.setprofile(watch)
    try:
        actor.due(board, now)
    finally:
        sys.setprofile(before)
    way = [(names, code) for names, code in reversed(found) if code.co_name[0] != "<"]
    return _told(way) if way else ""


def may_make(actor: Decider, kind: type[Fact]) -> list[str]:
    """The functions of the actor's code that decide on such facts: where each stands, and what it is for."""
    modules = [actor, *(part for part in vars(actor).values() if isinstance(part, ModuleType))]
    known = {part for module in modules for part in vars(module).values() if isinstance(part, FunctionType)}
    wanted = {kind.__name__, Decide.__name__}
    makers = [function for function in known if wanted <= set(_names(function.__code__))]
    makers.sort(key=lambda function: (function.__module__, function.__code__.co_firstlineno))
    return [_told([(function.__globals__, function.__code__)]) for function in makers]


def _holds(value: Any, decision: Decide) -> bool:
    if isinstance(value, Decide):
        return value == decision
    return isinstance(value, list | tuple) and any(isinstance(part, Decide) and part == decision for part in value)


def _told(way: list[tuple[dict[str, Any], CodeType]]) -> str:
    """`due > _assign (actors/coordinator.py:41): Ready issues, …`: with the innermost docstring there is."""
    module, code = way[-1]
    place = "/".join(str(module.get("__name__", "")).split(".")[1:])
    docs = [function.__doc__ for names, code in way if (function := _function(names, code)) and function.__doc__]
    words = docs[-1].strip().partition("\n")[0] if docs else ""
    told = f"{' > '.join(code.co_name for _, code in way)} ({place}.py:{code.co_firstlineno})"
    return f"{told}: {words}" if words else told


def _function(module: dict[str, Any], code: CodeType) -> FunctionType | None:
    found = module.get(code.co_name)
    return found if isinstance(found, FunctionType) and found.__code__ is code else None


def _names(code: CodeType) -> Iterator[str]:
    """All that a function's code calls by name, comprehensions in it included."""
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)
