"""`swarm sync` of a thousand new events on a long log, beside `git commit` and `git push` of one file of their bytes to
the same remote; and how much the repositories grow by it, beside the compressed bytes.

Rules: both sides get new bytes in every round; of the clone and the remote, the one that grew more counts. Ours is the
program as a person has it: an editable install finds the package by a hook of its own at each start of Python, which
takes longer than two of git's programs.
"""

import os
import subprocess
import sysconfig
import time
import venv
import zlib
from pathlib import Path
from statistics import median

from swarm import cli

import scratch
from measuring import ENV, Row, Size, in_turns, over, row, seconds, size, spent


def measure(how_much: Size) -> list[Row]:
    """Rows for the table."""
    events, new = how_much.of(1_000_000, 5_000), how_much.of(1_000, 100)
    with scratch.folder() as folder:
        remote, clone = _clone(folder, events)
        file, program = _file_of(folder, remote), _installed(folder / "installed")
        grown: list[tuple[float, float]] = []
        written: list[bytes] = [b""]

        def ours() -> float:
            written[0] = scratch.append_tail(clone, new)
            before = [_objects(clone / ".git"), _objects(remote)]
            took = spent([program, "sync", "origin"], clone).wall
            after = [_objects(clone / ".git"), _objects(remote)]
            growth = max(now - then for now, then in zip(after, before, strict=True))
            grown.append((growth, len(zlib.compress(written[0]))))
            return took

        found = in_turns(how_much.of(9, 1), {"ours": ours, "git": lambda: _pushed(file, written[0])})
        lengths = f"{new:,} new events on a log of {events:,}"
        growths, compressed = zip(*grown[1:], strict=True)
        return [
            row(
                f"swarm sync of {lengths}",
                f"git commit + git push of one file of {size(len(written[0]))}",
                seconds(median(found["ours"])),
                seconds(median(found["git"])),
                over(found["ours"], found["git"]),
                3,
            ),
            row(
                f"repository growth by a sync of {lengths}",
                "the new bytes, compressed by zlib",
                size(median(growths)),
                size(median(compressed)),
                sum(growths) / sum(compressed),
                2,
            ),
        ]


def _installed(folder: Path) -> str:
    """The program of an environment that has this package, and what it needs, as plain folders on its path."""
    venv.create(folder, symlinks=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)})
    Path(packages, "swarm").symlink_to(Path(cli.__file__).parent)
    Path(packages, "needed.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # whose own .pth files do not count
    program = folder / "bin" / "swarm"
    _, _, script = Path(scratch.swarm()).read_text().partition("\n")
    program.write_text(f"#!{folder / 'bin' / 'python'}\n{script}")
    program.chmod(0o755)
    return str(program)


def _clone(folder: Path, events: int) -> tuple[Path, Path]:
    """A bare repository, and one with a long log that has been synced with it."""
    remote = folder / "remote.git"
    scratch.git(folder, "init", "-q", "--bare", "-b", "main", str(remote))
    clone = scratch.load(folder / "clone", events)
    scratch.git(clone, "remote", "add", "origin", str(remote))
    scratch.git(clone, "push", "-q", "origin", "main")
    spent([scratch.swarm(), "sync", "origin"], clone)
    return remote, clone


def _file_of(folder: Path, remote: Path) -> Path:
    """A tracked file in another clone of the remote, on a branch of its own."""
    other = folder / "other"
    scratch.git(folder, "clone", "-q", "-b", "main", str(remote), str(other))
    scratch.git(other, "config", "user.name", "bench")
    scratch.git(other, "config", "user.email", "bench@swarm.invalid")
    scratch.git(other, "checkout", "-q", "-b", "file")
    (other / "file").write_text("begin\n")
    scratch.git(other, "add", "file")
    scratch.git(other, "commit", "-q", "-m", "begin")
    scratch.git(other, "push", "-q", "-u", "origin", "file")
    return other / "file"


def _pushed(file: Path, content: bytes) -> float:
    """Seconds of a commit and a push of the file with that content (and something that it did not have before)."""
    file.write_bytes(content + os.urandom(8).hex().encode())
    begun = time.perf_counter()
    for argv in (["commit", "-q", "-a", "-m", "more"], ["push", "-q"]):
        subprocess.run(["git", *argv], cwd=file.parent, env=ENV, check=True)
    return time.perf_counter() - begun


def _objects(repository: Path) -> int:
    """The bytes of all files of git's object store."""
    return sum(path.stat().st_size for path in (repository / "objects").rglob("*") if path.is_file())


if __name__ == "__main__":
    print(measure(Size()))
