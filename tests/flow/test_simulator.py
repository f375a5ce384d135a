"""The whole swarm under a storm of faults, in one thread, by seed: nothing is lost, nothing is done twice, the target
moves only to what was tested; and once the faults stop, everything ends.
"""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from swarm.actors import attempts, builder, landing, merger, validation
from swarm.actors.command import Command, Decide, Said
from swarm.actors.hands import Hands
from swarm.actors.ledger import Ledger
from swarm.actors.shell import Actor
from swarm.actors.system import ACTORS
from swarm.eventlog.errors import SwarmError
from swarm.eventlog.files import Draft, Log
from swarm.projections import Board, batches, runs
from swarm.world import Landed, Moved, Refused

from simulator import LIVENESS, SAFETY, Simulation, main
from simworld import WatchedRepository
from soak import amount

SEEDS = amount(ci=500, full=int(os.environ.get("SWARM_SEEDS", "20000")))
"""Half of them in each mode."""
PART = 25
PROGRAM = Path(__file__).parents[1] / "simulator.py"


def simulate(seed: int, mode: str) -> Simulation:
    try:
        return Simulation(seed, mode).run()
    except BaseException as error:
        error.add_note(f"its story:  .venv/bin/python -P tests/simulator.py {seed} --mode {mode}")
        raise


@pytest.mark.parametrize("first", range(0, SEEDS // 2, PART))
def test_under_any_faults_nothing_is_lost_or_done_twice_or_lands_untested(first: int) -> None:
    for seed in range(first, first + PART):
        simulate(seed, SAFETY)


@pytest.mark.parametrize("first", range(0, SEEDS // 2, PART))
def test_once_the_faults_stop_everything_ends(first: int) -> None:
    for seed in range(first, first + PART):
        simulate(seed, LIVENESS)


def test_the_stories_come_to_what_they_are_about() -> None:
    seen: Counter[str] = Counter()
    for seed in range(100):
        run = simulate(seed, LIVENESS)
        seen.update(event.type for event in run.audit.events.values())
        seen.update({"torn line": run.audit.torn, "move of the target": len(run.audit.moves)})
        words = [line[11:] for line in run.story]
        for what in ("power is lost", "disk is full", "comes twice", "raises", "in the midst", "ran too long"):
            seen[what] += sum(what in line for line in words)
    wanted = {
        *("merge.landed", "merge.reverted", "batch.dissolved", "session.lost", "session.kill_requested", "run.stopped"),
        *("attempt.retried", "attempt.cancelled", "issue.held", "actor.crashed", "findings.reported"),
        "agent.nudged",
        *("mail.dead_lettered", "mail.delivered", "mail.acked", "torn line", "move of the target"),
        *("power is lost", "disk is full", "comes twice", "raises", "in the midst", "ran too long"),
    }
    assert {what: seen[what] for what in wanted if seen[what] < 3} == {}
    assert all(seen[what] for what in ("merge.conflicted", "merge.rejected", "queue.held", "gate.controlled"))


def test_a_seed_gives_the_same_log_to_the_byte_in_any_process() -> None:
    for seed in range(3):
        command = [sys.executable, "-P", str(PROGRAM), str(seed), "--mode", LIVENESS, "--log"]
        logs = [
            subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": salt}, capture_output=True, check=True).stdout
            for salt in ("1", "2")
        ]
        assert logs[0] == logs[1]
        assert logs[0].count(b"\n") > 20


def test_a_seed_tells_its_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1"]) == 0
    told = capsys.readouterr().out
    assert "swarm start" in told
    assert told.splitlines() == simulate(1, SAFETY).story


# --- does it see what is wrong? -------------------------------------------------------------------


class Planted:
    """An actor with a bug: the rest of it is the real one."""

    def __init__(self, actor: Actor) -> None:
        self.actor, self.NAME, self.AT_ONCE = actor, actor.NAME, actor.AT_ONCE

    def due(self, board: Board, now: float) -> list[Command]:
        return self.actor.due(board, now)

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        return self.actor.perform(command, hands)

    def refused(self, command: Command, error: SwarmError) -> list[Said]:
        return self.actor.refused(command, error)


class Untested(Planted):
    """A merger that lands what it stacked, and tests nothing."""

    def due(self, board: Board, now: float) -> list[Command]:
        found, settings = super().due(board, now), board[runs.State].settings
        for batch in board[batches.State].open():
            if settings and batch.stacked and not batch.tests:
                shares = tuple(landing.Landing(*member, own) for member, own in batch.owns.items())
                stacked = batch.stacked
                land = landing.Land(batch.id, settings.target, stacked.base, stacked.commit, shares, "")
                found = [*[c for c in found if not isinstance(c, validation.Start)], land]
        return found


class Impatient(Planted):
    """A builder that clears up before the work is secured."""

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        if isinstance(command, attempts.Secure):
            hands.repository.remove(command.path, command.base)
        return super().perform(command, hands)


class Backwards(Planted):
    """Says first what is not enough alone, as that a test failed, and then what comes of it."""

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        return super().perform(command, hands)[::-1]


class Forgetful(Planted):
    """A builder that never says what the end of a test means."""

    def perform(self, command: Command, hands: Hands) -> list[Said]:
        return [] if isinstance(command, builder.JudgeGate) else super().perform(command, hands)


class Hasty(Ledger):
    """Appends what was due when it looked, whatever has happened since."""

    def ask(self, question: Callable[[Board, float], Any]) -> Any:
        answer = super().ask(question)
        if isinstance(question, partial) and isinstance(answer, list):
            vars(self).setdefault("found", {})[question.args[0].actor.NAME] = answer
        return answer

    def decide(self, source: str, due: Callable[[Board, float], Sequence[Any]]) -> int:
        found = [command for command in vars(self)["found"].pop(source, []) if isinstance(command, Decide)]
        seen, now = dict(self._tail.seen), self._now()
        return len(self._log.append([Draft(c.fact, source, c.subject, c.cause, "", seen, now) for c in found]))


class Glueing(Log):
    """Does not see that the last line is torn."""

    def _find_end(self, size: int) -> Any:
        return msgspec.structs.replace(super()._find_end(size), torn=False)


class Overriding(WatchedRepository):
    """Lands whatever the target is at."""

    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        before = self.tip(target)
        if not self.contains(before, commit):
            self.refs[f"refs/heads/{target}"] = commit
            self._audit.moved(before, commit)
        return Landed(commit)


def staff(wrong: Planted) -> tuple[Actor, ...]:
    return tuple(wrong if actor.NAME == wrong.NAME else actor for actor in ACTORS)


PLANTED: dict[str, tuple[str, dict[str, Any]]] = {
    "a merger that lands untested": (SAFETY, {"actors": staff(Untested(merger))}),
    "a builder that removes before it secures": (SAFETY, {"actors": staff(Impatient(builder))}),
    "actors that say first what is not enough alone": (LIVENESS, {"actors": tuple(map(Backwards, ACTORS))}),
    "a builder that never judges a test": (LIVENESS, {"actors": staff(Forgetful(builder))}),
    "a ledger that does not ask again": (SAFETY, {"ledger": Hasty}),
    "a log that does not heal": (SAFETY, {"log": Glueing}),
    "a landing that does not compare": (SAFETY, {"repository": Overriding}),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    mode, wrong = PLANTED[bug]
    assert any(breaks(Simulation(seed, mode, **wrong)) for seed in range(400))


def breaks(simulation: Simulation) -> bool:
    try:
        simulation.run()
    except AssertionError:
        return True
    return False
