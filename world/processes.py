"""Which process is which, what runs below it, and its end. Rule: a signal goes to an identity, never to a bare pid.

A pid is reused; (boot id, pid, start time) is not, short of a wrap of all pids within one clock tick. `send` pins the
process with a pidfd before it compares, so that the process compared is the one that gets the signal.
"""

import os
import signal
import time
from collections.abc import Callable
from functools import cache

from . import Identity
from .clock import monotonic

MARK = "SWARM_RUN_DIR"  # in the environment of every program of a session, and of what it starts: its run folder


@cache
def boot_id() -> str:
    """The kernel's id of this boot."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def identity(pid: int) -> Identity | None:
    """The process that has this pid now, dead but unreaped ones too; None if there is none."""
    stat = _stat(pid)
    return stat and Identity(boot_id(), pid, stat[2])


def alive(process: Identity) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    stat = _stat(process.pid) if process.boot_id == boot_id() else None
    return stat is not None and stat[2] == process.start_ticks and stat[0] not in "ZX"


def send(process: Identity, signum: int) -> bool:
    """Signal exactly this process. False: it is gone (or not ours to signal)."""
    try:
        pinned = os.pidfd_open(process.pid)
    except (OSError, ValueError):
        return False
    try:
        if not alive(process):
            return False
        signal.pidfd_send_signal(pinned, signum)
    except OSError:
        return False
    finally:
        os.close(pinned)
    return True


def descendants(pid: int) -> list[Identity]:
    """What runs below `pid`, at any depth, parents before children; zombies are left out but not what is below them."""
    below: dict[int, list[tuple[Identity, str]]] = {}
    for each in _pids():
        stat = _stat(each)
        if stat:
            below.setdefault(stat[1], []).append((Identity(boot_id(), each, stat[2]), stat[0]))
    found: list[Identity] = []
    queue = [pid]
    while queue:
        for process, state in below.pop(queue.pop(0), []):
            queue.append(process.pid)
            if state not in "ZX":
                found.append(process)
    return found


def marked(run_dir: str) -> list[Identity]:
    """Our user's processes whose environment names this run folder (absolute) as theirs, except ourselves."""
    mark, user, found = os.fsencode(f"{MARK}={run_dir}"), os.getuid(), []
    for pid in _pids():
        process = identity(pid)  # before its environment is read: if the pid changes hands in between, `send` refuses
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if os.fstat(file.fileno()).st_uid != user or mark not in file.read().split(b"\0"):
                    continue
        except OSError:
            continue
        if process and pid != os.getpid() and alive(process):
            found.append(process)
    return found


def end(victims: Callable[[], list[Identity]], seconds: float = 5.0) -> bool:
    """SIGKILL what `victims()` names until it names nothing. False if something still runs after `seconds`."""
    deadline = monotonic() + seconds
    while found := victims():
        for process in found:
            send(process, signal.SIGKILL)
        if monotonic() > deadline:
            return False
        time.sleep(0.002)  # the kernel takes its time; it tells only a parent
    return True


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _stat(pid: int) -> tuple[str, int, int] | None:
    """(state, parent, start in clock ticks since boot) by proc(5); the name before them may contain anything."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[1]), int(fields[19])
