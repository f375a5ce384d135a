"""A repair on a disk that fails: nothing is lost, and it can be done again."""

import os
from random import Random

import pytest

from swarm.eventlog.errors import LogError
from swarm.eventlog.events import IssueOpened
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.repair import plan, repair
from swarm.eventlog.verify import verify

from disk import FOLDER, Killed, SimDisk
from soak import amount


def opened(*titles: str) -> list[Draft]:
    return [Draft(IssueOpened(title), "human", f"sw-{title}") for title in titles]


def test_a_log_that_cannot_be_written_is_told_and_stays() -> None:
    for fault in ({"room": 0}, {"readonly": True}):
        disk = SimDisk()
        kept = Log(FOLDER, "n1", lambda: 1e9, lambda: 1, disk=disk)
        kept.append(opened("a", "b"))
        spoil(disk, kept.path)
        for name, value in fault.items():
            setattr(disk.faults, name, value)
        before = disk.files()["n1.jsonl"]
        with pytest.raises(LogError):
            repair(kept, FOLDER, "1", "human", disk)
        assert disk.files()["n1.jsonl"] == before
        disk.faults.room, disk.faults.readonly = None, False
        assert repair(kept, FOLDER, "1", "human", disk)
        assert not plan(FOLDER, "n1.jsonl", disk)
        kept.close()


def spoil(disk: SimDisk, path: str) -> None:
    """Garbage in the midst of the file."""
    fd = disk.open(path, os.O_WRONLY | os.O_APPEND)
    disk.write(fd, b"garbage\n")
    disk.close(fd)


@pytest.mark.parametrize("seed", range(amount(60, 3000)))
def test_whenever_the_power_fails_in_a_repair_nothing_is_lost_and_it_can_be_done_again(seed: int) -> None:
    chance, disk = Random(seed), SimDisk(seed)
    lines = damaged(disk, chance)
    log = Log(FOLDER, "n1", lambda: 2e9, lambda: chance.getrandbits(64), disk=disk)
    disk.kill_in(chance.randrange(120))
    try:
        repair(log, FOLDER, "1", "human", disk)
        done = True
    except Killed:
        done = False
    if chance.random() < 0.7:
        disk.power_loss()
    else:
        disk.kill()
    there = b"".join(disk.files().values())
    assert all(line in there for line in lines), "each line is in the log, or in quarantine"
    again = disk.another()
    assert not (done and plan(FOLDER, "n1.jsonl", again)), "once it has returned, it is done for good"
    log = Log(FOLDER, "n1", lambda: 2e9, lambda: chance.getrandbits(64), disk=again)
    repair(log, FOLDER, "2", "human", again)
    there = b"".join(again.files().values())
    assert all(line in there for line in lines)
    assert verify(FOLDER, again).errors == []
    log.close()


def damaged(disk: SimDisk, chance: Random) -> list[bytes]:
    """A log of three files on that disk, synced, with damage in each; its lines."""
    log = Log(FOLDER, "n1", lambda: 1e9, lambda: chance.getrandbits(64), disk=disk)
    for number in range(3):
        log.append(opened(*(f"{number}{count}" for count in range(4))))
        if number < 2:
            log.seal(1)
    log.close()
    kept = []
    for name, content in disk.files().items():
        lines = content.splitlines(keepends=True)
        at = chance.randrange(3)
        lines[at : at + 1] = chance.choice(
            ([b"\x00garbage\n", lines[at]], [lines[at].replace(b'"title":"', b'"title":"x')])
        )
        fd = disk.open(os.path.join(FOLDER, name), os.O_WRONLY | os.O_APPEND)
        disk.ftruncate(fd, 0)
        disk.write(fd, b"".join(lines))
        disk.fdatasync(fd)
        disk.close(fd)
        kept += lines
    return kept
