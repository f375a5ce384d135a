"""What a host has to say comes into the log once, whatever the disk does meanwhile."""

import errno
from pathlib import Path

from swarm.eventlog.disk import REAL
from swarm.eventlog.events import SessionProgressed
from swarm.eventlog.files import FSYNC, Log
from swarm.eventlog.tail import read_all
from swarm.world import SessionSpec, clock
from swarm.world.recorder import Recorder
from swarm.world.redaction import Redactor


class Failing(type(REAL)):
    """Calls of these names fail with an input/output error."""

    def __init__(self, *calls: str) -> None:
        self.calls = set(calls)

    def write(self, fd: int, data: bytes, /) -> int:
        self._fail("write")
        return super().write(fd, data)

    def fdatasync(self, fd: int, /) -> None:
        self._fail("fdatasync")
        super().fdatasync(fd)

    def _fail(self, call: str) -> None:
        if call in self.calls:
            raise OSError(errno.EIO, "Input/output error")


def said(folder: Path) -> list[str]:
    return [event.data.note for event in read_all(str(folder))]


def recorder(folder: Path, disk: Failing) -> Recorder:
    spec = SessionSpec(
        session="s", issue="sw-a", attempt=1, kind="agent", argv=[], cwd="/", run_dir="/", log_dir=str(folder)
    )
    return Recorder(spec, lambda: Log(str(folder), "n1", clock.now, clock.entropy, FSYNC, disk), Redactor({}))


def sign(note: str) -> SessionProgressed:
    return SessionProgressed(session="s", attempt=1, output=0, note=note)


def test_what_was_written_and_could_not_be_synced_is_not_said_again(tmp_path: Path) -> None:
    disk = Failing("fdatasync")
    mine = recorder(tmp_path, disk)
    assert mine.append(sign("a"), owed=True)
    disk.calls.clear()
    assert mine.append(sign("b"))
    disk.calls.add("fdatasync")
    mine.close()
    assert said(tmp_path) == ["a", "b"]


def test_what_could_not_be_written_is_owed(tmp_path: Path) -> None:
    disk = Failing("write")
    mine = recorder(tmp_path, disk)
    assert not mine.append(sign("a"), owed=True)
    assert not mine.append(sign("lost"))
    disk.calls.clear()
    assert mine.append(sign("b"))
    mine.close()
    assert said(tmp_path) == ["a", "b"]
