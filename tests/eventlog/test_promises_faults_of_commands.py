"""P6 for the commands that write: they fail with words and exit 1, nothing partial stays, and later they work.

Each is run in a forked process, to have many; those that append a fact and do no more, also as the installed program
and at every byte that the disk may have left.
"""

import resource
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify

from small_disk import PAGE, ROOT, Disk, Done, Swarm, check_refused, disk, forked, keep_descriptors, limited
from soak import amount

__all__ = ["disk", "forked"]

SWARM = str(Path(sys.executable).with_name("swarm"))
COMMANDS = {
    "issue create": ["issue", "create", "a title", "--body"],
    "mail send": ["mail", "send", "--to", "human", "--body"],
    "mail check": ["mail", "check", "--to", "human"],
}
"""Those that write; the first two go on with a text."""

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

        done = forked(*argv(command), before=partial(keep_descriptors, left))
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
