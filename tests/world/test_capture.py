"""Output of any kind stays within bounds, and a reader's bug within its wall."""

from pathlib import Path

import pytest

from swarm.runtimes import Outcome, Usage
from swarm.world.capture import LINE, Account, RawLog, Ring


class Reading:
    """A reader that keeps its lines, and raises at `bad` or wherever `broken` names."""

    def __init__(self, broken: str = "") -> None:
        self.lines: list[bytes] = []
        self.broken = broken

    def _check(self, where: str) -> None:
        if self.broken == where:
            raise RuntimeError(f"bug in {where}")

    @property
    def tools(self) -> int:
        self._check("tools")
        return len(self.lines)

    @property
    def note(self) -> str:
        return self.lines[-1].decode() if self.lines else ""

    @property
    def usage(self) -> tuple[Usage, ...]:
        self._check("usage")
        return (Usage("m", calls=len(self.lines)),)

    def feed(self, line: bytes) -> None:
        if line == b"bad":
            raise RuntimeError("bug in feed")
        self.lines.append(line)

    def outcome(self, code: int) -> Outcome:
        self._check("outcome")
        return Outcome(True, report="fine")


def test_lines_are_whole_however_the_blocks_fall() -> None:
    text = b"one\ntwo\r\n\nlast"
    for size in range(1, len(text) + 1):
        reader = Reading()
        account = Account(reader)
        for start in range(0, len(text), size):
            account.take(text[start : start + size])
        assert account.outcome(0).ok
        assert reader.lines == [b"one", b"two", b"", b"last"]


def test_a_line_without_an_end_is_cut() -> None:
    reader = Reading()
    account = Account(reader)
    for _ in range(40):
        account.take(b"x" * 65536)
    account.take(b"\nnext\n")
    assert [len(line) for line in reader.lines] == [LINE, 4]


def test_a_reader_that_raises_is_not_asked_again_and_its_verdict_is_no() -> None:
    reader = Reading()
    account = Account(reader)
    account.take(b"a\nb\n")
    assert account.activity() == (2, "b")
    assert account.usage() == (Usage("m", calls=2),)
    account.take(b"bad\nc\n")
    assert reader.lines == [b"a", b"b"]
    assert account.activity() == (2, "b")
    assert account.usage() == (Usage("m", calls=2),)
    outcome = account.outcome(0)
    assert not outcome.ok
    assert "RuntimeError: bug in feed" in outcome.why


@pytest.mark.parametrize("where", ["tools", "usage", "outcome"])
def test_no_question_to_a_broken_reader_reaches_the_host(where: str) -> None:
    account = Account(Reading(where))
    account.take(b"a\n")
    account.activity()
    account.usage()
    assert not account.outcome(0).ok


def test_without_a_reader_the_exit_code_is_believed() -> None:
    account = Account(None)
    account.take(b"anything")
    assert account.outcome(0) == Outcome(True)
    assert account.outcome(-15) == Outcome(False, "killed by signal 15 (SIGTERM)")


def test_a_ring_holds_the_last_bytes() -> None:
    ring = Ring(4)
    for block in (b"ab", b"cdefghijkl", b"m", b"n"):
        ring.take(block)
    assert ring.end() == b"klmn"


def test_a_raw_log_keeps_its_cap_and_counts_the_rest(tmp_path: Path) -> None:
    log = RawLog(str(tmp_path / "log"), 10)
    for _ in range(3):
        log.take(b"abcdef")
    log.close()
    assert (tmp_path / "log").read_bytes() == b"abcdefabcd"
    assert log.dropped == 8


def test_a_raw_log_that_cannot_be_kept_counts_everything_as_dropped(tmp_path: Path) -> None:
    log = RawLog(str(tmp_path / "no folder" / "log"), 10)
    log.take(b"abc")
    log.close()
    assert log.dropped == 3
