"""P6 for every command that writes: what it cannot do for want of room or of descriptors it says, with exit code 1."""

import fcntl
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    GateFinished,
    IssueAssigned,
    IssueClosed,
    IssueOpened,
    LeakDetected,
    MailSent,
    MergeConflicted,
    MergeLanded,
    MergePrepared,
    MergeQueued,
    MergeTested,
    WorkSecured,
    WorktreePrepared,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.files import Draft
from swarm.eventlog.verify import verify
from swarm.world.running import Holder, RunLock

from clones import plain
from every_command import WRITES
from small_disk import PAGE, ROOT, Disk, Done, Swarm, check_refused, disk, forked, keep_descriptors

__all__ = ["disk", "forked"]


@pytest.fixture
def busy(disk: Disk, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, list[str]]:
    """Every command that writes -> its words; the one to be run has something to do there. A swarm has run."""
    command = request.getfixturevalue("command")
    plain("init", "--quiet", "--bare", "hub.git", at=tmp_path)
    plain("remote", "add", "origin", str(tmp_path / "hub.git"), at=Path(disk.place.root))
    log = disk.log()
    try:
        opened, done = (
            log.append([Draft(IssueOpened(title="t", body="true"), "human", about)])[0].id for about in ("sw-a", "sw-b")
        )
        log.append([Draft(IssueClosed(generation=done), "human", "sw-b")])
        given = IssueAssigned(1, opened, "builder-1", "builder", "shell")
        log.append([Draft(given, "coordinator", "sw-a")] if command == "agent kill" else [])
        log.append(
            [Draft(fact, "builder", "sw-a") for fact in left(given, disk)] if command.startswith("work ") else []
        )
        log.append([Draft(fact, "merger", "sw-a") for fact in merged(given, disk, command)])
        letter = log.append([Draft(MailSent(to=["human"], body="a"), "agent/kim")])[0].id
    finally:
        log.close()
    if command == "promote":
        commit(disk, "staging")
    if command == "log repair":
        Path(disk.place.log, "n0.jsonl").write_bytes(b"no event\n")
    if command == "budget raise":
        Path(disk.place.root, "swarm.toml").write_text('[[budgets]]\nscope = "day"\nusd = 1.0\n')
    lock = RunLock(os.path.join(disk.place.home, "run.lock"))
    lock.take(Holder(os.getpid(), "run-1", "then"))
    lock.drop()
    return {
        **{one: [*one.split(), *words] for one, words in WORDS.items()},
        "mail read": ["mail", "read", letter],
        "agent kill": ["agent", "kill", "builder-1"],
    }


def left(given: IssueAssigned, disk: Disk) -> list[Fact]:
    """What is said of an attempt that was cancelled, when something is left of it, and a leak."""
    branch, tip = "swarm/builder-1/sw-a-1", plain("rev-parse", "HEAD", at=Path(disk.place.root))
    prepared = WorktreePrepared(1, ".swarm/worktrees/sw-a-1", branch, tip)
    leak = LeakDetected(1, "a file has changed", "it is as the agent wrote it")
    secured = WorkSecured(1, "refs/swarm/wip/builder-1/sw-a-1", tip, tip, 1)
    return [given, prepared, leak, AttemptCancelled(1, "enough"), secured]


def merged(given: IssueAssigned, disk: Disk, command: str) -> list[Fact]:
    """What is said of an attempt that was queued, and conflicted or landed, if the command is about such a one."""
    if command not in ("merge retry", "merge drop", "rollback"):
        return []
    tip = plain("rev-parse", "HEAD", at=Path(disk.place.root))
    branch = "swarm/builder-1/sw-a-1"
    facts: list[Fact] = [
        given,
        WorkSecured(1, f"refs/heads/{branch}", tip, tip, 1),
        GateFinished(1, tip, "none"),
        MergeQueued(1, branch, tip),
    ]
    if command == "merge retry":
        facts += [MergeConflicted(1, tip, ["x"]), AttemptRetried(1, "conflict")]
    if command == "rollback":
        landed = commit(disk, "main")
        facts += [MergePrepared(1, tip, landed, "tree"), MergeTested(1, tip, landed, "none")]
        facts.append(MergeLanded(1, "main", tip, landed))
    return facts


def commit(disk: Disk, branch: str) -> str:
    """Somebody commits on that branch; returns the commit."""
    root = Path(disk.place.root)
    here = plain("symbolic-ref", "--short", "HEAD", at=root)
    plain("checkout", "-q", "-B", branch, at=root)
    (root / "more.txt").write_text("more\n")
    plain("add", "more.txt", at=root)
    plain("commit", "-q", "-m", "more", at=root)
    tip = plain("rev-parse", "HEAD", at=root)
    plain("checkout", "-q", here, at=root)
    return tip


WORDS = {
    "init": [],
    "start": ["--until-idle", "--max-retries", "0"],
    "stop": [],
    "sync": [],
    "issue create": ["a title", "--body", "true"],
    "issue close": ["sw-a"],
    "issue reopen": ["sw-b"],
    "issue update": ["sw-a", "--status", "blocked"],
    "issue assign": ["sw-a", "kim"],
    "mail send": ["--to", "human", "--body", "hello"],
    "mail check": [],
    "log repair": [],
    "work restore": ["sw-a", "--reopen"],
    "work clean": [],
    "work clear": ["sw-a"],
    "budget raise": ["day", "--usd", "5"],
    "merge retry": ["sw-a"],
    "merge drop": ["sw-a"],
    "merge now": [],
    "rollback": ["sw-a"],
    "promote": ["--to", "main"],
}


def every_one(test: Any) -> Any:
    """The test is run for each command that writes, in a forked process."""
    names = sorted({*WRITES, "log repair"})
    for mark in (
        *ROOT,
        pytest.mark.parametrize(("command", "forked"), [(name, "whole") for name in names], indirect=["forked"]),
    ):
        test = mark(test)
    return test


def check_in_words(done: Done) -> None:
    """It may not have come to what it could not do; if it has, it says so. (What it did once, it need not do again.)"""
    again = done.code == 2 and ("nothing" in done.said or "does not wait" in done.said or "that could be" in done.said)
    assert again or done.code in (0, 1), done
    assert "Traceback" not in done.said
    assert "bug in swarm" not in done.said


@every_one
def test_p6_every_command_says_that_the_disk_is_read_only(
    disk: Disk, forked: Swarm, command: str, busy: dict[str, list[str]]
) -> None:
    before = disk.content
    disk.mount("ro")
    with open(os.path.join(disk.place.home, "run.lock"), "rb") as lock:
        if command == "stop":
            fcntl.flock(lock, fcntl.LOCK_EX)  # there is a run to be stopped
        check_refused(forked(*busy[command]), "ead-only")
    assert disk.content == before
    disk.mount("rw")


@every_one
def test_p6_every_command_does_without_a_byte_of_room_or_says_so(
    disk: Disk, forked: Swarm, command: str, busy: dict[str, list[str]]
) -> None:
    for room in (0, PAGE, 3 * PAGE):
        before = disk.content
        disk.leave(room)
        check_in_words(forked(*busy[command]))
        disk.free()
        assert command == "log repair" or disk.content.startswith(before)
        assert verify(disk.place.log).errors == [] or command == "log repair"


@every_one
def test_p6_every_command_out_of_descriptors_says_so(
    disk: Disk, forked: Swarm, command: str, busy: dict[str, list[str]]
) -> None:
    codes = []
    # (A run that is up restarts the actors that fail so, and gives up as it does whatever their trouble is.)
    for left in (0, 1, 2, 3, 4, 6, 8, 12) if command != "start" else (0, 1, 2, 3):
        done = forked(*busy[command], before=partial(keep_descriptors, left))
        codes.append(done.code)
        check_in_words(done)
    assert codes[0] == 1
