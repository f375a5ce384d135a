"""Every kind of damage is found, and none where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from swarm.eventlog.events import IssueOpened, MailAcked, MailDeadLettered, MailDelivered, MailSent
from swarm.eventlog.fact import Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.lines import decode_block, digest
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
    assert ["no such letter" in error for error in verify(folder).errors] == [True]
    log.append([mark(replace(fact, letter="00000000-03e8-7000-aaf3-7fffffffffff"))])
    assert len(verify(folder).errors) == 2, "each is told once"
    log.append([Draft(replace(fact, letter="00000000-03e8-7000-aaf3-7fffffffffff"), source="x")])
    assert len(verify(folder).errors) == 3, "also where no cause is named"


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
