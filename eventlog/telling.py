"""An event as people see it, and as they name it. Rule: pure, one line per event, and nothing in it acts on a terminal.

The time is that of the event's id, in UTC: the same log reads the same everywhere. People name an event by the
beginning or, being short, the end of its id: ids made in one second begin alike, their ends are random.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .errors import UsageError
from .events import (
    ActorCrashed,
    AdmissionClosed,
    AdmissionOpened,
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
    BranchPromoted,
    BudgetExceeded,
    BudgetRaised,
    BudgetWarned,
    CheckoutSeen,
    ConflictResolved,
    EventRefused,
    FindingsReported,
    GateControlled,
    GateFinished,
    GateFlaked,
    IssueAssigned,
    IssueClosed,
    IssueDelegated,
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
    LogRepaired,
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
    RunStopRequested,
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
from .ids import END, is_id, rfc3339
from .text import many, printable

SHORT = 8
"""How many characters of an id's end are shown for it."""

_LONGEST = 400
_FREE = 120


def tell(event: Event[Any]) -> str:
    """One line: `04:20:09  sw-7f3a91c2     issue.assigned      attempt 1 to builder-1 (shell)`."""
    subject = one_line(short(event.subject), 48)
    return f"{clock(event.id)}  {subject:<14}  {one_line(event.type, 48):<18}  {sentence(event)}"


def sentence(event: Event[Any]) -> str:
    """What happened, in words. What a person or an agent did, and every letter, names its author."""
    signed = event.source == "human" or event.source.startswith("agent/") or isinstance(event.data, MailSent)
    words = _SENTENCES[type(event.data)](event.data)
    return one_line(f"{event.source}: {words}" if signed else words, _LONGEST)


def clock(id: str) -> str:  # noqa: A002
    """The time of day of an id, `HH:MM:SS` in UTC."""
    return rfc3339(id)[11:19]


def short(id: str) -> str:  # noqa: A002
    """The end of an id, for a table; anything else as it is."""
    return id[-SHORT:] if is_id(id) else id


def one_line(text: str, limit: int = _FREE) -> str:
    """The text in one line of at most `limit` characters, fit to print."""
    line = " ".join(printable(text[: 2 * limit]).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def named(events: Sequence[Event[Any]], name: str) -> Event[Any]:
    """The one event whose id starts or ends so; raises UsageError with the candidates."""
    wanted = name.lower()
    hits = {e.id: e for e in events if wanted and (e.id.startswith(wanted) or e.id.endswith(wanted))}
    if len(hits) == 1:
        return hits.popitem()[1]
    if hits:
        some = ", ".join(sorted(hits)[:4])
        raise UsageError(f"{name!r} matches {len(hits)} events: {some}", "give more letters, or the end of the id")
    raise UsageError(f"there is no event {name!r}", "see them with: swarm log")


# --- a sentence for every fact --------------------------------------------------------------------


def _commit(commit: str) -> str:
    return commit[:10]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(one_line(name, 60) for name in names[:5]) + more


def _when(seconds: float) -> str:
    """A Unix time as `04:20:09`, by the way of the id that would have it."""
    milliseconds = int(min(max(seconds, 0.0), END) * 1000)
    return clock(f"{milliseconds >> 16:08x}-{milliseconds & 0xFFFF:04x}")


def _because(reason: str) -> str:
    return f": {one_line(reason)}" if reason else ""


def _opened(fact: IssueOpened) -> str:
    extra = [fact.role] if fact.role != "builder" else []
    extra += [word for word in (fact.runtime, fact.model) if word]
    extra += [f"priority {fact.priority}"] if fact.priority != 3 else []
    extra += [f"needs {_listed(fact.needs)}"] if fact.needs else []
    return one_line(fact.title) + (f" ({', '.join(extra)})" if extra else "")


def _prepared(fact: WorktreePrepared) -> str:
    words = f"attempt {fact.attempt}: {fact.path} on {fact.branch}, cut from {_commit(fact.base)}"
    return "; ".join([words, *(one_line(note) for note in fact.notes[:5])])


def _secured(fact: WorkSecured) -> str:
    if not fact.commits:
        return f"attempt {fact.attempt}: nothing was left to keep"
    what = f"{many(fact.commits, 'commit')}, {many(len(fact.files), 'file')}"
    return f"attempt {fact.attempt}: {what}, kept in {fact.ref} at {_commit(fact.commit)}"


def _used(fact: UsageReported) -> str:
    price = "price unknown" if fact.cost is None else f"${fact.cost:.4f}"
    used = f"{many(fact.calls, 'call')}, {fact.input_tokens} tokens in, {fact.output_tokens} out, {price}"
    return f"{fact.session}: {fact.model}, {used} (so far, says the {fact.origin})"


def _exited(fact: SessionExited) -> str:
    if fact.ok:
        return f"{fact.session}: ended well after {fact.seconds:.1f} s"
    how = {"timeout": "was out of time", "killed": "was ended", "missing": "could not be started"}
    word = how.get(fact.ended_by, f"failed with code {fact.code}")
    return f"{fact.session}: {word} after {fact.seconds:.1f} s{_because(fact.why)}"


def _verdict(fact: GateFinished | MergeTested) -> str:
    if not fact.command:
        return f"attempt {fact.attempt}: no test command is set for {_commit(fact.commit)}"
    return f"attempt {fact.attempt}: {_commit(fact.commit)} {fact.verdict} (code {fact.code}): {one_line(fact.command)}"


def _batch_tested(fact: BatchTested) -> str:
    if not fact.command:
        return f"no test command is set for {_commit(fact.commit)}"
    again = f", run {fact.run}" if fact.run > 1 else ""
    return f"{_commit(fact.commit)} {fact.verdict} (code {fact.code}{again}): {one_line(fact.command)}"


def _controlled(fact: GateControlled) -> str:
    attempt = f"attempt {fact.attempt}: " if fact.attempt else ""
    return f"{attempt}without it, {_commit(fact.base)} {fact.verdict} (code {fact.code}): {one_line(fact.command)}"


def _formed(fact: BatchFormed) -> str:
    where = f", on top of {fact.after}" if fact.after else ""
    part = f", a part of {fact.of}" if fact.of else ""
    return f"to be tested together: {_listed([issue for issue, _ in fact.members])}{where}{part}"


def _leaked(fact: LeakDetected) -> str:
    who = f"; it was the agent: {one_line(fact.evidence)}" if fact.evidence else "; it may have been a person"
    return f"attempt {fact.attempt}: {one_line(fact.what)}{who}"


def _resolved(fact: ConflictResolved) -> str:
    lost = f"; {many(len(fact.dropped), 'line')} of either side dropped" if fact.dropped else ""
    return f"attempt {fact.attempt}: the conflict with {_commit(fact.base)} is resolved{lost}"


def amount(unit: str, number: float) -> str:
    """So many dollars (`usd`) or tokens, for people."""
    return f"${number:.2f}" if unit == "usd" else f"{number:.0f} {one_line(unit, 20)}"


def _crashed(fact: ActorCrashed) -> str:
    return f"{one_line(fact.error)}; " + ("everything stops" if fact.gave_up else "it was restarted")


def _started(fact: RunStarted) -> str:
    test = f"test: {one_line(fact.test)}" if fact.test else "no test command"
    return f"swarm {fact.version}, pid {fact.pid}, landing on {fact.target}, {fact.max_agents} agents at most, {test}"


_SENTENCES: dict[type[Fact], Callable[[Any], str]] = {
    RunStarted: _started,
    RunStopRequested: lambda f: (
        "it is to stop, and its agents too" if f.agents else "it is to stop; its agents work on"
    ),
    RunStopped: lambda f: f"{f.reason}, exit code {f.code}",
    ActorCrashed: _crashed,
    IssueOpened: _opened,
    IssueLinked: lambda f: f"waits for {_listed(f.needs)} too",
    IssueDelegated: lambda f: f"is for {f.agent}",
    IssueTaken: lambda f: f"taken by {f.by or 'a person'}: the swarm leaves it alone",
    IssueReopened: lambda f: f"to be done again{_because(f.reason)}",
    IssueHeld: lambda f: f"needs a person{_because(f.reason)}",
    IssueClosed: lambda f: f"done{_because(f.reason)}" + (f" as {_commit(f.commit)}" if f.commit else ""),
    LeaseAcquired: lambda f: f"{f.node} alone may start it, until {_when(f.until)}",
    LeaseReleased: lambda f: f"the lease {short(f.lease)} is given up",
    IssueAssigned: lambda f: f"attempt {f.attempt} to {f.agent} ({f.runtime}{', ' + f.model if f.model else ''})",
    AttemptRetried: lambda f: (
        f"attempt {f.attempt} failed, it may be tried again"
        f"{f' after {_when(f.after)}' if f.after else ''}{_because(f.reason)}"
    ),
    AttemptCancelled: lambda f: f"attempt {f.attempt} called off{_because(f.reason)}",
    WorktreePrepared: _prepared,
    WorkSecured: _secured,
    WorkRejected: lambda f: (
        f"attempt {f.attempt} goes no further{_because(f.reason)}"
        + (" (trying again would not help)" if f.final else "")
    ),
    FindingsReported: lambda f: f"attempt {f.attempt} answered{_because(f.text)}",
    WorktreeRemoved: lambda f: f"attempt {f.attempt}: {f.path} is gone, its work is kept in {_commit(f.secured)}",
    SessionRequested: lambda f: f"{f.session}: asked to run ({f.kind})",
    SessionStarted: lambda f: f"{f.session}: runs ({f.kind}, pid {f.pid})",
    SessionProgressed: lambda f: (
        f"{f.session}: {f.output} bytes printed, {many(f.tools, 'tool')} used"
        f"{f', {one_line(f.state)}' if f.state else ''}{_because(f.note)}"
    ),
    UsageReported: _used,
    SessionKillRequested: lambda f: f"{f.session}: is to end{_because(f.reason)}",
    SessionExited: _exited,
    SessionLost: lambda f: f"{f.session}: lost{_because(f.reason)}",
    GateFinished: _verdict,
    MergeQueued: lambda f: f"attempt {f.attempt} waits to land: {f.branch} at {_commit(f.commit)}",
    MergePrepared: lambda f: f"attempt {f.attempt}: merged into {_commit(f.base)} as {_commit(f.commit)}, to be tested",
    MergeTested: _verdict,
    MergeRequeued: lambda f: (
        f"attempt {f.attempt}: the target moved from {_commit(f.base)} to {_commit(f.found)}, so it is merged again"
    ),
    MergeConflicted: lambda f: f"attempt {f.attempt} does not merge: conflict in {_listed(f.files) or 'unnamed files'}",
    MergeRejected: lambda f: f"attempt {f.attempt} does not land{_because(f.reason)}",
    LandingHeld: lambda f: f"attempt {f.attempt} cannot land on {f.target}{_because(f.reason)}; by hand: {f.command}",
    MergeLanded: lambda f: f"attempt {f.attempt} landed: {f.target} is at {_commit(f.commit)}",
    ConflictResolved: _resolved,
    CheckoutSeen: lambda f: f"attempt {f.attempt}: the checkout has {f.branch or 'no branch'} at {_commit(f.head)}",
    LeakDetected: _leaked,
    LeakCleared: lambda f: f"attempt {f.attempt} may land: a person looked at the leak",
    AgentNudged: lambda f: f"{f.session}: asked what it waits for{_because(f.reason)}",
    AgentInterrupted: lambda f: f"{f.session}: interrupted{_because(f.reason)}",
    GateControlled: _controlled,
    GateFlaked: lambda f: f"the same tree failed and passed {one_line(f.gate)}: {one_line(f.command)}",
    MergePredicted: lambda f: (
        f"attempt {f.attempt} will not merge into {_commit(f.base)}: conflict in {_listed(f.files)}"
        if f.files
        else f"attempt {f.attempt} merges into {_commit(f.base)}"
    ),
    BatchFormed: _formed,
    BatchStacked: lambda f: f"stacked on {_commit(f.base)} as {_commit(f.commit)}, to be tested",
    BatchTested: _batch_tested,
    BatchDissolved: lambda f: f"nothing more comes of it{_because(f.reason)}",
    QueueHeld: lambda f: f"the merge queue is held{_because(f.reason)}",
    QueueResumed: lambda f: f"the merge queue goes on{_because(f.reason)}",
    MergeDropped: lambda f: f"attempt {f.attempt} is out of the queue{_because(f.reason)}",
    ValidationFinished: lambda f: (
        f"validation of {_commit(f.commit)} {f.verdict} (code {f.code}): {one_line(f.command)}"
    ),
    MergeReverted: lambda f: f"attempt {f.attempt}: {_commit(f.commit)} reverted on {f.target}{_because(f.reason)}",
    BranchPromoted: lambda f: f"{f.target} is at {_commit(f.commit)}: it has everything of {f.source}",
    QuotaExhausted: lambda f: f"no quota until {_when(f.until)}{_because(f.reason)}",
    QuotaProbed: lambda f: f"one attempt tries whether it answers again: {f.issue}",
    QuotaResumed: lambda f: f"it answers again{_because(f.session)}",
    BudgetWarned: lambda f: f"{amount(f.unit, f.spent)} of {amount(f.unit, f.limit)} are used",
    BudgetExceeded: lambda f: f"{amount(f.unit, f.spent)} are used, {amount(f.unit, f.limit)} are the limit",
    BudgetRaised: lambda f: f"{amount(f.unit, f.more)} more are allowed",
    AlertRaised: lambda f: f"alert {f.kind}{_because(f.text)}",
    AlertDelivered: lambda f: f"the alert was given to {f.channel}",
    AlertFailed: lambda f: f"{f.channel} did not take the alert, try {f.tries}{_because(f.error)}",
    AdmissionClosed: lambda f: f"nothing is begun here{_because(f.reason)}",
    AdmissionOpened: lambda f: f"there is room for agents again{_because(f.reason)}",
    MailSent: lambda f: (
        f"to {_listed(f.to)} ({f.kind}{f', priority {f.priority}' if f.priority != 3 else ''}){_because(f.body)}"
    ),
    MailDelivered: lambda f: f"written out for {f.reader}",
    MailAcked: lambda f: f"read by {f.reader}",
    MailDeadLettered: lambda f: f"cannot reach {f.recipient}{_because(f.reason)}",
    EventRefused: lambda f: f"{short(f.event)} of {one_line(f.origin)} was not taken over{_because(f.reason)}",
    LogRepaired: lambda f: (
        f"{many(f.lines, 'bad line')} of {one_line(f.file)} moved to {one_line(f.quarantine)}"
        if f.lines
        else f"{many(len(f.gaps), 'gap')} in {one_line(f.file)} noted"
    ),
    Unknown: lambda f: f"(unknown to this version) {one_line(f.raw.decode(errors='replace'), 200)}",
}
