"""What a sync makes of files that were restored, copied, lost or changed, and of lines that cannot be believed."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.disk import REAL
from swarm.eventlog.events import EventRefused, IssueOpened
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.ids import DAY
from swarm.eventlog.segments import sealed_name
from swarm.eventlog.verify import verify
from swarm.world.carrier import LogCarrier
from swarm.world.clock import entropy, now
from swarm.world.door import Door

from clones import REF, Clone, Hub, hub, plain, same

__all__ = ["hub"]


def refusals(clone: Clone) -> list[EventRefused]:
    return [event.data for event in clone.events() if isinstance(event.data, EventRefused)]


def growing(clone: Clone) -> Path:
    return clone.folder / f"{clone.node}.jsonl"


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


def push(hub: Hub, files: dict[str, bytes]) -> None:
    """A person puts these files on the branch."""
    hand = hub.folder / "hand"
    if not hand.exists():
        plain("clone", "--quiet", str(hub.bare), "hand", at=hub.folder)
    plain("fetch", "--quiet", at=hand)
    plain("checkout", "--quiet", "--detach", "origin/swarm-log", at=hand)
    for name, data in files.items():
        (hand / name).write_bytes(data)
    plain("add", "-A", at=hand)
    plain("-c", "user.name=Pat", "-c", "user.email=p@example.org", "commit", "--quiet", "-m", "by hand", at=hand)
    plain("push", "--quiet", "origin", f"HEAD:{REF}", at=hand)


# --- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [0, 2])
def test_a_file_of_our_own_that_was_restored_from_a_backup_gets_its_later_lines_back(hub: Hub, more: int) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b")
    backup = growing(one).read_bytes()
    one.issue("sw-c", "sw-d")
    hub.settle()
    everything = one.ids()
    growing(one).write_bytes(backup)
    for number in range(more):
        everything += one.issue(f"sw-{number}")
    done = one.carrier.sync()
    assert (done.received, done.sent) == (2, more)
    everything += one.issue("sw-last")
    hub.settle()
    assert one.ids() == other.ids() == sorted(everything)
    assert verify(one.place.log).errors == [], "at most a fork"


def test_a_torn_line_of_our_own_stays_in_our_own_file(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    with growing(one).open("ab") as file:
        file.write(b'{"type":"issue.op')
    hub.settle()
    assert same(hub.clones)
    one.issue("sw-b")
    hub.settle()
    assert same(hub.clones)
    assert b'{"type":"issue.op\n' in lines(growing(one))
    assert len(other.ids()) == 2 + len(refusals(other))


def test_sealed_files_and_growing_ones_that_were_lost_come_back(hub: Hub) -> None:
    one = hub.clone("one")
    one.issue("sw-a")
    one.log.seal(1)
    one.issue("sw-b")
    hub.settle()
    before = one.ids()
    for path in one.folder.iterdir():
        path.unlink()
    assert one.carrier.sync().received == 2
    assert one.ids() == before
    one.issue("sw-c")
    hub.settle()
    assert len(hub.lines()) == 3
    assert verify(one.place.log).errors == []


def test_an_old_growing_file_beside_the_sealed_one_that_it_became_is_put_together_with_it(hub: Hub) -> None:
    one = hub.clone("one")
    one.issue("sw-a")
    old = growing(one).read_bytes()
    one.issue("sw-b")
    one.log.seal(1)
    one.say(*[IssueOpened(title="t")] * 2, about="sw-c")
    hub.settle()
    growing(one).write_bytes(old)
    one.issue("sw-d")
    hub.settle()
    assert [event.subject for event in one.events()] == ["sw-a", "sw-b", "sw-c", "sw-c", "sw-d"]
    assert old not in growing(one).read_bytes()
    assert len(hub.lines()) == 5


def test_a_copied_clone_carries_the_file_of_the_one_it_is_a_copy_of(hub: Hub, tmp_path: Path) -> None:
    one = hub.clone("one")
    one.issue("sw-a")
    shutil.copytree(one.root, tmp_path / "copy", symlinks=True)
    copy = Clone(tmp_path / "copy")
    hub.clones.append(copy)
    assert copy.node != one.node
    copy.issue("sw-b")
    one.issue("sw-c")
    hub.settle()
    hub.settle()
    assert same(hub.clones)
    assert {event.subject for event in copy.events()} == {"sw-a", "sw-b", "sw-c"}


def test_a_file_that_is_sealed_while_it_is_looked_for_does_not_seem_to_be_missing(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    one.issue("sw-b")

    class Quicker:
        """Another process seals the file just before it is opened."""

        def open(self, path: str, flags: int, mode: int = 0o600) -> int:
            if path == str(growing(one)):
                one.log.seal(1)
            return REAL.open(path, flags, mode)

        def __getattr__(self, name: str) -> Any:
            return getattr(REAL, name)

    disk: Any = Quicker()
    door = Door(one.place.root, one.place.common)
    LogCarrier(one.place, door, one.log, "origin", now=one.now, disk=disk).sync()
    hub.settle()
    assert [event.subject for event in one.events()] == ["sw-a", "sw-b"]
    assert other.ids() == one.ids()


@pytest.mark.parametrize("record", [None, b"", b"[", b'{"tip":7}'])
def test_the_record_of_the_last_sync_may_be_lost(hub: Hub, record: bytes | None) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    one.log.seal(1)
    other.issue("sw-b")
    hub.settle()
    one.issue("sw-c")
    path = Path(one.place.home, "cache", "carried.json")
    path.unlink()
    if record is not None:
        path.write_bytes(record)
    done = one.carry().sync()
    assert (done.sent, done.received) == (1, 0)
    hub.settle()
    assert same(hub.clones)


def test_a_line_that_was_taken_out_of_a_file_of_another_node_comes_back(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    hub.settle()
    file = other.folder / other.files()[0]
    file.write_bytes(b"".join(lines(file)[::2]))
    assert other.carrier.sync().received == 1
    assert same(hub.clones)


def test_a_line_that_was_taken_out_of_the_branch_goes_there_again(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b", "sw-c")
    hub.settle()
    push(hub, {one.names()[1]: hub.lines()[0] + b"\n"})
    hub.settle()
    assert len(hub.lines()) == 3
    push(hub, {one.names()[1]: b""})
    other.carrier.sync()
    assert len(hub.lines()) == 3
    hub.settle()
    assert same(hub.clones)


# --- lines ----------------------------------------------------------------------------------------


def test_lines_that_are_no_events_are_refused_once_and_the_good_ones_are_taken(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b")
    one.carrier.sync()
    first, second = hub.lines()
    name = one.names()[1]
    push(hub, {name: b"<<<<<<< HEAD\n" + first + b"\n=======\n\x00\xff{\n" + second + b"\n>>>>>>> other\n"})
    hub.settle(3)
    assert {event.subject for event in other.events()} == {"sw-a", "sw-b", ""}
    assert same(hub.clones)
    told = refusals(one)
    assert 1 <= len(told) <= 2, "each says it at most once"
    assert told[0].origin == name
    assert "lines that are no events: 4" in told[0].reason
    assert verify(other.place.log).errors == []


def test_whatever_a_bad_line_says_can_be_told(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    one.carrier.sync()
    name, (good,) = one.names()[1], hub.lines()
    long = b'{"type":"issue.opened","%s":1}' % (b"x" * 100_000)
    push(hub, {name: good.replace(b"01", b"\\ud800", 1) + b"\n" + long + b"\n" + good + b"\n"})
    hub.settle()
    assert same(hub.clones)
    assert [event.subject for event in other.events()] == ["sw-a", ""]


def test_an_id_too_far_ahead_is_refused_once_until_its_time_has_come(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    one.ahead = 3 * DAY
    far = one.issue("sw-b", "sw-c")
    one.ahead = 0
    hub.settle(2)
    assert [event.subject for event in other.events()] == ["sw-a", ""]
    (told,) = refusals(other)
    assert told.event == far[0]
    assert told.reason == "its id is too far ahead (and those of 1 more)"
    other.issue("sw-d")
    hub.settle(2)
    assert refusals(other) == [told]
    assert other.events()[-1].id < far[0], "it does not pull others along"
    other.ahead = one.ahead = 3 * DAY
    other.carrier.sync()
    assert {event.subject for event in other.events()} == {"sw-a", "", "sw-b", "sw-c", "sw-d"}
    hub.settle()
    assert same(hub.clones)


def test_events_too_far_ahead_stay_on_the_branch_though_others_do_not_take_them(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a")
    hub.settle()
    one.ahead = 3 * DAY
    one.issue("sw-b")
    one.ahead = 0
    one.carrier.sync()
    other.carrier.sync()
    behind = other.folder / one.names()[1]
    behind.write_bytes(
        behind.read_bytes() + hub.lines(one.node)[0].replace(b"sw-a", b"sw-z") + b"\n"
    )  # so it must be written
    hub.settle()
    assert {json.loads(line).get("subject") for line in hub.lines(one.node)} == {"sw-a", "sw-b", "sw-z"}


def test_line_ends_that_a_persons_git_changed_make_no_second_events(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.issue("sw-a", "sw-b")
    one.carrier.sync()
    name = one.names()[1]
    push(hub, {name: b"".join(line + b"\r\n" for line in hub.lines())})
    hub.settle()
    assert same(hub.clones)
    assert len(one.ids()) == len(set(one.ids())) == 2
    assert sum(len(lines(other.folder / file)) for file in other.files()) == 2
    assert verify(other.place.log).notes == verify(one.place.log).notes == []


def test_ids_of_a_node_whose_clock_runs_ahead_are_sorted_after(hub: Hub) -> None:
    one, other = hub.clone("one"), hub.clone("other")
    one.ahead = 3600
    one.issue("sw-a")
    hub.settle()
    log = Log(other.place.log, other.node, now, entropy)
    try:
        log.observe(other.ids()[-1])
        made = log.append([Draft(IssueOpened(title="t"), "human", "sw-b")])[0]
    finally:
        log.close()
    assert made.id > other.ids()[0]
    assert sealed_name(one.node, one.ids()[0]) in other.files()
