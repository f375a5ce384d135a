"""What is bad is moved, never deleted; what is good stays; afterwards the log is whole."""

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from swarm.eventlog.disk import REAL
from swarm.eventlog.errors import LogError
from swarm.eventlog.events import LogRepaired, MailSent
from swarm.eventlog.lines import decode_block, digest
from swarm.eventlog.repair import DOUBLE, UNFINISHED, UNVOUCHED, repair
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.tail import Tail
from swarm.eventlog.verify import verify

from driver import driver
from repairing import Bench, OpenLog, bench, opened
from soak import amount

__all__ = ["bench"]


def test_a_whole_log_is_left_as_it_is(bench: Bench) -> None:
    bench.write("a", "b", "c")
    before = bench.file.read_bytes()
    assert not bench.repair()
    assert (bench.file.read_bytes(), bench.moved()) == (before, {})


def test_pains_30_lines_that_are_no_events_are_moved_byte_for_byte(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    garbage = [b"garbage\n", b"\xff\x00\xfe\n", b'{"type":"issue.opened","id":"x"}\n']
    bench.put(garbage[0], a, garbage[1], b, garbage[2], c)
    done = bench.repair()
    assert bench.lines[:3] == [a, b, c]
    assert bench.moved() == {"n1.jsonl.1": b"".join(garbage)}
    assert [spot.offset for spot in sorted(done.moves)] == [0, 8 + len(a), 8 + len(a) + 4 + len(b)]
    assert bench.facts() == [LogRepaired("n1.jsonl", "quarantine/n1.jsonl.1", 3)]
    assert bench.is_whole()


def test_the_log_goes_on_after_a_repair_for_whoever_had_it_open(bench: Bench, open_log: OpenLog) -> None:
    other = open_log(str(bench.folder))
    other.append(opened("a"))
    tail = Tail(str(bench.folder))
    assert len(tail.read()) == 1
    bench.put(*bench.lines, b"garbage\n")
    bench.write("b")
    bench.repair()
    other.append(opened("c"))
    bench.write("d")
    assert bench.titles() == ["a", "b", "c", "d"]
    assert {event.id for event in tail.read()} >= {event.id for event in bench.events()[1:]}
    assert tail.bad == []
    assert bench.is_whole()


def test_what_others_append_meanwhile_is_not_lost(bench: Bench, children: Any, open_log: OpenLog) -> None:
    writers = [f"{name}{number}" for name in "abc" for number in range(amount(60, 3000))]

    def work(name: str) -> None:
        log = open_log(str(bench.folder))
        for title in writers:
            if title.startswith(name):
                log.append(opened(title))
        log.close()

    bench.write("first")
    running = [children.run(lambda name=name: work(name)) for name in "abc"]
    for number in range(amount(4, 40)):
        with bench.file.open("ab") as file:
            file.write(b"garbage\n")
        bench.repair(str(number))
    assert [children.wait(pid) for pid in running] == [0, 0, 0]
    bench.repair("last")
    assert sorted(bench.titles()) == sorted(["first", *writers])
    assert bench.is_whole()


def test_pains_30_a_torn_end_is_moved_and_the_next_line_stands_alone(bench: Bench) -> None:
    a, b = bench.write("a", "b")
    bench.put(a, b, b[:50])
    done = bench.repair()
    assert list(done.moves.values()) == [UNFINISHED]
    assert bench.moved() == {"n1.jsonl.1": b[:50]}
    assert [line[:14] for line in bench.lines] == [a[:14], b[:14], b'{"type":"log.r']
    assert bench.is_whole()


def test_the_end_of_another_nodes_file_is_not_ours_to_end(bench: Bench, open_log: OpenLog) -> None:
    theirs = open_log(str(bench.folder), "n2")
    theirs.append(opened("a", "b"))
    name = theirs.seal(1)
    path = bench.folder / name
    (bench.folder / "n2.jsonl").unlink()
    path.write_bytes(path.read_bytes()[:-5])
    assert not bench.repair()


def test_a_line_that_was_changed_is_moved_and_its_gap_is_known(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    forged = b.replace(b'"b"', b'"B"')
    bench.put(a, forged, c)
    done = bench.repair()
    assert list(done.moves.values()) == [UNVOUCHED]
    assert bench.moved() == {"n1.jsonl.1": forged}
    assert bench.titles() == ["a", "c"]
    assert bench.facts()[0].gaps == [digest(b)]
    assert bench.is_whole()
    assert bench.facts()[0].moved == [digest(forged)]
    assert ["is missing; a repair noted it" in note for note in verify(str(bench.folder)).notes] == [True]


def test_many_lines_changed_by_an_editor_are_all_moved_but_one_that_nothing_follows(bench: Bench) -> None:
    lines = bench.write(*"abcdefgh")
    forged = [line.replace(b'"human"', b'"agent/kim"') for line in lines[2:5]]
    bench.put(*lines[:2], *forged, *lines[5:])
    bench.repair()
    assert bench.moved() == {"n1.jsonl.1": b"".join(forged)}
    assert bench.titles() == ["a", "b", "f", "g", "h"]
    assert bench.is_whole()


def test_a_line_before_a_gap_stays_if_the_line_of_a_fork_names_it(bench: Bench, tmp_path: Path) -> None:
    a, b, _, d = bench.write("a", "b", "c", "d")
    (tmp_path / "fork").mkdir()
    fork = tmp_path / "fork" / "n1.jsonl"
    fork.write_bytes(a + b)
    bench.open_log(str(fork.parent)).append(opened("x"))
    bench.put(a, b, d, fork.read_bytes().splitlines(keepends=True)[2])
    done = bench.repair()
    assert (done.moves, sorted(bench.titles())) == ({}, ["a", "b", "d", "x"])
    assert bench.is_whole()


def test_of_two_events_of_one_id_the_one_that_others_name_stays(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    forged = b.replace(b'"b"', b'"B"')
    for lines in ([a, b, forged, c], [a, forged, b, c], [a, b, c, forged]):
        bench.put(*lines)
        done = bench.repair()
        assert list(done.moves.values()) == [DOUBLE]
        assert bench.titles() == ["a", "b", "c"]
        assert bench.is_whole()
    assert bench.moved() == {"n1.jsonl.1": forged * 3}


def test_an_intact_copy_in_another_file_outlives_the_changed_line(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    (bench.folder / "n0.jsonl").write_bytes(a + b.replace(b'"b"', b'"B"') + c)
    bench.repair()
    assert bench.titles() == ["a", "b", "c"]
    assert bench.is_whole()


def test_copies_of_a_line_do_no_harm_and_stay(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    bench.put(a, b, b, c, a)
    assert not bench.repair()
    assert bench.lines == [a, b, b, c, a]


def test_a_last_line_whose_id_is_too_small_is_moved(bench: Bench) -> None:
    a, b = bench.write("a", "b")
    forged = b.replace(decode_block(b)[0][0].id.encode(), b"00000000-03e8-7000-aaf3-7fffffffffff")
    bench.put(a, forged)
    bench.repair()
    assert bench.moved() == {"n1.jsonl.1": forged}
    assert bench.is_whole()


def test_sealed_files_and_those_of_other_nodes_are_repaired_too(bench: Bench, open_log: OpenLog) -> None:
    bench.write("a", "b")
    sealed = bench.folder / bench.log.seal(1)
    sealed.write_bytes(sealed.read_bytes().replace(b"\n", b"\n\x00\n", 1))
    bench.write("c")
    theirs = open_log(str(bench.folder), "n2")
    theirs.append(opened("d", "e", "f"))
    other = bench.folder / theirs.seal(1)
    (bench.folder / "n2.jsonl").unlink()
    lines = other.read_bytes().splitlines(keepends=True)
    other.write_bytes(lines[0] + lines[1].replace(b'"e"', b'"E"') + lines[2])
    done = bench.repair()
    assert sorted(bench.moved()) == [f"{sealed.name}.1", f"{other.name}.1"]
    assert sorted(fact.file for fact in bench.facts()) == sorted({spot.file for spot in done.moves})
    assert bench.titles() == ["a", "b", "c", "d", "f"]
    assert bench.is_whole()


def test_what_is_missing_between_two_files_is_noted_and_nothing_moved(bench: Bench) -> None:
    for title in "abc":
        bench.write(title)
        bench.log.seal(1)
    bench.write("d")
    names = sorted(os.listdir(bench.folder))
    (bench.folder / names[1]).unlink()
    done = bench.repair()
    assert (done.moves, list(done.gaps)) == ({}, [names[2]])
    assert bench.titles() == ["a", "c", "d"]
    assert bench.is_whole()


def test_a_sealed_file_whose_first_event_was_moved_keeps_its_name(bench: Bench) -> None:
    bench.write("a", "b", "c")
    sealed = bench.folder / bench.log.seal(1)
    whole = sealed.read_bytes()
    for spoilt in (b"x" + whole, whole.replace(b'"a"', b'"A"'), whole.replace(b'"type"', b'"typo"', 1)):
        sealed.write_bytes(spoilt)
        bench.repair()
        assert sealed.exists()
        assert bench.is_whole()


def test_a_sealed_file_under_a_wrong_name_gets_the_right_one(bench: Bench) -> None:
    bench.write("a", "b")
    right = bench.log.seal(1)
    bench.write("c")
    wrong = sealed_name("n1", bench.events()[1].id)
    (bench.folder / right).rename(bench.folder / wrong)
    assert bench.repair().names == {wrong: right}
    assert sorted(os.listdir(bench.folder)) == [right, "n1.jsonl"]
    assert (bench.facts(), bench.is_whole()) == ([], True)


def test_a_file_of_nothing_but_garbage_is_emptied_into_quarantine(bench: Bench) -> None:
    bench.write("a")
    (bench.folder / "strange.jsonl").write_bytes(b"one\ntwo\n")
    bench.repair()
    assert (bench.folder / "strange.jsonl").read_bytes() == b""
    assert bench.moved() == {"strange.jsonl.1": b"one\ntwo\n"}
    assert bench.is_whole()


def test_a_line_of_many_megabytes_is_moved_whole(bench: Bench) -> None:
    a, b = bench.write("a", "b")
    long = b'{"type":"' + b"x" * 5_000_000 + b"\n"
    bench.put(a, long, b)
    bench.repair()
    assert list(bench.moved().values()) == [long]
    assert bench.titles() == ["a", "b"]
    assert bench.is_whole()


def test_more_gaps_than_one_line_holds(bench: Bench) -> None:
    lines = bench.write(*map(str, range(4000)))
    bench.put(*(line for number, line in enumerate(lines) if number % 3 < 2))
    bench.repair()
    assert [(fact.lines, len(fact.gaps)) for fact in bench.facts()] == [(1333, 1000), (0, 333)]
    assert bench.is_whole()


def test_what_rests_on_a_line_that_was_moved_is_no_error_afterwards(bench: Bench) -> None:
    with driver({"a": ["well"], "b": ["breaks", "well"]}) as d:
        d.person(MailSent(to=["coordinator"], body="hello"), "")
        d.run(Random(1))
        lines = (Path(d.folder) / "n1.jsonl").read_bytes().splitlines(keepends=True)
    for number, line in enumerate(lines[:-1]):
        bench.put(*lines[:number], line[:-9] + b"\n", *lines[number + 1 :])
        bench.repair()
        assert bench.is_whole(), line


class Meddled:
    """The real disk, but for somebody who edits the file once what is bad in it was copied."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(REAL, name)

    def fsync(self, fd: int, /) -> None:
        REAL.fsync(fd)
        self._file.write_bytes(self._file.read_bytes().replace(b"garbage", b"GARBAGE"))


def test_a_file_that_changes_under_the_repair_is_left_alone(bench: Bench) -> None:
    a, b = bench.write("a", "b")
    bench.put(a, b"garbage\n", b)
    with pytest.raises(LogError, match="changed meanwhile"):
        repair(bench.log, str(bench.quarantine), "1", "human", Meddled(bench.file))
    assert b"GARBAGE" in bench.file.read_bytes()
    assert [path.name for path in bench.folder.iterdir()] == ["n1.jsonl"], "no draft is left"
    bench.repair("2")
    assert bench.is_whole()


@pytest.mark.parametrize("seed", range(amount(40, 2000)))
def test_whatever_was_done_to_the_lines_the_log_is_whole_afterwards_and_every_byte_is_kept(
    bench: Bench, seed: int
) -> None:
    """But the last line may say anything that can be: nothing vouches for it yet, so it is left alone here."""
    chance = Random(seed)
    lines = bench.write(*"abcdefghij")
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(lines) - 1)
        line = bytearray(lines[at] or b"\n")
        line[chance.randrange(len(line))] = chance.randrange(256)
        lines[at : at + 1] = chance.choice(
            ([bytes(line)], [], [lines[at], bytes(line)], [lines[at]] * 2, [lines[at], b"\xff\n"], [lines[at][:-20]])
        )
    bench.put(*lines)
    before = bench.file.read_bytes()
    bench.repair()
    assert bench.is_whole()
    kept = bench.file.read_bytes() + b"".join(bench.moved().values())
    assert all(kept.count(piece) >= before.count(piece) for piece in before.splitlines(keepends=True))


def test_without_a_place_for_what_is_bad_nothing_is_moved(bench: Bench) -> None:
    a, b = bench.write("a", "b")
    bench.put(a, b"garbage\n", b)
    bench.quarantine.rmdir()
    with pytest.raises(LogError):
        bench.repair()
    assert bench.lines == [a, b"garbage\n", b]
