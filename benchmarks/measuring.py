"""How two things are compared. Rule: both sides in one run, in turns that are shuffled anew each round, and of the
rounds the median of the ratios: so a busy machine slows both, and the ratio holds where the rates do not.

A row of the table is a dict: what, baseline (what it is compared with), measured and base (both as words), ratio, goal
(None: it is only shown), more_is_better.
"""

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple

Row = dict[str, Any]
Times = dict[str, list[float]]

ENV = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""For every process that is measured: with the variable, each would compile its modules anew."""


class Size(NamedTuple):
    """How much to measure: `quick` only shows that everything runs, `big` measures the logs of 10 M events too."""

    quick: bool = False
    big: bool = False

    def of(self, full: int, quick: int) -> int:
        """The amount for this size."""
        return quick if self.quick else full


class Spent(NamedTuple):
    """What a process took: seconds on the clock, seconds of processor time; and what it printed."""

    wall: float
    cpu: float
    words: bytes


def in_turns(rounds: int, sides: Mapping[str, Callable[[], float]]) -> Times:
    """What each side gives, so many times. Before it counts, each is called once."""
    order, chance = list(sides), Random(1)
    found: Times = {name: [] for name in order}
    for turn in range(rounds + 1):
        chance.shuffle(order)
        for name in order:
            value = sides[name]()
            if turn:
                found[name].append(value)
    return found


def over(mine: list[float], theirs: list[float]) -> float:
    """The median of the rounds' ratios."""
    return median(a / b for a, b in zip(mine, theirs, strict=True))


def compared(
    what: str,
    baseline: str,
    mine: list[float],
    theirs: list[float],
    shown: Callable[[float], str],
    goal: float | None = None,
    more_is_better: bool = False,
) -> Row:
    """The row of two measured sides; `shown` puts a value into words."""
    return row(what, baseline, shown(median(mine)), shown(median(theirs)), over(mine, theirs), goal, more_is_better)


def row(
    what: str,
    baseline: str,
    measured: str,
    base: str,
    ratio: float,
    goal: float | None = None,
    more_is_better: bool = False,
) -> Row:
    """One row of the table."""
    return {
        "what": what,
        "baseline": baseline,
        "measured": measured,
        "base": base,
        "ratio": ratio,
        "goal": goal,
        "more_is_better": more_is_better,
    }


def spent(argv: list[str], cwd: Path | None = None) -> Spent:
    """Run the program to its end; raises CalledProcessError if it did not end well."""
    begun = time.perf_counter()
    child = subprocess.Popen(
        argv, cwd=cwd, env=ENV, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert child.stdout
    with child.stdout:
        words = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise subprocess.CalledProcessError(child.returncode, argv, output=words)
    return Spent(wall, usage.ru_utime + usage.ru_stime, words)


def cpu_of(work: Callable[[], object]) -> float:
    """Seconds of processor time that a call takes in this process, until its result is there.

    To give back the memory of the result is no part of the work: who folds lives on with the board, as who decodes and
    keeps does with the events, while what is dropped on the way is given back on the way.
    """
    begun = time.process_time()
    made = work()
    took = time.process_time() - begun
    del made
    return took


def p50(step: Callable[[], object], count: int) -> float:
    """The median of so many single calls, in microseconds."""
    clock, times = time.perf_counter_ns, []
    for _ in range(count):
        begun = clock()
        step()
        times.append(clock() - begun)
    return median(times) / 1000


def per_second(value: float) -> str:
    """A rate in words."""
    return f"{value:,.0f}/s"


def microseconds(value: float) -> str:
    """Microseconds in words."""
    return f"{value:,.1f} us" if value < 100 else f"{value:,.0f} us"


def seconds(value: float) -> str:
    """Seconds in words."""
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.{0 if value >= 0.1 else 1}f} ms"


def size(value: float) -> str:
    """Bytes in words."""
    return f"{value / 1e6:,.0f} MB" if value >= 1e7 else f"{value / 1e3:,.0f} kB"
