"""Fourteen kinds of agents that misbehave, eight at a time, among good ones; and a swarm that is killed meanwhile.

Whatever they do: every issue ends done or blocked with its reason; the target is green at every commit; no commit of
any agent is lost; nothing is left running; what hosts them stays small; the log is whole, and decides again what it
decided.
"""

import random

import pytest

from misbehaving import BAD, BREAKS, GOOD, Mischief
from soak import amount
from stage import Stage


@pytest.mark.slow
def test_whatever_agents_do_nothing_is_lost_left_or_broken(stage: Stage) -> None:
    kinds = [*BAD * amount(2, 11), *[GOOD] * amount(8, 31), BREAKS, BREAKS]
    mischief = Mischief(stage, kinds)
    process = mischief.start()
    assert mischief.watch(process, amount(300, 1200)) == 1, mischief.said()
    mischief.check()
    assert max(len(event.data.members) for event in stage.events("batch.formed")) > 1


@pytest.mark.slow
def test_the_same_with_a_swarm_that_is_killed_every_few_seconds(stage: Stage) -> None:
    chance = random.Random(7)
    mischief = Mischief(stage, [*BAD * amount(1, 5), *[GOOD] * amount(3, 20), BREAKS], parallel=2)
    for _ in range(amount(6, 60)):
        process = mischief.start("--max-retries", "0")
        if mischief.watch(process, chance.uniform(0.5, 4.0)) is not None:
            break
        process.kill()
        process.wait()
    process = mischief.start("--max-retries", "0")
    assert mischief.watch(process, amount(300, 1200)) == 1, mischief.said()
    mischief.check()


def test_tests_that_are_missing_hold_the_queue_and_once_they_are_there_all_lands(stage: Stage) -> None:
    """Pain 12: whatever such a command says, it has not judged."""
    mischief = Mischief(stage, [GOOD] * 4, test="./no-gate.sh")
    assert mischief.watch(mischief.start(), 300) == 1, mischief.said()
    assert stage.events("queue.held")
    assert not stage.events("merge.landed")
    assert not stage.events("attempt.retried")
    assert "the merge queue is held" in mischief.said()
    mischief.settings()
    assert mischief.watch(mischief.start(), 300) == 1, mischief.said()
    mischief.check()
