"""Reasons: the rule that made a decision is found in the code itself, with its docstring and its place."""

import re
import sys
from types import FunctionType, ModuleType

import pytest

from swarm.actors import builder, coordinator, merger, watchdog
from swarm.actors.again import DECIDERS
from swarm.actors.command import Decide
from swarm.actors.reasons import made_by, may_make
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueClosed,
    MailAcked,
    MergeQueued,
    SessionKillRequested,
)

from history import History


@pytest.fixture
def busy() -> History:
    """A board on which much is due."""
    h = History()
    h.run()
    h.issue("a")
    h.issue("b")
    h.to("gated", "b")
    h.letter("merger", "watchdog")
    return h


def test_the_way_to_a_decision_is_told_from_due_on(busy: History) -> None:
    due = [c for c in coordinator.due(busy.board(), busy.now) if isinstance(c, Decide)]
    told = made_by(coordinator, busy.board(), busy.now, due[0])
    assert re.match(r"due > _assign > _assignment \(actors/coordinator\.py:\d+\): \w", told)
    line = int(told.split(":")[1].split(")")[0])
    assert line == coordinator._assignment.__code__.co_firstlineno


def test_one_that_is_made_in_a_comprehension_is_told_by_the_function_around_it(busy: History) -> None:
    acks = [c for c in merger.due(busy.board(), busy.now) if isinstance(c, Decide) and isinstance(c.fact, MailAcked)]
    assert made_by(merger, busy.board(), busy.now, acks[0]).startswith("due (actors/merger.py:")


def test_every_decision_of_every_actor_has_a_reason(busy: History) -> None:
    found = 0
    for actor in DECIDERS.values():
        for command in actor.due(busy.board(), busy.now):
            if isinstance(command, Decide):
                assert re.match(r"due.* \(actors/\w+\.py:\d+\): .", made_by(actor, busy.board(), busy.now, command))
                found += 1
    assert found >= 4


def test_what_is_not_decided_has_no_reason_and_watching_leaves_nothing_behind(busy: History) -> None:
    before = sys.getprofile()
    assert made_by(coordinator, busy.board(), busy.now, Decide("zz", IssueClosed("x"))) == ""
    assert sys.getprofile() is before


@pytest.mark.parametrize(
    ("actor", "kind", "names"),
    [
        (coordinator, IssueAssigned, ["_assignment"]),
        (coordinator, IssueClosed, ["_close"]),
        (coordinator, AttemptCancelled, ["_cancel"]),
        (merger, MergeQueued, ["_enqueue"]),
        (merger, MailAcked, ["due"]),
        (watchdog, AttemptRetried, ["due"]),
        (builder, SessionKillRequested, ["_stopped", "_kill"]),
        (builder, MergeQueued, []),
    ],
)
def test_the_functions_that_may_decide_a_fact_are_known(actor: object, kind: type, names: list[str]) -> None:
    assert [told.split(" ")[0] for told in may_make(actor, kind)] == names  # type: ignore[arg-type]


@pytest.mark.parametrize("actor", DECIDERS.values(), ids=DECIDERS)
def test_every_function_that_decides_says_what_it_is_for(actor: ModuleType) -> None:
    """Else a difference would be told with no reason."""
    parts = [actor, *(part for part in vars(actor).values() if isinstance(part, ModuleType))]
    functions = {part for module in parts for part in vars(module).values() if isinstance(part, FunctionType)}
    decides = {function for function in functions if "Decide" in function.__code__.co_names}
    makers = {function.__name__ for function in decides if not function.__doc__}
    assert makers <= {"_assignment"}, "its caller says it"
