"""`swarm mail send` as agents call it, against `python -c "import click"` of the same interpreter, pair by pair.

Whole processes, in turn, so that a noisy machine slows both. The log has 10,000 events, so that a slow fold would show.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.place import find, node_of
from swarm.world import clock

from scratch import repository, swarm

EVENTS = 10_000


def seconds(argv: list[str], cwd: Path, env: dict[str, str]) -> float:
    """Wall time of one process."""
    begun = time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=env, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def fill(root: Path) -> None:
    """Ten thousand letters in the log."""
    place = find(str(root), {})
    log = Log(place.log, node_of(place, clock.entropy), clock.now, clock.entropy)
    for _ in range(EVENTS // 100):
        log.append([Draft(MailSent(to=["human"], body="x" * 100), "coordinator")] * 100)
    log.close()


def measure(rounds: int = 15) -> list[dict[str, Any]]:
    """Rows for the table."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with tempfile.TemporaryDirectory() as folder:
        root = repository(Path(folder) / "repo", files=1)
        fill(root)
        base = [sys.executable, "-c", "import click"]
        mine = {
            "swarm mail send": [swarm(), "mail", "send", "--to", "human", "--body", "x"],
            "swarm mail check, nothing new": [swarm(), "mail", "check", "--to", "merger"],
        }
        rows = []
        for name, argv in mine.items():
            seconds(argv, root, env)
            pairs = [(seconds(argv, root, env), seconds(base, root, env)) for _ in range(rounds)]
            rows.append(
                {
                    "what": f"{name}, log of {EVENTS:,} events",
                    "baseline": 'python -c "import click"',
                    "measured": f"{1000 * median(a for a, _ in pairs):.0f} ms",
                    "base": f"{1000 * median(b for _, b in pairs):.0f} ms",
                    "ratio": median(a / b for a, b in pairs),
                    "goal": 2.0 if "send" in name else None,
                }
            )
        return rows
