"""40 shell issues of 1 s each by 4 agents on a repository of 1,000 files: from start to the last merge.

The baseline is the agents' own time if nothing else took any: 40 / 4 = 10 s.
"""

import subprocess
import time
from pathlib import Path

from swarm.eventlog.events import IssueOpened
from swarm.eventlog.files import Draft
from swarm.eventlog.ids import time_of
from swarm.eventlog.place import find
from swarm.eventlog.tail import read_all
from swarm.world.node import open_log

import scratch
from measuring import ENV, Row, Size, row

SECONDS, AGENTS = 1.0, 4


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    issues, rows = size.of(40, 4), []
    for test in ("", "true"):
        with scratch.folder() as folder:
            wall = run(scratch.repository(folder / "repository", files=1000), issues, test)
        ideal = issues * SECONDS / AGENTS
        what = f"{issues} issues of {SECONDS:.0f} s, {AGENTS} agents" + (", gated twice" if test else ", no gate")
        goal = None if test else 1.6
        rows.append(row(what, "the agents' own time", f"{wall:.1f} s", f"{ideal:.1f} s", wall / ideal, goal))
    return rows


def run(root: Path, issues: int, test: str) -> float:
    """Seconds from the start of `swarm start` to the last landing."""
    place = find(str(root), {})
    log = open_log(place)
    for number in range(issues):
        body = f"sleep {SECONDS}; echo {number} > new{number}.txt"
        log.append([Draft(IssueOpened(title=f"Write {number}", body=body), "human", f"sw-{number:08x}")])
    log.close()
    begun = time.time()
    options = ["--until-idle", "--max-agents", str(AGENTS), *(["--test", test] if test else [])]
    subprocess.run([scratch.swarm(), "start", *options], cwd=root, env=ENV, check=True, stdout=subprocess.DEVNULL)
    landed = [event for event in read_all(place.log) if event.type == "merge.landed"]
    assert len(landed) == issues
    return time_of(landed[-1].id) - begun
