"""A real git repository to test on, driven the way a person or an agent would: by plain git in a folder."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path


class Scratch:
    """A repository at `root` with a person's identity; `git(…)` is what that person types."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.common = root / ".git"

    def git(self, *args: str, at: Path | None = None) -> str:
        """What git prints, stripped; raises with git's words when it fails."""
        done = subprocess.run(["git", "-C", str(at or self.root), *args], capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def write(self, files: Mapping[str, str], at: Path | None = None) -> None:
        """Write these files, uncommitted."""
        for name, text in files.items():
            path = (at or self.root) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: Mapping[str, str], message: str = "change", at: Path | None = None) -> str:
        """Write and commit these files where `at` is (the main checkout if None); returns the commit."""
        self.write(files, at)
        self.git("add", "-A", at=at)
        self.git("commit", "--quiet", "--allow-empty", "-m", message, at=at)
        return self.git("rev-parse", "HEAD", at=at)

    def files(self, commit: str) -> dict[str, str]:
        """The files of a commit and what is in them."""
        names = self.git("ls-tree", "-r", "-z", "--name-only", commit).split("\0")
        return {name: self.git("show", f"{commit}:{name}") for name in names if name}


def make(path: Path, files: Mapping[str, str] | None = None) -> Scratch:
    """A repository at `path` on `main` with one commit of `files`; `.swarm/` is excluded, as `swarm init` does."""
    path.mkdir(parents=True, exist_ok=True)
    scratch = Scratch(Path(os.path.realpath(path)))
    scratch.git("init", "--quiet", "--initial-branch=main")
    scratch.git("config", "user.name", "Pat Person")
    scratch.git("config", "user.email", "pat@example.org")
    (scratch.common / "info" / "exclude").write_text(".swarm/\n")
    scratch.commit({"README": "hello\n"} if files is None else files, "start")
    return scratch
