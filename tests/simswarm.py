"""`swarm start` in a simulation: what `actors/shell.py` and `actors/system.py` do in threads, cut into steps. Rule: it
adds and leaves out nothing that they do; between two steps anything may happen.
"""

from collections.abc import Callable, Hashable, Iterator
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from swarm.actors.command import Command, Decide, Said, Step
from swarm.actors.hands import Hands
from swarm.actors.ledger import Ledger, Whole
from swarm.actors.shell import Actor, Desk, Shell
from swarm.actors.system import NAME, RESTARTS, WINDOW, System
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.events import ActorCrashed, RunStarted, RunStopped
from swarm.eventlog.files import Log
from swarm.eventlog.tail import Tail
from swarm.projections import Board, runs

from disk import FOLDER, SimDisk
from simworld import Option

if TYPE_CHECKING:
    from simulator import Simulation

Steps = Iterator[None]
"""A thread: it runs from one `yield` to the next."""


IDLE = "idle"
"""What a deed returns that came to nothing."""


class Down(Exception):
    """The system came to its end."""


class Flight(msgspec.Struct):
    """A command in the pool."""

    command: Command
    steps: Steps
    begun: bool = False


class Seat:
    """What a shell is without its threads: its methods that need none are asked of it. `turn`: the actor's own thread,
    while it answers a ring; `flights`: those of its pool.
    """

    def __init__(self, actor: Actor, ledger: Ledger, hands: Hands, now: Callable[[], float]) -> None:
        self._actor, self._desk, self._ledger, self._hands, self._now = actor, Desk(), ledger, hands, now
        self.actor, self.desk = self._actor, self._desk
        self.doing: set[Hashable] = set()
        self.rung = True
        self.turn: Steps | None = None
        self.flights: list[Flight] = []
        self.crash: Exception | None = None


class Swarm:
    """One run of it, from `swarm start` on."""

    def __init__(self, world: "Simulation", disk: SimDisk, log: Log, bundle: Hands) -> None:
        self.world, self.disk, self.log, self.hands, self.run = world, disk, log, bundle, bundle.run
        self.ledger = world.ledger(log, Whole(Tail(FOLDER, disk=disk)), self.run, world.tick)
        settings = RunStarted(
            1,
            "boot",
            1,
            "0",
            "main",
            "shell",
            max_agents=world.max_agents,
            max_retries=1,
            test="make test",
            keep_failed=30.0,
            merge=world.merge,
        )
        settings = msgspec.structs.replace(settings, patience=world.patience, retry=world.retry)
        self.ledger.say(NAME, [Said(self.run, settings)])
        self.seats = {actor.NAME: self.seat(actor) for actor in world.actors}
        self._ledger, self._staff = self.ledger, self  # so that the real System's questions can be asked of this one
        self.rung = True
        self.stopping = ""
        self.fallen: list[float] = []

    def seat(self, actor: Actor) -> Seat:
        return Seat(actor, self.ledger, self.hands, self.world.tick)

    def ring(self) -> None:
        """The log has changed, perhaps, or it is time to look."""
        self.rung = True
        for seat in self.seats.values():
            seat.rung = True

    def options(self) -> Iterator[Option]:
        """The steps that its threads may make next."""
        if self.rung or (self.stopping and not any(seat.flights for seat in self.seats.values())):
            yield 1, "the system looks around", self.look
        for name, seat in self.seats.items():
            if seat.crash is None and not self.stopping and (seat.turn or seat.rung):
                yield 5, f"the {name} {'goes on' if seat.turn else 'is rung'}", lambda seat=seat: self.advance(seat)
            for flight in seat.flights[: seat.actor.AT_ONCE]:
                if flight.begun or not self.stopping:
                    words = f"the {name} {'has done' if flight.begun else 'does'} {_words(flight.command)}"
                    yield 4, words, lambda seat=seat, flight=flight: self.fly(seat, flight)

    # --- a shell ---

    def advance(self, seat: Seat) -> object:
        """A step of the actor's own thread; IDLE if there was nothing to do for it."""
        before = seat.turn
        seat.turn = seat.turn or self._answer(seat)
        self._next(seat, seat.turn, lambda: setattr(seat, "turn", None))
        return None if before or seat.turn or seat.flights else IDLE

    def fly(self, seat: Seat, flight: Flight) -> None:
        """A step of a thread of its pool."""
        flight.begun = True
        self._next(seat, flight.steps, lambda: seat.flights.remove(flight))

    def _next(self, seat: Seat, steps: Steps, done: Callable[[], None]) -> None:
        try:
            next(steps)
        except StopIteration:
            done()
        except AssertionError:
            raise  # a promise is broken, and somebody has seen it
        except Exception as error:  # noqa: BLE001  # as Pykka does
            done()
            if seat.crash is None:
                seat.crash, seat.turn = error, None
                seat.flights = [flight for flight in seat.flights if flight.begun]
        if seat.crash and not seat.flights:
            self.rung = True

    def _answer(self, seat: Seat) -> Steps:
        seat.rung = False
        while True:
            doing = set(seat.doing)
            due = self.ledger.ask(partial(self._due, seat))
            now = self.world.tick()
            deciding = any(isinstance(command, Decide) for command in due)
            ripe = [c for c in due if not isinstance(c, Decide) and seat.desk.ripe(c, now)]
            if not deciding and all(command.key in doing for command in ripe):
                return
            yield
            for command in ripe:
                if command.key not in doing:
                    doing.add(command.key)
                    seat.doing.add(command.key)
                    seat.flights.append(Flight(command, self._carry_out(seat, command)))
            if not deciding:
                return
            yield
            if not self.ledger.decide(seat.actor.NAME, partial(self._due, seat)):
                return

    def _due(self, seat: Seat, board: Board, now: float) -> list[Command]:
        self.world.glitch(f"while the {seat.actor.NAME} looks for what is due")
        return seat.actor.due(board, now)

    def _carry_out(self, seat: Seat, command: Command) -> Steps:
        self.world.glitch(f"before {_words(command)}")
        said = Shell._perform(seat, command)
        self.world.glitch(f"after {_words(command)}")
        yield
        Shell._say(seat, command, said)
        seat.doing.discard(command.key)
        seat.rung = True

    # --- the system ---

    def look(self) -> None:
        """One round of its loop. Raises Down when it has come to its end."""
        self.rung = False
        try:
            self.ledger.catch_up()
            self._mend()
            self._heed()
        except SwarmError as error:
            raise Down(str(error)) from error

    def _mend(self) -> None:
        for name, seat in list(self.seats.items()):
            error = seat.crash
            if error is None or seat.flights:
                continue
            if isinstance(error, SwarmError):
                raise error
            now = self.world.tick()
            self.fallen = [when for when in self.fallen if when > now - WINDOW] + [now]
            gave_up = len(self.fallen) > RESTARTS
            words = f"{type(error).__name__}: {error}"
            if not self.world.may_crash(error):
                raise AssertionError(f"the {name} crashed: {words}") from error
            self.ledger.say(NAME, [Said(name, ActorCrashed(error=words, gave_up=gave_up))])
            if gave_up:
                raise Down("an actor crashed too often")
            self.seats[name] = self.seat(seat.actor)

    def _heed(self) -> None:
        """What a person wants, if somebody wants it to stop."""
        current = self.ledger.ask(lambda board, _: board[runs.State].current)
        wish = current.stopping if current and current.id == self.run else None
        if self.stopping and not any(seat.flights for seat in self.seats.values()):
            self.ledger.say(NAME, [Said(self.run, RunStopped(reason=self.stopping, code=0))])
            raise Down(self.stopping)
        if wish is None:
            return
        if wish.agents:
            System._end_sessions(self, self.ledger.ask(lambda board, _: board))  # type: ignore[arg-type]
        if not wish.agents or self.ledger.ask(partial(System._at_rest, self)):  # type: ignore[arg-type]
            self.stopping = "stopped"
            for seat in self.seats.values():
                seat.turn = None
                seat.flights = [flight for flight in seat.flights if flight.begun]

    def waiting(self, name: str) -> set[Command]:
        """As a `Staff` says it: what led to nothing when last tried."""
        return set(self.seats[name].desk.waiting)


def _words(command: Command) -> str:
    where = f" {command.issue}-{command.attempt}" if isinstance(command, Step) else ""
    return f"{type(command).__name__}{where}"
