"""Several batches tested side by side while something fails: who is tested with whom, who lands first, and what that
saves. Rule: tests that run side by side end together, as those of the same command do.
"""

from swarm.eventlog.events import (
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    GateFlaked,
    SessionExited,
    SessionKillRequested,
)

from queueing import Queue, queue_of, unless, until_test

BAD = (5, 22, 40, 59)


def rounds(queue: Queue) -> int:
    """Play it to its end; how often tests were waited for."""
    for number in range(100):
        while queue.round():
            pass
        if not queue.programs.open:
            return number
        end(queue)
    raise AssertionError("it does not come to an end")


def end(queue: Queue) -> None:
    """What runs ends, all together."""
    for _ in list(queue.programs.open):
        queue.finish()
    while queue.round():
        pass


def batch(queue: Queue, *issues: str) -> str:
    """The newest batch of exactly these."""
    wanted = [(issue, 1) for issue in issues]
    return [event.subject for event in queue.of(BatchFormed) if event.data.members == wanted][-1]


def test_four_bad_ones_among_many_cost_little_more_time_than_none() -> None:
    good = queue_of(64, batch_max=16, parallel=8)
    assert (rounds(good), len(good.runs)) == (1, 4)
    queue = queue_of(64, unless(*(f"i{number}" for number in BAD)), batch_max=16, parallel=8)
    assert rounds(queue) <= 8
    assert len(queue.runs) <= 56
    assert (len(queue.landed), sorted(queue.rejected)) == (60, sorted(f"i{number}" for number in BAD))


def test_while_the_first_is_tried_again_what_was_on_top_of_it_is_tested_without_it() -> None:
    queue = queue_of(6, unless("i0"), batch_max=2, parallel=3)
    until_test(queue)
    first, *above = list(queue.programs.open)
    queue.finish()
    while queue.round():
        pass
    assert [event.data.session for event in queue.of(SessionKillRequested)] == above
    for session in above:
        spec = queue.programs.open.pop(session)
        queue.add(SessionExited(session, 1, -15, False, 1.0, ended_by="killed"), spec.issue)
    until_test(queue)
    assert f"{first[:-1]}2" in queue.programs.open
    tip = queue.repository.tip("main")
    anew = [event.data for event in queue.of(BatchStacked)][3:]
    assert len(anew) == 2
    assert {stacked.base for stacked in anew} == {tip}
    queue.settle()
    assert (queue.rejected, sorted(queue.landed)) == (["i0"], ["i1", "i2", "i3", "i4", "i5"])


def test_what_passed_and_was_overtaken_lands_with_all_others_that_did() -> None:
    queue = queue_of(8, unless("i0"), batch_max=8, parallel=4)
    until_test(queue)
    end(queue)  # the whole, once
    end(queue)  # and once more
    end(queue)  # its parts: i0 and i1, i2 and i3, …
    assert queue.landed == ["i2", "i3"]
    moved = [event.subject for event in queue.of(BatchDissolved) if event.data.reason == "the target moved"]
    assert moved == [batch(queue, "i4", "i5"), batch(queue, "i6", "i7")]
    together = batch(queue, "i4", "i5", "i6", "i7")
    end(queue)
    assert [event.data.verdict for event in queue.of(BatchTested) if event.subject == together] == ["passed"]
    assert queue.landed == ["i2", "i3", "i4", "i5", "i6", "i7"]
    queue.settle()
    assert (queue.rejected, queue.landed[-1]) == (["i0"], "i1")


def test_what_is_known_to_be_good_is_not_overtaken_by_what_passes_meanwhile() -> None:
    queue = queue_of(8, unless("i0"), batch_max=8, parallel=4)
    until_test(queue)
    for _ in range(3):
        end(queue)
    good = f"{batch(queue, 'i4', 'i5', 'i6', 'i7')}-test-1"
    spec = queue.programs.open.pop(good)
    end(queue)
    assert batch(queue, "i1") in [e.subject for e in queue.of(BatchTested) if e.data.verdict == "passed"]
    assert queue.landed == ["i2", "i3"]
    queue.programs.open[good] = spec
    end(queue)
    assert queue.landed[2:6] == ["i4", "i5", "i6", "i7"]
    queue.settle()
    assert (queue.rejected, queue.landed[-1]) == (["i0"], "i1")


def test_a_person_who_moves_the_target_has_all_of_it_stacked_anew() -> None:
    queue = queue_of(8, unless("i0"), batch_max=8, parallel=4)
    until_test(queue)
    end(queue)
    end(queue)
    queue.repository.commit("main", {"person": "work\n"})
    _, *others = list(queue.programs.open)
    queue.finish()  # i0 and i1 fail: to part them, the target is looked at again
    while queue.round():
        pass
    assert {event.data.session for event in queue.of(SessionKillRequested)} == {*others}
    for session in others:
        spec = queue.programs.open.pop(session)
        queue.add(SessionExited(session, 1, -15, False, 1.0, ended_by="killed"), spec.issue)
    queue.settle()
    assert (queue.rejected, len(queue.landed)) == (["i0"], 7)
    assert "person" in queue.repository.files(queue.repository.tip("main"))


def test_what_fails_once_and_was_overtaken_has_flaked_and_lands() -> None:
    queue = queue_of(6, lambda _files, run: int(run == 0), batch_max=2, parallel=3)
    until_test(queue)
    end(queue)
    queue.settle()
    assert sorted(queue.landed) == [f"i{number}" for number in range(6)]
    assert len(queue.of(GateFlaked)) == 1
    assert queue.rejected == []
