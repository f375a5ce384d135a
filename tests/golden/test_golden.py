"""The golden runs: recorded by the real program, decided again by today's actors on every build.

Where one fails, a decision or the shape of an event has changed: README.md beside this says what to do then.
"""

import json
import runpy
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from swarm.commands import Home
from swarm.commands._verify import verify
from swarm.eventlog import place
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify as look
from swarm.world.clock import entropy

import repository
from stage import Stage

HERE = Path(__file__).parent
RECORD = runpy.run_path(str(HERE / "record.py"))
RUNS = tuple(RECORD["PLAYS"])
OLD = tuple(f"old-{name}" for name in RUNS)
"""As they were recorded until 0.3, when one branch after the other was merged: they are folded, not decided again."""
MUST = {
    "green": {
        "issue.closed",
        "findings.reported",
        "batch.formed",
        "batch.tested",
        "merge.landed",
        "mail.acked",
        "mail.dead_lettered",
        "mail.delivered",
    },
    "failures": {"attempt.retried", "issue.held", "merge.conflicted", "attempt.cancelled", "work.rejected"},
    "crash": {"session.exited", "merge.landed"},
}
"""What each run is kept for: a new recording that lacks it would prove less."""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A log's folder with this run in it."""
    (tmp_path / f"{request.param}.jsonl").write_bytes((HERE / f"{request.param}.jsonl").read_bytes())
    return tmp_path


each = pytest.mark.parametrize("folder", RUNS, indirect=True)
any_ = pytest.mark.parametrize("folder", RUNS + OLD, indirect=True)


@each
def test_todays_actors_decide_as_they_did(folder: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    decided = [event for event in read_all(str(folder)) if event.seen]
    assert verify(str(folder), "", json_=True) == 0, capfdbinary.readouterr().out.decode()
    found = json.loads(capfdbinary.readouterr().out)
    assert found["decisions"] == len(decided) > 10
    assert found["actors"] == Counter(event.source for event in decided)
    assert not found["notes"]


@any_
def test_the_log_is_whole(folder: Path) -> None:
    report = look(str(folder))
    assert not report.errors
    assert not report.notes
    assert report.events == len(read_all(str(folder)))


@pytest.mark.parametrize("name", RUNS + OLD)
def test_it_comes_to_the_board_that_was_kept(name: str, tmp_path: Path) -> None:
    """By the real program, in a repository that knows nothing but this log."""
    scratch = repository.make(tmp_path / "repository")
    there = place.find(str(scratch.root), {}, initialised=False)
    place.initialise(there, entropy)
    Path(Home(there).place.log, f"{name}.jsonl").write_bytes((HERE / f"{name}.jsonl").read_bytes())
    assert Stage(scratch.root).json("replay") == json.loads((HERE / f"{name}.board.json").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_it_holds_what_it_is_kept_for_and_nothing_of_the_machine(name: str) -> None:
    text = (HERE / f"{name}.jsonl").read_text()
    assert len(text) < RECORD["LONGEST"]
    assert not RECORD["FOREIGN"].findall(text)
    assert MUST[name] <= {json.loads(line)["type"] for line in text.splitlines()}


def test_the_crash_was_one_and_what_ran_then_was_taken_over() -> None:
    events: list[dict[str, Any]] = [json.loads(line) for line in (HERE / "crash.jsonl").read_text().splitlines()]
    types = [event["type"] for event in events]
    second = [n for n, name in enumerate(types) if name == "run.started"][1]
    assert "run.stopped" not in types[:second]
    begun = [event["data"]["session"] for event in events if event["type"] == "session.started"]
    assert set(Counter(begun).values()) == {1}
    before = {event["data"]["session"] for event in events[:second] if event["type"] == "session.started"}
    alone = {event["data"]["session"] for event in events[:second] if event["type"] == "session.exited"}
    after = {event["data"]["session"] for event in events[second:] if event["type"] == "session.exited"}
    assert alone, "no agent ended while no swarm ran"
    assert before & after, "no agent was still at work when the swarm came back"


@pytest.mark.parametrize(
    ("old", "new"), [('"agent":"builder-1"', '"agent":"builder-7"'), ('"attempt":1', '"attempt":8')]
)
def test_a_decision_that_was_recorded_otherwise_is_found(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes], old: str, new: str
) -> None:
    lines = (HERE / "green.jsonl").read_text().splitlines(keepends=True)
    assigned = [n for n, line in enumerate(lines) if line.startswith('{"type":"issue.assigned"') and old in line]
    lines[assigned[-1]] = lines[assigned[-1]].replace(old, new)
    (tmp_path / "green.jsonl").write_text("".join(lines))
    assert verify(str(tmp_path), "", json_=True) == 1
    found = json.loads(capfdbinary.readouterr().out)["difference"]
    assert found["id"] == json.loads(lines[assigned[-1]])["id"]
