"""A repair in one clone is one in all: what it moved is nobody's any more, and what it moved by mistake comes back."""

import os
from pathlib import Path

import msgspec
import pytest

from swarm.eventlog.repair import Plan, plan, repair
from swarm.eventlog.verify import verify
from swarm.world.logfolder import Record

from clones import REF, Clone, Hub, hub, plain, same

__all__ = ["hub"]


def file_of(clone: Clone, author: Clone) -> Path:
    """What the clone has of the author's first events."""
    return min(path for path in clone.folder.iterdir() if path.name.startswith(author.node))


def change(path: Path, old: bytes, new: bytes) -> bytes:
    """Somebody edits the file; the changed line."""
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))
    return next(line for line in path.read_bytes().splitlines() if new in line)


def mend(clone: Clone) -> Plan:
    os.makedirs(clone.place.quarantine, exist_ok=True)
    return repair(clone.log, clone.place.quarantine, "1", "human")


def quarantined(clone: Clone) -> list[bytes]:
    folder = Path(clone.place.quarantine)
    return [line for path in folder.glob("*") for line in path.read_bytes().splitlines()]


def in_folder(clone: Clone, line: bytes) -> bool:
    return any(line in path.read_bytes() for path in clone.folder.iterdir())


def is_whole(clone: Clone) -> bool:
    report = verify(clone.place.log)
    assert report.errors == []
    return not plan(clone.place.log, f"{clone.node}.jsonl")


def settled(clone: Clone) -> bool:
    """Whether the next sync need not look into any file, and knows all the same what was moved."""
    record = msgspec.json.decode(Path(clone.place.cache, "carried.json").read_bytes(), type=Record)
    return bool(record.moved) and record.files.keys() == {name for name in record.tree if name.endswith(".jsonl")}


@pytest.mark.parametrize("synced", [False, True])
@pytest.mark.parametrize("spread", [False, True])
@pytest.mark.parametrize("mender", ["author", "other"])
@pytest.mark.parametrize("sealed", [False, True])
def test_a_changed_line_that_was_repaired_in_one_clone_is_in_none(
    hub: Hub, synced: bool, spread: bool, mender: str, sealed: bool
) -> None:
    """Changed before or after the first sync; repaired before or after the change was carried on, by either."""
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c", "sw-d")
    other.issue("sw-x")
    if synced:
        hub.settle()
    if sealed:
        one.log.seal(1)
    changed = change(file_of(one, one), b"Do sw-b", b"do SW-B")
    if spread:
        hub.settle()
    by = other if mender == "other" and spread else one
    assert len(mend(by).moves) == 1
    for _ in range(3):
        hub.settle()
        fresh = hub.clone(f"fresh{len(hub.clones)}")
        fresh.carrier.adopt()
        fresh.carrier.sync()
        assert same(hub.clones)
        assert [clone for clone in hub.clones if in_folder(clone, changed)] == []
        assert quarantined(fresh) == []
        assert all(map(is_whole, hub.clones))
        wanted = ["sw-a", "sw-b", "sw-c", "sw-d"] if synced else ["sw-a", "sw-c", "sw-d"]
        assert [event.subject for event in one.events() if event.subject not in ("", "sw-x")] == wanted
    had = [one, other] if spread else [one]
    assert [quarantined(clone) for clone in had] == [[changed]] * len(had)
    assert (changed in hub.lines()) == spread, "nothing is deleted there"
    assert all(map(settled, hub.clones[:2]))


def test_a_good_line_that_a_repair_could_not_tell_from_a_changed_one_comes_back_everywhere(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c", "sw-d")
    hub.settle()
    path = file_of(other, one)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], lines[3]]))  # so nothing vouches for the second
    mend(other)
    assert quarantined(other) == [lines[1].rstrip()]
    hub.settle()
    assert same(hub.clones)
    assert {"sw-a", "sw-b", "sw-c", "sw-d"} <= {event.subject for event in one.events()}
    assert all(map(is_whole, hub.clones))
    assert quarantined(one) == []


def test_an_id_that_one_bit_has_put_into_the_year_2096_cuts_no_node_off(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    (good,) = one.issue("sw-a", "sw-b")[1:]
    one.carrier.sync()
    changed = change(file_of(one, one), good.encode(), b"03" + good[2:].encode())
    one.close()
    one.log = one.open()
    one.carrier = one.carry()
    one.issue("sw-c")
    hub.settle()
    assert "sw-c" in {event.subject for event in other.events()}
    assert ["one of them was changed" in error for error in verify(one.place.log).errors] == [True]
    mend(one)
    one.issue("sw-d")
    hub.settle()
    assert same(hub.clones)
    assert [event.subject for event in other.events() if event.subject] == ["sw-a", "sw-b", "sw-c", "sw-d"]
    assert all(map(is_whole, hub.clones))
    assert quarantined(one) == [changed]


def test_a_line_that_was_moved_and_is_put_back_by_hand_goes_again(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    hub.settle()
    path = file_of(other, one)
    before = path.read_bytes()
    changed = change(path, b"Do sw-b", b"do SW-B")
    after = path.read_bytes()
    mend(other)
    hub.settle()
    assert path.read_bytes() == before
    path.write_bytes(after)
    assert ["is there again" in error for error in verify(other.place.log).errors][:1] == [True]
    path.write_bytes(before + changed + b"\n")
    assert len(mend(other).moves) == 1
    assert path.read_bytes() == before
    path.write_bytes(before + changed + b"\n")
    hub.settle()
    assert path.read_bytes() == before
    assert all(map(is_whole, hub.clones))
    assert same(hub.clones)


def test_what_was_moved_stays_so_when_the_record_of_the_last_sync_is_lost(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    changed = change(file_of(one, one), b"Do sw-b", b"do SW-B")
    hub.settle()
    mend(other)
    hub.settle()
    before = one.ids()
    for clone in hub.clones:
        Path(clone.place.cache, "carried.json").unlink()
        clone.carrier = clone.carry()
    one.issue("sw-d")
    hub.settle()
    assert [clone for clone in hub.clones if in_folder(clone, changed)] == []
    assert same(hub.clones)
    assert len(one.ids()) == len(before) + 1
    assert changed in hub.lines()


def test_what_somebody_appends_to_a_repaired_file_does_not_take_the_moved_line_off_the_branch(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    changed = change(file_of(one, one), b"Do sw-b", b"do SW-B")
    hub.settle()
    mend(one)
    for name in ("sw-d", "sw-e"):
        hub.settle()
        one.issue(name)
        one.carrier.sync()
        assert changed in hub.lines()
    hub.settle()
    assert plain("rev-parse", REF, at=Path(one.root)) == hub.tip()
    assert same([one, other])
    assert not in_folder(other, changed)
