"""Every kind of damage is found, and none where there is none."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from swarm.eventlog.disk import REAL
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import (
    EventRefused,
    IssueOpened,
    LogRepaired,
    MailAcked,
    MailDeadLettered,
    MailDelivered,
    MailSent,
)
from swarm.eventlog.fact import Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.ids import DAY, rfc3339, time_of
from swarm.eventlog.lines import decode_block, digest
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.verify import Report, verify

OpenLog = Callable[..., Log]


def letter(body: str, cause: str = "") -> Draft:
    return Draft(MailSent(to=["human"], body=body), source="agent/kim", causationid=cause)


def became(unread: int = 0, dead: int = 0, delivered: int = 0, acked: int = 0) -> dict[str, int]:
    return {"unread": unread, "dead": dead, "delivered": delivered, "acked": acked}


def mark(fact: Fact) -> Draft:
    """What is said of a letter, as its readers say it."""
    return Draft(fact, source="x", subject=fact.letter, causationid=fact.letter)  # type: ignore[attr-defined]


@pytest.fixture
def lines(folder: str, open_log: OpenLog) -> list[bytes]:
    """The five lines of a log."""
    log = open_log(folder)
    log.append([letter(body) for body in "abcde"])
    return Path(log.path).read_bytes().splitlines(keepends=True)


def with_id(lines: bytes, old: str, new: str) -> bytes:
    """The lines with another id in one of them, and the time of that."""
    return lines.replace(
        f'"id":"{old}","time":"{rfc3339(old)}"'.encode(), f'"id":"{new}","time":"{rfc3339(new)}"'.encode()
    )


def after(folder: str, lines: list[bytes]) -> Report:
    Path(folder, "n1.jsonl").write_bytes(b"".join(lines))
    return verify(folder)


def test_a_clean_log_of_two_nodes_has_nothing_to_tell(folder: str, open_log: OpenLog) -> None:
    first = open_log(folder, "n1").append([Draft(IssueOpened(title="a"), source="human"), letter("b")])
    open_log(folder, "n2").append([letter("c", cause=first[0].id)])
    open_log(folder, "n1").append([letter("d")])
    assert verify(folder) == Report(errors=[], notes=[], events=4, files=2, letters=became(unread=3))


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
    smaller = with_id(lines[4], ids[4], "00000000-03e8-7000-aaf3-7fffffffffff")
    report = after(folder, [*lines[:4], smaller])
    assert ["does not sort after" in error for error in report.errors] == [True]


@pytest.mark.parametrize("digit", [b"0", b"3"])
def test_an_id_and_a_time_that_belie_each_other_are_found_and_nothing_is_judged_by_them(
    folder: str, lines: list[bytes], open_log: OpenLog, digit: bytes
) -> None:
    id_ = decode_block(lines[4])[0][0].id.encode()
    damaged = lines[4].replace(b'"id":"' + id_, b'"id":"0' + digit + id_[2:])
    assert ["one of them was changed" in error for error in after(folder, [*lines[:4], damaged]).errors] == [True]
    later = open_log(folder).append([letter("f"), letter("g")])
    before = decode_block(lines[3])[0][0].id
    assert before < later[0].id < "02", "it is not followed"
    assert [error.split(": ")[0] for error in verify(folder).errors] == [f"n1.jsonl:{len(b''.join(lines[:4]))}"]


def test_an_id_that_its_line_belies_is_not_one_that_its_node_has_reached(folder: str, open_log: OpenLog) -> None:
    there, here = open_log(folder, "n2"), open_log(folder, "n1")
    id_ = there.append([letter("a")])[0].id
    whole = Path(there.path).read_bytes()
    here.append([letter("c", cause=there.append([letter("b")])[0].id)])
    Path(there.path).write_bytes(whole.replace(id_.encode(), b"03" + id_[2:].encode()))
    report = verify(folder)
    assert ["one of them was changed" in error for error in report.errors] == [True]
    assert ["has not arrived yet" in note for note in report.notes] == [True]


def test_a_time_in_another_spelling_belies_no_id(folder: str, lines: list[bytes]) -> None:
    at = rfc3339(decode_block(lines[4])[0][0].id).encode()
    for other in (b"yesterday", at[:-5] + b"Z", at[:-1] + b"+00:00", b""):
        assert after(folder, [*lines[:4], lines[4].replace(at, other)]).errors == []
    assert len(after(folder, [*lines[:4], lines[4].replace(at, b"2096" + at[4:])]).errors) == 1


def test_an_id_too_far_ahead_of_now_is_found(folder: str, lines: list[bytes]) -> None:
    last = time_of(decode_block(lines[4])[0][0].id)
    assert verify(folder, now=last - DAY).errors == []
    assert ["too far ahead" in error for error in verify(folder, now=last - 2 * DAY).errors] == [True] * 5
    assert verify(folder).errors == []


def test_lines_that_end_with_cr_lf_are_what_they_were(folder: str, lines: list[bytes], open_log: OpenLog) -> None:
    crlf = [line[:-1] + b"\r\n" for line in lines]
    note = "n1.jsonl: {} of its lines end with CR LF"
    report = after(folder, crlf)
    assert (report.errors, report.notes, report.events) == ([], [note.format(5)], 5)
    open_log(folder).append([letter("f")])
    assert verify(folder).notes == [note.format(5)]
    report = after(folder, Path(folder, "n1.jsonl").read_bytes().replace(b"\r", b"").splitlines(keepends=True))
    assert (report.errors, report.notes) == ([], []), "nor does it matter that they were when the next was written"
    report = after(folder, [*lines[:2], b"\r\n", *crlf[2:4], lines[4]])
    assert (report.errors, report.notes) == ([], [note.format(3)])
    changed = [*crlf[:2], crlf[2].replace(b'"c"', b'"C"'), *crlf[3:]]
    assert len(after(folder, changed).errors) == 1


def test_a_cause_that_its_node_has_passed_and_that_is_nowhere_is_found(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    first = log.append([letter("a")])[0].id
    cause = first[:-1] + ("0" if first[-1] != "0" else "1")
    log.append([letter("b")])
    log.append([letter("c", cause=cause), letter("d", cause=cause)])
    assert [cause in error for error in verify(folder).errors] == [True], "each that is missing is told once"
    log.append([letter("e", cause="no id at all")])
    assert ["no id at all" in error for error in verify(folder).errors] == [False, True]


def test_what_has_not_arrived_from_another_node_is_a_note(folder: str, open_log: OpenLog) -> None:
    there, here = open_log(folder, "n2"), open_log(folder, "n1")
    there.append([letter("a")])
    whole = Path(there.path).read_bytes()
    cause = there.append([letter("b")])[0].id
    here.append([letter("c", cause=cause)])
    assert verify(folder).notes == []
    Path(there.path).write_bytes(whole)
    report = verify(folder)
    assert report.errors == []
    assert [cause in note and "has not arrived yet" in note for note in report.notes] == [True]


def full(folder: str, open_log: OpenLog, segments: int = 3, each: int = 4) -> list[Path]:
    """The files of a node: sealed ones, and the one that grows."""
    log = open_log(folder)
    for number in range(segments):
        log.append([letter(f"{number} {count}") for count in range(each)])
        log.seal(1)
    log.append([letter("the last"), letter("of all")])
    return [Path(folder, name) for name in sorted(os.listdir(folder))]


def test_a_chain_goes_on_from_file_to_file(folder: str, open_log: OpenLog) -> None:
    files = full(folder, open_log)
    assert verify(folder) == Report(events=14, files=4, letters=became(unread=14))
    for index, file in enumerate(files[:3]):
        whole = file.read_bytes()
        lines = whole.splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:-1]))
        report = verify(folder)
        assert [error.split(": ")[0] for error in report.errors] == [f"{files[index + 1].name}:0"], "the last was cut"
        file.unlink()
        assert [error.split(": ")[0] for error in verify(folder).errors] == [f"{files[index + 1].name}:0"]
        file.write_bytes(whole)


def test_ids_grow_from_file_to_file(folder: str, open_log: OpenLog) -> None:
    files = full(folder, open_log)
    first = decode_block(files[3].read_bytes())[0][0].id
    changed = with_id(files[3].read_bytes(), first, "00000000-03e8-7000-aaf3-7fffffffffff")
    files[3].write_bytes(changed[: changed.find(b"\n") + 1])
    assert ["does not sort after" in error for error in verify(folder).errors] == [True]


def test_a_sealed_file_has_the_name_of_its_first_event(folder: str, open_log: OpenLog) -> None:
    files = full(folder, open_log)
    ids = [decode_block(file.read_bytes())[0][0].id for file in files]
    assert [file.name for file in files[:3]] == [sealed_name("n1", id_) for id_ in ids[:3]]
    other = decode_block(files[1].read_bytes())[0][1].id
    files[1].rename(Path(folder, sealed_name("n1", other)))
    assert [f"name of {other}" in error for error in verify(folder).errors] == [True]


def test_a_file_that_is_sealed_while_one_looks_is_looked_at_once(folder: str, open_log: OpenLog) -> None:
    full(folder, open_log)
    log = open_log(folder)
    disk = Busy(lambda: log.seal(1) and log.append([letter("meanwhile")]))
    report = verify(folder, disk)
    assert (report.errors, report.notes, report.events, report.files) == ([], [], 14, 4)
    assert disk.done
    assert verify(folder).events == 15


class Busy:
    """The real disk; when the folder is listed for the second time, somebody has just written."""

    def __init__(self, write: Callable[[], object]) -> None:
        self._write, self._lists = write, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    @property
    def done(self) -> bool:
        return self._lists > 1

    def listdir(self, path: str, /) -> list[str]:
        self._lists += 1
        if self._lists == 2:
            self._write()
        return REAL.listdir(path)


def test_the_end_of_another_nodes_file_that_is_missing_is_a_note(folder: str, open_log: OpenLog) -> None:
    files = full(folder, open_log)
    for file in files[2:]:
        file.unlink()
    files[1].write_bytes(files[1].read_bytes()[:-9])
    report = verify(folder)
    assert report.errors == []
    assert ["has not arrived" in note for note in report.notes] == [True]


def test_a_file_that_cannot_be_read_is_told(folder: str, lines: list[bytes]) -> None:
    class Broken:
        """The real disk, with a sector that cannot be read."""

        def __getattr__(self, name: str) -> Any:
            return getattr(REAL, name)

        def pread(self, fd: int, length: int, offset: int, /) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(LogError, match=r"cannot read n1\.jsonl"):
        verify(folder, Broken())


def test_a_gap_that_a_repair_left_and_one_that_a_refusal_left_are_notes(
    folder: str, lines: list[bytes], open_log: OpenLog
) -> None:
    lost = digest(lines[1])
    assert len(after(folder, [lines[0], *lines[2:]]).errors) == 1
    log = open_log(folder)
    log.append([Draft(LogRepaired("n1.jsonl", "quarantine/n1.jsonl.1", 1, [lost]), "human")])
    report = verify(folder)
    assert (report.errors, [("is missing; a repair noted it" in note) for note in report.notes]) == ([], [True])
    log.append([Draft(LogRepaired("n1.jsonl", "quarantine/n1.jsonl.1", 1, [lost], [lost]), "human")])
    report = verify(folder)
    assert (report.errors, [("moved away by a repair" in note) for note in report.notes]) == ([], [True])
    other = sealed_name("n2", decode_block(lines[0])[0][0].id)
    Path(folder, other).write_bytes(b"".join([lines[0], *lines[2:]]).replace(b'"body":"', b'"body":"x'))
    assert len(verify(folder).errors) > 1
    Path(folder, other).unlink()
    theirs = open_log(folder, "n2")
    theirs.append([letter(body) for body in "abcd"])
    kept = Path(theirs.path).read_bytes().splitlines(keepends=True)
    Path(theirs.path).write_bytes(b"".join([kept[0], *kept[2:]]))
    assert len(verify(folder).errors) == 1
    log.append([Draft(EventRefused("n3.jsonl", "", "lines that are no events: 1"), "carrier")])
    assert len(verify(folder).errors) == 1
    log.append([Draft(EventRefused("n2.jsonl", decode_block(kept[1])[0][0].id, "its id is too far ahead"), "carrier")])
    report = verify(folder)
    assert (report.errors, any("refused" in note for note in report.notes)) == ([], True)


def test_an_event_that_is_there_twice_is_a_note_and_two_of_one_id_an_error(folder: str, lines: list[bytes]) -> None:
    Path(folder, "n2.jsonl").write_bytes(b"".join(lines[:2]))
    report = after(folder, lines)
    assert (report.errors, report.notes, report.events) == ([], ["n2.jsonl: 2 of its events are elsewhere too"], 5)
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


def test_pains_3_each_letter_is_counted_once_as_the_furthest_that_it_got(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    _, dead, had, read, mixed = (event.id for event in log.append([letter(body) for body in "abcde"]))
    log.append([mark(MailDeadLettered(dead, "agent-kim", "gone")), mark(MailDelivered(had, "human"))])
    log.append([mark(MailAcked(read, "human")), mark(MailDelivered(read, "human"))])
    open_log(folder, "n2").append(
        [mark(MailDelivered(mixed, "human")), mark(MailDeadLettered(mixed, "agent-kim", "gone"))]
    )
    Path(folder, "n3.jsonl").write_bytes(Path(log.path).read_bytes())  # a copy counts nothing twice
    report = verify(folder)
    assert (report.errors, report.letters) == ([], became(unread=1, dead=1, delivered=2, acked=1))


@pytest.mark.parametrize(
    "fact", [MailDelivered("{}", "human"), MailAcked("{}", "human"), MailDeadLettered("{}", "agent-kim", "gone")]
)
def test_pains_3_what_is_said_of_a_letter_that_was_never_sent_is_found(
    folder: str, open_log: OpenLog, fact: Fact
) -> None:
    log = open_log(folder)
    issue = log.append([Draft(IssueOpened(title="a"), source="human")])[0].id
    assert len(verify(folder).errors) == 0
    log.append([mark(replace(fact, letter=issue))])
    assert [f"no letter {issue}" in error for error in verify(folder).errors] == [True]
    never = issue[:-1] + ("0" if issue[-1] != "0" else "1")
    log.append([Draft(replace(fact, letter=never), source="x")])
    assert [never in error for error in verify(folder).errors] == [False, True], "also where no cause is named"
    log.append([mark(replace(fact, letter=never))])
    assert len(verify(folder).errors) == 2, "each is told once"


@pytest.mark.parametrize("kind", [MailDelivered, MailAcked])
def test_pains_3_a_letter_that_was_read_and_is_dead_for_one_reader_is_found(
    folder: str, open_log: OpenLog, kind: Callable[..., Fact]
) -> None:
    log = open_log(folder)
    sent = log.append([letter("a")])[0].id
    log.append([mark(MailDeadLettered(sent, "agent-kim", "gone")), mark(kind(sent, "agent-pat"))])
    assert verify(folder).errors == []
    open_log(folder, "n2").append([mark(kind(sent, "agent-kim"))])
    assert ["dead for agent-kim" in error for error in verify(folder).errors] == [True]


def test_a_letter_of_a_newer_version_is_a_letter(folder: str, open_log: OpenLog) -> None:
    log = open_log(folder)
    sent = log.append([letter("a")])[0].id
    newer = Path(log.path).read_bytes().replace(b'"body":"a"', b'"body":["a"]')
    Path(log.path).write_bytes(newer)
    log.append([mark(MailDelivered(sent, "human"))])
    report = verify(folder)
    assert (report.errors, len(report.notes), report.letters) == ([], 1, became(delivered=1))
