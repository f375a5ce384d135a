"""Scratch repositories and logs to measure on. Rule: all of it lies on a real disk, and is gone when the run ends."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from swarm.eventlog.events import SessionProgressed
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.place import find
from swarm.eventlog.segments import files, is_sealed, node_of_file
from swarm.world.node import open_log

import loggen

TAIL = 1_000
"""Events appended since the last checkpoint."""


def repository(root: Path, files: int) -> Path:
    """A repository with one commit of so many small files, ready for a swarm."""
    for number in range(files):
        path = root / f"d{number % 50}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "config", "user.name", "bench")
    git(root, "config", "user.email", "bench@swarm.invalid")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "start")
    subprocess.run([swarm(), "init"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return root


def git(root: Path, *args: str) -> str:
    """Run git there; returns what it printed."""
    return subprocess.run(["git", *args], cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def swarm() -> str:
    """The program that this interpreter's environment has."""
    return str(Path(sys.executable).with_name("swarm"))


@contextmanager
def folder() -> Iterator[Path]:
    """An empty folder on a disk, for as long as the block lasts."""
    with tempfile.TemporaryDirectory(prefix="swarm-bench-", dir=disk(), ignore_cleanup_errors=True) as made:
        yield Path(made)


@cache
def disk() -> str:
    """Where temporary files lie on a disk: on a file system in memory, syncing costs nothing."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        mounts = [line.split() for line in file]
    in_memory = {fields[2] for fields in mounts if fields[fields.index("-") + 1] in ("tmpfs", "ramfs")}
    for candidate in (tempfile.gettempdir(), "/var/tmp"):
        device = os.stat(candidate).st_dev
        if f"{os.major(device)}:{os.minor(device)}" not in in_memory:
            return candidate
    raise SystemExit("no temporary folder lies on a disk: set TMPDIR to one that does")


@cache
def log_of(events: int, nodes: int = 1) -> Path:
    """The folder of a log of so many events, made once in a run. Nothing may write to it."""
    made = _kept() / f"log-{events}-{nodes}"
    loggen.write(str(made), events, nodes)
    return made


@cache
def loaded(events: int) -> Path:
    """A repository whose node has written a log of so many events, made once in a run. It may be read only."""
    return load(_kept() / f"repository-{events}", events)


def load(root: Path, events: int) -> Path:
    """Make such a repository at `root`; it may be written to."""
    repository(root, files=1)
    source, place = log_of(events), find(str(root), {})
    names = files(os.listdir(source))
    for name in names:
        (os.link if is_sealed(name) else shutil.copyfile)(source / name, os.path.join(place.log, name))
    identity = Path(place.home, "node.json")
    identity.write_text(json.dumps(json.loads(identity.read_text()) | {"node": node_of_file(names[0])}))
    return root


def append_tail(root: Path, events: int = TAIL) -> bytes:
    """Append so many events to the log of the repository, as a swarm at work does; returns their lines."""
    log = open_log(find(str(root), {}))
    try:
        made = [log.append([Draft(_sign(number), "session/x-1", "x")])[0] for number in range(events)]
    finally:
        log.close()
    return _lines_of(log, made[0].id)


def _sign(number: int) -> SessionProgressed:
    return SessionProgressed("x-1", 1, number * 700, number, f"edits part {number}")


def _lines_of(log: Log, first: str) -> bytes:
    """The lines from that id on, out of the files that are not older than it."""
    folder, own = os.path.dirname(log.path), os.path.basename(log.path).removesuffix(".jsonl")
    lines: list[bytes] = []
    for name in files(os.listdir(folder))[-3:]:
        if node_of_file(name) == own:
            lines += Path(folder, name).read_bytes().splitlines(keepends=True)
    begin = next(at for at, line in enumerate(lines) if first.encode() in line[:120])
    return b"".join(lines[begin:])


@cache
def _kept() -> Path:
    """A folder that lasts as long as the run."""
    made = tempfile.mkdtemp(prefix="swarm-bench-", dir=disk())
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return Path(made)
