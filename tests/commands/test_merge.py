"""`swarm merge`: what is shown of the queue, and how a person steers it."""

import os
from typing import Any

import pytest

from swarm.commands import Home
from swarm.eventlog.events import (
    BatchFormed,
    BatchStacked,
    BatchTested,
    GateFlaked,
    IssueAssigned,
    IssueHeld,
    IssueOpened,
    LandingHeld,
    LeakDetected,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergePredicted,
    MergeQueued,
    MergeRejected,
    MergeReverted,
    QueueHeld,
    RunStarted,
    RunStopped,
    WorktreePrepared,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.tail import read_all
from swarm.projections import issues
from swarm.world.running import Holder, RunLock

WORK, LANDED = "5" * 40, "6" * 40
A, B = "sw-0000000a", "sw-0000000b"
ENDS = {
    "conflicted": MergeConflicted(1, "b" * 40, ["a.py", "b.py"]),
    "rejected": MergeRejected(1, "merged, the tests fail (exit code 1)", "AssertionError"),
    "dropped": MergeDropped(1, "not wanted"),
}


@pytest.fixture(autouse=True)
def queue(home: Home) -> None:
    """Two issues whose work waits to land, of a run that goes on."""
    started = RunStarted(1, "boot", 1, "0", "main", "shell", 4, 1)
    home.append("system", [("run-1", started)])
    for name, priority in ((A, 3), (B, 1)):
        (opened,) = home.append("human", [(name, IssueOpened(f"Do {name}", priority=priority))])
        home.append("coordinator", [(name, IssueAssigned(1, opened.id, "kim", "builder", "shell"))])
        tell(home, name, WorktreePrepared(1, f"w/{name}", f"swarm/kim/{name}-1", "b" * 40))
        tell(home, name, MergeQueued(1, f"swarm/kim/{name}-1", WORK))


def tell(home: Home, subject: str, *facts: Fact) -> None:
    home.append("merger", [(subject, fact) for fact in facts])


def count(home: Home) -> int:
    return len(read_all(home.place.log))


def held(home: Home, name: str) -> None:
    """The issue waits for a person."""
    generation = home.board()[issues.State].all[name].generation
    tell(home, name, IssueHeld(generation, "it did not land", 1))


def runs(home: Home) -> RunLock:
    lock = RunLock(os.path.join(home.place.home, "run.lock"))
    lock.take(Holder(4711, "run-1", "2026-11-21T04:20:09+00:00"))
    return lock


# --- looking ---


def test_the_most_urgent_comes_first_and_each_row_has_these_keys(swarm: Any, home: Home) -> None:
    before = count(home)
    document = swarm("merge", "list", "--json").json
    assert document["held"] == ""
    assert [row["issue"] for row in document["merges"]] == [B, A]
    wanted = {"issue", "attempt", "status", "branch", "commit", "target", "reason", "command"}
    assert set(document["merges"][0]) == wanted | {"title", "priority", "since", "batch", "why"}
    assert (document["merges"][0]["status"], document["merges"][0]["priority"]) == ("queued", 1)
    lines = swarm("merge", "list").out.splitlines()
    assert lines[0].split() == ["issue", "attempt", "status", "prio", "since", "batch", "title", "why"]
    assert [line.split()[0] for line in lines[1:]] == [B, A]
    assert count(home) == before


def test_what_is_tested_together_comes_before_what_waits(swarm: Any, home: Home) -> None:
    tell(home, "b-1", BatchFormed([(A, 1)]))
    rows = swarm("merge", "list", "--json").json["merges"]
    assert [(row["issue"], row["batch"]) for row in rows] == [(A, "b-1"), (B, "")]


def test_what_ended_is_listed_only_if_asked_for(swarm: Any, home: Home) -> None:
    tell(home, A, ENDS["rejected"])
    assert [row["issue"] for row in swarm("merge", "list", "--json").json["merges"]] == [B]
    rows = {row["issue"]: row for row in swarm("merge", "list", "--all", "--json").json["merges"]}
    assert (rows[A]["status"], rows[A]["why"]) == ("rejected", "merged, the tests fail (exit code 1)")
    assert set(rows) == {A, B}


def test_why_it_does_not_land_is_said(swarm: Any, home: Home) -> None:
    tell(home, A, MergePredicted(1, WORK, "b" * 40, ["a.py"]))
    tell(home, B, LeakDetected(1, "HEAD moved", "its commit is there"))
    why = {row["issue"]: row["why"] for row in swarm("merge", "list", "--json").json["merges"]}
    assert why[A] == "conflict in a.py"
    assert why[B] == "held, for the person's checkout changed: its commit is there"


def test_a_held_queue_is_said_first_with_the_command_that_goes_on(swarm: Any, home: Home) -> None:
    tell(home, "run-1", QueueHeld("infrastructure", "no compiler"))
    lines = swarm("merge", "list").out.splitlines()
    assert lines[:2] == ["the queue is held: no compiler", "  to go on: swarm merge now"]
    assert swarm("merge", "list", "--json").json["held"] == "no compiler"


def test_tests_that_flake_are_listed_by_command_the_worst_first(swarm: Any, home: Home) -> None:
    assert swarm("merge", "list", "--json").json["flakes"] == []
    tell(home, "b-1", GateFlaked("unit", "make test", "t1"), GateFlaked("lint", "ruff", "t1"))
    tell(home, "b-2", GateFlaked("unit", "make test", "t2"), GateFlaked("unit", "make test", "t2"))
    flakes = [{"command": "make test", "count": 2}, {"command": "ruff", "count": 1}]
    assert swarm("merge", "list", "--json").json["flakes"] == flakes
    assert swarm("merge", "list").out.splitlines()[:2] == [
        "failed and passed on the same tree, 2 times: make test",
        "failed and passed on the same tree, 1 time: ruff",
    ]


def test_all_about_one_with_what_its_tests_said(swarm: Any, home: Home) -> None:
    tell(home, "b-1", BatchFormed([(A, 1)]), BatchStacked("main", "b" * 40, LANDED, "t" * 40, [WORK]))
    tell(home, "b-1", BatchTested("b" * 40, LANDED, "t" * 40, "failed", "unit", "make unit", 2, "E assert", 1))
    for name in (A, f"{A}-1", "0000000a"):
        shown = swarm("merge", "show", name, "--json").json
        assert (shown["issue"], shown["batch"], shown["status"]) == (A, "b-1", "testing")
        assert [(test["gate"], test["verdict"], test["output"]) for test in shown["tests"]] == [
            ("unit", "failed", "E assert")
        ]
    out = swarm("merge", "show", A).out
    assert "unit failed on 6666666666 (code 2): make unit\nE assert\n" in out


def test_a_landing_that_git_holds_back_is_shown_with_the_command(swarm: Any, home: Home) -> None:
    tell(home, "b-1", BatchFormed([(A, 1)]), BatchStacked("main", "b" * 40, LANDED, "t" * 40, [WORK]))
    tell(home, A, LandingHeld(1, "main", LANDED, "local changes are in the way", "git merge --ff-only x"))
    out = swarm("merge", "show", A).out
    assert "status    held" in out
    assert "by hand   git merge --ff-only x" in out


def test_the_files_of_a_conflict_are_shown(swarm: Any, home: Home) -> None:
    tell(home, A, ENDS["conflicted"])
    assert swarm("merge", "show", A, "--json").json["conflicts"] == ["a.py", "b.py"]
    assert "conflicts a.py, b.py" in swarm("merge", "show", A).out


@pytest.mark.parametrize("deed", ["show", "retry", "drop"])
@pytest.mark.parametrize("name", ["sw-ffffffff", f"{A}-9x", "-", "sw-"])
def test_what_is_not_there_is_a_wrong_word(swarm: Any, home: Home, deed: str, name: str) -> None:
    before = count(home)
    result = swarm("merge", deed, "--", name)
    assert (result.code, result.out) == (2, "")
    assert count(home) == before


def test_what_was_never_queued_is_said(swarm: Any, home: Home) -> None:
    home.append("human", [("sw-0000000c", IssueOpened("Third"))])
    assert "nothing of sw-0000000c was ever queued to land" in swarm("merge", "show", "sw-0000000c").err


# --- retry ---


@pytest.mark.parametrize("end", ENDS)
def test_the_same_work_is_given_to_the_queue_again(swarm: Any, home: Home, end: str) -> None:
    tell(home, A, ENDS[end])
    held(home, A)
    done = swarm("merge", "retry", A, "--reason", "the network is back")
    assert done.code == 0, done.err
    reopened = read_all(home.place.log)[-1]
    assert (reopened.type, reopened.subject) == ("issue.reopened", A)
    assert (reopened.data.work, reopened.data.reason) == (WORK, "the network is back")
    assert home.board()[issues.State].all[A].work == WORK
    before = count(home)
    again = swarm("merge", "retry", A)
    assert (again.code, "again already" in again.out) == (0, True)
    assert count(home) == before


def test_what_landed_or_was_rolled_back_is_not_merged_again(swarm: Any, home: Home) -> None:
    tell(home, A, MergeLanded(1, "main", "b" * 40, LANDED))
    landed = swarm("merge", "retry", A)
    assert (landed.code, f"{A} landed" in landed.err) == (2, True)
    tell(home, A, MergeReverted(1, "main", LANDED, "7" * 40))
    back = swarm("merge", "retry", A)
    assert (back.code, "would change nothing" in back.err) == (2, True)
    assert f"swarm issue reopen {A}" in back.err


def test_what_waits_needs_no_retry_but_a_held_queue_goes_on(swarm: Any, home: Home) -> None:
    before = count(home)
    assert "waits in the queue already: swarm merge now" in swarm("merge", "retry", A).out
    assert count(home) == before
    tell(home, "run-1", QueueHeld("conflict", "a conflict"))
    lock = runs(home)
    try:
        assert swarm("merge", "retry", A).out == "the queue goes on\n"
        assert read_all(home.place.log)[-1].type == "queue.resumed"
        assert swarm("merge", "retry", A).out == f"{A} waits in the queue already\n"
    finally:
        lock.drop()


def test_an_issue_that_somebody_tries_again_is_left_to_them(swarm: Any, home: Home) -> None:
    tell(home, A, ENDS["rejected"])
    generation = home.board()[issues.State].all[A].generation
    home.append("coordinator", [(A, IssueAssigned(2, generation, "lee", "builder", "shell"))])
    refused = swarm("merge", "retry", A)
    assert (refused.code, "at work" in refused.err) == (2, True)


# --- drop ---


def test_what_is_dropped_is_out_of_the_queue_and_its_work_is_kept(swarm: Any, home: Home) -> None:
    done = swarm("merge", "drop", A, "--reason", "not wanted")
    assert done.out == f"{A} is out of the queue; its work: swarm work show {A}-1\n"
    dropped = read_all(home.place.log)[-1]
    assert (dropped.subject, dropped.data) == (A, MergeDropped(1, "not wanted"))
    assert [row["issue"] for row in swarm("merge", "list", "--json").json["merges"]] == [B]
    again = swarm("merge", "drop", A)
    assert (again.code, "it is dropped" in again.err) == (2, True)


# --- now ---


def test_now_lets_a_held_queue_of_a_running_swarm_go_on(swarm: Any, home: Home) -> None:
    lock = runs(home)
    try:
        before = count(home)
        assert "run-1 runs, and lands what waits by itself" in swarm("merge", "now").out
        assert count(home) == before
        tell(home, "run-1", QueueHeld("infrastructure", "no compiler"))
        assert swarm("merge", "now").out == "the queue of run-1 goes on\n"
        assert read_all(home.place.log)[-1].type == "queue.resumed"
        assert swarm("merge", "now", "--on-conflict", "skip").code == 2
    finally:
        lock.drop()


@pytest.mark.parametrize("args", [("--json",), ("--all", "--completed"), ("--on-conflict", "hope")])
def test_wrong_words_start_nothing(swarm: Any, home: Home, args: tuple[str, ...]) -> None:
    home.append("system", [("run-1", RunStopped("idle", 0))])
    before = count(home)
    assert swarm("merge", "now", *args).code == 2
    assert count(home) == before
