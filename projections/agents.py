"""Agents: who does what, where, since when, and the last sign of life. Rule: life is what the agent itself printed,
did or wrote; an event *about* it by somebody else is no sign of life (a watchdog must not feed itself).

An agent is a named place to work (`builder-1`), filled by one attempt at a time. `stage` of an attempt is derived
from which of its facts exist.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import Any, TypeVar

import msgspec

from ..eventlog.events import (
    AgentInterrupted,
    AgentNudged,
    AttemptCancelled,
    AttemptRetried,
    CheckoutSeen,
    ConflictResolved,
    FindingsReported,
    GateControlled,
    GateFinished,
    IssueAssigned,
    LeakCleared,
    LeakDetected,
    MailSent,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergeQueued,
    MergeRejected,
    MergeReverted,
    SessionExited,
    SessionKillRequested,
    SessionLost,
    SessionProgressed,
    SessionRequested,
    SessionStarted,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import time_of
from . import F, Fold, Handler, Latest, fact, happened, keep

K = TypeVar("K")
ENDS = (MergeLanded, WorkRejected, MergeConflicted, MergeRejected, MergeDropped, AttemptCancelled, FindingsReported)
"""Any of these ends an attempt: nothing more is built, tested or merged of it."""
_ENDS = frozenset(ENDS)
_WORK = (WorktreePrepared, WorkSecured, MergeQueued, MergeReverted, WorktreeRemoved, AttemptRetried, ConflictResolved)
_LOOKS = (CheckoutSeen, LeakDetected, LeakCleared)
_SESSION = (SessionRequested, SessionStarted, SessionExited, SessionLost, SessionKillRequested)
_AGENT = "agent/"
GOOD = ("passed", "none")
"""The verdicts of a gate that let the work go on."""


class Session(msgspec.Struct):
    """One outside process of an attempt: the agent, or a gate."""

    id: str
    issue: str
    attempt: int
    latest: Latest = msgspec.field(default_factory=dict)

    @property
    def kind(self) -> str:
        """agent, gate, landing, setup, …: see `SessionRequested`."""
        known = fact(self.latest, SessionRequested) or fact(self.latest, SessionStarted)
        return known.kind if known else ""

    @property
    def started(self) -> SessionStarted | None:
        """The identity of its process."""
        return fact(self.latest, SessionStarted)

    @property
    def exited(self) -> SessionExited | None:
        """Its end, as its host saw it."""
        return fact(self.latest, SessionExited)

    @property
    def lost(self) -> SessionLost | None:
        """Set if its host vanished. An exit record found later counts more."""
        return None if self.exited else fact(self.latest, SessionLost)

    @property
    def over(self) -> bool:
        """Whether it has ended, however."""
        return SessionExited in self.latest or SessionLost in self.latest

    @property
    def state(self) -> str:
        """What it says it waits for: waiting_input or rate_limited; empty while it works."""
        said = fact(self.latest, SessionProgressed)
        return said.state if said else ""

    @property
    def killed(self) -> str:
        """Why somebody wants it ended; empty if nobody does."""
        wish = fact(self.latest, SessionKillRequested)
        return wish.reason if wish else ""


class Attempt(msgspec.Struct):
    """One attempt, as the one who does it sees it. `gates` is a register per gate (its name, `test` where it has none)
    and commit.
    """

    issue: str
    number: int
    latest: Latest = msgspec.field(default_factory=dict)
    sessions: dict[str, Session] = msgspec.field(default_factory=dict)
    gates: dict[tuple[str, str], Event[GateFinished]] = msgspec.field(default_factory=dict)

    @property
    def name(self) -> str:
        """`<issue>-<n>`: names its worktree and its agent's session."""
        return f"{self.issue}-{self.number}"

    @property
    def assigned(self) -> IssueAssigned | None:
        """Who does it, with what."""
        return fact(self.latest, IssueAssigned)

    @property
    def agent(self) -> str:
        """The agent's name; empty in a placeholder."""
        return self.assigned.agent if self.assigned else ""

    @property
    def ended(self) -> bool:
        """Whether its outcome is known."""
        return not _ENDS.isdisjoint(self.latest)

    @property
    def active(self) -> bool:
        """Whether it fills its agent's place: from the assignment until the agent's own session is over, or until the
        work is secured that it began with.
        """
        session = self.sessions.get(self.name)
        done = WorkSecured in self.latest or (session and session.over)
        return bool(self.assigned) and not self.ended and not done

    @property
    def testing(self) -> bool:
        """Whether its work is between the agent and the merge queue: being secured, being tested."""
        return bool(self.assigned) and not self.active and not self.ended and MergeQueued not in self.latest

    @property
    def leak(self) -> str:
        """How it is known that its agent changed the person's checkout: its work does not land until a person says so.
        Empty if it did not, or if a person did.
        """
        found = fact(self.latest, LeakDetected)
        cleared = happened(self.latest, LeakCleared) > happened(self.latest, LeakDetected)
        return found.evidence if found and not cleared else ""

    @property
    def unlanded(self) -> bool:
        """Whether what it left is not in the target: it did not land, or was taken out again."""
        return happened(self.latest, MergeReverted) >= happened(self.latest, MergeLanded)

    @property
    def kept(self) -> bool:
        """Whether all that is left to do once it ended is to remove its worktree: its work is kept, not landed."""
        work, tree = fact(self.latest, WorkSecured), fact(self.latest, WorktreePrepared)
        safe = work and tree and (work.ref != f"refs/heads/{tree.branch}" if work.commits else work.left)
        return bool(safe) and MergeLanded not in self.latest and FindingsReported not in self.latest

    @property
    def stage(self) -> str:
        """assigned, prepared, working, exited, secured, gated (no gate said no so far), queued, landed, reverted,
        failed, cancelled or answered.
        """
        if self.ended:
            landed = "reverted" if self.unlanded else "landed"
            ends = {MergeLanded: landed, AttemptCancelled: "cancelled", FindingsReported: "answered"}
            return next((word for kind, word in ends.items() if kind in self.latest), "failed")
        if MergeQueued in self.latest:
            return "queued"
        if self.gates and all(event.data.verdict in GOOD for event in self.gates.values()):
            return "gated"
        if WorkSecured in self.latest:
            return "secured"
        session = self.sessions.get(self.name)
        if session:
            return "exited" if session.over else "working"
        return "prepared" if WorktreePrepared in self.latest else "assigned"

    def get(self, kind: type[Any]) -> Any:
        """The newest fact of that kind, or None."""
        return fact(self.latest, kind)

    def session(self, name: str) -> Session:
        """Its session of that name, made if nothing of it has been seen."""
        found = self.sessions.get(name)
        return found or self.sessions.setdefault(name, Session(name, self.issue, self.number))


class State(Fold):
    """All attempts. `live` are those with something left to do: not ended, or their worktree still exists. Of these,
    the `kept` wait for time alone (-> the id of their end), and no look at what is at work comes by them: there may be
    thousands. Where `here` names a node, only what that node does is at work; what does not say its node is its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.of: dict[str, dict[int, Attempt]] = {}
        self.live: dict[tuple[str, int], Attempt] = {}
        self.moving: dict[tuple[str, int], Attempt] = {}
        self.kept: dict[tuple[str, int], str] = {}
        self.given: dict[str, Event[IssueAssigned]] = {}
        self.wrote: dict[str, Event[MailSent]] = {}

    def attempt(self, issue: str, number: int) -> Attempt:
        """The attempt, made as a placeholder if its assignment has not been seen."""
        found = self.attempts.get((issue, number))
        if found is None:
            found = self.attempts[issue, number] = self.of.setdefault(issue, {})[number] = Attempt(issue, number)
            self.index(found)
        return found

    def find(self, issue: str, number: int) -> Attempt | None:
        """The attempt, wherever it is; None if nothing of it has been seen."""
        self.recall(issue)
        return self.attempts.get((issue, number))

    def ongoing(self, kept: Iterable[tuple[str, int]] = ()) -> list[Attempt]:
        """The live attempts that were assigned, but of those that are kept only these; oldest assignment first."""
        live = chain(self.moving.values(), map(self.live.__getitem__, kept))
        return sorted([attempt for attempt in live if attempt.assigned and self._is_ours(attempt)], key=_begun)

    def sessions(self) -> Iterator[Session]:
        """The sessions of live attempts that have not ended, in order of their ids."""
        ours = (attempt for attempt in self.moving.values() if self._is_ours(attempt))
        found = (session for attempt in ours for session in attempt.sessions.values() if not session.over)
        return iter(sorted(found, key=lambda session: (session.id, session.issue, session.attempt)))

    def resolves(self, session: Session) -> bool:
        """Whether it is of an attempt that makes a conflict merge."""
        attempt = self.attempts.get((session.issue, session.attempt))
        return bool(attempt and attempt.assigned and attempt.assigned.resolve)

    def names(self) -> list[str]:
        """Every agent that ever had an attempt, sorted."""
        return sorted(agent for agent in self.given if self.last(agent))

    def last(self, agent: str) -> Attempt | None:
        """The attempt that was given to the agent last; None if there is none, or if it was given to another as
        well, and that one counts.
        """
        given = self.given.get(agent)
        attempt = self.attempts.get((given.subject, given.data.attempt)) if given else None
        return attempt if attempt and attempt.agent == agent else None

    def working(self, agent: str) -> Attempt | None:
        """The attempt that fills the agent's place now; ours, where another node has an agent of that name too."""
        found = [attempt for attempt in self.moving.values() if attempt.active and attempt.agent == agent]
        return max(found, key=lambda attempt: (self._is_ours(attempt), _begun(attempt)), default=None)

    def sign(self, attempt: Attempt) -> str:
        """The newest event that the agent itself brought about in it, by printing or by a letter; empty if none is."""
        session = attempt.sessions.get(attempt.name)
        printed = happened(session.latest, SessionProgressed) if session else ""
        letter = self.wrote.get(f"{_AGENT}{attempt.agent}")
        return max(printed, letter.id if letter and letter.id > _begun(attempt) else "")

    def alive(self, attempt: Attempt) -> str:
        """The same, or that its program began; empty if it has not."""
        session = attempt.sessions.get(attempt.name)
        return max(self.sign(attempt), happened(session.latest, SessionStarted)) if session else ""

    def condition(self, attempt: Attempt, nudge: float = 0.0, now: float = 0.0) -> str:
        """What its running agent is, by its own word or for lack of one: waiting_input, rate_limited, silent or
        working. Silent is who gave no sign of life for `nudge` seconds (0: for ever), or since it was asked for one.
        """
        session, sign = attempt.sessions.get(attempt.name), self.alive(attempt)
        if session is None or not sign:
            return "working"
        silent = happened(session.latest, AgentNudged) > sign or 0 < nudge <= now - time_of(sign)
        return session.state or ("silent" if silent else "working")

    def index(self, attempt: Attempt) -> None:
        """Keep `live` true after a change of the attempt: one that has not ended is live since it was made."""
        key, latest = (attempt.issue, attempt.number), attempt.latest
        over = attempt.ended and all([session.over for session in attempt.sessions.values()])  # noqa: C419  # quicker
        self.moving.pop(key, None)
        self.kept.pop(key, None)
        if over and (WorktreeRemoved in latest or WorktreePrepared not in latest):
            self.live.pop(key, None)
            return
        self.live[key] = attempt
        if over and attempt.kept:
            self.kept[key] = max(happened(latest, kind) for kind in ENDS)
        else:
            self.moving[key] = attempt

    def keys(self) -> Set[str]:
        """The issues in memory, and each agent's newest letter."""
        return self.of.keys() | {event.id for event in self.wrote.values()}

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The events of the issue's attempts, and what else names the key."""
        attempts = self.of.get(key, {}).values()
        registers = [attempt.latest for attempt in attempts]
        registers += [session.latest for attempt in attempts for session in attempt.sessions.values()]
        given = (event for event in self.given.values() if event.subject == key)
        wrote = (event for event in self.wrote.values() if event.id == key)
        gates = (event for attempt in attempts for event in attempt.gates.values())
        return chain(given, wrote, gates, *(latest.values() for latest in registers))

    def busy(self) -> set[str]:
        """Where something is left to do, and what each agent was given and wrote last."""
        last = {event.subject for event in self.given.values()}
        return last.union((issue for issue, _ in self.live), (event.id for event in self.wrote.values()))

    def forget(self, key: str) -> None:
        """The issue's attempts."""
        for number in self.of.pop(key, ()):
            for held in (self.attempts, self.live, self.moving, self.kept):
                held.pop((key, number), None)

    def _is_ours(self, attempt: Attempt) -> bool:
        assigned = attempt.assigned
        return not self.here or assigned is None or assigned.node in ("", self.here)


def _begun(attempt: Attempt) -> str:
    return happened(attempt.latest, IssueAssigned)


def _attempt_fact(state: State, event: Event[Any]) -> None:
    attempt = state.attempt(event.subject, event.data.attempt)
    keep(attempt.latest, event)
    if attempt.ended:
        state.index(attempt)


def _assigned(state: State, event: Event[IssueAssigned]) -> None:
    _attempt_fact(state, event)
    _newest(state.given, event.data.agent, event)


def _gated(state: State, event: Event[GateFinished]) -> None:
    _attempt_fact(state, event)
    attempt, where = state.attempt(event.subject, event.data.attempt), (event.data.gate or "test", event.data.commit)
    _newest(attempt.gates, where, event)


def _controlled(state: State, event: Event[GateControlled]) -> None:
    if event.data.attempt:  # else it is about a batch
        _attempt_fact(state, event)


def _session_fact(state: State, event: Event[Any]) -> None:
    attempt = state.attempt(event.subject, event.data.attempt)
    keep(attempt.session(event.data.session).latest, event)
    if attempt.ended:
        state.index(attempt)


def _progressed(state: State, event: Event[SessionProgressed]) -> None:
    """Half of all events are of this kind: it is written out, and looks at nothing that cannot have changed."""
    data = event.data
    attempt = state.attempts.get((event.subject, data.attempt))
    session = attempt.sessions.get(data.session) if attempt else None
    if session is None:
        _session_fact(state, event)
        return
    held = session.latest.get(SessionProgressed)
    if held is None or held.id < event.id:
        session.latest[SessionProgressed] = event


def _wrote(state: State, event: Event[MailSent]) -> None:
    if event.source.startswith(_AGENT):
        _newest(state.wrote, event.source, event)


def _newest(newest: dict[K, Event[F]], key: K, event: Event[F]) -> None:
    held = newest.get(key)
    if held is None or held.id < event.id:
        newest[key] = event


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys((*_WORK, *_LOOKS, *ENDS), _attempt_fact),
    **dict.fromkeys((*_SESSION, AgentNudged, AgentInterrupted), _session_fact),
    IssueAssigned: _assigned,
    GateFinished: _gated,
    GateControlled: _controlled,
    SessionProgressed: _progressed,
    MailSent: _wrote,
}
