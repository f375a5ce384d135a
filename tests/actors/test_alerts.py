"""Alerts: raised once, sent until they are taken, later and later; and that nobody waits for them."""

from typing import Any

import pytest

from swarm.actors import alerts, watchdog
from swarm.actors.alerts import LONGEST, SendAlert
from swarm.actors.command import Decide
from swarm.eventlog.events import (
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    GateFinished,
    IssueHeld,
    MergeConflicted,
    MergeDropped,
    MergePolicy,
    QuotaExhausted,
)
from swarm.eventlog.fact import Fact
from swarm.projections.alerts import TRIES

from doubles import MemoryAlerts, hands
from history import History, decided


@pytest.fixture
def h() -> History:
    """A run with two channels, in which a test failed."""
    made = History()
    made.run(alerts=["hook", "slack"])
    made.issue("a")
    made.add(GateFinished(1, "c", "failed", "make test", 1), "a", "builder")
    return made


def sends(h: History) -> list[SendAlert]:
    return [one for one in watchdog.due(h.board(), h.now) if isinstance(one, SendAlert)]


def take_all(h: History) -> None:
    for subject, fact in decided(watchdog.due(h.board(), h.now)):
        h.add(fact, subject, "watchdog")


def test_an_event_is_raised_once_and_says_what_happened(h: History) -> None:
    about = h.events[-1].id
    [raise_] = [one for one in watchdog.due(h.board(), h.now) if isinstance(one, Decide)]
    assert (raise_.subject, raise_.cause) == ("a", about)
    assert isinstance(raise_.fact, AlertRaised)
    assert (raise_.fact.kind, raise_.fact.about) == ("tests_failed", about)
    assert raise_.fact.text.startswith("a: ")
    assert "make test" in raise_.fact.text
    take_all(h)
    assert decided(watchdog.due(h.board(), h.now)) == []


def test_several_are_raised_in_order_so_that_a_torn_write_loses_none(h: History) -> None:
    h.add(QuotaExhausted(9.0, "429"), "kimi", "watchdog")
    found = [fact.about for _, fact in decided(watchdog.due(h.board(), h.now)) if isinstance(fact, AlertRaised)]
    assert found == [event.id for event in h.events[-2:]]


CONFLICT = MergeConflicted(1, "b", ["f"])


@pytest.mark.parametrize(
    ("end", "policy", "raised"),
    [
        (CONFLICT, "skip", ["merge_conflict"]),
        (CONFLICT, "stop", ["merge_conflict"]),
        (CONFLICT, "reopen", ["merge_conflict", "retry_exhausted"]),
        (MergeDropped(1, "not that one"), "skip", []),
    ],
)
def test_what_is_not_to_be_tried_again_has_not_used_up_its_retries(end: Fact, policy: str, raised: list[str]) -> None:
    h = History()
    h.run(alerts=["hook"], max_retries=0, merge=MergePolicy(on_conflict=policy))
    h.issue("a")
    h.to("queued")
    h.add(end, "a", "merger", run="run-1" if end is CONFLICT else "")
    held = [(subject, fact) for subject, fact in decided(watchdog.due(h.board(), h.now)) if isinstance(fact, IssueHeld)]
    assert len(held) == 1
    h.add(held[0][1], "a", "watchdog")
    found = [fact.kind for _, fact in decided(watchdog.due(h.board(), h.now)) if isinstance(fact, AlertRaised)]
    assert found == raised


def test_nothing_is_raised_where_there_is_nobody_to_tell(h: History) -> None:
    h.run("run-2")
    assert watchdog.due(h.board(), h.now) == []


def test_each_channel_gets_it_and_one_thread_sends_them(h: History) -> None:
    take_all(h)
    found = sends(h)
    assert [(one.channel, one.tries) for one in found] == [("hook", 1), ("slack", 1)]
    assert len({one.key for one in found}) == 1


def test_what_is_not_taken_is_tried_later_and_later_and_then_given_up(h: History) -> None:
    take_all(h)
    alert = h.events[-1].id
    h.add(AlertDelivered("hook"), alert)
    for tries in range(1, TRIES + 1):
        [send] = sends(h)
        assert (send.channel, send.tries) == ("slack", tries)
        h.add(AlertFailed("slack", "away", tries), alert)
        pause = min(2.0 ** (tries - 1), LONGEST)
        h.now += pause - 0.01
        assert sends(h) == []
        h.now += 0.02
    assert sends(h) == []


def test_what_a_run_did_not_deliver_the_next_does_if_it_has_the_channel(h: History) -> None:
    take_all(h)
    h.run("run-2", alerts=["slack"])
    assert [one.channel for one in sends(h)] == ["slack"]


def test_what_came_of_it_is_said(bench: Any) -> None:
    outside = MemoryAlerts("hook")
    with_it = hands(bench.repository, bench.sessions, bench.hands.log, alerts=outside)
    send = SendAlert("id", "hook", "tests_failed", "a: it failed", "about", 3)
    [said] = alerts.perform(send, with_it)
    assert (said.subject, said.fact) == ("id", AlertDelivered("hook"))
    assert outside.taken == [("hook", "tests_failed", "a: it failed", "about")]
    outside.away.add("hook")
    [said] = watchdog.perform(send, with_it)
    assert said.fact == AlertFailed("hook", "hook is away", 3)
    assert watchdog.perform(send, bench.hands) == []
