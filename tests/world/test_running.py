"""Who runs the swarm: a locked file, and real processes that want it."""

import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from swarm.eventlog.errors import SwarmError, UsageError
from swarm.world.running import Holder, RunLock, holder

ME = Holder(pid=1, run="run-1", since="now")


def test_the_second_is_told_who_was_first(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    first, second = RunLock(path), RunLock(path)
    first.take(ME)
    assert holder(path) == ME
    with pytest.raises(UsageError, match="pid 1, run-1, since now"):
        second.take(Holder(2, "run-2", "later"))
    first.drop()
    assert holder(path) is None
    second.take(Holder(2, "run-2", "later"))
    second.drop()


def test_the_lock_goes_with_its_holder_however_that_dies(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = (
        "import sys, os, signal; from swarm.world.running import Holder, RunLock;"
        f"RunLock({path!r}).take(Holder(os.getpid(), 'run-9', 'then')); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-P", "-c", code])
    assert holder(path) is None
    lock = RunLock(path)
    lock.take(ME)
    lock.drop()


def test_asking_who_runs_never_refuses_the_one_who_wants_to(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    RunLock(path).drop()
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            holder(path)

    askers = [threading.Thread(target=ask) for _ in range(2)]
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            lock = RunLock(path)
            lock.take(ME)
            lock.drop()
    finally:
        stop.set()
        for asker in askers:
            asker.join()


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path: Path) -> None:
    lock = RunLock(str(tmp_path / "no" / "folder" / "lock"))
    with pytest.raises(SwarmError, match="No such file") as raised:
        lock.take(ME)
    assert raised.value.exit_code == 1
    full = RunLock("/dev/full")
    if os.access("/dev/full", os.W_OK):
        with pytest.raises(SwarmError):
            full.take(ME)


def test_a_lock_that_cannot_be_looked_at_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SwarmError, match=r"cannot read .*: Not a directory") as raised:
        holder(str(tmp_path / "file" / "lock"))
    assert raised.value.exit_code == 1


def test_asking_who_runs_writes_nothing(tmp_path: Path) -> None:
    """Not even to open it: a file system may be read-only."""
    path = tmp_path / "lock"
    path.write_bytes(b"")
    path.chmod(0o400)
    with open(path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert holder(str(path)) is None, "it does not say whose it is"
