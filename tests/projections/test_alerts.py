"""What calls for an alert, and what became of it."""

from typing import Any

import pytest

from swarm.eventlog.events import (
    ActorCrashed,
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    BudgetExceeded,
    GateFinished,
    IssueHeld,
    LandingHeld,
    LeakDetected,
    MergeConflicted,
    MergeRejected,
    QueueHeld,
    QueueResumed,
    QuotaExhausted,
    QuotaResumed,
    RunStopped,
    ValidationFinished,
)
from swarm.eventlog.fact import Fact
from swarm.projections import Board, alerts

from history import History

CALLS: list[tuple[Fact, str]] = [
    (MergeConflicted(1, "b", ["a"]), "merge_conflict"),
    (GateFinished(1, "c", "failed"), "tests_failed"),
    (GateFinished(1, "c", "passed"), ""),
    (GateFinished(1, "c", "broken"), ""),
    (MergeRejected(1, "the tests fail"), "tests_failed"),
    (MergeRejected(1, "it could not be tested", final=True), ""),
    (QueueHeld("infrastructure", "twice in a row"), "pipeline_failed"),
    (QueueHeld("conflict", "a"), "merge_conflict"),
    (QueueHeld("person", "wait"), ""),
    (ActorCrashed("boom", gave_up=True), "pipeline_failed"),
    (ActorCrashed("boom", gave_up=False), ""),
    (RunStopped("idle", 1), "pipeline_failed"),
    (RunStopped("idle", 0), ""),
    (RunStopped("interrupted", 130), ""),
    (BudgetExceeded("usd", 5.0, 5.1), "budget_exceeded"),
    (ValidationFinished("c", "failed", "make check"), "validate_failed"),
    (ValidationFinished("c", "passed", "make check"), ""),
    (IssueHeld("g", "it failed", attempt=2), "retry_exhausted"),
    (IssueHeld("g", "over its budget"), ""),
    (LandingHeld(1, "main", "c", "changes", "git stash"), "landing_held"),
    (LandingHeld(1, "main", "c", "changes", "git stash", others=2), ""),
    (LandingHeld(1, "main", "c", "changes", "git stash", known=True), ""),
    (LeakDetected(1, "HEAD moved"), "leak_detected"),
    (QuotaExhausted(9.0, "429"), "quota_exhausted"),
]


def told() -> History:
    h = History()
    h.run(alerts=["hook"])
    return h


def pending(h: History) -> list[str]:
    return [event.id for event in h.board()[alerts.State].pending()]


def subject(fact: Fact) -> str:
    return "run-1" if fact.type.startswith("run.") else "a"


@pytest.mark.parametrize(("fact", "kind"), CALLS)
def test_what_calls_for_an_alert(fact: Fact, kind: str) -> None:
    h = told()
    id_ = h.add(fact, subject(fact), "watchdog")
    assert alerts.kind_of(h.events[-1]) == kind
    assert pending(h) == ([id_] if kind else [])


@pytest.mark.parametrize(("fact", "kind"), CALLS)
def test_nothing_of_a_run_with_nobody_to_tell_is_kept(fact: Fact, kind: str) -> None:
    h = History()
    h.run()
    h.add(fact, subject(fact), "watchdog")
    h.run("run-2", alerts=["hook"])
    state = h.board()[alerts.State]
    assert (state.pending(), state.waiting) == ([], {})


def test_what_a_person_did_calls_for_none() -> None:
    h = told()
    h.add(IssueHeld("g", "enough", attempt=1), "a", run="")
    assert pending(h) == []


def test_an_event_has_one_alert_and_those_before_it_need_none_any_more() -> None:
    h = told()
    first = h.add(GateFinished(1, "c", "failed"), "a", "builder")
    second = h.add(GateFinished(2, "c", "failed"), "a", "builder")
    h.add(AlertRaised("tests_failed", "x", about=first), "a", "watchdog")
    assert pending(h) == [second]
    h.add(AlertRaised("tests_failed", "x", about=second), "a", "watchdog")
    assert (pending(h), h.board()[alerts.State].waiting) == ([], {})


def test_what_a_killed_run_did_not_raise_is_left_to_the_next() -> None:
    h = told()
    id_ = h.add(GateFinished(1, "c", "failed"), "a", "builder")
    h.run("run-2", alerts=["hook"])
    assert pending(h) == [id_]


LASTING: list[tuple[Fact, Fact]] = [
    (QuotaExhausted(9.0, "429"), QuotaResumed()),
    (QueueHeld("infrastructure", "it cannot judge"), QueueResumed()),
]


@pytest.mark.parametrize(("fact", "end"), LASTING)
def test_a_trouble_that_lasts_is_told_once_until_it_is_over(fact: Fact, end: Fact) -> None:
    h = told()
    first = h.add(fact, "x", "watchdog")
    h.add(fact, "x", "watchdog")
    assert pending(h) == [first]
    h.add(AlertRaised("x", "x", about=first), "x", "watchdog")
    h.add(fact, "x", "watchdog")
    assert pending(h) == []
    h.add(end, "x", "watchdog")
    assert (pending(h), h.board()[alerts.State].waiting) == ([], {})
    again = h.add(fact, "x", "watchdog")
    assert pending(h) == [again]
    other = h.add(fact, "y", "watchdog")
    assert pending(h) == [again, other]


@pytest.mark.parametrize(("fact", "_end"), LASTING)
def test_a_trouble_of_which_nobody_was_told_is_told_by_the_next_run(fact: Fact, _end: Fact) -> None:
    h = History()
    h.run()
    h.add(fact, "x", "watchdog")
    h.run("run-2", alerts=["hook"])
    id_ = h.add(fact, "x", "watchdog", run="run-2")
    assert pending(h) == [id_]


def test_one_queue_may_be_held_for_two_troubles() -> None:
    h = told()
    ids = [h.add(QueueHeld(kind, "x"), "run-1", "merger") for kind in ("infrastructure", "conflict", "person")]
    assert pending(h) == ids[:2]


def test_an_alert_about_what_is_to_come_hides_nothing() -> None:
    h = told()
    h.add(AlertRaised("x", "x", about="1" + h.events[-1].id[1:]), "a")
    h.add(AlertRaised("x", "x", about="garbage"), "a")
    id_ = h.add(GateFinished(1, "c", "failed"), "a", "builder")
    assert pending(h) == [id_]


def test_other_nodes_tell_of_what_they_did_themselves() -> None:
    h = History()
    h.run(alerts=["hook"], node="n2")
    h.add(GateFinished(1, "c", "failed"), "a", "builder")
    assert Board(here="n1").fold(h.events)[alerts.State].waiting == {}
    assert len(Board(here="n2").fold(h.events)[alerts.State].pending()) == 1


def undelivered(h: History) -> list[tuple[str, list[str]]]:
    return [(id_, left) for id_, _, left in h.board()[alerts.State].undelivered()]


def test_an_alert_is_with_each_channel_of_its_run_until_that_takes_it_or_is_given_up() -> None:
    h = History()
    h.run(alerts=["hook", "slack"])
    about = h.add(GateFinished(1, "c", "failed"), "a", "builder")
    alert = h.add(AlertRaised("tests_failed", "x", about=about), "a", "watchdog")
    assert undelivered(h) == [(alert, ["hook", "slack"])]
    h.add(AlertDelivered("hook"), alert)
    for tries in range(1, alerts.TRIES + 1):
        assert undelivered(h) == [(alert, ["slack"])]
        assert h.board()[alerts.State].busy() == {alert}
        h.add(AlertFailed("slack", "away", tries), alert)
    assert undelivered(h) == []
    assert h.board()[alerts.State].busy() == set[Any]()
