"""Issues: what is to be done, what waits for what, and how far it is. Rule: `status` is derived, never stored.

An issue's marks (closed, held, taken) belong to the generation they name, and its attempts to the generation they
were assigned in; only the greatest generation counts. So a landing that arrives late cannot close an issue that was
reopened.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from heapq import nlargest
from itertools import chain
from typing import Any

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
    IssueHeld,
    IssueLinked,
    IssueOpened,
    IssueReopened,
    IssueTaken,
    LeakCleared,
    LeakDetected,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergeRejected,
    WorkRejected,
    WorktreePrepared,
)
from ..eventlog.fact import Event, Fact
from ..eventlog.ids import is_id
from . import LAST, RECENT, Fold, Handler, Latest, fact, happened, keep

OPEN, IN_PROGRESS, BLOCKED, DONE = STATUSES = ("open", "in_progress", "blocked", "done")
_MARKS: dict[type[Fact], str] = {IssueClosed: DONE, IssueHeld: BLOCKED, IssueTaken: IN_PROGRESS}
_FAILED = (WorkRejected, MergeConflicted, MergeRejected, MergeDropped)
_LOOKED_AT = 64
"""So many issues that rest and begin as asked are looked at; more are counted by their keys."""


class Attempt(msgspec.Struct):
    """One try at an issue, as the issue sees it."""

    number: int
    latest: Latest = msgspec.field(default_factory=dict)

    @property
    def assigned(self) -> IssueAssigned | None:
        """Who tries, with what."""
        return fact(self.latest, IssueAssigned)

    @property
    def over(self) -> bool:
        """Whether it was decided that nothing more comes of it, so that the issue may be tried again."""
        return bool(happened(self.latest, AttemptRetried) or happened(self.latest, AttemptCancelled))

    @property
    def failure(self) -> str:
        """Why it failed, in one line; empty if it has not."""
        conflicted = fact(self.latest, MergeConflicted)
        if conflicted:
            return f"does not merge: conflict in {', '.join(conflicted.files) or 'unnamed files'}"
        failed = fact(self.latest, MergeRejected) or fact(self.latest, WorkRejected)
        if failed:
            return failed.reason
        dropped = fact(self.latest, MergeDropped)
        return f"taken out of the merge queue: {dropped.reason or 'a person wants it so'}" if dropped else ""

    @property
    def held(self) -> str:
        """How it is known that its agent changed the person's checkout, if that alone keeps it from landing."""
        found, cleared = fact(self.latest, LeakDetected), happened(self.latest, LeakCleared)
        if found is None or cleared > happened(self.latest, LeakDetected) or self.over or self.failure or self.landed:
            return ""
        return found.evidence

    @property
    def landed(self) -> str:
        """The commit that landed; empty if none."""
        landed = fact(self.latest, MergeLanded)
        return landed.commit if landed else ""


class Issue(msgspec.Struct):
    """One issue. Placeholders (an attempt's event came before the opening) have `opened` empty and are not shown."""

    id: str
    latest: Latest = msgspec.field(default_factory=dict)
    marks: dict[str, Latest] = msgspec.field(default_factory=dict)
    links: dict[str, Event[IssueLinked]] = msgspec.field(default_factory=dict)
    attempts: dict[int, Attempt] = msgspec.field(default_factory=dict)

    @property
    def opened(self) -> IssueOpened | None:
        """What was written."""
        return fact(self.latest, IssueOpened)

    @property
    def generation(self) -> str:
        """The id of the event that last (re)opened it."""
        return max(happened(self.latest, IssueOpened), happened(self.latest, IssueReopened))

    @property
    def work(self) -> str:
        """The commit that this generation comes with, until an attempt was made of it; empty if there is none."""
        reopened = fact(self.latest, IssueReopened)
        given = reopened and happened(self.latest, IssueReopened) == self.generation and not self.tries
        return reopened.work if reopened and given else ""

    @property
    def needs(self) -> list[str]:
        """The issues it waits for, in the order they were named first."""
        named = list(self.opened.needs) if self.opened else []
        for _, linked in sorted(self.links.items()):
            named += linked.data.needs
        return list(dict.fromkeys(named))

    @property
    def mark(self) -> Event[Any] | None:
        """The newest of closed, held and taken in this generation."""
        marks = self.marks.get(self.generation)
        return max(marks.values(), key=lambda event: event.id) if marks else None

    @property
    def closed(self) -> str:
        """The id of its newest closing, in whatever generation; empty if there is none."""
        return max((happened(marks, IssueClosed) for marks in self.marks.values()), default="")

    @property
    def tries(self) -> list[Attempt]:
        """This generation's attempts, oldest first."""
        mine = [a for a in self.attempts.values() if a.assigned and a.assigned.generation == self.generation]
        return sorted(mine, key=lambda attempt: attempt.number)

    @property
    def current(self) -> Attempt | None:
        """The newest attempt of this generation, unless it is over."""
        tries = self.tries
        return tries[-1] if tries and not tries[-1].over else None

    @property
    def status(self) -> str:
        """open, in_progress, blocked or done. What is held for a leak is blocked: it waits for a person."""
        mark, current = self.mark, self.current
        if mark:
            return _MARKS[type(mark.data)]
        if current and current.held:
            return BLOCKED
        return IN_PROGRESS if current else OPEN

    @property
    def failures(self) -> int:
        """How many attempts of this generation failed (cancelled ones do not count)."""
        return sum(1 for attempt in self.tries if attempt.failure)

    @property
    def assignee(self) -> str:
        """Who has it, or is to have it; empty if nobody."""
        taken = self.mark.data if self.mark else None
        if isinstance(taken, IssueTaken):
            return taken.by
        if self.current and self.current.assigned:
            return self.current.assigned.agent
        delegated = fact(self.latest, IssueDelegated)
        if delegated:
            return delegated.agent
        last = self.tries[-1].assigned if self.tries else None
        return last.agent if last else ""

    @property
    def branch(self) -> str:
        """The newest attempt's branch; empty if none was prepared."""
        for _, attempt in sorted(self.attempts.items(), reverse=True):
            prepared = fact(attempt.latest, WorktreePrepared)
            if prepared:
                return prepared.branch
        return ""

    @property
    def commit(self) -> str:
        """What landed for it; empty if nothing did."""
        for _, attempt in sorted(self.attempts.items(), reverse=True):
            if attempt.landed:
                return attempt.landed
        return ""

    @property
    def reason(self) -> str:
        """Why it is held or was closed, or why the last attempt failed or may not land; empty if none of these."""
        if self.mark and isinstance(self.mark.data, IssueClosed | IssueHeld):
            return self.mark.data.reason
        last = self.tries[-1] if self.tries else None
        if last and last.held:
            return f"held, for its agent changed your checkout: {last.held}"
        return last.failure if last else ""


class State(Fold):
    """All issues. `live` are those that are opened and not done."""

    def __init__(self) -> None:
        super().__init__()
        self.all: dict[str, Issue] = {}
        self.live: dict[str, Issue] = {}

    def issue(self, issue_id: str) -> Issue:
        """The issue, made as a placeholder if its opening has not been seen."""
        found = self.all.get(issue_id)
        if found is None:
            found = self.all[issue_id] = Issue(issue_id)
        return found

    def known(self) -> Iterator[Issue]:
        """The opened issues in memory, oldest first: all that are live, and at least the newest `RECENT` of the
        done.
        """
        opened = (issue for issue in self.all.values() if issue.opened)
        return iter(sorted(opened, key=lambda issue: happened(issue.latest, IssueOpened)))

    def counts(self) -> dict[str, int]:
        """Status -> how many issues have it, ever."""
        counts = dict.fromkeys(STATUSES, 0) | {DONE: self.sums[DONE]}
        for issue in self.all.values():
            if issue.opened:
                counts[issue.status] += 1
        return counts

    def find(self, issue_id: str) -> Issue | None:
        """The issue, wherever it is; None if it was never opened."""
        self.recall(issue_id)
        found = self.all.get(issue_id)
        return found if found and found.opened else None

    def waiting(self, issue: Issue) -> list[str]:
        """What it still waits for."""
        return [need for need in issue.needs if not self._is_done(need)]

    def ready(self) -> list[Issue]:
        """Open issues that wait for nothing, most urgent first, then oldest."""
        found = [i for i in list(self.live.values()) if i.opened and i.status == OPEN and not self.waiting(i)]
        return sorted(found, key=lambda i: (i.opened.priority if i.opened else 0, happened(i.latest, IssueOpened)))

    def index(self, issue: Issue) -> None:
        """Keep `live` true after a change of the issue."""
        if issue.opened and issue.status != DONE:
            self.live[issue.id] = issue
        else:
            self.live.pop(issue.id, None)

    def keys(self) -> Set[str]:
        """The issues in memory."""
        return self.all.keys()

    def about(self, key: str) -> Iterable[Event[Any]]:
        """The issue's events."""
        issue = self.all.get(key)
        if issue is None:
            return ()
        registers = (issue.latest, *issue.marks.values(), *(attempt.latest for attempt in issue.attempts.values()))
        return chain(issue.links.values(), *(latest.values() for latest in registers))

    def busy(self) -> set[str]:
        """What is live, what that waits for, and what was closed last."""
        last = nlargest(RECENT, (issue for issue in self.all.values() if issue.closed), key=lambda issue: issue.closed)
        return {*self.live, *(issue.id for issue in last)}.union(*(issue.needs for issue in self.live.values()))

    def count(self, key: str) -> Mapping[str, int]:
        """Whether it is done, as what rests is if it was opened."""
        issue = self.all.get(key)
        return {DONE: 1} if issue and issue.opened else {}

    def forget(self, key: str) -> None:
        """The issue."""
        self.all.pop(key, None)

    def _is_done(self, issue_id: str) -> bool:
        if issue_id not in self.all:
            self.recall(issue_id)
        found = self.all.get(issue_id)
        return found is not None and found.status == DONE


def _issue_fact(state: State, event: Event[Any]) -> None:
    issue = state.issue(event.subject)
    keep(issue.latest, event)
    state.index(issue)


def _linked(state: State, event: Event[IssueLinked]) -> None:
    state.issue(event.subject).links[event.id] = event


def _marked(state: State, event: Event[Any]) -> None:
    issue = state.issue(event.subject)
    keep(issue.marks.setdefault(event.data.generation, {}), event)
    state.index(issue)


def _attempt_fact(state: State, event: Event[Any]) -> None:
    attempts, number = state.issue(event.subject).attempts, event.data.attempt
    attempt = attempts.get(number)
    if attempt is None:
        attempt = attempts[number] = Attempt(number)
    keep(attempt.latest, event)


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys((IssueOpened, IssueReopened, IssueDelegated), _issue_fact),
    **dict.fromkeys(_MARKS, _marked),
    **dict.fromkeys(
        (
            IssueAssigned,
            AttemptRetried,
            AttemptCancelled,
            WorktreePrepared,
            LeakDetected,
            LeakCleared,
            MergeLanded,
            *_FAILED,
        ),
        _attempt_fact,
    ),
    IssueLinked: _linked,
}


# --- decisions of people: functions that return the fact, or refuse -------------------------------


def find(state: State, prefix: str) -> Issue:
    """The one issue whose id starts so (`sw-` may be left out); raises UsageError with the candidates."""
    for wanted in (prefix, f"sw-{prefix}"):
        if found := state.find(wanted):
            return found
    begins = (prefix, f"sw-{prefix}")
    rested = [
        key for begin in begins for key in state.archive.between(begin, begin + LAST) if prefix and _is_issue(key)
    ]
    for key in rested[:_LOOKED_AT]:
        state.recall(key)
    hits = [issue for issue in state.known() if prefix and issue.id.startswith(begins)]
    if len(hits) == 1:
        return hits[0]
    if hits:
        many = dict.fromkeys([*(issue.id for issue in hits), *rested[_LOOKED_AT:]])
        raise UsageError(f"{prefix!r} matches {len(many)} issues: {', '.join([*many][:8])}", "give more letters")
    raise UsageError(f"there is no issue {prefix!r}", "see them with: swarm issue list")


def _is_issue(key: str) -> bool:
    """Whether it may be one: neither a letter nor an entry of their index."""
    return not is_id(key) and " " not in key


def check_needs(state: State, issue_id: str, needs: Iterable[str]) -> list[str]:
    """The full ids of what `issue_id` is to wait for; raises UsageError if one is unknown or the wait would be a
    circle.
    """
    full = list(dict.fromkeys(find(state, need).id for need in needs))
    for need in full if state.find(issue_id) else ():  # nothing waits for what is not there
        path = _path(state, need, issue_id)
        if path:
            circle = " -> ".join([issue_id, *path])
            raise UsageError(f"{issue_id} cannot need {need}: it would wait for itself ({circle})")
    return full


def _path(state: State, start: str, goal: str) -> list[str]:
    """A chain of needs from `start` to `goal`, both included; empty if there is none."""
    stack, seen = [[start]], {start}
    while stack:
        path = stack.pop()
        if path[-1] == goal:
            return path
        state.recall(path[-1])
        for need in state.all[path[-1]].needs if path[-1] in state.all else []:
            if need not in seen:
                seen.add(need)
                stack.append([*path, need])
    return []
