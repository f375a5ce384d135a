"""What was moved is moved wherever it stands, and does not come back; and what is not moved, though it looks bad."""

import pytest

from swarm.eventlog.events import LogRepaired
from swarm.eventlog.lines import decode_block, digest
from swarm.eventlog.verify import verify

from repairing import Bench, bench, opened

__all__ = ["bench"]


def test_nothing_is_moved_for_cr_lf(bench: Bench) -> None:
    bench.put(*(line[:-1] + b"\r\n" for line in bench.write(*"abcd")))
    assert not bench.repair()
    bench.write("e")
    assert not bench.repair()
    lines = bench.lines
    lines[1] = lines[1].replace(b'"b"', b'"B"')
    bench.put(*lines)
    bench.repair()
    assert bench.moved() == {"n1.jsonl.1": lines[1]}
    assert bench.titles() == ["a", "c", "d", "e"]
    assert bench.is_whole()


@pytest.mark.parametrize("more", [(), ("c", "d")])
def test_an_id_that_its_line_belies_is_moved_though_the_next_line_was_written_after_it(
    bench: Bench, more: tuple[str, ...]
) -> None:
    a, b = bench.write("a", "b")
    id_ = decode_block(b)[0][0].id
    far = b.replace(id_.encode(), b"03" + id_[2:].encode())
    bench.put(a, far)
    bench.open_log(str(bench.folder)).append(opened(*more))
    bench.repair()
    assert bench.moved() == {"n1.jsonl.1": far}
    assert bench.titles() == ["a", *more]
    assert bench.events()[-1].id < "02"
    assert bench.facts() == [LogRepaired("n1.jsonl", "quarantine/n1.jsonl.1", 1, [digest(far)], [digest(far)])]
    assert bench.is_whole()
    assert any("moved away by a repair" in note for note in verify(str(bench.folder)).notes)


def test_an_id_too_far_ahead_is_not_moved(bench: Bench) -> None:
    bench.open_log(str(bench.folder), "n1", lambda: 4_000_000_000.0).append(opened("a", "b"))
    assert len(verify(str(bench.folder), now=3_000_000_000.0).errors) == 2
    assert not bench.repair()


def test_a_copy_of_a_changed_line_goes_with_it(bench: Bench) -> None:
    a, b, c = bench.write("a", "b", "c")
    forged = b.replace(b'"b"', b'"B"')
    bench.put(a, forged, forged, c)
    (bench.folder / "n0.jsonl").write_bytes(a + forged)
    bench.repair()
    assert bench.moved() == {"n0.jsonl.1": forged, "n1.jsonl.1": forged * 2}
    assert bench.titles() == ["a", "c"]
    assert bench.is_whole()


def test_a_line_that_comes_back_is_found_and_moved_again_unless_another_was_written_after_it(bench: Bench) -> None:
    a, b, c, d = bench.write("a", "b", "c", "d")
    bench.put(a, b, d)
    bench.repair()
    assert bench.moved() == {"n1.jsonl.1": b}
    told = bench.lines[2:]
    bench.put(a, b, d, *told)
    assert ["is there again" in error for error in verify(str(bench.folder)).errors] == [True]
    bench.repair("2")
    assert bench.moved()["n1.jsonl.2"] == b
    bench.put(a, b, c, d, *told)
    assert bench.is_whole()
    assert bench.titles() == ["a", "b", "c", "d"]


def test_more_moved_events_than_one_line_holds(bench: Bench) -> None:
    lines = bench.write(*map(str, range(2500)))
    bench.put(*(line.replace(b'"human"', b'"kim"') if at % 2 else line for at, line in enumerate(lines)))
    bench.repair()
    assert [(fact.lines, len(fact.gaps), len(fact.moved)) for fact in bench.facts()] == [
        (1249, 1000, 1000),
        (0, 249, 249),
    ]
    assert bench.is_whole()
