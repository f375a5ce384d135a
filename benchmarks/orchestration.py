"""40 shell issues of 1 s each by 4 agents on a repository of 1,000 files: from start to the last merge.

The baseline is the agents' own time if nothing else took any: 40 / 4 = 10 s.
"""

import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from swarm.eventlog.events import IssueOpened
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.ids import time_of
from swarm.eventlog.place import find, node_of
from swarm.eventlog.tail import read_all
from swarm.world import clock

from scratch import repository, swarm

ISSUES, SECONDS, AGENTS = 40, 1.0, 4


def measure() -> list[dict[str, Any]]:
    """Rows for the table."""
    rows = []
    for test in ("", "true"):
        with tempfile.TemporaryDirectory() as folder:
            root = repository(Path(folder) / "repo", files=1000)
            wall = run(root, test)
        ideal = ISSUES * SECONDS / AGENTS
        rows.append(
            {
                "what": f"{ISSUES} issues of {SECONDS:.0f} s, {AGENTS} agents"
                + (", gated twice" if test else ", no gate"),
                "baseline": "the agents' own time",
                "measured": f"{wall:.1f} s",
                "base": f"{ideal:.1f} s",
                "ratio": wall / ideal,
                "goal": None if test else 1.6,
            }
        )
    return rows


def run(root: Path, test: str) -> float:
    """Seconds from the start of `swarm start` to the last landing."""
    place = find(str(root), {})
    log = Log(place.log, node_of(place, clock.entropy), clock.now, clock.entropy)
    for number in range(ISSUES):
        body = f"sleep {SECONDS}; echo {number} > new{number}.txt"
        log.append([Draft(IssueOpened(title=f"Write {number}", body=body), "human", f"sw-{number:08x}")])
    log.close()
    begun = time.time()
    options = ["--until-idle", "--max-agents", str(AGENTS), *(["--test", test] if test else [])]
    subprocess.run([swarm(), "start", *options], cwd=root, check=True, stdout=subprocess.DEVNULL)
    landed = [event for event in read_all(place.log) if event.type == "merge.landed"]
    assert len(landed) == ISSUES
    return time_of(landed[-1].id) - begun
