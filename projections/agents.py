"""Agents: who does what, where, since when, and the last sign of life. Rule: life is what the agent itself printed,
did or wrote; an event *about* it by somebody else is no sign of life (a watchdog must not feed itself).

An agent is a named place to work (`builder-1`), filled by one attempt at a time. `stage` of an attempt is derived
from which of its facts exist.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from ..eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    FindingsReported,
    GateFinished,
    IssueAssigned,
    MailSent,
    MergeConflicted,
    MergeLanded,
    MergeQueued,
    MergeRejected,
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
from . import Handler, Latest, fact, happened, keep

ENDS = (MergeLanded, WorkRejected, MergeConflicted, MergeRejected, AttemptCancelled, FindingsReported)
"""Any of these ends an attempt: nothing more is built, tested or merged of it."""


class Session(msgspec.Struct):
    """One outside process of an attempt: the agent, or a gate."""

    id: str
    issue: str
    attempt: int
    latest: Latest = msgspec.field(default_factory=dict)

    @property
    def kind(self) -> str:
        """agent, gate or landing."""
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
        return bool(self.exited or self.lost)

    @property
    def killed(self) -> str:
        """Why somebody wants it ended; empty if nobody does."""
        wish = fact(self.latest, SessionKillRequested)
        return wish.reason if wish else ""


class Attempt(msgspec.Struct):
    """One attempt, as the one who does it sees it."""

    issue: str
    number: int
    latest: Latest = msgspec.field(default_factory=dict)
    sessions: dict[str, Session] = msgspec.field(default_factory=dict)

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
        return any(kind in self.latest for kind in ENDS)

    @property
    def active(self) -> bool:
        """Whether it fills its agent's place: from the assignment until the agent's own session is over."""
        session = self.sessions.get(self.name)
        return bool(self.assigned) and not self.ended and not (session and session.over)

    @property
    def testing(self) -> bool:
        """Whether its work is between the agent and the merge queue: being secured, being tested."""
        return bool(self.assigned) and not self.active and not self.ended and MergeQueued not in self.latest

    @property
    def stage(self) -> str:
        """assigned, prepared, working, exited, secured, gated, queued, landed, failed, cancelled or answered."""
        if self.ended:
            ends = {MergeLanded: "landed", AttemptCancelled: "cancelled", FindingsReported: "answered"}
            return next((word for kind, word in ends.items() if kind in self.latest), "failed")
        if MergeQueued in self.latest:
            return "queued"
        if GateFinished in self.latest:
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


class State:
    """All attempts. `live` are those with something left to do: not ended, or their worktree still exists."""

    def __init__(self) -> None:
        self.attempts: dict[tuple[str, int], Attempt] = {}
        self.live: dict[tuple[str, int], Attempt] = {}
        self.signs: dict[str, str] = {}

    def attempt(self, issue: str, number: int) -> Attempt:
        """The attempt, made as a placeholder if its assignment has not been seen."""
        key = (issue, number)
        if key not in self.attempts:
            self.attempts[key] = Attempt(issue, number)
        return self.attempts[key]

    def ongoing(self) -> list[Attempt]:
        """The live attempts that were assigned, oldest assignment first."""
        found = [attempt for attempt in self.live.values() if attempt.assigned]
        return sorted(found, key=lambda attempt: happened(attempt.latest, IssueAssigned))

    def sessions(self) -> Iterator[Session]:
        """The sessions of live attempts that have not ended, in order of their ids."""
        found = (s for attempt in self.live.values() for s in attempt.sessions.values() if not s.over)
        return iter(sorted(found, key=lambda session: (session.id, session.issue, session.attempt)))

    def names(self) -> list[str]:
        """Every agent that ever had an attempt, sorted."""
        return sorted({attempt.agent for attempt in self.attempts.values() if attempt.agent})

    def last(self, agent: str) -> Attempt | None:
        """The agent's newest attempt."""
        mine = [attempt for attempt in self.attempts.values() if attempt.agent == agent]
        return max(mine, key=lambda attempt: happened(attempt.latest, IssueAssigned), default=None)

    def working(self, agent: str) -> Attempt | None:
        """The attempt that fills the agent's place now."""
        mine = [attempt for attempt in self.live.values() if attempt.active and attempt.agent == agent]
        return max(mine, key=lambda attempt: happened(attempt.latest, IssueAssigned), default=None)


def _attempt_fact(state: State, event: Event[Any]) -> None:
    attempt = state.attempt(event.subject, event.data.attempt)
    keep(attempt.latest, event)
    _index(state, attempt)


def _session_fact(state: State, event: Event[Any]) -> None:
    attempt = state.attempt(event.subject, event.data.attempt)
    session = event.data.session
    keep(
        attempt.sessions.setdefault(session, Session(session, event.subject, event.data.attempt)).latest,
        event,
    )
    _index(state, attempt)


def _progressed(state: State, event: Event[SessionProgressed]) -> None:
    _session_fact(state, event)
    session = event.data.session
    state.signs[session] = max(state.signs.get(session, ""), event.id)


def _wrote(state: State, event: Event[MailSent]) -> None:
    state.signs[event.source] = max(state.signs.get(event.source, ""), event.id)


def _index(state: State, attempt: Attempt) -> None:
    running = any(not session.over for session in attempt.sessions.values())
    tidy = WorktreeRemoved in attempt.latest or WorktreePrepared not in attempt.latest
    key = (attempt.issue, attempt.number)
    if attempt.ended and tidy and not running:
        state.live.pop(key, None)
    else:
        state.live[key] = attempt


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys(
        (
            IssueAssigned,
            WorktreePrepared,
            WorkSecured,
            GateFinished,
            MergeQueued,
            WorktreeRemoved,
            AttemptRetried,
            *ENDS,
        ),
        _attempt_fact,
    ),
    **dict.fromkeys(
        (SessionRequested, SessionStarted, SessionExited, SessionLost, SessionKillRequested), _session_fact
    ),
    SessionProgressed: _progressed,
    MailSent: _wrote,
}
