"""The whole swarm in one thread: real actors, ledger, log and folds; a simulated disk, clock, git and agents; and all
that goes wrong, chosen by one seed.

    python -P tests/simulator.py SEED [--mode safety|liveness]     tells the story of that seed

Safety: faults all along, and never is anything lost or done twice, nor does the target move to what was not tested.
Liveness: then the faults stop, and everything comes to its end. Rule: what happens follows from the seed alone.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))

from swarm.actors.hands import Limits
from swarm.actors.ledger import Ledger
from swarm.actors.shell import Actor
from swarm.actors.stacks import batch_of
from swarm.actors.system import ACTORS
from swarm.eventlog.errors import LogError, SwarmError
from swarm.eventlog.events import (
    IssueClosed,
    IssueOpened,
    IssueReopened,
    IssueTaken,
    MailSent,
    MergePolicy,
    Patience,
    QueueResumed,
    RetryPolicy,
    RunStopRequested,
    SessionKillRequested,
)
from swarm.eventlog.fact import Event, Fact
from swarm.eventlog.files import FSYNC, GROUP, Draft, Log
from swarm.projections import agents, batches, issues, runs
from swarm.world.git import GitError

from auditor import Auditor
from disk import FOLDER, LINES, Killed, SimDisk
from doubles import hands
from history import BEGIN, snapshot
from simswarm import IDLE, Down, Swarm
from simworld import Hosts, Option, Run, WatchedRepository, read_mail

MODES = SAFETY, LIVENESS = ("safety", "liveness")
TROUBLED = 250
"""Steps with faults, that came to anything."""
LONGEST = 6000
"""Steps after which a run without faults is one that does not end."""
BEAT = 1.0


class Glitch(Exception):
    """A bug of ours, in an actor."""


class Simulation:
    """One seed's run. The kinds of actors, ledger, log and repository may be others than the real: wrong ones."""

    def __init__(
        self,
        seed: int,
        mode: str = SAFETY,
        actors: Sequence[Actor] = ACTORS,
        ledger: type[Ledger] = Ledger,
        log: type[Log] = Log,
        repository: type[WatchedRepository] = WatchedRepository,
    ) -> None:
        self.random, self.mode, self.actors, self.ledger = Random(seed), mode, actors, ledger
        self.now, self.calm = BEGIN, False
        self.story: list[str] = []
        self.tell: Callable[[str], None] = self.story.append
        self.disk = SimDisk(seed)
        self.durability = FSYNC if self.random.random() < 0.3 else GROUP
        self.audit = Auditor(self.disk)
        self._log = log
        self.hosts = Hosts(self.random, self.tick, self.make_log, self.audit, self.disk)
        self.repository = repository({"README": "hello\n"}, self.audit, self.hosts, self.called)
        self.hosts.repository = self.repository
        self.max_agents = self.random.randint(1, 3)
        self.merge = MergePolicy(
            batch_max=self.random.choice((1, 2, 8)),
            parallel=self.random.choice((1, 1, 2, 3)),
            on_conflict=self.random.choice(("reopen", "resolve", "skip", "stop")),
            validate=self.random.choice(("", "make check")),
            rollback=self.random.random() < 0.7,
        )
        self.rough = self.random.choice((0.2, 0.5, 1.0, 2.0))
        self.patience = self.random.choice((Patience(), Patience(nudge=3.0, interrupt=2.0, kill=2.0)))
        self.retry = self.random.choice((RetryPolicy(), RetryPolicy(backoff=8.0)))
        self.swarm: Swarm | None = None
        self.steps = self.runs = self.torn = self.echoes = 0
        self.beat_at = self.now
        self.terminal = self.make_log()
        self.open_issues()

    # --- the pieces ---

    def tick(self) -> float:
        self.now += 0.001
        return self.now

    def make_log(self, disk: SimDisk | None = None) -> Log:
        """A log for one more process, whose every acknowledgement the auditor hears."""
        audit = self.audit

        class Heard(self._log):  # type: ignore[misc, name-defined]
            def append_if(self, *given: Any) -> list[Event[Any]]:
                written: list[Event[Any]] = super().append_if(*given)
                audit.acknowledge(written)
                return written

        made: Log = Heard(
            FOLDER, "n1", self.tick, lambda: self.random.getrandbits(64), self.durability, disk or self.disk.another()
        )
        return made

    def open_issues(self) -> None:
        names = list("abcd")[: self.random.randint(1, 4)]
        for number, name in enumerate(names):
            needs = [other for other in names[:number] if self.random.random() < 0.25]
            role = "scout" if self.random.random() < 0.15 else "builder"
            self.person(IssueOpened(f"Do {name}", "true", needs=needs, role=role), name)

    def luck(self, chance: float) -> bool:
        """Whether something goes wrong now."""
        return not self.calm and self.random.random() < chance * self.rough

    def called(self, what: str) -> None:
        """A hand of the swarm is used: the swarm may be killed there, and git may refuse."""
        if self.swarm:
            self.swarm.disk.called(what)
        if self.luck(0.01):
            raise GitError(f"git would not {what}")

    # --- a run ---

    def run(self) -> "Simulation":
        """All of it. Raises AssertionError where a promise is broken."""
        while self.steps < TROUBLED:
            self.step()
        if self.mode == LIVENESS:
            self.tell("from here on all is well")
            self.calm = True
            self.recover()
            self.finish()
            self.audit.check_end()
        self.recover()
        self.guard(self.check_board)
        self.audit.check_log(self.torn)
        return self

    def finish(self) -> None:
        """Until nothing happens any more, however long one waits."""
        waited, known = 0, -1
        for _ in range(LONGEST):
            if self.options(quiet=True):
                self.step()
                continue
            self.let_go_on()
            waited = waited + 1 if self.disk.changes == known else 0
            known = self.disk.changes
            late = max(self.deadlines(), default=self.now)
            if waited > 2 and late <= self.now:
                if not (self.swarm and self.audit.board[runs.State].held):
                    return
                self.fall("its queue is held: a person stops it, and starts it anew")
                continue
            self.pass_time(max(25.0, late - self.now + 1))
        raise AssertionError("it does not come to an end")

    def let_go_on(self) -> None:
        """A person has mended what held the queue."""
        run = self.audit.board[runs.State].current
        if self.swarm and run and run.held:
            self.tell("           a person lets the queue go on")
            self.person(QueueResumed("mended"), run.id)
            self.swarm.ring()

    def deadlines(self) -> list[float]:
        return [run.begun + run.spec.timeout for run in self.hosts.runs.values() if run.hosted]

    def step(self) -> None:
        """One thing happens."""
        before = self.disk.changes
        chances = self.options()
        _, words, deed = self.random.choices(chances, [weight for weight, _, _ in chances])[0]
        self.tell(f"{self.now - BEGIN:9.3f}  {words}")
        self.now += self.random.random() / 50
        self.guard(deed)
        self.audit.look()
        self.check_limit()
        if self.disk.changes != before:
            self.notify()

    def guard(self, deed: Callable[[], object]) -> None:
        """Do it, and take note of what it does to the swarm."""
        try:
            self.steps += deed() is not IDLE
        except Killed:
            self.fall("the swarm is killed in the midst of it")
            self.torn += 1
        except Down as down:
            self.fall(f"the swarm stops: {down}")

    def notify(self) -> None:
        """The log has changed, and somebody should know."""
        if self.swarm and not self.luck(0.1):
            self.swarm.ring()
            self.echoes += self.luck(0.1)

    # --- what may happen next ---

    def options(self, quiet: bool = False) -> list[Option]:
        """With `quiet`, only what is not a mere passing of time."""
        found: list[Option] = []
        if self.swarm:
            found += self.swarm.options()
        else:
            found.append((1, "swarm start", self.boot))
        found += self.hosts.options()
        if self.echoes:
            found.append((1, "a notification comes twice", self.echo))
        if not self.calm:
            found += self.meddling()
            found += [(weight * self.rough, words, deed) for weight, words, deed in self.faults()]
        if not quiet:
            found.append((0.2 if found else 1, "time passes", self.pass_time))
        return found

    def meddling(self) -> Iterator[Option]:
        """What persons do."""
        yield 0.05, "a person commits on main", self.commit
        yield 0.05, "a person reads mail", lambda: read_mail(self.terminal, "human", self.audit)
        yield 0.05, "a person writes a letter", self.write_letter
        yield 0.03, "a person changes an issue", self.change_issue
        yield 0.02, "a person kills a session", self.kill_session
        yield 0.02, "swarm stop", self.stop
        yield 0.02, "the log is sealed", self.seal
        yield 0.05, "a person looks at the queue", self.let_go_on

    def faults(self) -> Iterator[Option]:
        """What goes wrong."""
        if self.swarm:
            yield 0.05, "kill -9 of the swarm", lambda: self.fall("it is gone")
            yield 0.05, "kill -9 of the swarm, at a call that it is about to make", lambda: self.doom("")
            yield 0.1, "kill -9 of the swarm, in the midst of a write of lines", lambda: self.doom(LINES)
        for name, run in self.hosts.runs.items():
            if run.hosted:
                yield 0.05, f"kill -9 of the host of {name}", lambda run=run: self.kill_host(run)
        if self.disk.faults.room is not None or self.disk.faults.readonly or self.disk.faults.broken:
            yield 0.5, "the disk is well again", self.recover
        else:
            yield 0.03, "the disk is full", lambda: setattr(self.disk.faults, "room", self.random.randrange(3000))
            yield 0.02, "the disk is read-only", lambda: setattr(self.disk.faults, "readonly", True)
            yield 0.02, "the disk fails", self.break_disk
        if self.durability == FSYNC:
            yield 0.05, "the power is lost", self.lose_power

    def pass_time(self, seconds: float = 0.0) -> None:
        """And who is alive looks around, as they do once a second."""
        self.now += seconds or self.random.choice((0.3, 1.1, 1.1, 5.1, 21.0, 61.0))
        if self.swarm and self.now >= self.beat_at:
            self.beat_at = self.now + BEAT
            self.swarm.ring()

    def echo(self) -> None:
        self.echoes -= 1
        if self.swarm:
            self.swarm.ring()

    # --- the swarm ---

    def boot(self) -> None:
        self.runs += 1
        disk = self.disk.another()
        log = self.make_log(disk)
        self.hosts.log = log
        bundle = hands(self.repository, self.hosts, FOLDER)  # type: ignore[arg-type]
        bundle = msgspec.structs.replace(bundle, run=f"run-{self.runs}", limits=Limits(attempt=60.0, gate=30.0))
        try:
            self.swarm = Swarm(self, disk, log, bundle)
        except SwarmError as error:
            self.tell(f"           it cannot: {error}")
            disk.kill()

    def fall(self, words: str) -> None:
        self.tell(f"           {words}")
        if self.swarm:
            self.swarm.disk.kill()
        self.swarm = None

    def doom(self, call: str) -> None:
        if self.swarm:
            self.swarm.disk.kill_in(self.random.randrange(2 if call else 60), call)

    def glitch(self, where: str) -> None:
        """A bug strikes."""
        if self.luck(0.004):
            self.tell(f"           an actor raises {where}")
            raise Glitch(where)

    @staticmethod
    def may_crash(error: Exception) -> bool:
        """Whether an actor may raise this: a bug that was put in."""
        return isinstance(error, Glitch)

    def check_limit(self) -> None:
        """As many agents as were asked for, not counting those that are to be ended, or are not known of."""
        wanted = [run for run in self.hosts.runs.values() if run.hosted and run.alive and self.is_wanted(run)]
        kinds = [run.spec.kind for run in wanted]
        assert kinds.count("agent") <= self.max_agents, "too many agents run"
        assert kinds.count("landing") <= self.merge.parallel, "too many landings are tested at once"
        paths = [run.spec.cwd for run in wanted if run.spec.kind == "landing"]
        assert len(paths) == len({*paths}), "two landings are tested in one worktree"

    def is_wanted(self, run: Run) -> bool:
        attempt = self.audit.board[agents.State].attempts.get((run.spec.issue, run.spec.attempt))
        batch = self.audit.board[batches.State].all.get(batch_of(run.spec.session))
        if run.spec.kind == "landing" and not (batch and batch.open):
            return False
        return attempt is not None and not attempt.ended

    def check_board(self) -> None:
        """What the running system sees is what the log says."""
        if self.swarm:
            seen = self.swarm.ledger.ask(lambda board, _: snapshot(board))
            self.audit.look()
            assert seen == snapshot(self.audit.board), "the swarm sees something else than the log says"

    # --- the disk, the hosts ---

    def recover(self) -> None:
        faults = self.disk.faults
        faults.room, faults.readonly, faults.broken = None, False, set()

    def break_disk(self) -> None:
        self.disk.faults.broken = {self.random.choice(("open", "write", "pread", "stat", "listdir"))}

    def lose_power(self) -> None:
        self.fall("all that runs is gone")
        self.disk.power_loss()
        self.torn += 1 + len(self.hosts.runs)
        self.hosts.power_loss()
        self.audit.forget()
        self.terminal = self.make_log()

    def kill_host(self, run: Run) -> None:
        run.hosted = False
        run.alive = run.alive and self.random.random() < 0.5

    # --- persons ---

    def person(self, fact: Fact, subject: str) -> None:
        try:
            self.terminal.append([Draft(fact, "human", subject)])
        except LogError as error:
            self.tell(f"           refused: {error}")

    def commit(self) -> None:
        self.repository.commit("main", {"person": f"{self.now}\n"})

    def write_letter(self) -> None:
        to = self.random.choice(("agent-builder-1", "agent-builder-2", "issue:a", "broadcast", "@builders", "merger"))
        self.person(MailSent(to=[to], body="hello"), "")

    def change_issue(self) -> None:
        self.audit.look()
        issue = self.random.choice(list(self.audit.board[issues.State].known()) or [None])
        if issue is None:
            return
        generation = issue.generation
        fact = self.random.choice((IssueReopened("again"), IssueClosed(generation), IssueTaken(generation, "human")))
        self.person(fact, issue.id)

    def kill_session(self) -> None:
        self.audit.look()
        for session in self.audit.board[agents.State].sessions():
            self.person(SessionKillRequested(session.id, session.attempt, "enough"), session.issue)
            return

    def stop(self) -> None:
        if self.swarm:
            self.person(RunStopRequested(agents=self.random.random() < 0.5), self.swarm.run)

    def seal(self) -> None:
        try:
            self.terminal.seal(1)
        except LogError:
            pass  # whoever comes next does it


def main(arguments: Sequence[str]) -> int:
    """Tell the story of a seed; 1 if a promise is broken in it."""
    import argparse

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seed", type=int)
    parser.add_argument("--mode", choices=MODES, default=SAFETY)
    parser.add_argument("--log", action="store_true", help="print the log that it comes to, and no story")
    wanted = parser.parse_args(arguments)
    made = Simulation(wanted.seed, wanted.mode)
    made.tell = (lambda _: None) if wanted.log else print
    try:
        made.run()
    except AssertionError as error:
        print(f"\nseed {wanted.seed}, {wanted.mode}: {error}")
        return 1
    finally:
        if wanted.log:
            for content in made.disk.files().values():
                sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
