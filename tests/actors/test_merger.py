"""Merger: what waits is tested together and lands as the very tree that passed; of what fails the culprit is found."""

from typing import Any

import pytest

from swarm.actors import merger
from swarm.actors.command import Decide
from swarm.actors.landing import Land, Predict, Stack
from swarm.actors.stacks import batch_of
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import (
    AttemptCancelled,
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    Gate,
    GateFlaked,
    LeakCleared,
    LeakDetected,
    MailAcked,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergePredicted,
    MergeQueued,
    MergeRejected,
    QueueHeld,
    QueueResumed,
    RunStopRequested,
    SessionExited,
    SessionKillRequested,
    SessionLost,
)
from swarm.world import Branch
from swarm.world.git import GitError

from history import History, commit, decided
from queueing import Queue, good, queue_of, unless, until_test

# --- into the queue ---


@pytest.mark.parametrize("verdict", ["passed", "none"])
def test_what_passed_its_gate_is_queued_once(h: History, verdict: str) -> None:
    h.to("gated", verdict=verdict)
    queued = MergeQueued(1, "swarm/builder-1/a-1", commit("a-1"))
    assert decided(merger.due(h.board(), h.now)) == [("a", queued)]
    h.to("queued")
    assert MergeQueued not in [type(fact) for _, fact in decided(merger.due(h.board(), h.now))]


@pytest.mark.parametrize("verdict", ["failed", "broken"])
def test_what_did_not_pass_is_not_queued(h: History, verdict: str) -> None:
    h.to("gated", verdict=verdict)
    assert merger.due(h.board(), h.now) == []


def test_what_was_called_off_is_not_queued(h: History) -> None:
    h.to("gated")
    h.add(AttemptCancelled(1, "closed"), "a")
    assert merger.due(h.board(), h.now) == []


def test_a_letter_to_the_merger_is_taken_note_of(h: History) -> None:
    letter = h.letter("merger")
    assert decided(merger.due(h.board(), h.now)) == [(letter, MailAcked(letter, "merger"))]


def test_a_branch_whose_assignment_was_lost_to_a_damaged_line_does_not_hold_up_the_queue() -> None:
    queue = queue_of(1)
    queue.add(MergeQueued(1, "swarm/kim/ghost-1", commit("ghost")), "ghost")
    assert queue.settle().landed == ["i0"]


# --- together ---


def test_what_waits_is_tested_once_and_lands_as_the_tree_that_passed() -> None:
    queue = queue_of(5).settle()
    (stacked,), (tested,) = queue.of(BatchStacked), queue.of(BatchTested)
    assert queue.runs == [stacked.data.commit] == queue.repository.moves
    assert (tested.data.verdict, tested.data.gate, tested.data.run) == ("passed", "test", 1)
    landed = [event.data for event in queue.of(MergeLanded)]
    assert [each.own for each in landed] == stacked.data.commits
    assert {each.batch for each in landed} == {stacked.subject}
    assert queue.of(BatchDissolved)[0].data == BatchDissolved("landed", stacked.data.commit)
    assert set(queue.repository.files(queue.repository.tip("main"))) == {"README", *(f"i{n}" for n in range(5))}


def test_branches_that_touch_one_file_are_tested_apart() -> None:
    queue = Queue(good)
    for name in ("a", "b", "c"):
        queue.branch(name, {"same" if name != "c" else "other": f"{name}\n"})
    queue.round()
    assert queue.of(BatchFormed)[0].data.members == [("a", 1), ("c", 1)]
    assert queue.settle().landed == ["a", "c"]
    assert queue.conflicted == ["b"]


def test_what_is_expected_to_conflict_is_taken_alone_and_what_does_costs_no_test() -> None:
    queue = queue_of(1)
    until_test(queue)
    for name in ("a", "b"):
        queue.branch(name, {"i0" if name == "a" else "b": "mine\n"})
    queue.add(MergePredicted(1, commit("a"), queue.repository.tip("main"), ["i0"]), "a")
    queue.settle()
    assert (queue.landed, queue.conflicted, len(queue.runs)) == (["i0", "b"], ["a"], 2)
    assert [event.data.members for event in queue.of(BatchFormed)] == [[("i0", 1)], [("a", 1)], [("b", 1)]]


def test_without_a_gate_there_is_nothing_to_judge_and_it_lands() -> None:
    queue = Queue(good, gates=())
    queue.branch("a", {"a": "x\n"})
    assert (queue.settle().landed, queue.words, queue.runs) == (["a"], ["none"], [])


def test_every_gate_has_to_pass_in_its_order_and_a_later_one_may_say_no() -> None:
    seen: list[str] = []
    gates = (Gate("slow", "make all", when="landing"), Gate("lint", "make lint", 5.0), Gate("own", "x", when="attempt"))
    queue = Queue(good, gates=gates)
    queue.branch("a", {"a": "x\n"})
    queue.settle(lambda: seen.extend(spec.argv[-1] for spec in queue.programs.open.values()))
    assert list(dict.fromkeys(seen)) == ["make lint", "make all"]
    assert [event.data.gate for event in queue.of(BatchTested)] == ["lint", "slow"]
    queue = Queue(lambda _files, run: int(run > 0), gates=gates)
    queue.branch("a", {"a": "x\n"})
    queue.settle()
    assert (queue.landed, queue.words) == ([], ["passed", "failed", "failed"])
    assert "the tests slow fail" in queue.of(MergeRejected)[0].data.reason


# --- what fails ---


def test_a_tree_that_fails_once_and_passes_then_has_flaked_and_lands() -> None:
    queue = queue_of(3, lambda _files, run: int(run == 0)).settle()
    assert (queue.landed, queue.words) == (["i0", "i1", "i2"], ["failed", "passed"])
    (flaked,) = queue.of(GateFlaked)
    assert (flaked.data.command, flaked.data.tree) == ("make test", queue.of(BatchStacked)[0].data.tree)


def test_a_single_branch_is_rejected_with_the_output_after_two_runs() -> None:
    queue = queue_of(1, unless("i0")).settle()
    (rejected,) = queue.of(MergeRejected)
    assert (rejected.data.reason, rejected.data.output) == ("merged, the tests fail (exit code 1)", "E")
    assert (rejected.data.batch, rejected.data.final) == (queue.of(BatchFormed)[0].subject, False)
    assert [event.data.run for event in queue.of(BatchTested)] == [1, 2]


@pytest.mark.parametrize(("culprit", "runs"), [(7, 5), (0, 8)])
def test_the_culprit_of_eight_is_found_by_halves(culprit: int, runs: int) -> None:
    """The last: the whole twice, and a green half for each level, which lands; its own tree is known to be red. The
    first: the whole twice, a red half for each level, the last of them twice; and two batches of those that are left.
    """
    queue = queue_of(8, unless(f"i{culprit}")).settle()
    assert queue.rejected == [f"i{culprit}"]
    assert sorted(queue.landed) == sorted({f"i{n}" for n in range(8)} - {f"i{culprit}"})
    assert len(queue.runs) == runs


def test_two_that_are_bad_only_together_cost_the_later_one() -> None:
    queue = queue_of(4, lambda files, _run: int({"i0", "i3"} <= files.keys())).settle()
    assert (queue.landed, queue.rejected) == (["i0", "i1", "i2"], ["i3"])


def test_after_a_failure_fewer_are_tested_at_once_and_after_each_landing_more() -> None:
    queue = queue_of(20, unless("i0"), batch_max=4).settle()
    sizes = [len(event.data.members) for event in queue.of(BatchFormed) if not event.data.of]
    assert sizes == [4, 2, 4, 4, 4, 4, 1]


# --- side by side ---


def test_batches_are_tested_side_by_side_each_on_top_of_the_one_before() -> None:
    queue = queue_of(6, batch_max=2, parallel=3)
    until_test(queue)
    folders = [spec.cwd.rpartition("/")[2] for spec in queue.programs.open.values()]
    assert folders == ["merger", "merger-2", "merger-3"]
    one, two, three = (event.data for event in queue.of(BatchStacked))
    assert (two.base, three.base) == (one.commit, two.commit)
    queue.settle()
    assert queue.repository.moves == [one.commit, two.commit, three.commit]
    assert len(queue.runs) == 3


def test_only_the_first_may_land_though_a_later_one_passed_first() -> None:
    queue = queue_of(2, batch_max=1, parallel=2)
    until_test(queue)
    first = next(iter(queue.programs.open))
    spec = queue.programs.open.pop(first)
    queue.finish()
    while queue.round():
        pass
    assert queue.landed == []
    queue.programs.open[first] = spec
    assert queue.settle().landed == ["i0", "i1"]


def test_what_was_built_on_a_failed_batch_is_built_anew_and_its_test_is_ended() -> None:
    queue = queue_of(3, unless("i0"), batch_max=1, parallel=3)
    queue.settle()
    assert (queue.rejected, queue.landed) == (["i0"], ["i1", "i2"])
    reasons = [event.data.reason for event in queue.of(BatchDissolved)]
    assert any("did not land" in reason for reason in reasons)


# --- what goes wrong ---


def test_what_a_person_withdraws_dissolves_its_batch_and_ends_its_test() -> None:
    for fact in (AttemptCancelled(1, "closed"), MergeDropped(1, "not that one")):
        queue = queue_of(2)
        until_test(queue)
        (session,) = queue.programs.open
        queue.add(fact, "i1")
        while queue.round():
            pass
        assert [event.data.session for event in queue.of(SessionKillRequested)] == [session]
        queue.programs.kill(session)
        queue.add(SessionExited(session, 1, -15, False, 1.0, ended_by="killed"), "i0")
        assert queue.settle().landed == ["i0"]
        assert batch_of(session) == queue.of(BatchFormed)[0].subject


def test_two_tests_that_cannot_judge_hold_the_queue_and_are_nobodys_fault() -> None:
    queue = queue_of(2, lambda _files, _run: 127).settle()
    assert (queue.words, queue.rejected, queue.landed) == (["broken", "broken"], [], [])
    (held,) = queue.of(QueueHeld)
    assert (held.subject, held.data.kind) == ("run-1", "infrastructure")
    assert "(exit code 127), 2 times in a row: make test" in held.data.reason
    queue.says = good
    queue.add(QueueResumed("mended"), "run-1")
    assert queue.settle().landed == ["i0", "i1"]


def test_one_test_that_cannot_judge_is_run_again_and_a_new_run_lets_the_queue_go_on() -> None:
    queue = queue_of(1, lambda _files, run: 127 if run == 0 else 0).settle()
    assert (queue.words, queue.landed) == (["broken", "passed"], ["i0"])
    queue = queue_of(1, lambda _files, run: 127 if run < 3 else 0).settle()
    assert queue.landed == []
    queue.start()
    assert queue.settle().landed == ["i0"]


def test_a_test_that_went_down_with_the_machine_is_begun_anew_and_one_that_always_does_cannot_judge() -> None:
    queue = queue_of(1)
    for _ in range(3):
        until_test(queue)
        (session,) = queue.programs.open
        queue.programs.kill(session)
        queue.add(SessionLost(session, 1, "gone"), "i0")
    queue.round()
    assert queue.words == ["broken"]
    assert queue.settle().landed == ["i0"]


def test_no_test_is_started_while_everything_is_being_ended() -> None:
    queue = queue_of(1)
    queue.add(RunStopRequested(agents=True), "run-1")
    queue.settle()
    assert not queue.programs.open
    queue.start()
    assert queue.settle().landed == ["i0"]


def test_a_target_that_moved_has_everything_stacked_anew() -> None:
    queue = queue_of(2)
    until_test(queue)
    queue.repository.commit("main", {"person": "work\n"})
    queue.settle()
    assert queue.landed == ["i0", "i1"]
    assert [event.data.reason for event in queue.of(BatchDissolved)] == ["the target moved", "landed"]
    assert "person" in queue.repository.files(queue.repository.tip("main"))


def test_a_crash_between_landing_and_saying_so_is_found_again_as_landed() -> None:
    queue = queue_of(2)
    until_test(queue)
    queue.finish()
    queue.round()
    (land,) = merger.due(queue.board, queue.now)
    assert isinstance(land, Land)
    first, _ = merger.perform(land, queue.hands)
    queue.add(first.fact, first.subject)
    assert queue.settle().landed == ["i0", "i1"]
    assert len(queue.repository.moves) == 1


def test_an_attempt_that_leaked_into_the_checkout_waits_until_a_person_says_so() -> None:
    queue = queue_of(2)
    queue.add(LeakDetected(1, "README changed", evidence="it ran git there"), "i0")
    assert queue.settle().landed == ["i1"]
    queue.add(LeakCleared(1), "i0")
    assert queue.settle().landed == ["i1", "i0"]


@pytest.mark.parametrize("policy", ["reopen", "skip", "stop", "resolve"])
def test_a_conflict_ends_the_attempt_and_stop_holds_the_queue(policy: str) -> None:
    queue = Queue(good, on_conflict=policy)
    queue.branch("a", {"same": "a\n"})
    queue.branch("b", {"same": "b\n"})
    queue.branch("c", {"c": "x\n"}, priority=5)
    queue.settle()
    (conflict,) = queue.of(MergeConflicted)
    assert (conflict.subject, conflict.data.files) == ("b", ["same"])
    held = [event.data for event in queue.of(QueueHeld)]
    if policy == "stop":
        assert [(each.kind, each.issue) for each in held] == [("conflict", "b")]
        assert "same" in held[0].reason
    else:
        assert held == []
        assert queue.landed == ["a", "c"]


def test_what_conflicts_with_something_that_may_not_land_is_not_told_to_conflict() -> None:
    queue = Queue(unless("same"), batch_max=1, parallel=2)
    queue.branch("a", {"same": "a\n"})
    queue.branch("b", {"other": "b\n"})
    queue.repository.commit("main", {"x": "y\n"})
    queue.branch("c", {"same": "c\n"})
    queue.settle()
    assert (queue.conflicted, queue.rejected, queue.landed) == ([], ["a", "c"], ["b"])


# --- git refuses ---


def stack(*issues: str) -> Stack:
    branches = tuple(Branch(issue, "kim", "x", commit(issue)) for issue in issues)
    return Stack("b-1", tuple((issue, 1) for issue in issues), branches, "main", "", "merge", 1e9, False, "cause")


def test_what_git_refuses_of_one_branch_leaves_the_queue_for_a_person() -> None:
    (each,) = merger.refused(stack("a"), SwarmError("git is broken", "mend git"))
    assert (each.subject, each.cause) == ("a", "cause")
    assert each.fact == MergeRejected(1, "git is broken", "mend git", final=True, batch="b-1")


def test_what_git_refuses_of_several_is_tried_with_fewer() -> None:
    queue = queue_of(4)
    real = queue.repository.stack

    def refuse(base: str, branches: Any, *rest: Any) -> Any:
        if any(branch.issue == "i2" for branch in branches):
            raise GitError("bad object")
        return real(base, branches, *rest)

    vars(queue.repository)["stack"] = refuse
    queue.settle()
    assert sorted(queue.landed) == ["i0", "i1", "i3"]
    assert (queue.rejected, queue.of(MergeRejected)[0].data.final) == (["i2"], True)


def test_a_worktree_that_cannot_be_made_has_not_judged() -> None:
    queue = queue_of(1)

    def refuse(*_: Any) -> str:
        raise GitError("No space left on device")

    vars(queue.repository)["gate"] = refuse
    queue.settle()
    assert (queue.words, queue.rejected) == (["broken", "broken"], [])
    assert "No space left" in queue.of(QueueHeld)[0].data.reason


# --- predictions ---


def test_what_waits_is_predicted_once_and_again_when_the_target_has_moved() -> None:
    queue = queue_of(1)
    until_test(queue)
    queue.branch("a", {"a": "x\n"})
    due = [command for command in merger.due(queue.board, queue.now) if not isinstance(command, Decide)]
    assert [type(command) for command in due] == [Predict]
    queue.round()
    assert merger.due(queue.board, queue.now) == []
    assert queue.of(MergePredicted)[0].data.base == queue.repository.tip("main")
