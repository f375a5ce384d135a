"""P6 for the commands that write: they fail with words and exit 1, nothing partial stays, and later they work.

Each is run in a forked process, to have many, and as the installed program.
"""

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
from swarm.eventlog.tail import node_files, read_all
from swarm.eventlog.verify import verify
from swarm.world.clock import entropy
from swarm.world.node import open_log

import repository
from soak import amount

PAGE = os.sysconf("SC_PAGE_SIZE")
SWARM = str(Path(sys.executable).with_name("swarm"))
COMMANDS = {
    "issue create": ["issue", "create", "a title", "--body"],
    "mail send": ["mail", "send", "--to", "human", "--body"],
    "mail check": ["mail", "check", "--to", "human"],
}
"""Those that write; the first two go on with a text."""

ROOT = [pytest.mark.root, pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")]
LANE = ("mail send", "lane")
"""The fast lane does this one; all else goes the whole way."""


def forked_ones(test: Any) -> Any:
    """The test is run for each command, in a forked process."""
    ways = [*((command, "whole") for command in COMMANDS), LANE]
    for mark in (*ROOT, pytest.mark.parametrize(("command", "forked"), ways, indirect=["forked"])):
        test = mark(test)
    return test


def programs(test: Any) -> Any:
    """The test is run for each command, by the installed program."""
    for mark in (*ROOT, pytest.mark.parametrize("command", COMMANDS)):
        test = mark(test)
    return test


def argv(command: str, size: int = 10) -> list[str]:
    return COMMANDS[command] + (["x" * size] if command != "mail check" else [])


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
        disk = os.statvfs(self.place.home)
        self._ballast.write_bytes(bytes(disk.f_bavail * disk.f_bsize - room // PAGE * PAGE))
        assert -len(self.content) % PAGE == room % PAGE

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


@pytest.fixture
def program(disk: Disk) -> Swarm:
    """Run the installed program."""

    def program(*args: str, before: Callable[[], object] = lambda: None) -> Done:
        done = subprocess.run(
            [SWARM, *args],
            cwd=disk.place.root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=before,
        )
        return Done(done.returncode, done.stdout)

    return program


def check_refused(done: Done, words: str) -> None:
    assert done.code == 1, done
    assert words in done.said
    assert "Traceback" not in done.said


def check_works(disk: Disk, swarm: Swarm, command: str) -> None:
    """It does now, and nothing is wrong with the log."""
    before = disk.content
    done = swarm(*argv(command))
    assert done.code == 0, done
    assert disk.content.startswith(before)
    assert len(disk.content) > len(before)
    assert verify(disk.place.log).errors == []


# --- the disk is full -----------------------------------------------------------------------------


def use_up(disk: Disk, swarm: Swarm, command: str, size: int) -> bool:
    """Run it until there is no room left; whether it came to that. (Letters are checked only once.)"""
    for _ in range(50 if command != "mail check" else 1):
        before, events = disk.content, len(read_all(disk.place.log))
        done = swarm(*argv(command, size))
        if done.code:
            check_refused(done, "no space left on device")
            assert disk.content == before
            return True
        assert disk.content.startswith(before)
        assert disk.content.endswith(b"\n")
        assert len(read_all(disk.place.log)) > events
    assert command == "mail check"
    return False


@forked_ones
def test_p6_on_a_full_disk_a_command_writes_all_or_nothing(disk: Disk, forked: Swarm, command: str) -> None:
    """At each of 64 levels: what is left ends so many bytes behind a page of the file."""
    refused = 0
    for level in range(0, 64, amount(ci=7, full=1)):
        disk.fill(level * PAGE // 64 + (level % 3 * PAGE if command != "mail check" else 0))
        failed = use_up(disk, forked, command, 400 + level * 37)
        disk.free()
        if failed:
            refused += 1
            check_works(disk, forked, command)
    assert refused > 1


@programs
def test_p6_on_a_full_disk_the_program_writes_all_or_nothing(disk: Disk, program: Swarm, command: str) -> None:
    disk.fill(300)
    assert use_up(disk, program, command, 700)
    disk.free()
    check_works(disk, program, command)


# --- the disk is read-only ------------------------------------------------------------------------


@forked_ones
def test_p6_on_a_read_only_disk_a_command_fails_with_words(disk: Disk, forked: Swarm, command: str) -> None:
    try_read_only(disk, forked, command)


@programs
def test_p6_on_a_read_only_disk_the_program_fails_with_words(disk: Disk, program: Swarm, command: str) -> None:
    try_read_only(disk, program, command)


def try_read_only(disk: Disk, swarm: Swarm, command: str) -> None:
    disk.fill(PAGE)
    before = disk.content
    disk.mount("ro")
    check_refused(swarm(*argv(command)), "ead-only")
    assert disk.content == before
    disk.mount("rw")
    check_works(disk, swarm, command)


# --- limits of the process ------------------------------------------------------------------------


def limited(which: int, limit: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(which, (limit, resource.getrlimit(which)[1]))


@forked_ones
def test_p6_a_file_that_may_not_grow_gets_all_or_nothing(disk: Disk, forked: Swarm, command: str) -> None:
    disk.fill(3 * PAGE)
    for room in (0, 1, 80, 160):
        before = disk.content
        done = forked(*argv(command), before=limited(resource.RLIMIT_FSIZE, len(before) + room))
        check_refused(done, "may not grow")
        assert disk.content == before
    check_works(disk, forked, command)


@forked_ones
def test_p6_a_process_out_of_descriptors_fails_with_words(disk: Disk, forked: Swarm, command: str) -> None:
    """With so few left that it fails at one place or another."""
    codes = []
    for left in range(8):
        disk.fill(3 * PAGE)
        before = disk.content

        def use_up_all_but(left: int = left) -> None:
            limited(resource.RLIMIT_NOFILE, 64)()
            taken = []
            try:
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                for fd in taken[:left]:
                    os.close(fd)

        done = forked(*argv(command), before=use_up_all_but)
        codes.append(done.code)
        if done.code:
            check_refused(done, "oo many")
            assert disk.content == before or "may not survive a loss of power" in done.said
        if disk.content == before:
            check_works(disk, forked, command)
        assert verify(disk.place.log).errors == []
    assert codes[0] == 1
    assert codes[-1] == 0


@programs
def test_p6_the_program_out_of_descriptors_fails_with_words(disk: Disk, program: Swarm, command: str) -> None:
    """Three are open from the start, and Python itself needs two more."""
    for limit in (5, 6, 7):
        disk.fill(3 * PAGE)
        before = disk.content
        done = program(*argv(command), before=limited(resource.RLIMIT_NOFILE, limit))
        if done.code:
            check_refused(done, "oo many")
            assert disk.content == before
        else:
            assert len(disk.content) > len(before)
