"""A small disk of its own for a repository's swarm, and commands run on it in forked processes."""

import io
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swarm import __main__, cli
from swarm.eventlog import place
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.place import Place
from swarm.eventlog.tail import node_files
from swarm.world.clock import entropy
from swarm.world.node import open_log

import repository

PAGE = os.sysconf("SC_PAGE_SIZE")
ROOT = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")]


class Done(NamedTuple):
    """What came of a command: its exit code, and all that it said."""

    code: int
    said: str


Swarm = Callable[..., Done]


class Disk:
    """A repository whose swarm has a file system of its own."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._ballast = Path(place.home, "ballast")

    def log(self) -> Log:
        return open_log(self.place)

    @property
    def content(self) -> bytes:
        """The bytes of the log."""
        return b"".join(Path(self.place.log, name).read_bytes() for name in node_files(self.place.log))

    def fill(self, room: int) -> None:
        """A new log, of three letters, on a disk that has so many bytes left for it."""
        for name in node_files(self.place.log):
            os.unlink(os.path.join(self.place.log, name))
        log, sizes = self.log(), list[int]()
        for body in ("a", "b"):
            log.append([Draft(MailSent(to=["human"], body=body), "agent/kim")])
            sizes.append(len(self.content) - sum(sizes))
        rest = (-room - sum(sizes) - sizes[1]) % PAGE
        log.append([Draft(MailSent(to=["human"], body="c" * (rest + 1)), "agent/kim")])
        log.close()
        self.leave(room)
        assert -len(self.content) % PAGE == room % PAGE

    def leave(self, room: int) -> None:
        """So many bytes are free, in whole pages."""
        disk = os.statvfs(self.place.home)
        self._ballast.write_bytes(bytes(disk.f_bavail * disk.f_bsize - room // PAGE * PAGE))

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def mount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.place.home], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Of 64 kB."""
    root = repository.make(tmp_path / "repo").root
    home = root / ".git" / "swarm"
    home.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "swarm-test", home], check=True)
    try:
        made = place.find(str(root), {}, initialised=False)
        place.initialise(made, entropy)
        yield Disk(made)
    finally:
        subprocess.run(["umount", home], check=True)


@pytest.fixture
def forked(disk: Disk, children: Any, request: pytest.FixtureRequest) -> Swarm:
    """Run a command in a forked process, the whole way or where `swarm` begins: forked("mail", "check", before=…)"""
    begin = {"whole": cli.main, "lane": __main__.main}[request.param]

    def forked(*args: str, before: Callable[[], object] = lambda: None) -> Done:
        heard, say = os.pipe()

        def work() -> None:
            os.chdir(disk.place.root)
            for fd in (1, 2):
                os.dup2(say, fd)
            sys.stdout, sys.stderr = (
                io.TextIOWrapper(os.fdopen(fd, "wb", 0, closefd=False), write_through=True) for fd in (1, 2)
            )
            sys.argv = ["swarm", *args]
            before()
            try:
                begin()
            except SystemExit as ended:
                os._exit(ended.code if isinstance(ended.code, int) else 1)

        pid = children.run(work)
        os.close(say)
        with os.fdopen(heard, "rb") as output:
            said = output.read().decode()
        return Done(children.wait(pid), said)

    return forked


def check_refused(done: Done, words: str) -> None:
    assert done.code == 1, done
    assert words in done.said
    assert "Traceback" not in done.said


def keep_descriptors(left: int) -> None:
    """Use up all but so many."""
    limited(resource.RLIMIT_NOFILE, 64)()
    taken = []
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for fd in taken[:left]:
            os.close(fd)


def limited(which: int, limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (limit, resource.getrlimit(which)[1]))
