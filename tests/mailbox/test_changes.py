"""Changes: what is different between two boards, in words and as a document."""

from random import Random

import msgspec
import pytest

from swarm.eventlog.events import (
    IssueClosed,
    IssueReopened,
    MailAcked,
    MailDelivered,
    RunStopped,
    UsageReported,
    WorkRejected,
)
from swarm.mailbox.changes import Change, Changes, changes, shot, words
from swarm.projections import Board

from history import History


def between(h: History, first: int, last: int | None = None) -> Changes:
    """What changed from the event with this number to that."""
    return changes(shot(Board().fold(h.events[:first])), shot(Board().fold(h.events[:last])))


@pytest.fixture
def day() -> History:
    """A run: a lands, b fails, c is opened late; letters; costs."""
    h = History()
    h.run()
    h.issue("sw-a", title="Add a")
    h.issue("sw-b", title="Add b")
    h.to("assigned", "sw-a")
    h.to("assigned", "sw-b", agent="builder-2")
    return h


def test_issues_that_were_opened_closed_and_moved_on(day: History) -> None:
    before = len(day.events)
    day.add(IssueClosed(day.generation("sw-a"), "landed"), "sw-a", "coordinator")
    day.issue("sw-c", title="Add c")
    assert between(day, before).issues == [
        Change("sw-a", "in progress", "done", "Add a: landed"),
        Change("sw-c", "", "open", "Add c"),
    ]


def test_one_that_was_opened_again_is_a_change_though_its_status_is_the_same(day: History) -> None:
    before = len(day.events)
    day.add(IssueReopened("wrong"), "sw-b")
    day.to("assigned", "sw-b", 2)
    (change,) = between(day, before).issues
    assert change == Change("sw-b", "in progress", "in progress", "Add b: opened again")


def test_attempts_merges_and_agents(day: History) -> None:
    before = len(day.events)
    day.to("landed", "sw-a")
    day.add(WorkRejected(1, "the tests fail"), "sw-b", "builder")
    found = between(day, before)
    assert found.attempts == [
        Change("sw-a-1", "assigned", "landed", "builder-1"),
        Change("sw-b-1", "assigned", "failed", "builder-2: the tests fail"),
    ]
    assert [(m.id, m.before, m.after) for m in found.merges] == [("sw-a-1", "", "landed")]
    assert [(a.id, a.before, a.after) for a in found.agents] == [
        ("builder-1", "assigned", "idle"),
        ("builder-2", "assigned", "idle"),
    ]


def test_an_agent_that_works_on_something_else_has_changed(day: History) -> None:
    day.to("landed", "sw-a")
    before = next(n for n, event in enumerate(day.events, 1) if event.type == "issue.assigned")
    day.issue("sw-c")
    day.to("assigned", "sw-c")
    (change,) = [change for change in between(day, before).agents if change.id == "builder-1"]
    assert change == Change("builder-1", "assigned", "assigned", "sw-c-1")


def test_letters_that_came_and_letters_that_were_read(day: History) -> None:
    first = day.letter("human", source="agent/kim", body="look\nhere")
    before = len(day.events)
    second = day.letter("coordinator", body="and there")
    day.add(MailDelivered(first, "human"), first)
    day.add(MailAcked(second, "coordinator"), second, "coordinator")
    assert between(day, before).mail == [
        Change(first, "unread", "delivered", "agent-kim > human: look here"),
        Change(second, "", "acked", "human > coordinator: and there"),
    ]


def usage(day: History, calls: int, cost: float | None) -> None:
    day.add(UsageReported("sw-a-1", 1, "m", "proxy", calls, 10 * calls, calls, 0, cost), "sw-a", "watchdog")


def test_costs_are_what_was_used_in_between(day: History) -> None:
    usage(day, 3, 0.5)
    before = len(day.events)
    usage(day, 7, 0.75)
    spent = {"calls": 4, "input_tokens": 40, "output_tokens": 4, "cached_tokens": 0, "cost": 0.25, "unpriced": 0}
    assert between(day, before).costs == {**spent, "by_agent": {"builder-1": spent}}
    assert between(day, before, before).costs["by_agent"] == {}


def test_what_has_no_price_costs_nobody_knows_what(day: History) -> None:
    before = len(day.events)
    usage(day, 2, None)
    assert between(day, before).costs["cost"] is None
    assert "costs     price unknown, 2 calls, 20 tokens in, 2 out" in list(words(between(day, before)))


def test_runs_that_began_and_ended(day: History) -> None:
    before = len(day.events)
    day.add(RunStopped("idle", 0), "run-1", "system")
    day.run("run-2")
    assert between(day, before).runs == [
        Change("run-1", "running", "ended", "idle, exit code 0"),
        Change("run-2", "", "running", ""),
    ]


def test_between_a_moment_and_itself_nothing_changed(day: History) -> None:
    found = between(day, len(day.events))
    assert list(words(found)) == []
    assert not any(getattr(found, name) for name in ("issues", "attempts", "merges", "agents", "mail", "runs"))


def test_from_the_beginning_everything_is_new_whatever_the_order_of_the_lines(day: History) -> None:
    day.to("landed", "sw-b")
    day.letter("human", source="agent/kim")
    usage(day, 1, 0.5)
    found = between(day, 0)
    assert {change.before for change in (*found.issues, *found.attempts, *found.mail, *found.runs)} == {""}
    for seed in range(5):
        twice = day.events * 2
        Random(seed).shuffle(twice)
        shuffled = changes(shot(Board()), shot(Board().fold(twice)))
        assert msgspec.json.encode(shuffled) == msgspec.json.encode(found)


def test_the_words_are_a_line_for_every_change(day: History) -> None:
    before = len(day.events)
    day.add(IssueClosed(day.generation("sw-a"), "land\x1b[2J\ned"), "sw-a", "coordinator")
    day.issue("sw-c", title="Add c")
    told = list(words(between(day, before)))
    assert told == [
        "issues    1 done, 1 open",
        "  sw-a  in progress > done  Add a: land\\x1b[2J ed",
        "  sw-c  new > open          Add c",
    ]
