"""Many processes at the same work. Rule: they begin together, when all of them are ready."""

import marshal
import os
import time
import traceback
from collections.abc import Callable
from typing import Any, NamedTuple


class Did(NamedTuple):
    """What one process did: calls, seconds, and the longest call in seconds."""

    calls: int
    seconds: float
    longest: float


def together(count: int, seconds: float, prepare: Callable[[], Callable[[], object]]) -> list[Did]:
    """Fork so many processes; each prepares, waits for the others, and calls what it prepared for so long."""
    arrived, arrive = os.pipe()
    wait, go = os.pipe()
    children = [_fork((arrived, go), arrive, wait, seconds, prepare) for _ in range(count)]
    os.close(arrive)
    os.close(wait)
    ready = 0
    while ready < count and (here := os.read(arrived, count)):
        ready += len(here)
    os.close(arrived)
    os.close(go)
    found = [_result_of(*child) for child in children]
    assert None not in found, "a process failed"
    return [Did(*each) for each in found]


def rate(did: list[Did]) -> float:
    """Calls a second of all of them together."""
    return sum(each.calls / each.seconds for each in did)


def _fork(
    theirs: tuple[int, int], arrive: int, wait: int, seconds: float, prepare: Callable[[], Callable[[], object]]
) -> tuple[int, int]:
    """The child's pid, and where its result comes from."""
    result, out = os.pipe()
    pid = os.fork()
    if pid:
        os.close(out)
        return pid, result
    code = 1
    try:
        for fd in theirs:
            os.close(fd)
        step = prepare()
        os.write(arrive, b".")
        os.close(arrive)
        os.read(wait, 1)  # until the last write end is closed
        os.write(out, marshal.dumps(tuple(_keep_on(step, seconds))))
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it is, the parent is to be told
        traceback.print_exc()
    finally:
        os._exit(code)


def _keep_on(step: Callable[[], object], seconds: float) -> Did:
    clock, calls, longest = time.perf_counter_ns, 0, 0
    first = now = clock()
    end = first + int(seconds * 1e9)
    while now < end:
        begun = now
        step()
        now = clock()
        longest = max(longest, now - begun)
        calls += 1
    return Did(calls, (now - first) / 1e9, longest / 1e9)


def _result_of(pid: int, result: int) -> Any:
    with open(result, "rb") as file:
        data = file.read()
    _, status = os.waitpid(pid, 0)
    return marshal.loads(data) if data and not status else None
