"""`swarm replay`: the state at every event, from the log alone."""

from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import IssueAssigned, IssueClosed, IssueOpened, MailSent, MergeLanded, MergeQueued

from given import History

KEYS = {"at", "index", "issues", "agents", "mail", "merges", "costs"}


@pytest.fixture
def history(home: Home) -> History:
    """One issue from its opening to its end, in six events."""
    made = History()
    opened = made.said(IssueOpened(title="Add a parser"))
    made.said(IssueAssigned(attempt=1, generation=opened, agent="builder-1", role="builder", runtime="shell"))
    made.said(MergeQueued(attempt=1, branch="swarm/builder-1/sw-a-1", commit="c"))
    made.said(MergeLanded(attempt=1, target="main", base="b", commit="c"))
    made.said(IssueClosed(generation=opened, reason="landed", commit="c"))
    made.said(MailSent(to=["human"], body="it is done"), source="coordinator")
    Path(home.place.log, "other.jsonl").write_bytes(made.lines)
    return made


def at(swarm: Any, where: object) -> Any:
    result = swarm("replay", "--at", str(where), "--json")
    assert result.code == 0, result.err
    assert set(result.json) == KEYS
    return result.json


def test_it_shows_the_state_of_every_moment(swarm: Any, history: History) -> None:
    seen = [at(swarm, index) for index in range(7)]
    assert seen[0]["issues"] == []
    assert [one["issues"][0]["status"] for one in seen[1:]] == ["open", *["in_progress"] * 3, "done", "done"]
    assert [[m["status"] for m in one["merges"]] for one in seen[2:5]] == [[], ["queued"], ["landed"]]
    assert [a["state"] for one in seen for a in one["agents"]] == ["assigned", "queued", "idle", "idle", "idle"]
    assert [len(one["mail"]) for one in seen] == [0, 0, 0, 0, 0, 0, 1]


def test_without_at_it_shows_the_newest_event(swarm: Any, history: History) -> None:
    newest = swarm("replay", "--json").json
    assert (newest["index"], newest["at"]) == (6, history.events[5].id)
    assert newest == at(swarm, 6)


def test_an_event_is_named_by_its_number_or_by_either_end_of_its_id(swarm: Any, history: History) -> None:
    third = history.events[2].id
    assert at(swarm, 3) == at(swarm, third) == at(swarm, third[-12:]) == at(swarm, third[:13].upper())
    assert (at(swarm, 0)["at"], at(swarm, 0)["index"]) == ("", 0)


def test_the_same_event_in_two_files_is_one_event(swarm: Any, home: Home, history: History) -> None:
    before = swarm("replay", "--json").out
    lines = history.lines.splitlines(keepends=True)
    Path(home.place.log, "third.jsonl").write_bytes(b"".join(reversed(lines)))
    assert swarm("replay", "--json").out == before


@pytest.mark.parametrize("where", ["7", "-1", "99999999999999999999", "zz", "019aa3"])
def test_what_is_no_one_event_is_refused(swarm: Any, history: History, where: str) -> None:
    result = swarm("replay", "--at", where)
    assert result.code == 2
    assert "event" in result.err


def test_the_text_begins_with_where_it_is_and_shows_the_board(swarm: Any, history: History) -> None:
    lines = swarm("replay", "--at", "4").out.splitlines()
    assert lines[0] == "event 4 of 6, 00:12:54, merge.landed: human: attempt 1 landed: main is at c"
    assert lines[1] == "issues  1 in progress"
    assert swarm("replay", "--at", "0").out.startswith("event 0 of 6, before the first\nissues  none\n")


def test_an_empty_log_has_no_events(swarm: Any, home: Home) -> None:
    assert swarm("replay", "--json").json["index"] == 0
    assert swarm("replay", "--at", "1").code == 2
