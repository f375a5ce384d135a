"""`kill -9` of the swarm at the very boundaries: before and after an append, a merge, a landing, the start of a
session, and each git command of these. Started again and again it keeps the same promises.
"""

import random
import signal
import sys
from pathlib import Path

import pytest

from misbehaving import BAD, BREAKS, GOOD, Mischief
from soak import amount
from stage import Stage

PROGRAM = Path(__file__).parents[1] / "failpoint.py"
POINTS = {"append": 30, "git": 40, "prepare": 2, "start": 4, "secure": 2, "gate": 3, "merge": 2, "land": 2, "remove": 2}
"""Where it dies: at most at the so-many-th passage since it was started."""
QUICK = [kind for kind in BAD if kind.name in ("dirty", "quota", "fails", "mute", "forks")]


@pytest.mark.slow
def test_killed_at_any_boundary_it_goes_on_and_keeps_its_promises(stage: Stage) -> None:
    chance, points = random.Random(5), amount(12, 340)
    mischief = Mischief(stage, [*QUICK, GOOD, GOOD, BREAKS])
    report = mischief.outside / "points"
    report.touch()
    for number in range(points):
        name = [*POINTS][number % len(POINTS)]
        where = f"{name}:{chance.randint(1, POINTS[name])}"
        program = (sys.executable, "-P", str(PROGRAM), where, str(report))
        process = mischief.start("--max-retries", "0", program=program)
        code = mischief.watch(process, 300)
        assert code in (-signal.SIGKILL, 1), mischief.said()
        if code == 1:
            assert stage.events("run.stopped"), mischief.said()
            mischief.open([*QUICK, GOOD, GOOD])
    process = mischief.start("--max-retries", "0")
    assert mischief.watch(process, amount(300, 1200)) == 1, mischief.said()
    died = report.read_text().splitlines()
    print(len(died), "deaths:", *died)
    assert len(died) >= amount(6, 300), died
    mischief.check()
