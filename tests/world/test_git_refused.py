"""What the system refuses - no space, no right to write - comes out as words, with what to do about it."""

import itertools
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from swarm.world.door import FREE_SPACE
from swarm.world.git import Git, GitError

from repository import Scratch, make

AUTHOR = "kim (swarm) <kim@swarm.invalid>"
BRANCH = "swarm/kim/i-1"
PATH = ".swarm/worktrees/kim-i-1"


def _for_ever(step: Callable[[int], object]) -> None:
    for number in itertools.count():
        step(number)


class Scene:
    """A repository with a prepared worktree, alone on a small file system."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk
        self.scratch: Scratch = make(disk / "r")
        self.git = Git(str(self.scratch.root), str(self.scratch.common))
        self.base = self.git.tip("main")
        self.git.prepare(PATH, BRANCH, self.base)
        self.worktree = self.scratch.root / PATH

    def fill(self) -> None:
        """Until not a byte and not a file more fits."""
        with (self.disk / "filler").open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            _for_ever(lambda _: file.write(bytes(4096)))
        with pytest.raises(OSError, match="No space"):
            _for_ever(lambda number: (self.disk / f"empty-{number}").touch())

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.disk)], check=True)

    def deeds(self) -> dict[str, Callable[[], object]]:
        git, base = self.git, self.base
        return {
            "prepare": lambda: git.prepare(".swarm/worktrees/kim-i-2", "swarm/kim/i-2", base),
            "gate": lambda: git.gate(".swarm/worktrees/gate", base),
            "secure": lambda: git.secure(PATH, BRANCH, base, f"refs/heads/{BRANCH}", "Do it", AUTHOR),
            "remove": lambda: git.remove(PATH, base, recycle=True),
        }


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    there = tmp_path / "small"
    there.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=2000", "tmpfs", str(there)], check=True)
    try:
        yield Scene(there)
    finally:
        subprocess.run(["umount", str(there)], check=True)


@pytest.mark.root
@pytest.mark.parametrize("deed", ["prepare", "gate", "secure", "remove"])
def test_a_full_disk_is_named_and_nothing_is_lost(scene: Scene, deed: str) -> None:
    (scene.worktree / "work").write_text("precious\n")
    scene.fill()
    with pytest.raises(GitError, match=r"(?i)no space left on device") as raised:
        scene.deeds()[deed]()
    assert raised.value.hint == FREE_SPACE == "free space and run it again"
    assert (scene.worktree / "work").read_text() == "precious\n"


@pytest.mark.root
@pytest.mark.parametrize("deed", ["prepare", "gate", "remove"])
def test_a_disk_that_may_not_be_written_is_named(scene: Scene, deed: str) -> None:
    scene.remount("ro")
    with pytest.raises(GitError, match=r"read-only file system: .*/locks/files-") as raised:
        scene.deeds()[deed]()
    assert raised.value.hint == "mount it writable and run it again"


@pytest.mark.root
def test_a_full_folder_for_what_is_temporary_is_named(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merging and securing work in a folder beside every checkout."""
    other = make(tmp_path / "other")
    git = Git(str(other.root), str(other.common))
    base = git.tip("main")
    git.prepare(PATH, BRANCH, base)
    work = other.commit({"b": "b"}, at=other.root / PATH)
    monkeypatch.setattr(tempfile, "tempdir", str(scene.disk))
    scene.fill()
    for deed in (
        lambda: git.merge(base, work, "Merge it", AUTHOR, 0),
        lambda: git.secure(PATH, BRANCH, base, f"refs/heads/{BRANCH}", "Do it", AUTHOR),
    ):
        with pytest.raises(GitError, match=f"no space left on device: {re.escape(str(scene.disk))}") as raised:
            deed()
        assert raised.value.hint == FREE_SPACE
