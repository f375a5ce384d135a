"""`swarm mail` as agents call it at every step, against `python -c pass` of the same environment.

Rule: whole processes, from a wheel in an environment of its own: an editable install loads a finder that takes longer
than the command. The libraries are lent by the environment that measures, and both sides of a ratio look there.
"""

import json
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import click

from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft
from swarm.eventlog.place import find
from swarm.world.node import open_log

import scratch
from measuring import ENV, Row, Size, compared, in_turns, seconds

EVENTS, ROUNDS, GOAL = 10_000, 25, 2.5
SEND, CHECK = ("mail", "send", "--body", "Half of it is there.", "--to"), ("mail", "check")
SLOW = ("--from", "agent-builder-1")
"""What says nothing new, and yet is not for the fast lane."""
UNNEEDED = (".*", "__pycache__", "tests", "docs", "benchmarks", "build", "*.egg-info")


def measure(size: Size) -> list[Row]:
    """Rows for the table."""
    events = size.of(EVENTS, 500)
    with scratch.folder() as folder:
        swarm, mixed, letters = installed(folder), folder / "mixed", folder / "letters"
        as_written(scratch.load(mixed, events))
        fill(letters, events)
        sides = {
            "": partial(wall, mixed, swarm.with_name("python"), "-c", "pass"),
            f"swarm mail send, log of {events:,} events": partial(wall, mixed, swarm, *SEND, "coordinator"),
            f"swarm mail check, nothing new, log of {events:,} events": partial(wall, mixed, swarm, *CHECK),
            f"the same, {events:,} letters to another": partial(wall, letters, swarm, *CHECK),
            "swarm mail send, but by the whole command line": partial(wall, mixed, swarm, *SEND, "human", *SLOW),
        }
        times = in_turns(size.of(ROUNDS, 1), sides)
    base = times.pop("")
    *lane, _ = times
    return [
        compared(what, "python -c pass", mine, base, seconds, GOAL if what in lane else None)
        for what, mine in times.items()
    ]


def wall(cwd: Path, *argv: str | Path) -> float:
    """Seconds of one process of an agent."""
    begun = time.perf_counter()
    subprocess.run(argv, cwd=cwd, env=ENV | {"SWARM_AGENT": "builder-1"}, check=True, capture_output=True)
    return time.perf_counter() - begun


def installed(folder: Path) -> Path:
    """The program of a wheel that is built and installed there."""
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    offline = ("--no-deps", "--no-index")
    shutil.copytree(Path(__file__).parents[1], folder / "source", ignore=shutil.ignore_patterns(*UNNEEDED))
    made = ("--no-build-isolation", "-w", folder, folder / "source")
    subprocess.run([*pip, "wheel", *offline, *made], check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    target, wheel = folder / "venv" / "bin" / "python", next(folder.glob("swarm-*.whl"))
    subprocess.run([*pip, "--python", target, "install", *offline, wheel], env=ENV, check=True)
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    (site / "lent.pth").write_text(f"{Path(click.__file__).parents[1]}\n")
    return target.with_name("swarm")


def as_written(root: Path) -> None:
    """Give the file with the node's name the form in which the program itself writes it."""
    path = Path(find(str(root), {}).home, "node.json")
    path.write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")


def fill(root: Path, letters: int) -> None:
    """A repository with so many letters in its log, all to another than the one who looks."""
    log = open_log(find(str(scratch.repository(root, files=1)), {}))
    for _ in range(letters // 100):
        log.append([Draft(MailSent(to=["human"], body="x" * 100), "coordinator")] * 100)
    log.close()
