"""Issues: what is to be done, what waits for what, and how far it is. Rule: `status` is derived, never stored.

An issue's marks (closed, held, taken) belong to the generation they name, and its attempts to the generation they
were assigned in; only the greatest generation counts. So a landing that arrives late cannot close an issue that was
reopened.
"""

from collections.abc import Iterable, Iterator, Mapping
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
    MergeConflicted,
    MergeLanded,
    MergeRejected,
    WorkRejected,
    WorktreePrepared,
)
from ..eventlog.fact import Event, Fact
from . import Handler, Latest, fact, happened, keep

OPEN, IN_PROGRESS, BLOCKED, DONE = STATUSES = ("open", "in_progress", "blocked", "done")
_MARKS: dict[type[Fact], str] = {IssueClosed: DONE, IssueHeld: BLOCKED, IssueTaken: IN_PROGRESS}
_FAILED = (WorkRejected, MergeConflicted, MergeRejected)


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
        return failed.reason if failed else ""

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
    links: dict[str, list[str]] = msgspec.field(default_factory=dict)
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
    def needs(self) -> list[str]:
        """The issues it waits for, in the order they were named first."""
        named = list(self.opened.needs) if self.opened else []
        for _, more in sorted(self.links.items()):
            named += more
        return list(dict.fromkeys(named))

    @property
    def mark(self) -> Event[Any] | None:
        """The newest of closed, held and taken in this generation."""
        return max(self.marks.get(self.generation, {}).values(), key=lambda event: event.id, default=None)

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
        """open, in_progress, blocked or done."""
        if self.mark:
            return _MARKS[type(self.mark.data)]
        return IN_PROGRESS if self.current else OPEN

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
        """Why it is held or was closed, or why the last attempt failed; empty if neither."""
        if self.mark and isinstance(self.mark.data, IssueClosed | IssueHeld):
            return self.mark.data.reason
        return self.tries[-1].failure if self.tries else ""


class State:
    """All issues. `live` are those that are not done: what an actor looks at stays small in a long log."""

    def __init__(self) -> None:
        self.all: dict[str, Issue] = {}
        self.live: dict[str, Issue] = {}

    def issue(self, issue_id: str) -> Issue:
        """The issue, made as a placeholder if its opening has not been seen."""
        if issue_id not in self.all:
            self.all[issue_id] = Issue(issue_id)
        return self.all[issue_id]

    def known(self) -> Iterator[Issue]:
        """The opened issues, oldest first."""
        opened = (issue for issue in self.all.values() if issue.opened)
        return iter(sorted(opened, key=lambda issue: happened(issue.latest, IssueOpened)))

    def waiting(self, issue: Issue) -> list[str]:
        """What it still waits for."""
        return [need for need in issue.needs if need not in self.all or self.all[need].status != DONE]

    def ready(self) -> list[Issue]:
        """Open issues that wait for nothing, most urgent first, then oldest."""
        found = [i for i in self.live.values() if i.opened and i.status == OPEN and not self.waiting(i)]
        return sorted(found, key=lambda i: (i.opened.priority if i.opened else 0, happened(i.latest, IssueOpened)))

    def index(self, issue: Issue) -> None:
        """Keep `live` true after a change of the issue."""
        if issue.opened and issue.status != DONE:
            self.live[issue.id] = issue
        else:
            self.live.pop(issue.id, None)


def _issue_fact(state: State, event: Event[Any]) -> None:
    issue = state.issue(event.subject)
    keep(issue.latest, event)
    state.index(issue)


def _linked(state: State, event: Event[IssueLinked]) -> None:
    state.issue(event.subject).links[event.id] = event.data.needs


def _marked(state: State, event: Event[Any]) -> None:
    issue = state.issue(event.subject)
    keep(issue.marks.setdefault(event.data.generation, {}), event)
    state.index(issue)


def _attempt_fact(state: State, event: Event[Any]) -> None:
    issue = state.issue(event.subject)
    number = event.data.attempt
    keep(issue.attempts.setdefault(number, Attempt(number)).latest, event)


ON: Mapping[type[Fact], Handler] = {
    **dict.fromkeys((IssueOpened, IssueReopened, IssueDelegated), _issue_fact),
    **dict.fromkeys(_MARKS, _marked),
    **dict.fromkeys(
        (IssueAssigned, AttemptRetried, AttemptCancelled, WorktreePrepared, MergeLanded, *_FAILED),
        _attempt_fact,
    ),
    IssueLinked: _linked,
}


# --- decisions of people: functions that return the fact, or refuse -------------------------------


def find(state: State, prefix: str) -> Issue:
    """The one issue whose id starts so (`sw-` may be left out); raises UsageError with the candidates."""
    for wanted in (prefix, f"sw-{prefix}"):
        if wanted in state.all and state.all[wanted].opened:
            return state.all[wanted]
    hits = [i for i in state.known() if prefix and i.id.startswith((prefix, f"sw-{prefix}"))]
    if len(hits) == 1:
        return hits[0]
    if hits:
        raise UsageError(
            f"{prefix!r} matches {len(hits)} issues: {', '.join(i.id for i in hits[:8])}", "give more letters"
        )
    raise UsageError(f"there is no issue {prefix!r}", "see them with: swarm issue list")


def check_needs(state: State, issue_id: str, needs: Iterable[str]) -> list[str]:
    """The full ids of what `issue_id` is to wait for; raises UsageError if one is unknown or the wait would be a
    circle.
    """
    full = list(dict.fromkeys(find(state, need).id for need in needs))
    for need in full:
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
        for need in state.all[path[-1]].needs if path[-1] in state.all else []:
            if need not in seen:
                seen.add(need)
                stack.append([*path, need])
    return []
