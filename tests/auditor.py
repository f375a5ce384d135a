"""Looks at every event of a simulated run as it comes: what must never be. Rule: it believes the log and the world, and
no actor; each sentence that it raises is a promise that was broken.
"""

import tempfile
from collections.abc import Iterable, Iterator
from typing import Any

from swarm.actors.again import decide_again
from swarm.eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    BatchFormed,
    BatchTested,
    GateControlled,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    IssueTaken,
    MailAcked,
    MailDeadLettered,
    MailDelivered,
    MailSent,
    MergeLanded,
    MergeQueued,
    QueueHeld,
    SessionExited,
    SessionKillRequested,
    SessionStarted,
    ValidationFinished,
    WorkSecured,
    WorktreeRemoved,
)
from swarm.eventlog.fact import Event
from swarm.eventlog.lines import Bad, decode_block
from swarm.eventlog.segments import files
from swarm.eventlog.tail import Tail, read_all
from swarm.eventlog.verify import verify
from swarm.projections import Board, agents, batches, issues, mail
from swarm.world import SessionSpec

from disk import FOLDER, Faults, SimDisk
from history import snapshot

GOOD = ("passed", "none")


class Auditor:
    """Reads the log as one more process, whose disk is always well. `board` is what the log comes to."""

    def __init__(self, disk: SimDisk) -> None:
        self._disk = disk.another()
        self._disk.faults = Faults()
        self.acknowledged: dict[str, Event[Any]] = {}
        self.moves: list[tuple[str, str]] = []
        self._without: dict[str, str] = {}
        self._begun: set[str] = set()
        self.forget()

    def forget(self) -> None:
        """Read all of the log anew: what was never acknowledged may be gone with the power."""
        self._tail, self.board = Tail(FOLDER, disk=self._disk), Board()
        self.events: dict[str, Event[Any]] = {}
        self._once: set[tuple[object, ...]] = set()
        self._tested: set[tuple[str, str]] = set()
        self._bad: set[str] = set()
        self._secured: set[tuple[str, int, str]] = set()
        self._ends: dict[tuple[str, str], str] = {}

    @property
    def torn(self) -> int:
        """How many lines of the log are none."""
        return len(self._tail.bad)

    # --- what it is told ---

    def acknowledge(self, events: Iterable[Event[Any]]) -> None:
        """Somebody's append returned these."""
        self.acknowledged |= {event.id: event for event in events}

    def begins(self, spec: SessionSpec) -> None:
        """A program begins to run."""
        assert spec.session not in self._begun, f"{spec.session} runs twice"
        self._begun.add(spec.session)

    def takes_out(self, tip: str, commit: str, bad: str) -> None:
        """Made, to be the target: `tip` without what landed as `bad`."""
        self.look()
        assert bad in self._bad, f"{bad[:8]} is taken out, and passed its validation, or had none"
        self._without[commit] = self._without.get(tip, tip)

    def moved(self, base: str, commit: str) -> None:
        """The swarm moved the target."""
        self.look()
        if self._without.get(commit) == base:
            return
        assert (base, commit) in self._tested, f"the target moved from {base[:8]} to {commit[:8]}, which passed no test"
        self.moves.append((base, commit))

    # --- what it sees ---

    def look(self) -> None:
        """Check what came since."""
        for event in self._tail.read():
            assert event.id not in self.events, f"{event.id} is in the log twice"
            self._check(event)
            self.events[event.id] = event
            self.board.apply(event)

    def attempt(self, issue: str, number: int) -> agents.Attempt | None:
        """As the log has it."""
        self.look()
        return self.board[agents.State].attempts.get((issue, number))

    def _check(self, event: Event[Any]) -> None:
        """The board is as it was under the lock under which this was appended."""
        self._check_decision(event)
        self._check_deed(event)
        match event.data:
            case MailDelivered(letter=letter, reader=reader) | MailAcked(letter=letter, reader=reader):
                self._letter_ends(letter, reader, "read")
            case MailDeadLettered(letter=letter, recipient=recipient):
                self._letter_ends(letter, recipient, "dead")

    def _check_decision(self, event: Event[Any]) -> None:
        data = event.data
        match data:
            case IssueAssigned():
                ready = [one.id for one in self.board[issues.State].ready()]
                assert event.subject in ready, f"{event.subject} was given out, and it was not ready"
                self._once_only(event, data.attempt)
            case AttemptRetried() | AttemptCancelled() | MergeQueued():
                self._once_only(event, data.attempt)
                if isinstance(data, MergeQueued):
                    self._check_agent(event.subject, data.attempt)
            case BatchFormed():
                self._once_only(event, "")
                self._check_batch(event)
            case IssueClosed() | IssueHeld() if event.seen:
                self._once_only(event, data.generation)
            case SessionKillRequested() if event.seen:
                self._once_only(event, data.session)

    def _check_deed(self, event: Event[Any]) -> None:
        data, issue = event.data, event.subject
        match data:
            case SessionStarted() | SessionExited():
                self._once_only(event, data.session)
            case WorkSecured():
                self._secured.add((issue, data.attempt, data.commit))
            case WorktreeRemoved():
                assert (issue, data.attempt, data.secured) in self._secured, f"{data.path} was removed before secured"
            case BatchTested() if data.verdict in GOOD:
                self._tested.add((data.base, data.commit))
            case ValidationFinished(verdict="failed"):
                self._bad.add(data.commit)
            case MergeLanded():
                attempt = self.board[agents.State].attempts[issue, data.attempt].assigned
                self._once_only(event, attempt.generation if attempt else "")
                assert (data.base, data.commit) in self._tested, f"{issue} landed, and passed no test there"

    def _check_agent(self, issue: str, number: int) -> None:
        """Only what an agent ended well with is to land."""
        session = self.board[agents.State].attempts[issue, number].sessions[f"{issue}-{number}"]
        assert session.exited, f"{issue}-{number} is to land, and its agent has not ended"
        assert session.exited.ok, f"{issue}-{number} is to land, and its agent failed"

    def _check_batch(self, event: Event[BatchFormed]) -> None:
        """Nobody is in two batches of which something may still come, but for a part and the whole."""
        for batch in self.board[batches.State].open():
            if batch.formed and batch.id != event.data.of and batch.formed.of != (event.data.of or "none"):
                both = {tuple(member) for member in batch.formed.members} & {*map(tuple, event.data.members)}
                assert not both, f"{both} are in {batch.id} and in {event.subject}"

    def _once_only(self, event: Event[Any], key: object) -> None:
        entry = (event.type, event.subject, key)
        assert entry not in self._once, f"twice: {event.type} of {event.subject} {key}"
        self._once.add(entry)

    def _letter_ends(self, letter: str, reader: str, end: str) -> None:
        other = self._ends.setdefault((letter, reader), end)
        assert other == end, f"the letter {letter} is {end} for {reader}, and was {other}"

    # --- in the end ---

    def check_log(self, torn: int) -> None:
        """Nothing that was acknowledged is lost or altered, and nothing is wrong with the log but `torn` lines."""
        self.look()
        everything = read_all(FOLDER, disk=self._disk)
        assert everything == [self.events[id_] for id_ in sorted(self.events)], "who reads on sees something else"
        lost = [id_ for id_, event in self.acknowledged.items() if self.events.get(id_) != event]
        assert not lost, f"{len(lost)} acknowledged events are lost"
        assert snapshot(Board().fold(everything)) == snapshot(self.board), "a replay shows something else"
        self._check_decisions(torn)
        self._check_holds(torn)
        with tempfile.TemporaryDirectory() as folder:
            self._disk.dump(folder)
            report = verify(folder)
        bad = [error for error in report.errors if "no event" in error]
        assert report.errors == bad, report.errors
        assert len(bad) <= torn, f"{len(bad)} lines are torn, and {torn} writers were killed"

    def _check_decisions(self, torn: int) -> None:
        """Each is what the same board gives again. (A kill may cut what was decided at once just between two lines.)"""
        found = decide_again(["n1"], self._lines).difference
        assert found is None or (torn and found.number == len(found.events)), f"it is decided otherwise: {found}"

    def _check_holds(self, torn: int) -> None:
        """The queue is held for nobody's fault only where the gate cannot judge without the work either."""
        held = [one for one in self.events.values() if isinstance(one.data, QueueHeld)]
        judges = (GateControlled, ValidationFinished)
        unable = [one for one in self.events.values() if isinstance(one.data, judges) and one.data.verdict == "broken"]
        for one in held if not torn else ():
            known = one.data.kind != "infrastructure" or one.correlationid in {each.correlationid for each in unable}
            assert known, f"the queue was held by {one.id}, and nobody asked whose fault it is"

    def _lines(self, _node: str) -> Iterator[Event[Any] | Bad]:
        """What stands in the files, in order."""
        there = self._disk.files()
        for line in (line for name in files(there) for line in there[name].split(b"\n")):
            found, bad = decode_block(line)
            yield from found
            yield from bad

    def check_end(self) -> None:
        """Everything ended: each issue is done, or blocked with a reason, or waits for one that is."""
        state = self.board[issues.State]
        assert not list(self.board[agents.State].sessions()), "sessions are left"
        for issue in state.known():
            taken = issue.mark and isinstance(issue.mark.data, IssueTaken)
            if not state.waiting(issue) and not taken:
                assert issue.status in (issues.DONE, issues.BLOCKED), f"{issue.id} is {issue.status}"
            if issue.status == issues.BLOCKED:
                assert issue.reason, f"{issue.id} is blocked, and nobody knows why"
        landed = [event.data for event in self.events.values() if isinstance(event.data, MergeLanded)]
        assert {(d.base, d.commit) for d in landed if d.base != d.commit} <= set(self.moves), "it has not landed"
        self._check_answers()

    def _check_answers(self) -> None:
        """Who wrote what cannot arrive was told, and so was the person of who cannot go on."""
        answers = {event.data.reply_to for event in self.events.values() if isinstance(event.data, MailSent)}
        for letter in self.board[mail.State].letters.values():
            sent = letter.sent.data if letter.sent else None
            own = letter.sent and letter.sent.source == "watchdog"  # who calls it dead knows
            if sent and letter.dead and not own and not sent.body.startswith("Undeliverable"):
                assert letter.id in answers, f"the letter {letter.id} is dead, and its sender does not know"
            if sent and sent.kind == "blocked" and "coordinator" in letter.acked:
                assert letter.id in answers, f"the letter {letter.id} was kept from the person"
