"""`swarm replay --verify`: today's actors decide again; the first difference is printed with all that explains it."""

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.commands._verify import lines
from swarm.eventlog.disk import REAL
from swarm.eventlog.lines import Bad
from swarm.eventlog.segments import sealed_name

from given import History

GREEN = Path(__file__).parents[1] / "golden" / "green.jsonl"

Line = dict[str, Any]
Change = Callable[[Line], Line | None]


@pytest.fixture
def write(home: Home) -> Callable[..., list[Line]]:
    """Put the recorded run into the log, changed: write("issue.assigned", 2, change) changes the third of that type;
    None takes it out. Returns the lines as they were.
    """

    def write(type_: str = "", number: int = 0, change: Change = dict) -> list[Line]:
        found = [json.loads(line) for line in GREEN.read_text().splitlines()]
        chosen = [line for line in found if line["type"] == type_][number] if type_ else None
        kept = [change(dict(line)) if line is chosen else line for line in found]
        text = "".join(json.dumps(line) + "\n" for line in kept if line)
        Path(home.place.log, "green.jsonl").write_text(text)
        return found

    return write


def but(**data: Any) -> Change:
    """The same with other data."""
    return lambda line: {**line, "data": {**line["data"], **data}}


def gone(_line: Line) -> None:
    """Taken out."""


def of(found: list[Line], type_: str, number: int = 0) -> Line:
    return [line for line in found if line["type"] == type_][number]


def headings(out: str) -> dict[str, list[str]]:
    """The lines of the report under their headings."""
    sections: dict[str, list[str]] = {}
    heading = ""
    for line in out.splitlines()[1:]:
        heading = line[:10].strip() or heading
        sections.setdefault(heading, []).append(line[10:])
    return sections


def test_a_run_that_todays_actors_would_repeat_is_said_to_agree(swarm: Any, write: Any) -> None:
    decided = [line for line in write() if line.get("seen")]
    result = swarm("replay", "--verify")
    assert (result.code, result.out) == (0, f"{len(decided)} decisions by 3 actors agree\n")
    found = swarm("replay", "--verify", "--json").json
    assert set(found) == {"decisions", "actors", "notes", "difference"}
    assert (found["decisions"], found["difference"]) == (len(decided), None)
    assert sum(found["actors"].values()) == len(decided)


def test_a_log_without_decisions_agrees(swarm: Any, home: Home) -> None:
    assert swarm("replay", "--verify").out == "0 decisions by 0 actors agree\n"
    assert swarm("replay", "--verify", "--json").json["decisions"] == 0


def test_another_decision_is_shown_beside_todays_with_the_state_the_rule_and_the_cause(swarm: Any, write: Any) -> None:
    found = write("issue.assigned", 1, but(agent="builder-7"))
    event, opened = of(found, "issue.assigned", 1), of(found, "issue.opened", 0)
    result = swarm("replay", "--verify")
    assert result.code == 1
    assert result.out.startswith("today's coordinator decides otherwise; before that, ")
    told = headings(result.out)
    issue, agent = event["subject"], event["data"]["agent"]
    assert told["at"][0].startswith(f"{event['id']}, {event['time'][11:19]}, on green: decision 2 of ")
    assert told["recorded"] == [f"{issue}  issue.assigned  attempt 1 to builder-7 (shell)"]
    assert told["today"] == [f"{issue}  issue.assigned  attempt 1 to {agent} (shell)"]
    assert told["differs"] == [f"agent: 'builder-7' recorded, '{agent}' today"]
    assert told["state"][0].startswith(f"issue   {issue}: open, priority ")
    assert any(line.startswith("run     run-") for line in told["state"])
    assert told["reason"][0].startswith("today's comes from due > _assign > _assignment (actors/coordinator.py:")
    assert told["due"][0].startswith("issue.assigned (")
    assert opened["data"]["title"] in told["cause"][0]
    assert told["see"] == [f"swarm replay --at {event['seen']['green']}"]
    assert swarm("replay", "--at", event["seen"]["green"]).code == 0


def test_a_decision_that_is_not_due_any_more_is_told_with_the_rule_that_would_make_it(swarm: Any, write: Any) -> None:
    found = write("findings.reported", 0, gone)
    closed = next(
        line
        for line in found
        if line["type"] == "issue.closed" and line["subject"] == of(found, "findings.reported")["subject"]
    )
    result = swarm("replay", "--verify")
    assert result.code == 1
    told = headings(result.out)
    assert told["recorded"][0].startswith(f"{closed['subject']}  issue.closed  done: answered")
    assert told["today"] == ["nothing more"]
    assert told["reason"][0] == "today's coordinator does not find the recorded one due"
    assert told["reason"][1].startswith("it decides such in _close (actors/coordinator.py:")
    assert told["cause"][0].endswith("not in the log")


def test_a_decision_that_was_not_made_then_is_told(swarm: Any, write: Any) -> None:
    write("mail.dead_lettered", 0, gone)
    told = headings(swarm("replay", "--verify").out)
    assert told["recorded"] == ["nothing more"]
    assert "mail.dead_lettered" in told["today"][0]
    assert any(line.startswith("letter  ") for line in told["state"])


def test_a_decision_of_a_type_that_nobody_knows_is_a_difference(swarm: Any, write: Any) -> None:
    write("merge.queued", 0, lambda line: {**line, "type": "merge.dreamt"})
    result = swarm("replay", "--verify")
    assert result.code == 1
    assert "merge.dreamt" in headings(result.out)["recorded"][0]
    found = swarm("replay", "--verify", "--json").json["difference"]
    assert found["recorded"][0]["type"] == "merge.dreamt"
    assert found["today"][0]["type"] == "merge.queued"


def test_the_document_holds_both_decisions_and_what_explains_them(swarm: Any, write: Any) -> None:
    event = of(write("issue.assigned", 1, but(agent="builder-7")), "issue.assigned", 1)
    result = swarm("replay", "--verify", "--json")
    assert result.code == 1
    found = result.json["difference"]
    assert (found["id"], found["time"], found["node"], found["actor"]) == (
        event["id"],
        event["time"],
        "green",
        "coordinator",
    )
    assert (found["seen"], found["now"], found["number"]) == (event["seen"], event["now"], 1)
    assert [field["name"] for field in found["fields"]] == ["agent"]
    then, today = (found[name][1] for name in ("recorded", "today"))
    assert today == {"type": event["type"], "subject": event["subject"], "cause": event["causationid"]} | {
        "data": event["data"]
    }
    assert then["data"] == event["data"] | {"agent": "builder-7"}
    assert found["state"]
    assert found["reason"]


def test_from_an_event_on_only_what_came_after_it_is_compared(swarm: Any, write: Any) -> None:
    found = write("issue.closed", 0, but(reason="they say it landed"))
    wrong = of(found, "issue.closed")
    batches = [line for line in found if line.get("seen") and line["id"] > wrong["id"] and line["now"] != wrong["now"]]
    assert swarm("replay", "--verify").code == 1
    late = swarm("replay", "--verify", "--from", wrong["id"], "--json")
    assert (late.code, late.json["decisions"]) == (0, len(batches))
    assert swarm("replay", "--verify", "--from", found[0]["id"][:-1]).code == 1
    end = swarm("replay", "--verify", "--from", found[-1]["id"])
    assert (end.code, end.out) == (0, "0 decisions by 0 actors agree\n")
    assert swarm("replay", "--verify", "--from", "zz").code == 2


def test_decisions_of_somebody_unknown_are_noted_and_no_difference(swarm: Any, write: Any) -> None:
    write("merge.queued", 0, lambda line: {**line, "source": "janitor"})
    result = swarm("replay", "--verify")
    assert result.code == 0
    assert result.out.startswith("note      1 decisions of janitor on green: no such actor today\n")


def test_sealed_files_and_the_growing_one_are_read_in_order(home: Home, write: Any, swarm: Any) -> None:
    write()
    there = Path(home.place.log)
    kept = (there / "green.jsonl").read_bytes().splitlines(keepends=True)
    (there / "green.jsonl").unlink()
    cuts = [0, 30, 31, 80]
    for first, last in pairwise(cuts):
        (there / sealed_name("green", json.loads(kept[first])["id"])).write_bytes(b"".join(kept[first:last]))
    (there / "green.jsonl").write_bytes(b"".join(kept[80:]))
    ids = [line.id for line in lines(str(there), "green") if not isinstance(line, Bad)]
    assert ids == [json.loads(line)["id"] for line in kept]
    assert swarm("replay", "--verify").code == 0


def test_a_file_that_is_sealed_while_it_is_read_is_read_to_its_end(home: Home, write: Any) -> None:
    write()
    there = Path(home.place.log)
    reading = lines(str(there), "green")
    first = next(reading)
    assert not isinstance(first, Bad)
    (there / "green.jsonl").rename(there / sealed_name("green", first.id))
    (there / "green.jsonl").write_bytes(History().lines)
    assert sum(1 for _ in reading) == len(GREEN.read_bytes().splitlines()) - 1


class SealsWhenOpened:
    """The real disk, on which a writer seals the growing file, and begins the next, just before it is opened."""

    def __init__(self, there: Path, first: str) -> None:
        self._there, self._first, self.opened = there, first, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def open(self, path: str, flags: int, mode: int = 0o600, /) -> int:
        if not self.opened:
            (self._there / "green.jsonl").rename(self._there / sealed_name("green", self._first))
            (self._there / "green.jsonl").write_bytes(History().lines)
        self.opened += 1
        return REAL.open(path, flags, mode)


def test_a_file_that_is_sealed_just_before_it_is_opened_is_not_missed(home: Home, write: Any) -> None:
    found = write()
    disk = SealsWhenOpened(Path(home.place.log), found[0]["id"])
    read = [line.id for line in lines(home.place.log, "green", disk) if not isinstance(line, Bad)]
    assert read == [line["id"] for line in found]
    assert disk.opened == 3


def test_bad_lines_stand_where_they_are_and_an_unfinished_one_at_the_end(home: Home) -> None:
    good = GREEN.read_bytes().splitlines(keepends=True)
    there = Path(home.place.log, "n1.jsonl")
    there.write_bytes(good[0] + b'{"type":"torn\n' + good[1] + good[2][:40])
    found = list(lines(home.place.log, "n1"))
    assert [isinstance(line, Bad) for line in found] == [False, True, False, True]
    assert list(lines(home.place.log, "n2")) == []
