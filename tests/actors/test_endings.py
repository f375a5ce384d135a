"""The end of an attempt: what is left is secured, kept and, in due time, removed; never while something runs in it."""

import sys
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from swarm.actors import builder
from swarm.actors.attempts import Secure
from swarm.actors.endings import Keep, Remove
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    AttemptCancelled,
    IssueClosed,
    IssueHeld,
    SessionKillRequested,
    WorkRejected,
    WorkSecured,
    WorktreeRemoved,
)
from swarm.projections import agents

from attempting import BRANCH, PATH, WIP, due, one, remove, said, secure_of
from history import BASE, History, commit, decided


@pytest.mark.parametrize("stage", ["prepared", "exited"])
def test_what_is_called_off_is_secured_before_it_is_removed(h: History, stage: str) -> None:
    h.to(stage)
    h.add(AttemptCancelled(1, "closed"), "a")
    secure = one(h)
    assert (type(secure), secure.ended, secure.wip) == (Secure, True, True)
    cause = h.secured("a", 1, ref=WIP)
    assert one(h) == Remove("a", 1, PATH, BRANCH, commit("a-1"), True, cause, ("a-1-gate", "a-1-control-test"))
    remove(h)
    assert builder.due(h.board(), h.now) == []


def test_securing_what_has_ended_does_not_fail_it_again(bench: Any) -> None:
    base = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, base)
    facts = said(secure_of(base=base, wip=True, why="cancelled", ended=True), bench)
    assert [type(fact) for fact in facts] == [WorkSecured]


def test_nothing_is_secured_or_removed_while_a_session_runs_and_the_session_is_ended(h: History) -> None:
    h.to("started")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert due(h) == []
    assert decided(builder.due(h.board(), h.now)) == [("a", SessionKillRequested("a-1", 1, "the attempt has ended"))]
    h.add(SessionKillRequested("a-1", 1, "the attempt has ended"), "a")
    assert builder.due(h.board(), h.now) == []
    h.exited("a", 1, ok=False, code=-15, ended_by="killed")
    assert type(one(h)) is Secure


def test_what_landed_is_removed(h: History) -> None:
    cause = h.to("landed")
    assert one(h) == Remove("a", 1, PATH, BRANCH, commit("a-1"), True, cause, ("a-1-control-test",))
    remove(h)
    assert builder.due(h.board(), h.now) == []


def test_a_branch_goes_once_its_work_is_elsewhere(h: History, bench: Any) -> None:
    h.to("exited", ok=False, code=1)
    h.secured("a", 1, ref=WIP)
    h.add(WorkRejected(1, "exit code 1"), "a")
    assert one(h).branch == BRANCH
    tip = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, tip)
    said(Remove("a", 1, PATH, BRANCH, tip, True, "cause"), bench)
    assert f"refs/heads/{BRANCH}" not in bench.repository.refs


def test_a_folder_in_which_something_may_still_run_is_not_used_again(h: History) -> None:
    h.to("started")
    h.lost("a", 1)
    h.secured("a", 1, ref=WIP)
    h.add(WorkRejected(1, "lost"), "a")
    assert not one(h).recycle


def test_a_session_that_comes_up_after_the_worktree_is_gone_is_ended(h: History) -> None:
    h.to("prepared")
    h.add(AttemptCancelled(1, "closed"), "a")
    h.secured("a", 1)
    remove(h)
    h.started("a", 1)
    assert decided(builder.due(h.board(), h.now)) == [("a", SessionKillRequested("a-1", 1, "the attempt has ended"))]


def test_what_was_called_off_before_it_was_prepared_leaves_nothing_to_do(h: History) -> None:
    h.to("assigned")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert builder.due(h.board(), h.now) == []


def test_removing_needs_the_commit_and_says_what_holds_the_work(bench: Any) -> None:
    tip = bench.repository.tip("main")
    bench.repository.prepare(PATH, BRANCH, tip)
    assert said(Remove("a", 1, PATH, BRANCH, tip, True, "cause"), bench) == [WorktreeRemoved(1, PATH, tip)]
    assert PATH not in bench.repository.worktrees
    with pytest.raises(SwarmError, match="stays"):
        builder.perform(Remove("a", 1, PATH, BRANCH, commit("gone"), True, "cause"), bench.hands)


def test_what_did_not_land_is_kept_under_a_ref_that_no_branch_takes_along(h: History, bench: Any) -> None:
    h.to("gated")
    cause = h.add(WorkRejected(1, "the tests fail"), "a")
    keep = one(h)
    assert keep == Keep("a", 1, "builder-1", commit("a-1"), BASE, 1, ("a.py",), (), (), cause)
    tip = bench.repository.tip("main")
    (kept,) = said(msgspec.structs.replace(keep, commit=tip), bench)
    assert kept == WorkSecured(1, WIP, tip, BASE, 1, ["a.py"])
    assert bench.repository.refs[WIP] == tip
    h.secured("a", 1, ref=WIP)
    assert type(one(h)) is Remove


def test_the_worktree_of_a_failure_stays_for_some_days(h: History) -> None:
    h.run("run-2", keep_failed=600.0)
    h.to("exited", ok=False, code=1)
    h.secured("a", 1, ref=WIP)
    h.add(WorkRejected(1, "exit code 1"), "a")
    assert due(h) == []
    h.now += 599
    assert due(h) == []
    h.now += 2
    assert type(one(h)) is Remove


def test_a_look_does_not_come_by_the_worktrees_that_are_kept(h: History) -> None:
    h.run("run-2", keep_failed=600.0)
    counts = []
    for many in (2, 40):
        for number in range(many):
            fail(h, f"i{many}-{number}")
        board = h.board()
        counts.append(calls(lambda: (builder.due(board, h.now), list(board[agents.State].sessions()))))  # noqa: B023
    assert counts[0] == counts[1]
    h.now += 601
    assert len(due(h)) == 42


def test_a_kept_worktree_in_which_something_runs_is_looked_at_again(h: History) -> None:
    h.run("run-2", keep_failed=600.0)
    fail(h, "b")
    assert [one.name for one in h.board()[agents.State].ongoing()] == []
    h.started("b", 1, session="b-1-late")
    assert [one.name for one in h.board()[agents.State].ongoing()] == ["b-1"]
    assert [session.id for session in h.board()[agents.State].sessions()] == ["b-1-late"]


def fail(h: History, issue: str) -> None:
    """An issue that a person is to look at, and the worktree of its only attempt."""
    h.issue(issue)
    h.to("exited", issue, ok=False, code=1)
    h.secured(issue, 1, ref=f"refs/swarm/wip/builder-1/{issue}-1")
    h.add(WorkRejected(1, "exit code 1"), issue)
    h.add(IssueHeld(h.generation(issue), "it failed"), issue)


def calls(work: Callable[[], object]) -> int:
    """How many functions are called by it."""
    found: list[str] = []
    sys.setprofile(lambda _frame, what, _: found.append(what) if what == "call" else None)
    try:
        work()
    finally:
        sys.setprofile(None)
    return len(found)


@pytest.mark.parametrize("why", ["nothing left", "done", "large file left"])
def test_the_worktree_of_a_failure_goes_at_once_if_nobody_will_look_at_it(h: History, why: str) -> None:
    h.run("run-2", keep_failed=600.0)
    h.to("exited", ok=False, code=1)
    left = ["model.bin (3 GB)"] if why == "large file left" else []
    h.secured("a", 1, ref=WIP, commits=int(why == "done"), left=left)
    h.add(WorkRejected(1, "exit code 1"), "a")
    if why == "done":
        assert due(h) == []
        h.add(IssueClosed(h.generation("a")), "a")
    assert [type(command) for command in due(h)] == ([] if left else [Remove])
