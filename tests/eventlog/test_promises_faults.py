"""P6: where the log cannot be written, the append fails with words and leaves nothing behind; later ones work.

Of the log itself here: every call of the disk fails, once or for a while, and then the real causes. Of the commands in
`test_promises_faults_of_commands.py`.
"""

import errno
import os
import resource
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.disk import REAL
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.segments import FULL
from swarm.eventlog.tail import read_all
from swarm.eventlog.verify import verify

from soak import amount

OpenLog = Callable[..., Log]
CAUSES = {
    errno.ENOSPC: ("open", "write", "rename", "fdatasync", "fsync"),
    errno.EROFS: ("open", "write", "rename", "ftruncate"),
    errno.EMFILE: ("open", "listdir"),
    errno.EACCES: ("open", "stat", "rename", "listdir"),
    errno.EIO: ("open", "fstat", "stat", "pread", "write", "rename", "listdir", "fdatasync", "fsync", "ftruncate"),
}
"""What may go wrong, and which calls fail then."""


def letter(body: str, size: int = 0) -> Draft:
    return Draft(MailSent(to=["human"], body=body.ljust(size, ".")), source="agent/kim", subject="sw-1")


def bodies(folder: str) -> list[str]:
    return [event.data.body.rstrip(".") for event in read_all(folder)]


# --- every call -----------------------------------------------------------------------------------


class Failing:
    """The real disk, of which the calls from number `first` on fail, so many of them. Of a long write, half gets in."""

    def __init__(self, first: int, many: int, number: int) -> None:
        self.calls, self.fails, self.number = 0, range(first, first + many), number
        self.torn = False
        """Whether what was written in part could not be taken back."""

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls not in self.fails or name not in CAUSES[self.number]:
                return getattr(REAL, name)(*args)
            if name == "write" and len(args[1]) > 300:
                return REAL.write(args[0], args[1][: len(args[1]) // 2])
            self.torn |= name == "ftruncate"
            raise OSError(self.number, os.strerror(self.number))

        return call


def refused(deed: Callable[[], object]) -> str:
    """In which words; empty if it was done."""
    try:
        deed()
    except LogError as error:
        return str(error)
    return ""


def is_whole(folder: str) -> bool:
    """Whether every file ends with a whole line."""
    return all(Path(folder, name).read_bytes()[-1:] in (b"", b"\n") for name in os.listdir(folder))


@pytest.mark.parametrize("number", CAUSES, ids=errno.errorcode.get)
@pytest.mark.parametrize("many", [1, 3, 1000])
def test_p6_whichever_call_fails_the_acknowledged_is_there_and_nothing_else(
    tmp_path: Path, open_log: OpenLog, number: int, many: int
) -> None:
    for first in range(1, 1000, amount(ci=7, full=1)):
        folder, disk, wanted = str(tmp_path / f"{first}"), Failing(first, many, number), list[str]()
        os.mkdir(folder)
        log = open_log(folder, disk=disk)
        for n in range(6):
            if said := refused(partial(log.append, [letter(f"{n}", 600)])):
                assert "nothing was written" in said
            else:
                wanted.append(f"{n}")
            assert bodies(folder) == wanted
            assert disk.torn or is_whole(folder)
            if n in (1, 3):
                refused(partial(log.seal, 1))
            if n == 4 and (said := refused(log.close)):
                assert "may not survive a loss of power" in said
        disk.fails = range(0)
        for writer in (log, open_log(folder)):
            writer.append([letter("after")])
        assert bodies(folder) == [*wanted, "after", "after"]
        report = verify(folder)
        assert disk.torn or report.errors == []
        assert report.notes == []
        if disk.calls < first:
            break


# --- the real causes ------------------------------------------------------------------------------


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
def test_p6_a_full_disk_leaves_no_partial_line_and_fails_with_words(tmp_path: Path, open_log: OpenLog) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "swarm-test", small], check=True)
    log = open_log(str(small))
    try:
        ballast = small / "ballast"
        ballast.write_bytes(b"x" * 8192)
        written: list[str] = []

        def fill() -> None:
            while len(written) < 100:
                log.append([letter(f"{len(written)}", 1000)])
                written.append(f"{len(written)}")

        with pytest.raises(LogError, match="no space left on device: nothing was written") as caught:
            fill()
        assert "free space" in caught.value.hint
        assert len(written) > 10
        size = os.path.getsize(log.path)
        assert Path(log.path).read_bytes().endswith(b"\n")
        with pytest.raises(LogError, match="no space left"):
            log.append([letter("many", 900), letter("more", 30_000)])
        assert os.path.getsize(log.path) == size
        ballast.unlink()
        log.append([letter("after", 1000)])
        assert bodies(str(small)) == [*written, "after"]
        assert verify(str(small)).errors == []
    finally:
        log.close()
        subprocess.run(["umount", small], check=True)


def test_p6_a_short_write_is_taken_back(folder: str, open_log: OpenLog, children: Any) -> None:
    def work() -> None:
        log = open_log(folder)
        log.append([letter("a")])
        size = os.path.getsize(log.path)
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 500, hard))
        for batch in ([letter("b", 2000)], [letter("b"), letter("c", 2000)]):
            with pytest.raises(LogError, match="nothing was written"):
                log.append(batch)
            assert os.path.getsize(log.path) == size
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        log.append([letter("d")])

    assert children.wait(children.run(work)) == 0
    assert bodies(folder) == ["a", "d"]
    assert verify(folder).errors == []


def test_p6_a_short_write_that_follows_a_torn_line_leaves_the_torn_line_alone(
    folder: str, open_log: OpenLog, children: Any
) -> None:
    path = Path(folder, "n1.jsonl")
    path.write_bytes(b'{"type":"torn')

    def work() -> None:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
        with pytest.raises(LogError, match="may not grow"):
            open_log(folder).append([letter("b")])

    assert children.wait(children.run(work)) == 0
    assert path.read_bytes() == b'{"type":"torn'
    open_log(folder).append([letter("c")])
    assert path.read_bytes().startswith(b'{"type":"torn\n{"type":"mail.sent"')


def test_p6_a_folder_that_may_not_be_written_fails_with_words(folder: str, open_log: OpenLog, children: Any) -> None:
    os.chmod(folder, 0o555)

    def work() -> None:
        os.chdir(folder)
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(LogError, match="permission denied: nothing was written") as caught:
            open_log(".").append([letter("a")])
        assert "write access" in caught.value.hint

    assert children.wait(children.run(work)) == 0
    assert os.listdir(folder) == []


def test_p6_a_full_file_that_cannot_be_sealed_fails_with_words_and_is_sealed_later(
    folder: str, open_log: OpenLog, children: Any
) -> None:
    log = open_log(folder)
    wanted = [f"{n}" for n in range(36)]
    log.append([letter(body, 30_000) for body in wanted])
    size = os.path.getsize(log.path)
    assert size > FULL
    os.chmod(log.path, 0o666)
    os.chmod(folder, 0o555)

    def work() -> None:
        os.chdir(folder)
        if os.geteuid() == 0:
            os.setuid(65534)
        with pytest.raises(LogError, match="permission denied: nothing was written"):
            open_log(".").append([letter("a")])

    assert children.wait(children.run(work)) == 0
    assert (os.listdir(folder), os.path.getsize(log.path)) == (["n1.jsonl"], size)
    os.chmod(folder, 0o755)
    log.append([letter("after")])
    assert len(os.listdir(folder)) == 2
    assert bodies(folder) == [*wanted, "after"]


def test_p6_too_many_open_files_fail_with_words(folder: str, open_log: OpenLog, children: Any) -> None:
    def work() -> None:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        with pytest.raises(LogError, match="too many files open"):
            open_log(folder).append([letter("a")])

    assert children.wait(children.run(work)) == 0


def test_p6_a_missing_folder_names_the_command(tmp_path: Path, open_log: OpenLog) -> None:
    with pytest.raises(LogError, match="missing") as caught:
        open_log(str(tmp_path / "nowhere")).append([letter("a")])
    assert caught.value.hint == "swarm init"
