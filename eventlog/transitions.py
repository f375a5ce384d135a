"""What must have happened for an event to be possible, and what cannot have happened twice. Rule: this is pure, and
looks at a set of events: what an event needs may come before or after it in the files.

An event *shows* keys, *needs* keys that others show, and may be the only one of a *single* key. Each step of an attempt
needs the one before it, so a landing without its test, its place in the queue, its gate, its secured work or its
assignment is seen at the step that is missing.
"""

from collections.abc import Callable, Mapping
from typing import Any

from .events import (
    AgentInterrupted,
    AgentNudged,
    AlertDelivered,
    AlertFailed,
    AlertRaised,
    AttemptCancelled,
    AttemptRetried,
    BatchDissolved,
    BatchFormed,
    BatchStacked,
    BatchTested,
    CheckoutSeen,
    ConflictResolved,
    FindingsReported,
    GateControlled,
    GateFinished,
    IssueAssigned,
    IssueClosed,
    IssueHeld,
    IssueLinked,
    IssueOpened,
    IssueReopened,
    IssueTaken,
    LandingHeld,
    LeakCleared,
    LeakDetected,
    LeaseAcquired,
    LeaseReleased,
    MailAcked,
    MailDeadLettered,
    MailDelivered,
    MailSent,
    MergeConflicted,
    MergeDropped,
    MergeLanded,
    MergePredicted,
    MergePrepared,
    MergeQueued,
    MergeRejected,
    MergeRequeued,
    MergeReverted,
    MergeTested,
    QueueHeld,
    QueueResumed,
    QuotaExhausted,
    QuotaProbed,
    QuotaResumed,
    RunStarted,
    RunStopped,
    SessionExited,
    SessionKillRequested,
    SessionLost,
    SessionProgressed,
    SessionRequested,
    SessionStarted,
    UsageReported,
    ValidationFinished,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from .fact import Event, Fact, Unknown

Key = tuple[Any, ...]
"""The kind, and what it is about."""
Keys = Callable[[Event[Any]], tuple[Key, ...]]

GOOD = ("passed", "none")
BROKEN = "broken"
"""Verdicts with which a commit goes on; `none`: there is no test command."""

BY_ID = ("alert", "generation", "lease", "letter")
"""Kinds of keys that end with the id of the event that shows them."""

_MISSING = {
    "alert": "there is no alert {1}",
    "batch": "the batch {1} was never formed",
    "member": "attempt {2} of {1} is not in the batch {3}",
    "stack": "the batch {1} was not stacked on {2:.12} as {3:.12}",
    "pass": "the batch {1} has no passed test of {3:.12} on {2:.12}",
    "attempt": "attempt {2} of {1} was never assigned",
    "failure": "attempt {2} of {1} has not failed",
    "findings": "{1} was never answered",
    "gate": "attempt {2} of {1} has no passed gate on {3:.12}",
    "generation": "{1} was not opened by {2}",
    "holder": "no lease {2} gave {1} to node {4}",
    "issue": "there is no issue {1}",
    "landing": "{2:.12} has not landed for {1}",
    "leak": "attempt {2} of {1} was not seen to leak",
    "lease": "there is no lease {2} on {1}",
    "letter": "there is no letter {1}",
    "merge": "attempt {2} of {1} was not merged to {4:.12} on {3:.12}",
    "quota": "{1} has never refused for lack of quota",
    "queue": "attempt {2} of {1} was never queued",
    "run": "the run {1} never started",
    "session": "session {3} of {1} was neither asked for nor started",
    "unable": "every gate could judge {1}",
    "test": "attempt {2} of {1} has no passed test of {4:.12} on {3:.12}",
    "work": "{3:.12} of attempt {2} of {1} was never secured",
}
_SINGLE = {
    "assignment": "attempt {2} of {1} was assigned twice",
    "batch": "the batch {1} was formed twice",
    "end": "session {3} of {1} ended twice",
    "land": "attempt {2} of {1} landed twice",
}


def missing(key: Key) -> str:
    """In words: what was needed is not there."""
    return _MISSING[key[0]].format(*key)


def twice(key: Key) -> str:
    """In words: what can be once only was twice."""
    return _SINGLE[key[0]].format(*key)


def shows(event: Event[Any]) -> tuple[Key, ...]:
    """What the event is evidence of."""
    found = _SHOWS.get(type(event.data))
    return found(event) if found else ()


def needs(event: Event[Any]) -> tuple[Key, ...]:
    """What some event must show for this one to be possible."""
    found = _NEEDS.get(type(event.data))
    return found(event) if found else ()


def single(event: Event[Any]) -> Key | None:
    """What this event alone may be."""
    found = _ONCE.get(type(event.data))
    return found(event) if found else None


def _attempt(kind: str) -> Keys:
    return lambda e: ((kind, e.subject, e.data.attempt),)


def _session(event: Event[Any]) -> tuple[Key, ...]:
    return (("session", event.subject, event.data.attempt, event.data.session),)


def _ended(event: Event[SessionExited]) -> tuple[Key, ...]:
    """A program that was not found has ended without a start."""
    return () if event.data.ended_by == "missing" else _session(event)


def _work(event: Event[Any]) -> tuple[Key, ...]:
    return (("work", event.subject, event.data.attempt, event.data.commit),)


def _merge(kind: str) -> Keys:
    return lambda e: ((kind, e.subject, e.data.attempt, e.data.base, e.data.commit),)


def _stack(kind: str) -> Keys:
    return lambda e: ((kind, e.subject, e.data.base, e.data.commit),)


def _batch(event: Event[Any]) -> tuple[Key, ...]:
    return (("batch", event.subject),)


def _members(event: Event[BatchFormed]) -> tuple[Key, ...]:
    return tuple(("member", issue, attempt, event.subject) for issue, attempt in event.data.members)


def _formed(event: Event[BatchFormed]) -> tuple[Key, ...]:
    """Each of its members waits in the queue, and it is built on, and a part of, batches that there were."""
    queued = (("queue", issue, attempt) for issue, attempt in event.data.members)
    return *queued, *(("batch", name) for name in (event.data.after, event.data.of) if name)


def _landed(event: Event[MergeLanded]) -> tuple[Key, ...]:
    """The very commit passed: as the batch's, or, until 0.3, as the attempt's own merge."""
    fact, lease = event.data, _lease(event.subject, event.data.lease)
    if not fact.batch:
        return *_merge("test")(event), *lease
    member = ("member", event.subject, fact.attempt, fact.batch)
    return member, ("pass", fact.batch, fact.base, fact.commit), *lease


def _gate(event: Event[GateFinished]) -> tuple[Key, ...]:
    fact = event.data
    good = (("gate", event.subject, fact.attempt, fact.commit),) if fact.verdict in GOOD else ()
    return *good, *_unable(event, fact.attempt)


def _test(event: Event[BatchTested]) -> tuple[Key, ...]:
    return *(_stack("pass")(event) if event.data.verdict in GOOD else ()), *_unable(event, 0)


def _unable(event: Event[Any], attempt: int) -> tuple[Key, ...]:
    """A gate could not judge: it is run without the work for that alone."""
    return (("unable", event.subject, attempt),) if event.data.verdict == BROKEN else ()


def _generation(event: Event[Any]) -> tuple[Key, ...]:
    return (("generation", event.subject, event.data.generation),) if event.data.generation else ()


def _lease(subject: str, lease: str) -> tuple[Key, ...]:
    return (("lease", subject, lease),) if lease else ()


def _assigned(event: Event[IssueAssigned]) -> tuple[Key, ...]:
    fact = event.data
    lease = (("holder", event.subject, fact.lease, fact.generation, fact.node),) if fact.lease else ()
    return *_generation(event), *_lease(event.subject, fact.lease), *lease


def _acquired(event: Event[LeaseAcquired]) -> tuple[Key, ...]:
    fact = event.data
    return (
        ("lease", event.subject, event.id),
        ("holder", event.subject, event.id, fact.generation, fact.node),
    )


def _held(event: Event[IssueHeld]) -> tuple[Key, ...]:
    attempt = (("attempt", event.subject, event.data.attempt),) if event.data.attempt else ()
    return *_generation(event), *attempt


def _closed(event: Event[IssueClosed]) -> tuple[Key, ...]:
    """A person may close anything, with any reason; what landed is named only by the coordinator."""
    if event.data.commit:
        return *_generation(event), ("landing", event.subject, event.data.commit)
    if (event.source, event.data.reason) == ("coordinator", "answered"):
        return *_generation(event), ("findings", event.subject)
    return _generation(event)


def _named(event: Event[Any]) -> tuple[Key, ...]:
    return tuple(("issue", need) for need in event.data.needs)


def _letter(event: Event[Any]) -> tuple[Key, ...]:
    return (("letter", event.data.letter),)


_SHOWS: Mapping[type[Fact], Keys] = {
    RunStarted: lambda e: (("run", e.subject),),
    IssueOpened: lambda e: (("generation", e.subject, e.id), ("issue", e.subject)),
    IssueReopened: lambda e: (("generation", e.subject, e.id),),
    LeaseAcquired: _acquired,
    IssueAssigned: _attempt("attempt"),
    SessionRequested: _session,
    SessionStarted: _session,
    WorkSecured: _work,
    FindingsReported: lambda e: (("findings", e.subject),),
    GateFinished: _gate,
    MergeQueued: _attempt("queue"),
    MergePrepared: _merge("merge"),
    MergeTested: lambda e: _merge("test")(e) if e.data.verdict in GOOD else (),
    BatchFormed: lambda e: (*_batch(e), *_members(e)),
    BatchStacked: _stack("stack"),
    BatchTested: _test,
    MergeLanded: lambda e: (("landing", e.subject, e.data.commit),),
    **dict.fromkeys((WorkRejected, MergeConflicted, MergeRejected, MergeDropped), _attempt("failure")),
    QuotaExhausted: lambda e: (("quota", e.subject),),
    LeakDetected: _attempt("leak"),
    MailSent: lambda e: (("letter", e.id),),
    AlertRaised: lambda e: (("alert", e.id),),
    Unknown: lambda e: (("letter", e.id),) if e.data.name == MailSent.type else (),  # a newer version's is one too
}

_NEEDS: Mapping[type[Fact], Keys] = {
    RunStopped: lambda e: (("run", e.subject),),
    IssueOpened: _named,
    IssueLinked: _named,
    IssueTaken: _generation,
    IssueHeld: _held,
    IssueClosed: _closed,
    LeaseAcquired: lambda e: (*_generation(e), *_lease(e.subject, e.data.after)),
    LeaseReleased: lambda e: _lease(e.subject, e.data.lease),
    IssueAssigned: _assigned,
    AttemptRetried: _attempt("failure"),
    **dict.fromkeys(
        (
            AttemptCancelled,
            WorktreePrepared,
            SessionRequested,
            SessionStarted,
            WorkSecured,
            WorkRejected,
            FindingsReported,
            CheckoutSeen,
            ConflictResolved,
            LeakDetected,
        ),
        _attempt("attempt"),
    ),
    **dict.fromkeys((SessionProgressed, UsageReported, SessionKillRequested, SessionLost), _session),
    **dict.fromkeys((AgentNudged, AgentInterrupted), _session),
    SessionExited: _ended,
    LeakCleared: _attempt("leak"),
    WorktreeRemoved: lambda e: (("work", e.subject, e.data.attempt, e.data.secured),),
    GateFinished: _work,
    GateControlled: lambda e: (("unable", e.subject, e.data.attempt),),
    MergeQueued: lambda e: (("gate", e.subject, e.data.attempt, e.data.commit),),
    **dict.fromkeys(
        (MergePredicted, MergePrepared, MergeRequeued, MergeConflicted, MergeRejected, MergeDropped, LandingHeld),
        _attempt("queue"),
    ),
    MergeTested: _merge("merge"),
    BatchFormed: _formed,
    **dict.fromkeys((BatchStacked, BatchDissolved, ValidationFinished), _batch),
    BatchTested: _stack("stack"),
    MergeLanded: _landed,
    MergeReverted: lambda e: (("landing", e.subject, e.data.commit),),
    **dict.fromkeys((QueueHeld, QueueResumed), lambda e: (("run", e.subject),)),
    QuotaProbed: lambda e: (("quota", e.subject), ("issue", e.data.issue)),
    QuotaResumed: lambda e: (("quota", e.subject),),
    MailSent: lambda e: (("letter", e.data.reply_to),) if e.data.reply_to else (),
    **dict.fromkeys((MailDelivered, MailAcked, MailDeadLettered), _letter),
    **dict.fromkeys((AlertDelivered, AlertFailed), lambda e: (("alert", e.subject),)),
}

_ONCE: Mapping[type[Fact], Callable[[Event[Any]], Key]] = {
    IssueAssigned: lambda e: ("assignment", e.subject, e.data.attempt),
    SessionExited: lambda e: ("end", e.subject, e.data.attempt, e.data.session),
    BatchFormed: lambda e: ("batch", e.subject),
    MergeLanded: lambda e: ("land", e.subject, e.data.attempt),
}
