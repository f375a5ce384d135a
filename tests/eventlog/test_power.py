"""What is promised of a loss of power holds whenever it comes, on a disk that forgets all that was not synced (P2)."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from swarm.eventlog.errors import LogError, NotDurable
from swarm.eventlog.events import MailSent
from swarm.eventlog.fact import Event
from swarm.eventlog.files import FSYNC, GROUP, NONE, Draft, Log
from swarm.eventlog.lines import decode_block, digest
from swarm.eventlog.segments import FULL, files
from swarm.eventlog.tail import Tail, read_all
from swarm.eventlog.verify import verify

from disk import FOLDER, SimDisk
from soak import amount

PART = 50
STORIES = {FSYNC: amount(ci=200, full=5_000), GROUP: amount(ci=200, full=5_000), NONE: amount(ci=50, full=500)}
"""How many there are of each durability, 10,000 with a promise; one test tells a part of them."""


class Story:
    """Some writers on one disk, that do and suffer what the seed says. `attempted`: what was given to `append`, by its
    number; `acknowledged`: what it returned, and `safe`: what must now survive, by id.
    """

    def __init__(self, seed: int, durability: str, log: type[Log] = Log, lying: frozenset[str] = frozenset()) -> None:
        self.random, self.durability, self.kind = Random(seed), durability, log
        self.disk = SimDisk(seed)
        self.disk.faults.lying = set(lying)
        self.clock = 1_800_000_000.0
        self.attempted: list[str] = []
        self.acknowledged: dict[str, Event[Any]] = {}
        self.safe: set[str] = set()
        self.refused = self.undurable = 0
        self.boot()

    def boot(self) -> None:
        """The machine comes up: the clock may be wrong now, and nobody has anything open."""
        self.clock += self.random.choice((1.0, 1.0, -3600.0, 3600.0))
        self.writers = [self.writer() for _ in range(self.random.randint(1, 3))]
        self.authors: dict[str, Log] = {}
        self.reader, self.read = Tail(FOLDER, disk=self.disk), set[str]()

    def writer(self) -> tuple[Log, SimDisk]:
        disk = self.disk.another()
        return self.kind(FOLDER, "n1", self.now, lambda: self.random.getrandbits(64), self.durability, disk), disk

    def now(self) -> float:
        self.clock += self.random.random() / 100
        return self.clock

    # --- what may happen ---

    def run(self, steps: int) -> None:
        """Things happen, and the power is lost now and then, and at the end."""
        deeds = [self.append] * 12 + [self.sync] * 2 + [self.seal, self.close, self.come, self.look] + [self.suffer] * 3
        for _ in range(steps):
            self.random.choice(deeds)()
            if self.random.random() < 0.04:
                self.lose_power()
        self.lose_power()
        for log, _ in self.writers:
            self.write(log)
        self.look()

    def append(self) -> None:
        self.write(self.random.choice(self.writers)[0])

    def write(self, log: Log) -> None:
        """Some events, that are acknowledged at once; now and then so many that a file is full."""
        self.heard(log, log.append(self.drafts(20 if self.random.random() < 0.02 else self.random.randint(1, 3))))

    def heard(self, log: Log, events: list[Event[Any]]) -> None:
        self.acknowledged |= {event.id: event for event in events}
        self.authors |= {event.id: log for event in events}
        if self.durability == FSYNC:
            self.safe |= {event.id for event in events}

    def drafts(self, many: int) -> list[Draft]:
        sizes = (0, 10, 300, 5000) if many < 20 else (60_000,)
        made = []
        for _ in range(many):
            filling = self.random.choice("abc") * self.random.randint(0, self.random.choice(sizes))
            self.attempted.append(f"{len(self.attempted)} {filling}")
            made.append(Draft(MailSent(to=["human"], body=self.attempted[-1]), "agent/kim"))
        return made

    def sync(self) -> None:
        self.random.choice(self.writers)[0].sync()
        if self.durability != NONE:
            self.safe |= self.acknowledged.keys()

    def close(self) -> None:
        self.leave(self.random.choice(self.writers)[0])

    def leave(self, log: Log) -> None:
        """A writer that goes has synced what it wrote."""
        log.close()
        if self.durability != NONE:
            self.safe |= {id_ for id_, author in self.authors.items() if author is log and id_ in self.acknowledged}

    def come(self) -> None:
        """Another process begins to write, in place of one."""
        place = self.random.randrange(len(self.writers))
        self.leave(self.writers[place][0])
        self.writers[place] = self.writer()

    def seal(self) -> None:
        self.random.choice(self.writers)[0].seal(self.random.choice((1, 1000, FULL)))

    def suffer(self) -> None:
        """An append while something is wrong fails with words or is acknowledged; once all is well, another works."""
        log, disk = self.random.choice(self.writers)
        before = self.content()
        cut = self.go_wrong(disk)
        try:
            self.heard(log, log.append(self.drafts(self.random.randint(1, 3))))
        except NotDurable as error:
            assert error.events, "they are in the log"  # noqa: PT017
            self.acknowledged |= {event.id: event for event in error.events}
            self.authors |= {event.id: log for event in error.events}
            self.undurable += 1
        except LogError as error:
            self.refused += 1
            assert str(error)  # noqa: PT017  (that it may come is what the story is about)
            whole = not cut and before[-1:] in (b"", b"\n")
            assert self.content().startswith(before), "what was there was harmed"
            assert not whole or self.content()[-1:] in (b"", b"\n"), "a part of a line is left"
        finally:
            self.disk.faults.room, self.disk.faults.broken, self.disk.faults.readonly = None, set(), False
            disk.descriptors = None
        self.write(log)

    def go_wrong(self, disk: SimDisk) -> bool:
        """Something is wrong from now on; True if what came in short cannot even be taken back."""
        kinds = ["broken", "readonly", "descriptors"]
        if self.durability != NONE:  # what is never synced may come back in part, and mix with what came in its place
            kinds += ["room", "room", "room for ever"]
        kind = self.random.choice(kinds)
        if kind.startswith("room"):
            self.disk.faults.room = self.random.choice((0, 1, self.random.randrange(1000)))
        if kind == "room for ever":
            self.disk.faults.broken = {"ftruncate"}
        elif kind == "broken":
            calls = ("open", "write", "fdatasync", "fsync", "rename", "pread", "lseek", "stat", "fstat", "listdir")
            calls += ("flock", "sleep")
            self.disk.faults.broken = set(self.random.sample(calls, self.random.randint(1, 2)))
        elif kind == "readonly":
            self.disk.faults.readonly = True
        elif kind == "descriptors":
            disk.descriptors = self.random.randrange(3)
        return kind == "room for ever"

    def lose_power(self) -> None:
        self.disk.power_loss()
        found = {event.id for event in read_all(FOLDER, disk=self.disk)}
        lost = self.safe - found
        assert not lost, f"{len(lost)} events were promised and are lost"
        self.safe = found  # what is there now is on the disk
        self.acknowledged = {id_: event for id_, event in self.acknowledged.items() if id_ in found}
        self.boot()

    # --- what always holds ---

    def look(self) -> None:
        """What is read is what was written, once each, and nothing of it but what no promise was given for is lost."""
        self.read |= {event.id for event in self.reader.read()}
        found = Tail(FOLDER, disk=self.disk).read()
        assert self.read == {event.id for event in found}, "who reads on sees something else"
        assert len(self.read) == len(found), "an event is there twice"
        numbers = [int(event.data.body.split()[0]) for event in found]
        assert [event.data.body for event in found] == [self.attempted[number] for number in numbers]
        assert len(set(numbers)) == len(numbers), "what was written once is there twice"
        here = {event.id: event for event in found}
        assert all(here.get(id_) == event for id_, event in self.acknowledged.items()), "an acknowledged one is not it"
        self.check_chain()

    def check_chain(self) -> None:
        """What was written since the last start stands after all that was there, each after the one it names."""
        before = newest = ""
        there = self.disk.files()
        for line in [line for name in files(there) for line in there[name].split(b"\n")]:
            events, _ = decode_block(line)
            if events:
                if events[0].id in self.authors:
                    assert events[0].prev == before, "the chain is broken"
                    assert events[0].id > newest, "the order is broken"
                before, newest = digest(line), max(newest, events[0].id)

    def content(self) -> bytes:
        there = self.disk.files()
        return b"".join(there[name] for name in files(there))


@pytest.mark.parametrize(
    ("durability", "first"), [(name, first) for name, many in STORIES.items() for first in range(0, many, PART)]
)
def test_what_was_promised_survives_and_what_survives_was_written(durability: str, first: int) -> None:
    for seed in range(first, first + PART):
        try:
            Story(seed, durability).run(60)
        except BaseException as error:
            error.add_note(f"Story({seed}, {durability!r}).run(60)")
            raise


def test_the_stories_come_to_what_they_are_about() -> None:
    """Sealed files, torn lines, lost events, and errors: else all would hold of nothing."""
    lost = torn = sealed = refused = 0
    for seed in range(40):
        story = Story(seed, GROUP)
        story.run(60)
        tail = Tail(FOLDER, disk=story.disk)
        found = {event.data.body for event in tail.read()}
        lost += len(set(story.attempted) - found)
        torn += len(tail.bad)
        sealed += len(story.disk.files()) - 1
        refused += story.refused
    assert min(lost, torn, sealed, refused) > 20


def test_in_the_stories_some_is_appended_that_cannot_be_synced() -> None:
    undurable = 0
    for seed in range(40):
        story = Story(seed, FSYNC)
        story.run(60)
        undurable += story.undurable
    assert undurable > 5


def test_what_a_loss_of_power_leaves_is_reported_and_never_fatal(tmp_path: Path) -> None:
    for seed in range(40):
        story = Story(seed, NONE)
        story.run(60)
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        story.disk.dump(str(folder))
        report = verify(str(folder))
        assert report.events == len(story.read)


@pytest.mark.parametrize("durability", [FSYNC, GROUP])
def test_what_was_taken_back_does_not_mix_with_what_came_in_its_place(durability: str) -> None:
    for seed in range(300):
        story = Story(seed, durability)
        (log, _), bodies = story.writers[0], ["a" * 300, "b" * 300]
        story.disk.faults.room = 400
        with pytest.raises(LogError):
            log.append([Draft(MailSent(to=["human"], body=bodies[0]), "agent/kim")])
        story.disk.faults.room, story.disk.faults.broken = None, {"fdatasync"}
        with contextlib.suppress(LogError):  # the power is lost before it is synced
            log.append([Draft(MailSent(to=["human"], body=bodies[1]), "agent/kim")])
        story.disk.power_loss()
        assert {event.data.body for event in read_all(FOLDER, disk=story.disk)} <= {bodies[1]}


# --- does it see what is wrong? -------------------------------------------------------------------


def fails_within(seeds: int, make: Callable[[int], Story]) -> bool:
    for seed in range(seeds):
        try:
            make(seed).run(60)
        except AssertionError:
            return True
    return False


@pytest.mark.parametrize("durability", [FSYNC, GROUP])
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_a_disk_that_does_not_sync_is_found_out(durability: str, call: str) -> None:
    assert fails_within(50, lambda seed: Story(seed, durability, lying=frozenset([call])))


class Glueing(Log):
    """Does not see that the last line is torn."""

    def _find_end(self, size: int) -> Any:
        return msgspec.structs.replace(super()._find_end(size), torn=False)


class Leaving(Log):
    """Leaves what came in short."""

    def _write_all(self, block: bytes, end: int) -> None:
        while block:
            block = block[self._disk.write(self._fd, block) :]


class Hasty(Log):
    """Syncs what it writes first, and nothing after."""

    def _flush(self, current: bool, events: Sequence[Event[Any]] = ()) -> None:
        if not self._flushed:
            super()._flush(current, events)
        self._flushed = True

    _flushed = False


class Hurried(Log):
    """Seals while others still believe that the path leads to the file."""

    def _outwait(self, since: float | None = None) -> None:
        self._believed = 0.0


@pytest.mark.parametrize("wrong", [Glueing, Leaving, Hasty, Hurried])
def test_a_log_that_does_not_do_its_part_is_found_out(wrong: type[Log]) -> None:
    assert fails_within(50, lambda seed: Story(seed, FSYNC, wrong))
