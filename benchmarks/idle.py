"""What a running system takes while nothing happens. Rule: the whole process, as the kernel counts it, over seconds in
which nobody appends.
"""

import os
import subprocess
import time
from pathlib import Path

import scratch
from measuring import ENV, Row, Size, row

SETTLE = 3.0
OVER = 5.0


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    settle, over = (0.5, 1.0) if size.quick else (SETTLE, OVER)
    with scratch.folder() as folder:
        root = scratch.repository(folder / "repository", files=10)
        system = subprocess.Popen([scratch.swarm(), "start"], cwd=root, env=ENV, stdout=subprocess.PIPE)
        assert system.stdout
        try:
            assert system.stdout.readline(), "the swarm did not come up"
            time.sleep(settle)
            before = cpu(system.pid)
            time.sleep(over)
            took = (cpu(system.pid) - before) * OVER / over
        finally:
            system.terminate()
            system.communicate()
    what = f"processor time of an idle system in {OVER:.0f} s"
    return [row(what, "none", f"{1000 * took:.1f} ms", "0 s", took, 0.01)]


def cpu(pid: int) -> float:
    """Seconds of processor time that the threads of a process have had, to the nanosecond."""
    found = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        found += int((thread / "schedstat").read_text().split()[0])
    return found / 1e9


if __name__ == "__main__":
    print(os.getpid(), cpu(os.getpid()))
