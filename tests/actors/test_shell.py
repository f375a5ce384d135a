"""The shell on real threads: what is due is done, side by side, and nothing twice at once."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swarm.actors.command import Command, Said, Step
from swarm.actors.hands import Hands
from swarm.actors.ledger import Ledger, Whole
from swarm.actors.shell import PATIENCE, Staff
from swarm.eventlog.errors import LogError, SwarmError, UsageError
from swarm.eventlog.events import ActorCrashed, IssueLinked
from swarm.eventlog.tail import Tail, read_all
from swarm.projections import Board

from history import BEGIN
from waiting import until


class Toil(Step, frozen=True):
    """Something to do for an attempt."""

    word: str = ""


class Look(Command, frozen=True):
    """Something to do for nobody in particular."""

    word: str = ""


class Toy:
    """An actor that wants what a test says, and does it as the test says."""

    NAME = "toy"
    AT_ONCE = 3

    def __init__(self) -> None:
        self.wanted: list[Command] = []
        self.done: list[Command] = []
        self.deed: Callable[[Command], list[Said]] = lambda _: []

    def due(self, _board: Board, _now: float) -> list[Command]:
        return list(self.wanted)

    def perform(self, command: Command, _hands: Hands) -> list[Said]:
        self.done.append(command)
        return self.deed(command)

    def refused(self, _command: Command, error: SwarmError) -> list[Said]:
        return [Said("toy", ActorCrashed(str(error)))]


class Stand:
    """A toy's shell, a clock that the test moves, and what came of it."""

    def __init__(self, bench: Any, folder: Path) -> None:
        self.folder = str(folder / "log")
        self.toy, self.now = Toy(), BEGIN
        self.crashes: list[tuple[str, BaseException]] = []
        self.ledger = Ledger(bench.log, Whole(Tail(self.folder)), "run-1", lambda: self.now)
        self.staff = Staff(self.ledger, bench.hands, lambda: self.now, lambda *crash: self.crashes.append(crash))

    def settle(self) -> None:
        """Until a ring that came after all that was rung before has been answered."""
        mark = Look(f"mark {len(self.toy.done)}")
        self.toy.wanted.append(mark)
        self.staff.ring()
        until(lambda: mark in self.toy.done, what="the shell to answer")
        self.toy.wanted.remove(mark)

    def said(self) -> list[str]:
        return [event.type for event in read_all(self.folder)]


@pytest.fixture
def stand(bench: Any, tmp_path: Path) -> Iterator[Stand]:
    made = Stand(bench, tmp_path)
    yield made
    made.staff.dismiss()


def test_what_is_due_is_done_and_what_came_of_it_is_appended(stand: Stand) -> None:
    def link(command: Command) -> list[Said]:
        stand.toy.wanted.clear()
        return [Said("a", IssueLinked(["b"]))]

    stand.toy.wanted, stand.toy.deed = [Look()], link
    stand.staff.hire(stand.toy)
    until(lambda: stand.said() == ["issue.linked"])
    assert stand.toy.done == [Look()]


def test_what_cannot_be_said_is_refused_like_any_other_trouble(stand: Stand) -> None:
    """A fact longer than a line of the log may be: its command is told, nobody crashes."""

    def overflow(_: Command) -> list[Said]:
        stand.toy.wanted.clear()
        return [Said("a", IssueLinked(["b" * 100_000]))]

    stand.toy.wanted, stand.toy.deed = [Look()], overflow
    stand.staff.hire(stand.toy)
    until(lambda: stand.said() == ["actor.crashed"])  # what the toy says when it is refused
    assert "bytes long" in read_all(stand.folder)[0].data.error
    assert stand.crashes == []


def test_no_secret_is_in_what_an_actor_says_of_its_trouble(bench: Any, tmp_path: Path) -> None:
    hidden = bench.hands
    bench.hands = msgspec.structs.replace(hidden, redact=lambda text: text.replace("hunter2", "[redacted:PASSWORD]"))
    stand = Stand(bench, tmp_path)

    def fail(_command: Command) -> list[Said]:
        stand.toy.wanted = []
        raise UsageError("cannot reach me:hunter2@host")

    stand.toy.wanted, stand.toy.deed = [Look("x")], fail
    stand.staff.hire(stand.toy)
    until(lambda: bool(stand.said()), what="the refusal")
    stand.staff.dismiss()
    (event,) = read_all(stand.folder)
    assert event.data == ActorCrashed("cannot reach me:[redacted:PASSWORD]@host")


def test_a_command_that_led_to_nothing_is_tried_again_only_after_a_while(stand: Stand) -> None:
    stand.toy.wanted = [Look("landing")]
    stand.staff.hire(stand.toy)
    until(lambda: stand.staff.waiting("toy") == {Look("landing")})
    stand.now += PATIENCE - 0.1
    stand.staff.ring()
    stand.settle()
    assert stand.toy.done.count(Look("landing")) == 1
    stand.now += 0.2
    stand.staff.ring()
    until(lambda: stand.toy.done.count(Look("landing")) == 2)


def test_a_beat_wakes_those_for_whom_something_is_due_and_nobody_else(stand: Stand) -> None:
    asked = list[str]()

    class Counted(Toy):
        def due(self, board: Board, now: float) -> list[Command]:
            asked.append(threading.current_thread().name)
            return super().due(board, now)

    stand.toy, here = Counted(), threading.current_thread().name
    stand.staff.hire(stand.toy)
    until(lambda: asked, what="the look of who was hired")
    own = asked[0]
    stand.staff.beat()
    assert asked == [own, here], "it was woken for nothing"
    stand.toy.wanted = [Look("landing")]
    stand.staff.beat()
    until(lambda: Look("landing") in stand.toy.done)
    assert asked[:4] == [own, here, here, own]


def test_a_beat_leaves_what_cannot_be_asked_to_the_actor_itself(stand: Stand) -> None:
    def fail(_board: Board, _now: float) -> list[Command]:
        raise RuntimeError("our bug")

    stand.staff.hire(stand.toy)
    stand.settle()
    stand.toy.due = fail  # type: ignore[method-assign]
    stand.staff.beat()
    until(lambda: [(name, str(error)) for name, error in stand.crashes] == [("toy", "our bug")])


def test_hurry_tries_it_at_once(stand: Stand) -> None:
    stand.toy.wanted = [Look("landing")]
    stand.staff.hire(stand.toy)
    until(lambda: stand.staff.waiting("toy") == {Look("landing")})
    stand.staff.hurry()
    until(lambda: stand.toy.done.count(Look("landing")) == 2)


def test_attempts_do_not_wait_for_each_other(stand: Stand) -> None:
    together = threading.Barrier(3)

    def meet(_: Command) -> list[Said]:
        together.wait(timeout=10)
        return []

    stand.toy.wanted, stand.toy.deed = [Toil(issue, 1) for issue in "abc"], meet
    stand.staff.hire(stand.toy)
    until(lambda: len(stand.staff.waiting("toy")) == 3, what="all three at once")


def test_no_more_is_done_at_once_than_allowed(stand: Stand) -> None:
    busy, most, lock = [0], [0], threading.Lock()
    release = threading.Event()

    def work(_: Command) -> list[Said]:
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        release.wait(timeout=10)
        with lock:
            busy[0] -= 1
        return []

    stand.toy.wanted, stand.toy.deed = [Toil(str(n), 1) for n in range(9)], work
    stand.staff.hire(stand.toy)
    until(lambda: busy[0] == stand.toy.AT_ONCE)
    release.set()
    until(lambda: len(stand.staff.waiting("toy")) == 9)
    assert most[0] == stand.toy.AT_ONCE


def test_nothing_is_done_twice_at_once_nor_two_things_for_one_attempt(stand: Stand) -> None:
    begun, release = threading.Event(), threading.Event()

    def work(command: Command) -> list[Said]:
        if command == Toil("a", 1, "run"):
            begun.set()
            release.wait(timeout=10)
        return []

    stand.toy.wanted, stand.toy.deed = [Toil("a", 1, "run")], work
    stand.staff.hire(stand.toy)
    assert begun.wait(timeout=10)
    stand.toy.wanted = [Toil("a", 1, "run"), Toil("a", 1, "remove"), Toil("b", 1, "run")]
    stand.staff.ring()
    until(lambda: Toil("b", 1, "run") in stand.staff.waiting("toy"))
    stand.settle()
    assert Toil("a", 1, "remove") not in stand.toy.done
    assert stand.toy.done.count(Toil("a", 1, "run")) == 1
    release.set()
    until(lambda: Toil("a", 1, "remove") in stand.staff.waiting("toy"))
    assert stand.toy.done.count(Toil("a", 1, "run")) == 1


def test_what_the_world_refuses_is_said_and_crashes_nobody(stand: Stand) -> None:
    def refuse(_: Command) -> list[Said]:
        stand.toy.wanted.clear()
        raise UsageError("no such thing")

    stand.toy.wanted, stand.toy.deed = [Look()], refuse
    stand.staff.hire(stand.toy)
    until(lambda: stand.said() == ["actor.crashed"])
    assert stand.crashes == []


@pytest.mark.parametrize("error", [RuntimeError("our bug"), LogError("disk full")])
def test_what_nobody_expects_ends_the_actor_once_and_a_new_one_can_be_hired(stand: Stand, error: Exception) -> None:
    def fail(_: Command) -> list[Said]:
        raise error

    stand.toy.wanted, stand.toy.deed = [Toil("a", 1), Toil("b", 1)], fail
    stand.staff.hire(stand.toy)
    until(lambda: stand.crashes)
    assert stand.crashes == [("toy", error)]
    stand.staff.ring()  # the dead do not mind
    stand.toy.deed = lambda _: []
    stand.staff.hire(stand.toy)
    until(lambda: len(stand.staff.waiting("toy")) == 2)
    assert len(stand.crashes) == 1


def test_a_due_that_raises_ends_the_actor(stand: Stand) -> None:
    class Broken(Toy):
        def due(self, _board: Board, _now: float) -> list[Command]:
            raise KeyError("a")

    stand.staff.hire(Broken())
    until(lambda: stand.crashes)
    assert isinstance(stand.crashes[0][1], KeyError)


def test_dismissal_waits_for_what_is_being_done_and_begins_nothing_more(bench: Any, tmp_path: Path) -> None:
    stand = Stand(bench, tmp_path)
    begun, release = threading.Barrier(stand.toy.AT_ONCE + 1), threading.Event()

    def work(command: Command) -> list[Said]:
        begun.wait(timeout=10)
        release.wait(timeout=10)
        return [Said("a", IssueLinked(["b"]))]

    stand.toy.wanted, stand.toy.deed = [Toil(str(n), 1) for n in range(9)], work
    stand.staff.hire(stand.toy)
    begun.wait(timeout=10)
    leaving = threading.Thread(target=stand.staff.dismiss)
    pool = next(iter(stand.staff._members.values()))[0]._actor_weakref()._pool
    leaving.start()
    until(lambda: pool._shutdown, what="the word to stop")
    assert leaving.is_alive()
    release.set()
    leaving.join(timeout=10)
    assert not leaving.is_alive()
    assert len(stand.toy.done) == len(stand.said()) == stand.toy.AT_ONCE
