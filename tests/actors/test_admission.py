"""Admission: what is measured and told, and what is not begun."""

from typing import Any

import pytest

from swarm.actors import admission, coordinator
from swarm.actors.admission import Measure
from swarm.actors.command import Said
from swarm.eventlog.events import Admission, AdmissionClosed, AdmissionOpened, IssueAssigned, RunStopRequested
from swarm.eventlog.fact import Fact
from swarm.mailbox import screen, waits
from swarm.projections import issues
from swarm.world import Reading

from doubles import MemoryGauge, hands
from history import History, decided, deeds

GB = 10**9
LIMITS = Admission(disk=GB, memory=GB // 2, load=2.0)
ROOMY = Reading(disk=9 * GB, memory=9 * GB, load=0.1)


def assigned(h: History) -> list[str]:
    return [subject for subject, fact in decided(coordinator.due(h.board(), h.now)) if isinstance(fact, IssueAssigned)]


def measured(bench: Any, reading: Reading, closed: str = "") -> list[Fact]:
    gauge = MemoryGauge(reading)
    mine = hands(bench.repository, bench.sessions, bench.hands.log, gauge=gauge)
    said = coordinator.perform(Measure("n1", LIMITS.disk, LIMITS.memory, LIMITS.load, closed), mine)
    assert all(isinstance(one, Said) and one.subject == "n1" for one in said)
    return [one.fact for one in said]


def why(h: History) -> dict[str, str]:
    return waits.reasons(h.board(), h.board()[issues.State].ready(), h.now)


# --- measuring ---


def test_without_limits_nothing_is_measured(h: History) -> None:
    assert admission.due(h.board(), h.now) == []
    h.run("run-2", admission=Admission(roles={"builder": 1}, rate=5.0))
    assert admission.due(h.board(), h.now) == []


def test_with_limits_it_is_until_a_stop_is_asked_for(h: History) -> None:
    h.run("run-2", admission=LIMITS)
    assert deeds(coordinator.due(h.board(), h.now)) == [Measure("", GB, GB // 2, 2.0, "")]
    h.add(RunStopRequested(), "run-2")
    assert admission.due(h.board(), h.now) == []


def test_only_an_answer_that_changes_is_told(bench: Any) -> None:
    little = Reading(disk=3 * GB // 10, memory=9 * GB, load=0.1)
    assert measured(bench, ROOMY) == []
    assert measured(bench, little) == [AdmissionClosed("0.30 GB of disk free, 1.00 GB wanted")]
    assert measured(bench, little, "0.41 GB of disk free, 1.00 GB wanted") == []
    (opened,) = measured(bench, ROOMY, "0.30 GB of disk free, 1.00 GB wanted")
    assert isinstance(opened, AdmissionOpened)


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        (Reading(9 * GB, GB // 10, 0.1), "0.10 GB of memory free, 0.50 GB wanted"),
        (Reading(9 * GB, 9 * GB, 3.0), "load 3.00 of a core, 2.00 at most"),
        (Reading(0, 0, 0.1), "0.00 GB of disk free, 1.00 GB wanted; 0.00 GB of memory free, 0.50 GB wanted"),
    ],
)
def test_each_limit_has_its_words(bench: Any, reading: Reading, words: str) -> None:
    assert measured(bench, reading) == [AdmissionClosed(words)]
    assert measured(bench, reading, "0.30 GB of disk free, 1.00 GB wanted") == [AdmissionClosed(words)]


def test_to_be_open_again_takes_a_little_more_than_was_missing(bench: Any) -> None:
    barely = Reading(disk=GB, memory=9 * GB, load=0.1)
    assert measured(bench, barely) == []
    assert measured(bench, barely, "0.99 GB of disk free, 1.00 GB wanted") == []


def test_without_a_gauge_there_is_room(bench: Any) -> None:
    assert coordinator.perform(Measure("n1", GB, GB, 0.0, ""), bench.hands) == []


# --- what is not begun ---


def test_where_there_is_too_little_nothing_is_begun_and_everybody_sees_why(h: History) -> None:
    h.run("run-2", admission=LIMITS, node="n1")
    h.add(AdmissionClosed("0.30 GB of disk free, 1.00 GB wanted"), "n2", "coordinator")
    assert assigned(h) == ["a"], "another node's disk is no matter"
    h.add(AdmissionClosed("0.30 GB of disk free, 1.00 GB wanted"), "n1", "coordinator")
    assert assigned(h) == []
    assert why(h) == {"a": "0.30 GB of disk free, 1.00 GB wanted"}
    assert any("waits: 0.30 GB of disk free" in line for line in screen.screen(h.board(), "head"))
    assert waits.soon(h.board(), h.now)
    assert not waits.soon(h.board(), h.now + waits.GRACE), "a disk that stays full ends the run in the end"
    h.add(AdmissionOpened(), "n1", "coordinator")
    assert assigned(h) == ["a"]
    assert why(h) == {}


def test_a_closing_counts_no_more_once_nothing_is_wanted(h: History) -> None:
    h.run("run-2", admission=LIMITS)
    h.add(AdmissionClosed("no disk"), "", "coordinator")
    h.run("run-3")
    assert assigned(h) == ["a"]


def test_agents_of_a_role_are_limited(h: History) -> None:
    h.run("run-2", admission=Admission(roles={"builder": 2}))
    for issue in "bcd":
        h.issue(issue)
    h.issue("s", role="scout")
    assert assigned(h) == ["a", "b", "s"]
    h.to("started", "a")
    assert assigned(h) == ["b", "s"]
    h.to("started", "b", 1)
    assert why(h) == {"c": "2 of role builder at work, 2 at most", "d": "2 of role builder at work, 2 at most"}
    h.to("exited", "a")
    assert assigned(h) == ["c", "s"]


def test_a_role_of_which_none_may_be_at_work_is_not_waited_for(h: History) -> None:
    h.run("run-2", admission=Admission(roles={"builder": 0}))
    assert assigned(h) == []
    assert not waits.soon(h.board(), h.now)


def test_starts_come_one_by_one_evenly(h: History) -> None:
    h.run("run-2", admission=Admission(rate=6.0))
    h.issue("b")
    assert assigned(h) == ["a"]
    h.to("assigned", "a")
    begun = h.now
    assert why(h) == {"b": "6 starts a minute at most"}
    assert waits.soon(h.board(), h.now)
    h.now = begun + 9.9
    assert assigned(h) == []
    h.now = begun + 10.1
    assert assigned(h) == ["b"]
