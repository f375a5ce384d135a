"""`swarm why`: what led to an event."""

from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import IssueAssigned, IssueOpened, IssueReopened, WorktreePrepared

from given import History, id_of

ASSIGNED = IssueAssigned(attempt=1, generation="g", agent="builder-1", role="builder", runtime="shell")
PREPARED = WorktreePrepared(attempt=1, path="p", branch="b", base="0")


@pytest.fixture
def history() -> History:
    made = History()
    opened = made.said(IssueOpened(title="Add a parser"), "sw-abc1")
    made.said(IssueOpened(title="Another"), "sw-def2")
    assigned = made.said(ASSIGNED, "sw-abc1", "coordinator", opened)
    made.said(PREPARED, "sw-abc1", "builder", assigned)
    return made


@pytest.fixture
def why(swarm: Any, home: Home, history: History) -> Any:
    """Write the history, and ask."""

    def why(*args: str) -> Any:
        Path(home.place.log, "other.jsonl").write_bytes(history.lines)
        return swarm("why", *args)

    return why


def test_the_chain_is_told_from_its_root(why: Any, history: History) -> None:
    lines = why(history.events[3].id).out.splitlines()
    assert [line.split()[3] for line in lines] == ["issue.opened", "issue.assigned", "worktree.prepared"]


def test_an_issue_stands_for_its_newest_event(why: Any, history: History) -> None:
    ids = [history.events[number].id for number in (0, 2, 3)]
    assert [event["id"] for event in why("sw-abc1", "--json").json] == ids
    assert [event["id"] for event in why("sw-a", "--json").json] == ids


def test_an_issue_may_be_named_without_its_prefix(why: Any, history: History) -> None:
    history.said(IssueOpened(title="not hexadecimal"), "sw-xyz")
    assert [event["subject"] for event in why("xyz", "--json").json] == ["sw-xyz"]


def test_json_is_one_array_of_whole_events(why: Any, history: History) -> None:
    (event,) = why(id_of(1), "--json").json
    assert event == {
        "type": "issue.opened", "id": id_of(1), "time": history.events[1].time, "source": "human",
        "subject": "sw-def2", "data": {"title": "Another"},
    }  # fmt: skip


def test_a_cause_that_is_not_in_the_log_is_shown_as_missing(why: Any, history: History) -> None:
    history.said(PREPARED, "sw-abc1", "builder", cause=id_of(77))
    last = history.events[-1].id
    assert "not in the log" in why(last).out.splitlines()[0]
    assert id_of(77) in why(last).out
    assert [event.get("missing", False) for event in why(last, "--json").json] == [True, False]


def test_a_circle_of_causes_ends_and_is_said(why: Any, history: History) -> None:
    history.said(IssueReopened(), "sw-abc1", cause=id_of(5))
    history.said(IssueReopened(), "sw-abc1", cause=id_of(4))
    result = why(id_of(5))
    assert result.code == 0
    assert "circle" in result.out.splitlines()[0]
    assert [event["id"] for event in why(id_of(5), "--json").json] == [id_of(4), id_of(5)]


def test_an_event_that_caused_itself_ends_too(why: Any, history: History) -> None:
    history.said(IssueReopened(), "sw-abc1", cause=id_of(4))
    assert [event["id"] for event in why(id_of(4), "--json").json] == [id_of(4)]


@pytest.mark.parametrize("name", ["ffff", "sw-nothing", "019aa3", ""])
def test_what_is_no_one_event_is_refused(why: Any, name: str) -> None:
    assert why(name).code == 2
