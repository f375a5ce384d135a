"""Every kind of damage is found, and none where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.eventlog.events import IssueOpened, MailSent
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.lines import decode_block, digest
from swarm.eventlog.verify import Report, verify

OpenLog = Callable[..., Log]


def letter(body: str, cause: str = "") -> Draft:
    return Draft(MailSent(to=["human"], body=body), source="agent/kim", causationid=cause)


@pytest.fixture
def lines(folder: str, open_log: OpenLog) -> list[bytes]:
    """The five lines of a log."""
    log = open_log(folder)
    log.append([letter(body) for body in "abcde"])
    return Path(log.path).read_bytes().splitlines(keepends=True)


def after(folder: str, lines: list[bytes]) -> Report:
    Path(folder, "n1.jsonl").write_bytes(b"".join(lines))
    return verify(folder)


def test_a_clean_log_of_two_nodes_has_nothing_to_tell(folder: str, open_log: OpenLog) -> None:
    first = open_log(folder, "n1").append([Draft(IssueOpened(title="a"), source="human"), letter("b")])
    open_log(folder, "n2").append([letter("c", cause=first[0].id)])
    open_log(folder, "n1").append([letter("d")])
    assert verify(folder) == Report(errors=[], notes=[], events=4, files=2)


def test_an_empty_log_is_clean(folder: str) -> None:
    assert verify(folder) == Report()


def test_a_bad_line_is_named_with_its_place(folder: str, lines: list[bytes]) -> None:
    report = after(folder, [*lines[:2], b"garbage\n", *lines[2:]])
    assert len(report.errors) == 1
    assert report.errors[0].startswith(f"n1.jsonl:{len(lines[0] + lines[1])}: no event")
    assert (report.notes, report.events) == ([], 5)


def test_a_line_that_was_spoilt_is_one_error_and_no_fork(folder: str, lines: list[bytes]) -> None:
    report = after(folder, [lines[0], lines[1][:40] + lines[1][41:], *lines[2:]])
    assert (len(report.errors), report.notes, report.events) == (1, [], 4)
    assert "no event" in report.errors[0]


def test_a_line_that_was_changed_or_taken_out_is_found(folder: str, lines: list[bytes]) -> None:
    for damaged in (
        [lines[0], lines[1].replace(b'"b"', b'"B"'), *lines[2:]],
        [lines[0], *lines[2:]],
        lines[1:],
    ):
        report = after(folder, damaged)
        assert len(report.errors) == 1
        assert "changed or taken out" in report.errors[0]
        assert report.notes == []


def test_two_histories_that_a_union_merge_put_together_are_a_fork_and_no_damage(
    folder: str, lines: list[bytes], open_log: OpenLog, tmp_path: Path
) -> None:
    other = open_log(str(tmp_path), "n1")
    Path(other.path).write_bytes(b"".join(lines[:3]))
    other.append([letter("x"), letter("y")])
    theirs = Path(other.path).read_bytes().splitlines(keepends=True)
    for merged in (lines + theirs[3:], theirs + lines[3:]):
        report = after(folder, merged)
        assert report.errors == []
        assert ["fork" in note for note in report.notes] == [True]
        assert report.events == 7


def test_ids_that_do_not_grow_are_found(folder: str, lines: list[bytes]) -> None:
    ids = [event.id for event in decode_block(b"".join(lines))[0]]
    smaller = lines[4].replace(ids[4].encode(), b"00000000-03e8-7000-aaf3-7fffffffffff")
    report = after(folder, [*lines[:4], smaller])
    assert ["does not sort after" in error for error in report.errors] == [True]


def test_a_cause_that_is_nowhere_is_found(folder: str, open_log: OpenLog) -> None:
    cause = "00000000-03e8-7000-aaf3-7fffffffffff"
    open_log(folder).append([letter("a", cause=cause)])
    assert [cause in error for error in verify(folder).errors] == [True]


def test_an_event_that_is_there_twice_is_a_note_and_two_of_one_id_an_error(folder: str, lines: list[bytes]) -> None:
    Path(folder, "n2.jsonl").write_bytes(b"".join(lines[:2]))
    report = after(folder, lines)
    assert (report.errors, len(report.notes), report.events) == ([], 2, 5)
    assert "the same event" in report.notes[0]
    Path(folder, "n2.jsonl").write_bytes(lines[0].replace(b'"a"', b'"A"'))
    report = after(folder, lines)
    assert ["the same id" in error for error in report.errors] == [True]


def test_types_of_a_newer_version_are_a_note(folder: str, lines: list[bytes]) -> None:
    newer = lines[0].replace(b"mail.sent", b"moon.landed")
    second = lines[1].replace(digest(lines[0]).encode(), digest(newer).encode())
    report = after(folder, [newer, second])
    assert report.errors == []
    assert report.notes == ["1 of moon.landed: a type, or data, that this version does not know"]


def test_a_line_that_is_not_finished_is_a_note(folder: str, lines: list[bytes]) -> None:
    report = after(folder, [*lines, lines[0][:30]])
    assert report.errors == []
    assert ["30 bytes" in note for note in report.notes] == [True]
    assert report.events == 5
