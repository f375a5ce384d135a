"""What cannot be judged: the gate is run without the work too, and that tells whose fault it is."""

from typing import Any

import pytest

from swarm.eventlog.events import BatchStacked, GateControlled, MergeRejected, QueueHeld, QueueResumed, SessionExited

from queueing import queue_of, unless


def unable(*bad: str) -> Any:
    """The test cannot be run where one of these is there."""
    return lambda files, _run: 127 if any(name in files for name in bad) else 0


def test_a_branch_that_keeps_the_test_from_judging_is_rejected_and_holds_nobody_up() -> None:
    queue = queue_of(1, unable("i0")).settle()
    assert (queue.words, queue.rejected, queue.of(QueueHeld)) == (["broken"] * 3, ["i0"], [])
    (control,), (stacked,) = queue.of(GateControlled), queue.of(BatchStacked)
    assert (control.subject, control.data.base, control.data.verdict) == (stacked.subject, stacked.data.base, "passed")
    work, base = stacked.data.commit, stacked.data.base
    assert queue.runs == [work, work, base, work]
    (rejected,) = queue.of(MergeRejected)
    assert "(exit code 127); without this work it can judge" in rejected.data.reason
    assert (rejected.data.output, rejected.data.final) == ("E", False)


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_outage_that_ends_before_the_control_blames_nobody(parallel: int) -> None:
    """Else whoever was tested meanwhile would be at fault."""
    queue = queue_of(1, lambda _files, run: 127 if run < 2 else 0, parallel=parallel).settle()
    assert (queue.words, queue.landed, queue.rejected) == (["broken", "broken", "passed"], ["i0"], [])
    assert [event.data.verdict for event in queue.of(GateControlled)] == ["passed"]


def test_what_fails_once_it_can_be_judged_again_has_failed() -> None:
    """As often as any other tree: and what was broken before another verdict counts no more."""
    ends = [127, 127, 0, 1, 127, 1]
    queue = queue_of(1, lambda _files, run: ends[run]).settle()
    assert queue.words == ["broken", "broken", "failed", "broken", "failed"]
    assert (queue.rejected, len(queue.of(GateControlled))) == (["i0"], 1)


def test_an_outage_while_a_part_of_a_batch_is_tested_blames_nobody() -> None:
    """The whole fails; of the halves, the one with the good branch cannot be judged at first."""
    ends = {0: 1, 1: 1, 2: 127, 3: 127}
    says = unless("i1")
    queue = queue_of(2, lambda files, run: ends.get(run, 0 if run == 4 else says(files, run))).settle()
    assert (queue.landed, queue.rejected) == (["i0"], ["i1"])


def test_a_base_that_fails_its_test_can_be_judged() -> None:
    queue = queue_of(1, lambda files, _run: 127 if "i0" in files else 1).settle()
    assert ([event.data.verdict for event in queue.of(GateControlled)], queue.rejected) == (["failed"], ["i0"])


@pytest.mark.parametrize("parallel", [1, 2, 4])
@pytest.mark.parametrize("culprit", range(4))
def test_of_several_the_one_that_keeps_the_test_from_judging_is_found(parallel: int, culprit: int) -> None:
    queue = queue_of(4, unable(f"i{culprit}"), parallel=parallel, batch_max=2 if parallel == 2 else 8).settle()
    assert (queue.rejected, sorted(queue.landed)) == (
        [f"i{culprit}"],
        sorted({f"i{number}" for number in range(4)} - {f"i{culprit}"}),
    )
    assert not queue.of(QueueHeld)


def test_what_is_built_on_a_branch_that_keeps_the_test_from_judging_costs_nobody_anything() -> None:
    queue = queue_of(3, unable("i0"), parallel=3, batch_max=1).settle()
    assert (queue.rejected, queue.landed, queue.of(QueueHeld)) == (["i0"], ["i1", "i2"], [])


def test_a_control_counts_only_for_what_could_not_be_judged_before_it() -> None:
    """Mended, and broken again for everybody: what is held is held anew."""
    queue = queue_of(1, lambda _files, _run: 127).settle()
    assert len(queue.of(QueueHeld)) == 1
    queue.add(QueueResumed("mended"), "run-1")
    queue.settle()
    assert (len(queue.of(QueueHeld)), len(queue.of(GateControlled)), queue.rejected) == (2, 2, [])


def test_a_control_of_the_run_before_goes_on_and_blames_nobody() -> None:
    queue = queue_of(1, lambda _files, run: 127 if run < 2 else 0)
    while not any("--" in name for name in queue.programs.open):
        assert queue.round() or queue.finish()
    queue.start()
    assert (queue.settle().landed, queue.rejected) == (["i0"], [])
    assert (len(queue.runs), queue.programs.most) == (4, 1)


def test_a_control_that_was_called_off_is_begun_anew() -> None:
    queue = queue_of(1, unable("i0"))
    while not (control := [name for name in queue.programs.open if "--" in name]):
        assert queue.round() or queue.finish()
    queue.programs.kill(control[0])
    queue.add(SessionExited(control[0], 1, -15, False, 1.0, ended_by="killed"), "i0")
    assert queue.settle().rejected == ["i0"]
