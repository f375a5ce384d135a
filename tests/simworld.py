"""The world of a simulation: hosts and agents that misbehave, and a repository that is looked at. Rule: nothing happens
in it by itself. It says what may happen next, and whoever asked chooses.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random

import msgspec

from swarm.eventlog.errors import LogError
from swarm.eventlog.events import MailSent, SessionExited, SessionProgressed, SessionStarted
from swarm.eventlog.fact import Fact
from swarm.eventlog.files import Draft, Log
from swarm.eventlog.tail import Tail
from swarm.mailbox import addresses, letters
from swarm.world import Branch, Conflict, Landed, Merged, Moved, Refused, Secured, SessionSpec, Stacked

from auditor import Auditor
from disk import FOLDER, SimDisk
from doubles import ROOT, MemoryRepository

WORKS = (
    *("well",) * 5, *("half", "clashes") * 4, "fails", "nothing", "breaks", "dies", "hangs", "floods", "unrecorded",
    "dirty failure", "unable", *("jams",) * 2,
)  # fmt: skip
"""What an agent does, each time."""
Option = tuple[float, str, Callable[[], object]]
"""Something that may happen: how likely it is beside the others, words for it, and the deed."""


class Run(msgspec.Struct):
    """A session: its host, its program, and what is left of them."""

    spec: SessionSpec
    work: str = ""
    steps: int = 0
    begun: float = 0.0
    spawned: bool = True
    claimed: bool = False
    hosted: bool = False
    alive: bool = False
    unwanted: bool = False
    interrupted: bool = False
    log: Log | None = None
    owed: list[Draft] = []
    record: SessionExited | None = None
    output: int = 0


class Hosts:
    """Satisfies the Protocol `Sessions`. `log` is the swarm's own, for `settle`; `make_log` gives a host its own;
    `severity` is how likely a validation is to fail.
    """

    def __init__(
        self, random: Random, now: Callable[[], float], make_log: Callable[[], Log], audit: Auditor, disk: SimDisk
    ) -> None:
        self._random, self._now, self._make_log, self._audit, self._disk = random, now, make_log, audit, disk
        self.runs: dict[str, Run] = {}
        self.severity = random.choice((0.1, 0.5, 1.0))
        self.repository: WatchedRepository
        self.log: Log

    # --- the Protocol ---

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        run = self.runs.setdefault(spec.session, Run(spec))
        if run.claimed:
            return 0
        run.spawned = True
        return 7

    def running(self, session: str) -> bool:
        return session in self.runs and self.runs[session].hosted

    def settle(self, session: str) -> bool:
        run = self.runs.get(session)
        if run is None or run.record is None:
            return False
        record = run.record
        if not run.hosted:
            self.log.append_if(lambda: [] if self._is_told(session) else drafted(run.spec, record))
        return True

    def interrupt(self, session: str) -> None:
        run = self.runs.get(session)
        if run and run.hosted and run.alive:
            run.interrupted = True

    def kill(self, session: str) -> None:
        run = self.runs.get(session)
        if run is None:
            return
        if not run.claimed:
            run.claimed = True
            why = "it was ended before it began"
            run.record = SessionExited(session, run.spec.attempt, -15, False, 0.0, why=why, ended_by="killed")
        elif run.hosted:
            run.unwanted = True
        else:
            run.alive = False  # what a host that was killed left behind

    def _is_told(self, session: str) -> bool:
        ends = Tail(FOLDER, [SessionExited.type], disk=self._disk).read()
        return any(event.data.session == session for event in ends if isinstance(event.data, SessionExited))

    # --- what may happen ---

    def options(self) -> Iterator[Option]:
        """What hosts and programs may do next."""
        for name, run in self.runs.items():
            if run.spawned and not run.claimed:
                yield 2, f"the host of {name} comes up", lambda run=run: self._begin(run)
            elif run.hosted and run.record:
                yield 3, f"the host of {name} says how it ended", lambda run=run: self._conclude(run)
            elif run.hosted:
                yield from self._of_program(name, run)
            elif run.alive and run.spec.kind == "agent":
                yield 0.5, f"{name} goes on without its host", lambda run=run: self._write(run)

    def _of_program(self, name: str, run: Run) -> Iterator[Option]:
        if run.unwanted:
            yield 2, f"{name} is ended on request", lambda: self._end(run, -15, ended_by="killed")
        if run.interrupted:
            yield 1, f"{name} heeds the interrupt", lambda: self._end(run, -2)
            yield 1, f"{name} ignores the interrupt", lambda: setattr(run, "interrupted", False)
        if self._now() > run.begun + run.spec.timeout:
            yield 3, f"{name} is ended: it ran too long", lambda: self._end(run, -15, ended_by="timeout")
        elif run.steps:
            yield 1, f"{name} goes on", lambda: self._go_on(run)
        elif run.work != "hangs":
            yield 1, f"{name} ends", lambda: self._finish(run)

    def _begin(self, run: Run) -> None:
        spec, random = run.spec, self._random
        run.claimed = run.hosted = run.alive = True
        run.begun, run.log = self._now(), self._make_log()
        run.work = random.choice(WORKS) if spec.kind == "agent" else random.choice(("well",) * 20 + ("dies", "hangs"))
        run.steps = random.randrange(4) if spec.kind == "agent" else 0
        self._audit.begins(spec)
        self._say(run, SessionStarted(spec.session, spec.attempt, spec.kind, "boot", 8, 1, 7, 1), owed=True)

    def _go_on(self, run: Run) -> None:
        run.steps -= 1
        run.output += 10**15 if run.work == "floods" else 100
        act = self._random.choice((self._write, self._report, self._send, self._check))
        act(run)

    def _finish(self, run: Run) -> None:
        if run.spec.kind != "agent":
            files = self.repository.worktrees[_path(run.spec)].files
            texts = list(files.values())
            broken = "broken\n" in texts or texts.count("half\n") > 1  # each alone is good
            broken = broken or (run.spec.kind == "validation" and self._random.random() < self.severity)
            unable = "unable\n" in texts or texts.count("jams\n") > 1  # the test itself is gone
            self._end(run, 127 if unable else 1 if broken else 0)
            return
        if run.work not in ("fails", "nothing"):
            self._write(run)
        self._end(run, 1 if "fail" in run.work else 0)

    def _end(self, run: Run, code: int, ended_by: str = "") -> None:
        """The program is gone. Its host keeps that, and has still to say it."""
        if run.work == "dies":
            run.hosted = False
            run.alive = self._random.random() < 0.5  # it may outlive its host
            return
        run.alive = False
        long = "x" * 8192 if run.work == "floods" else "done"
        run.record = SessionExited(
            session=run.spec.session,
            attempt=run.spec.attempt,
            code=code,
            ok=code == 0 and not ended_by,
            seconds=round(self._now() - run.begun, 3),
            ended_by=ended_by,
            why=f"it was ended: {ended_by}" if ended_by else "" if code == 0 else f"exit code {code}",
            report=long if self._random.random() < 0.9 else "",
            tail=long[:4096],
            output=run.output,
            dropped=max(0, run.output - 50_000_000),
        )

    def _conclude(self, run: Run) -> None:
        if run.work != "unrecorded" and run.record:
            self._say(run, run.record)
        run.hosted = False
        if run.log:
            try:
                run.log.close()
            except LogError:
                pass  # it may be lost with the power, and then only the record is left

    def _write(self, run: Run) -> None:
        path = _path(run.spec)
        if path not in self.repository.worktrees:
            return  # what has no folder any more writes nowhere
        name = "README" if run.work == "clashes" else run.spec.issue
        text = {"clashes": f"{run.spec.session}\n", "breaks": "broken\n"}.get(run.work, f"fine {run.spec.attempt}\n")
        text = f"{run.work}\n" if run.work in ("half", "jams", "unable") else text
        self.repository.write(path, {name: text})

    def _report(self, run: Run) -> None:
        self._say(run, SessionProgressed(run.spec.session, run.spec.attempt, run.output, 1, "at work"))

    def _send(self, run: Run) -> None:
        """A letter, perhaps to nobody who is there, perhaps far too long."""
        others = [f"agent-{name}" for name in ("builder-1", "builder-2", "scout-1")]
        to = self._random.choice(["human", "coordinator", "watchdog", "broadcast", "@builders", "issue:a", *others])
        kind = self._random.choice(("progress", "blocked", "event"))
        body = "x" * 70_000 if run.work == "floods" and self._random.random() < 0.3 else f"from {run.spec.session}"
        if run.log and (source := self._source(run)):
            draft = Draft(MailSent(to=[to], body=body, kind=kind, issue=run.spec.issue), source, run.spec.issue)
            self._append(run.log, [draft])

    def _check(self, run: Run) -> None:
        if run.log and (source := self._source(run)):
            read_mail(run.log, source, self._audit)

    def _source(self, run: Run) -> str:
        attempt = self._audit.attempt(run.spec.issue, run.spec.attempt)
        return f"agent/{attempt.agent}" if attempt and attempt.agent else ""

    def _say(self, run: Run, fact: Fact, owed: bool = False) -> None:
        """As a host's recorder: what the log refuses is tried again with what comes next, if it is owed."""
        drafts = drafted(run.spec, fact)
        if run.log and self._append(run.log, run.owed + drafts):
            run.owed = []
        elif owed:
            run.owed += drafts

    @staticmethod
    def _append(log: Log, drafts: Sequence[Draft]) -> bool:
        try:
            log.append(drafts)
        except LogError:
            return False
        return True

    def power_loss(self) -> None:
        """Nothing runs any more. (What ended, and is in its folder, was synced.)"""
        for run in self.runs.values():
            run.alive = run.hosted = run.spawned = False


def drafted(spec: SessionSpec, fact: Fact) -> list[Draft]:
    """What a host appends for its session."""
    return [Draft(fact, f"session/{spec.session}", spec.issue, spec.causationid, spec.correlationid)]


def read_mail(log: Log, source: str, audit: Auditor) -> None:
    """`swarm mail check`: write out what is unread, then mark it."""
    audit.look()
    who = addresses.reader(audit.board, addresses.address_of(source))
    found = letters.unread(audit.board, who)

    def ask() -> list[Draft]:
        audit.look()
        return [Draft(mark, source, mark.letter, causationid=mark.letter) for mark in letters.delivered(found, who)]

    try:
        log.append_if(ask)
    except LogError:
        pass  # it is unread still


def _path(spec: SessionSpec) -> str:
    return spec.cwd.removeprefix(f"{ROOT}/")


class WatchedRepository(MemoryRepository):
    """Tells the auditor what is done to it. `called` is told of each deed first, and may raise; so may git."""

    def __init__(self, files: Mapping[str, str], audit: Auditor, hosts: Hosts, called: Callable[[str], None]) -> None:
        super().__init__(files)
        self._audit, self._hosts, self._called = audit, hosts, called
        self._given: dict[str, dict[str, str]] = {}

    def prepare(self, path: str, branch: str, base: str, work: str = "", resolve: bool = False) -> None:
        self._called("prepare")
        super().prepare(path, branch, base, work, resolve)
        if resolve:  # what was laid out there to be resolved is nobody's work
            self._given[path] = self._laid_out(self.tip(branch), work, resolve)

    def secure(
        self,
        path: str,
        branch: str,
        base: str,
        ref: str,
        message: str,
        author: str,
        work: str = "",
        resolve: bool = False,
    ) -> Secured:
        self._called("secure")
        return super().secure(path, branch, base, ref, message, author, work, resolve)

    def gate(self, path: str, commit: str, keep_ignored: bool = False) -> str:
        self._called("gate")
        self._check_idle(path)
        return super().gate(path, commit, keep_ignored)

    def stack(self, base: str, branches: Sequence[Branch], mode: str, author: str, when: float) -> Stacked:
        self._called("stack")
        return super().stack(base, branches, mode, author, when)

    def predict(self, base: str, commit: str) -> list[str]:
        self._called("predict")
        return super().predict(base, commit)

    def revert(self, tip: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        self._called("revert")
        result = super().revert(tip, commit, message, author, when)
        if isinstance(result, Merged) and result.commit != tip:
            self._audit.takes_out(tip, result.commit, commit)
        return result

    def land(self, target: str, base: str, commit: str) -> Landed | Moved | Refused:
        self._called("land")
        before = self.tip(target)
        result = super().land(target, base, commit)
        if self.tip(target) != before:
            self._audit.moved(before, commit)
        return result

    def remove(self, path: str, secured: str, recycle: bool = False) -> None:
        self._called("remove")
        self._check_idle(path)
        there = self.worktrees.get(path)
        kept = self.commits[secured].files if secured in self.commits else {}
        tested = self.commits[there.head].files if there and not there.branch else None
        assert there is None or there.files in (kept, tested, self._given.get(path)), (
            f"{path} is removed with work in it that is nowhere else"
        )
        super().remove(path, secured, recycle)

    def delete_branch(self, branch: str, kept: str) -> bool:
        self._called("delete_branch")
        return super().delete_branch(branch, kept)

    def _check_idle(self, path: str) -> None:
        busy = [name for name, run in self._hosts.runs.items() if run.hosted and run.alive and _path(run.spec) == path]
        assert not busy, f"the worktree {path} is pulled away from under {busy}"
