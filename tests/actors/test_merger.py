"""Merger: one branch at a time, and only what was tested lands."""

from typing import Any

import pytest

from swarm.actors import merger
from swarm.actors.attempts import WORKTREES
from swarm.actors.command import Command
from swarm.actors.gates import Verdict
from swarm.actors.merger import JudgeTest, Land, Merge, StartTest
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    AttemptCancelled,
    LandingHeld,
    MailAcked,
    MergeConflicted,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeTested,
    QueueHeld,
    RunStopRequested,
    SessionExited,
    SessionRequested,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.ids import time_of

from history import BASE, History, commit, decided, deeds

MERGE = commit(f"merge of a-1 into {BASE}")


def due(h: History) -> list[Command]:
    return deeds(merger.due(h.board(), h.now))


def about(h: History) -> list[tuple[str, type]]:
    """(issue, what) of what is due."""
    return [(command.issue, type(command)) for command in due(h) if isinstance(command, Merge | StartTest | Land)]


def said(command: Command, bench: Any) -> list[Fact]:
    return [each.fact for each in merger.perform(command, bench.hands)]


def hold(h: History, issue: str) -> str:
    merge = next(e.data for e in reversed(h.events) if e.subject == issue and isinstance(e.data, MergePrepared))
    return h.add(LandingHeld(merge.attempt, "main", merge.commit, "in the way", "git stash"), issue, "merger")


# --- the queue ---


@pytest.mark.parametrize("verdict", ["passed", "none"])
def test_what_passed_its_gate_is_queued_once(h: History, verdict: str) -> None:
    h.to("gated", verdict=verdict)
    queued = MergeQueued(1, "swarm/builder-1/a-1", commit("a-1"))
    assert decided(merger.due(h.board(), h.now)) == [("a", queued)]
    h.to("queued")
    assert decided(merger.due(h.board(), h.now)) == []


@pytest.mark.parametrize("verdict", ["failed", "broken"])
def test_what_did_not_pass_is_not_queued(h: History, verdict: str) -> None:
    h.to("gated", verdict=verdict)
    assert merger.due(h.board(), h.now) == []


def test_what_was_called_off_is_not_queued(h: History) -> None:
    h.to("gated")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert merger.due(h.board(), h.now) == []


def test_the_first_in_the_queue_is_merged_and_the_next_waits(h: History) -> None:
    h.issue("b")
    h.to("queued", "b")
    cause = h.to("queued", "a")
    assert about(h) == [("b", Merge)]
    h.to("landed", "b")
    (merge,) = due(h)
    assert merge == Merge("a", 1, "builder-1", "Do a", commit("a-1"), "main", time_of(cause), cause)


@pytest.mark.parametrize("stage", ["merged", "test_requested", "test_exited", "tested"])
def test_the_next_waits_while_one_is_on_its_way(h: History, stage: str) -> None:
    h.issue("b")
    h.to("queued", "a")
    h.to("queued", "b")
    h.to(stage, "a")
    assert "b" not in [issue for issue, _ in about(h)]


@pytest.mark.parametrize(
    "end", [MergeConflicted(1, BASE, ["x"]), MergeRejected(1, "bad"), AttemptCancelled(1, "closed")]
)
def test_the_next_has_its_turn_once_one_has_left_the_queue(h: History, end: Fact) -> None:
    h.issue("b")
    h.to("queued", "a")
    h.to("queued", "b")
    h.add(end, "a")
    assert about(h) == [("b", Merge)]


def test_a_held_landing_is_tried_again_and_lets_the_next_pass(h: History) -> None:
    h.issue("b")
    h.to("queued", "a")
    h.to("queued", "b")
    cause = h.to("tested", "a")
    assert about(h) == [("a", Land)]
    hold(h, "a")
    first, second = due(h)
    assert first == Land("a", 1, "main", BASE, MERGE, "in the way", cause)
    assert isinstance(second, Merge)
    h.to("tested", "b")
    assert about(h) == [("a", Land), ("b", Land)]


def test_after_the_target_moved_it_is_merged_anew_and_comes_first_again(h: History) -> None:
    h.issue("b")
    h.to("queued", "a")
    h.to("queued", "b")
    h.to("tested", "a")
    hold(h, "a")
    cause = h.add(MergeRequeued(1, BASE, commit("other")), "a", "merger")
    assert about(h) == [("a", Merge)]
    (merge,) = due(h)
    assert isinstance(merge, Merge)
    assert merge.cause == cause
    h.merged("a", 1, commit("other"))
    assert about(h) == [("a", StartTest)], "the test of the merge before counts no more"


# --- merge, test ---


def test_a_merge_is_tested_in_a_session_of_its_own(h: History) -> None:
    cause = h.to("merged")
    name = f"a-1-land-{MERGE[:8]}"
    assert due(h) == [StartTest("a", 1, name, MERGE, "make test", cause)]
    h.to("test_requested")
    assert due(h) == []
    h.to("test_exited", code=1, ok=False, tail="E")
    (judge,) = due(h)
    assert isinstance(judge, JudgeTest)
    assert (judge.base, judge.commit, judge.said.word) == (BASE, MERGE, "failed")


def test_a_test_that_was_interrupted_is_followed_by_another(h: History) -> None:
    h.to("test_requested")
    h.exited("a", 1, session=h.landing("a", 1), ok=False, code=-15, ended_by="killed")
    (start,) = due(h)
    assert isinstance(start, StartTest)
    assert start.session == f"a-1-land-{MERGE[:8]}-2"


def test_the_worktree_is_not_touched_while_the_test_of_what_was_called_off_still_runs_in_it(h: History) -> None:
    h.issue("b")
    h.to("queued", "a")
    h.to("queued", "b")
    h.to("test_requested", "a")
    session = h.landing("a", 1)
    h.add(AttemptCancelled(1, "closed"), "a")
    h.to("merged", "b")
    assert due(h) == []
    h.add(SessionExited(session, 1, -15, ok=False, seconds=1.0, ended_by="killed"), "a")
    assert about(h) == [("b", StartTest)]


def test_no_test_is_started_while_everything_is_being_ended(h: History) -> None:
    h.to("merged")
    h.add(RunStopRequested(agents=True), "run-1")
    assert due(h) == []
    h.run("run-2")
    assert about(h) == [("a", StartTest)]


def test_without_a_test_command_there_is_nothing_to_judge_and_it_lands(h: History) -> None:
    h.run("run-2", test="")
    cause = h.to("merged")
    assert due(h) == [JudgeTest("a", 1, BASE, MERGE, "", Verdict("none"), cause)]
    h.to("tested", verdict="none")
    assert about(h) == [("a", Land)]


def test_what_did_not_pass_does_not_land(h: History) -> None:
    h.to("tested", verdict="failed")
    assert due(h) == []


def test_a_test_that_could_not_judge_is_run_once_more_and_then_nothing_is_tested_or_landed(h: History) -> None:
    h.to("test_exited", ok=False, code=127)
    (first,) = due(h)
    assert isinstance(first, JudgeTest)
    assert not first.hold
    h.to("tested", verdict="broken")
    (again,) = due(h)
    assert isinstance(again, StartTest)
    h.exited("a", 1, session=again.session, ok=False, code=127)
    (second,) = due(h)
    assert isinstance(second, JudgeTest)
    assert second.hold
    h.add(QueueHeld("infrastructure", "missing"), "run-1")
    h.tested("a", 1, verdict="broken")
    assert due(h) == []
    h.run("run-2")
    assert about(h) == [("a", StartTest)]


# --- doing it ---


def branch(bench: Any, files: dict[str, str]) -> str:
    tip = bench.repository.tip("main")
    bench.repository.prepare("w", "swarm/kim/a-1", tip)
    bench.repository.write("w", files)
    secured = bench.repository.secure("w", "swarm/kim/a-1", tip, "refs/heads/swarm/kim/a-1", "Do a", "kim")
    return str(secured.commit)


def merge_of(tip: str) -> Merge:
    return Merge("a", 1, "kim", "Do a", tip, "main", 1e9, "cause")


def test_merging_is_into_the_targets_tip_and_twice_the_same(bench: Any) -> None:
    tip = branch(bench, {"new": "1\n"})
    base = bench.repository.commit("main", {"other": "1\n"})
    (made,) = said(merge_of(tip), bench)
    assert isinstance(made, MergePrepared)
    assert made.base == base
    assert bench.repository.files(made.commit) == {"README": "hello\n", "new": "1\n", "other": "1\n"}
    assert said(merge_of(tip), bench) == [made]
    assert bench.repository.tip("main") == base


def test_what_does_not_merge_says_which_files(bench: Any) -> None:
    tip = branch(bench, {"README": "mine\n"})
    base = bench.repository.commit("main", {"README": "theirs\n"})
    assert said(merge_of(tip), bench) == [MergeConflicted(1, base, ["README"])]


def test_the_test_runs_on_exactly_the_merge_in_the_mergers_own_worktree(bench: Any) -> None:
    tip = branch(bench, {"new": "1\n"})
    asked = said(StartTest("a", 1, "a-1-land-1", tip, "make test", "cause"), bench)
    assert asked == [SessionRequested("a-1-land-1", 1, "landing", 7)]
    assert bench.repository.worktrees[f"{WORKTREES}/merger"].files == bench.repository.files(tip)
    spec = bench.sessions.specs["a-1-land-1"]
    assert (spec.argv[-1], spec.cwd, spec.kind) == ("make test", f"/repository/{WORKTREES}/merger", "landing")


@pytest.mark.parametrize(
    ("verdict", "final"),
    [
        (Verdict("passed"), None),
        (Verdict("none"), None),
        (Verdict("broken", 127, "it could not be run"), None),
        (Verdict("failed", 1, "the tests fail", "E"), False),
    ],
)
def test_what_a_test_means(bench: Any, verdict: Verdict, final: bool | None) -> None:
    *rejected, tested = said(JudgeTest("a", 1, BASE, MERGE, "make test", verdict, "cause"), bench)
    assert tested == MergeTested(1, BASE, MERGE, verdict.word, "make test", verdict.code, verdict.output)
    if final is None:
        assert rejected == []
    else:
        (fact,) = rejected
        assert isinstance(fact, MergeRejected)
        assert (fact.final, fact.output) == (final, verdict.output)
        assert verdict.why in fact.reason


def test_landing_moves_the_target_or_says_why_not(bench: Any) -> None:
    tip = branch(bench, {"new": "1\n"})
    (made,) = said(merge_of(tip), bench)
    assert isinstance(made, MergePrepared)
    land = Land("a", 1, "main", made.base, made.commit, "", "cause")
    bench.repository.dirty.add("new")
    (held,) = said(land, bench)
    assert isinstance(held, LandingHeld)
    assert (held.commit, held.command) == (made.commit, "git stash")
    assert said(Land("a", 1, "main", made.base, made.commit, held.reason, "cause"), bench) == [], "said once"
    assert said(Land("a", 1, "main", made.base, made.commit, "something else", "cause"), bench) == [held]
    bench.repository.dirty.clear()
    assert said(land, bench) == [MergeLanded(1, "main", made.base, made.commit)]
    assert said(land, bench) == [MergeLanded(1, "main", made.base, made.commit)]
    assert bench.repository.moves == [made.commit]


def test_a_target_that_moved_sends_it_back_to_the_queue(bench: Any) -> None:
    tip = branch(bench, {"new": "1\n"})
    (made,) = said(merge_of(tip), bench)
    assert isinstance(made, MergePrepared)
    found = bench.repository.commit("main", {"other": "1\n"})
    land = Land("a", 1, "main", made.base, made.commit, "", "cause")
    assert said(land, bench) == [MergeRequeued(1, made.base, found)]


@pytest.mark.parametrize(
    "command",
    [
        merge_of(BASE),
        StartTest("a", 1, "s", BASE, "make test", "cause"),
        Land("a", 1, "main", BASE, MERGE, "", "cause"),
    ],
)
def test_what_git_refuses_leaves_the_queue_for_a_person(command: Command) -> None:
    (each,) = merger.refused(command, SwarmError("git is broken", "mend git"))
    assert (each.subject, each.cause) == ("a", "cause")
    assert each.fact == MergeRejected(1, "git is broken", "mend git", final=True)


def test_a_letter_to_the_merger_is_taken_note_of(h: History) -> None:
    letter = h.letter("merger")
    assert decided(merger.due(h.board(), h.now)) == [(letter, MailAcked(letter, "merger"))]


def test_a_branch_whose_assignment_was_lost_to_a_damaged_line_does_not_hold_up_the_queue(h: History) -> None:
    h.add(MergeQueued(1, "swarm/kim/ghost-1", commit("ghost-1")), "ghost", "merger")
    h.to("queued", "a")
    assert about(h) == [("a", Merge)]
