"""Scratch repositories to measure on."""

import subprocess
import sys
from pathlib import Path


def repository(root: Path, files: int) -> Path:
    """A repository with one commit of so many small files, ready for a swarm."""
    for number in range(files):
        path = root / f"d{number % 50}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {number}\n")
    for args in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "bench"],
        ["config", "user.email", "bench@swarm.invalid"],
        ["add", "-A"],
        ["commit", "-q", "-m", "start"],
    ):
        subprocess.run(["git", *args], cwd=root, check=True)
    subprocess.run([swarm(), "init"], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return root


def swarm() -> str:
    """The program that this interpreter's environment has."""
    return str(Path(sys.executable).with_name("swarm"))
