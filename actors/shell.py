"""The only file that knows Pykka: one thread per actor that, when rung, puts to work what is due.

Rule: it adds no decision of its own. Commands are done in a small pool (`AT_ONCE` threads), so that ten agents do not
wait for one slow checkout, and those of one key (an attempt) one after the other. A command that led to no fact is not
tried again for a while (its `patience`), so that looking (is that session alive? does the landing go now?) never spins.
"""

import queue
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol

import pykka

from ..eventlog.errors import FactError, LogError, SwarmError
from ..projections import Board
from .command import PATIENCE, Command, Decide, Said, redacted
from .hands import Hands
from .ledger import Ledger


class Actor(Protocol):
    """What an actor's file offers."""

    NAME: str
    AT_ONCE: int

    def due(self, board: Board, now: float) -> list[Command]:
        """What is to be done, given the state."""

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        """Do it, and say what came of it."""

    def refused(self, command: Command, error: SwarmError) -> list[Said]:
        """What to say when the world refused a command for a reason a person can mend."""


class Desk:
    """What a shell and the system share: a bell, and the commands that led to nothing when last tried (until when)."""

    def __init__(self) -> None:
        self._rung = False
        self.waiting: dict[Command, float] = {}

    def ring(self, ref: "pykka.ActorRef[Shell]") -> None:
        """There may be something due. A second ring before the first was answered adds no message."""
        if not self._rung:
            self._rung = True
            try:
                ref.tell("ring")
            except pykka.ActorDeadError:
                pass  # it crashed or was stopped: whoever starts the next one rings it

    def answered(self) -> None:
        """From here on a new ring counts."""
        self._rung = False

    def ripe(self, command: Command, now: float) -> bool:
        """Whether it may be tried (again)."""
        return self.waiting.get(command, 0.0) <= now

    def put_off(self, command: Command, now: float, patience: float) -> None:
        """Try it again, but not at once. What has not been due for long is forgotten."""
        self.waiting[command] = now + patience
        for old, when in list(self.waiting.items()):
            if when < now - 10 * PATIENCE:
                self.waiting.pop(old, None)


class Shell(pykka.ThreadingActor):
    """Runs one actor. `on_crash(name, error)` is told when it raised; the system starts a new one."""

    use_daemon_thread = True

    @staticmethod
    def _create_actor_inbox() -> "queue.SimpleQueue[Any]":
        """Pykka lets a kind of actor choose its inbox. The usual one is written in Python, and so is slower to wake who
        waits for it.
        """
        return queue.SimpleQueue()

    def __init__(
        self,
        actor: Actor,
        desk: Desk,
        ledger: Ledger,
        hands: Hands,
        now: Callable[[], float],
        on_crash: Callable[[str, BaseException], None],
    ) -> None:
        super().__init__()
        self._actor, self._desk, self._ledger, self._hands = actor, desk, ledger, hands
        self._now, self._on_crash = now, on_crash
        self._pool = ThreadPoolExecutor(actor.AT_ONCE, thread_name_prefix=actor.NAME)
        self._doing: set[Hashable] = set()

    def on_receive(self, message: Any) -> None:
        """Rung: put to work what is due. A command that raised comes back as its exception, and ends this actor."""
        if isinstance(message, BaseException):
            raise message
        self._desk.answered()
        while self._round():
            pass

    def _round(self) -> bool:
        """One look at what is due; True if something was decided, so that it is worth another look."""
        doing = set(self._doing)  # copied before the look: what ends in between is due no more, or is not in flight
        due = self._ledger.ask(self._actor.due)
        now = self._now()
        for command in due:
            if not isinstance(command, Decide) and command.key not in doing and self._desk.ripe(command, now):
                doing.add(command.key)
                self._doing.add(command.key)
                self._pool.submit(self._carry_out, command)
        if any(isinstance(command, Decide) for command in due):
            return bool(self._ledger.decide(self._actor.NAME, self._actor.due))
        return False

    def _carry_out(self, command: Command) -> None:
        """In a thread of the pool: do it, say what came of it, ring."""
        try:
            self._say(command, self._perform(command))
        except BaseException as error:  # noqa: BLE001  # it is raised again in the actor's own thread
            self.actor_ref.tell(error)  # the key stays taken: this actor is not to begin it again before it ends
        else:
            self._doing.discard(command.key)
            self._desk.ring(self.actor_ref)

    def _perform(self, command: Command) -> list[Said]:
        try:
            return self._actor.perform(command, self._hands)
        except LogError:
            raise  # nothing can be said any more: the system stops
        except SwarmError as error:
            return self._actor.refused(command, error)

    def _say(self, command: Command, said: list[Said]) -> None:
        if not said:
            self._desk.put_off(command, self._now(), command.patience(self._hands))
            return
        try:
            self._ledger.say(self._actor.NAME, redacted(said, self._hands.redact))
        except FactError as error:  # what came of it cannot be said (too long): that is this attempt's trouble alone
            self._ledger.say(self._actor.NAME, redacted(self._actor.refused(command, error), self._hands.redact))

    def on_stop(self) -> None:
        """Wait for what is being done; leave what is not begun to the next run."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,  # noqa: ARG002  # the signature is Pykka's
    ) -> None:
        """Pykka calls this once, after an exception; the actor is dead then, and nothing of it may still be acting."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._on_crash(self._actor.NAME, exception_value or RuntimeError(str(exception_type)))


class Staff:
    """The shells that are running: hire, ring, dismiss them."""

    def __init__(
        self,
        ledger: Ledger,
        hands: Hands,
        now: Callable[[], float],
        on_crash: Callable[[str, BaseException], None],
    ) -> None:
        self._with = (ledger, hands, now, on_crash)
        self._ledger = ledger
        self._members: dict[str, tuple[pykka.ActorRef[Shell], Desk, Actor]] = {}

    def hire(self, actor: Actor) -> None:
        """Start a shell for the actor, in place of the one that crashed if there was one."""
        desk = Desk()
        ref = Shell.start(actor, desk, *self._with)
        self._members[actor.NAME] = (ref, desk, actor)
        desk.ring(ref)

    def ring(self) -> None:
        """There may be something due for anybody."""
        for ref, desk, _ in list(self._members.values()):
            desk.ring(ref)

    def beat(self) -> None:
        """Time went on: ring those for whom something is due now. As a rule that is nobody, and to wake all of them to
        see that would be most of what an idle system costs.
        """
        members = list(self._members.values())
        try:
            called = self._ledger.ask(lambda board, now: [bool(actor.due(board, now)) for _, _, actor in members])
        except Exception:  # noqa: BLE001  # whoever it was meets it again in his own thread, where it counts
            called = [True] * len(members)
        for (ref, desk, _), wanted in zip(members, called, strict=True):
            if wanted:
                desk.ring(ref)

    def waiting(self, name: str) -> set[Command]:
        """The commands of that actor that led to nothing when last tried."""
        return set(self._members[name][1].waiting)

    def hurry(self) -> None:
        """Let everybody try at once what they were to try again later."""
        for _, desk, _ in self._members.values():
            desk.waiting.clear()
        self.ring()

    def dismiss(self) -> None:
        """Stop them all, after what each is doing now."""
        for ref, _, _ in self._members.values():
            ref.stop(block=True)
