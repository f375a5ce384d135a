"""Every fact of the swarm, on one page (the one file that may be longer than 400 lines: it is read by its names).

Rules. A fact is in the past tense. Its wire name is its class name (`IssueOpened` is `issue.opened`) and is never
renamed or given another meaning; fields are only added, at the end, with a default. A fact names ids, never objects.
What an actor chose is a `Decision`: it is appended only if it is still due under the log's lock. Everything else is
an observation.

`subject` in the envelope is the issue, except: a letter's own id for `mail.delivered|acked|dead_lettered`, the actor
for `actor.*`, the run for `run.*`, nothing for `event.*` and `log.*`. Attempts are numbered 1, 2, … within an issue
and never reused. A *generation* is the id of the event that (re)opened the issue. Sizes are bytes, durations seconds,
money US dollars, commits full hex SHAs.
"""

from .fact import Decision, Fact


# --- runs and actors ------------------------------------------------------------------------------
class RunStarted(Fact):
    """`swarm start` booted, with these settings in force. subject: the run.

    `sync`: the remote that carries the log to other clones, empty if it is this clone's alone; `lease`: how long a
    lease on an issue lasts then.
    """

    pid: int
    boot_id: str
    start_ticks: int
    version: str
    target: str
    runtime: str
    max_agents: int
    max_retries: int
    model: str = ""
    test: str = ""
    spend_log: str = ""
    node: str = ""
    sync: str = ""
    lease: float = 0.0


class RunStopRequested(Fact):
    """A person asked the running system to stop; with `agents`, the agents too."""

    agents: bool = False


class RunStopped(Fact):
    """The actors came to rest. `code` is the exit code of `swarm start`."""

    reason: str
    code: int


class ActorCrashed(Fact):
    """An actor raised. It was restarted unless `gave_up`. subject: the actor."""

    error: str
    gave_up: bool = False


# --- issues ---------------------------------------------------------------------------------------
class IssueOpened(Fact):
    """Someone wrote down a piece of work. `priority` 1 is the most urgent of 5."""

    title: str
    body: str = ""
    role: str = "builder"
    runtime: str = ""
    model: str = ""
    priority: int = 3
    needs: list[str] = []
    labels: list[str] = []


class IssueLinked(Fact):
    """The issue now also waits for these."""

    needs: list[str]


class IssueDelegated(Fact):
    """A person wants this agent to do the issue: the next attempt waits for it."""

    agent: str


class IssueTaken(Fact):
    """A person works on it: the swarm leaves it alone."""

    generation: str
    by: str = ""


class IssueReopened(Fact):
    """It is to be done (again): this event's id is its new generation."""

    reason: str = ""


class IssueHeld(Decision):
    """It needs a person: the swarm stops trying. `attempt` 0: no attempt led to this."""

    generation: str
    reason: str
    attempt: int = 0


class IssueClosed(Decision):
    """It is done; `commit` is what landed, empty where a person closed it or a scout answered it."""

    generation: str
    reason: str = ""
    commit: str = ""


class LeaseAcquired(Fact):
    """`node` alone may start this generation until `until` (Unix time, its clock): its push said so. This event's id is
    the fencing id. `after`: the lease that it prolongs or, that one having run out, takes over.
    """

    node: str
    generation: str
    until: float
    after: str = ""


class LeaseReleased(Fact):
    """The node gave its lease up before it ran out."""

    lease: str


# --- attempts: from assignment to secured work ----------------------------------------------------
class IssueAssigned(Decision):
    """Attempt `attempt` was given to an agent of `node`, under `lease` (the id of its acquiring; empty where the log is
    one clone's alone). The number is the key: there is one assignment of it.
    """

    attempt: int
    generation: str
    agent: str
    role: str
    runtime: str
    model: str = ""
    node: str = ""
    lease: str = ""


class AttemptRetried(Decision):
    """The attempt failed and the issue may be assigned again."""

    attempt: int
    reason: str


class AttemptCancelled(Decision):
    """The attempt is to end without landing: its issue was closed, held, taken or reopened meanwhile."""

    attempt: int
    reason: str


class WorktreePrepared(Fact):
    """The attempt has a worktree at `path` (relative to the repository), on `branch`, cut from `base`."""

    attempt: int
    path: str
    branch: str
    base: str


class WorkSecured(Fact):
    """Everything the agent left is in commit `commit`, reachable from `ref`; `commits` above `base`, 0 if it did
    nothing.
    """

    attempt: int
    ref: str
    commit: str
    base: str
    commits: int
    files: list[str] = []


class WorkRejected(Fact):
    """The attempt's work does not go on to the merge queue. `final`: trying again as it is would not help."""

    attempt: int
    reason: str
    detail: str = ""
    final: bool = False


class FindingsReported(Fact):
    """A scout's answer."""

    attempt: int
    text: str


class WorktreeRemoved(Fact):
    """The attempt's worktree is gone; its work was secured in `secured` before."""

    attempt: int
    path: str
    secured: str


# --- sessions: every outside process --------------------------------------------------------------
class SessionRequested(Fact):
    """A host process was asked to run `session`. `kind` is agent, gate (an attempt's test) or landing (a merge's
    test).
    """

    session: str
    attempt: int
    kind: str
    host_pid: int = 0


class SessionStarted(Fact):
    """The program runs. (boot_id, pid, start_ticks) is its identity: a pid alone is not."""

    session: str
    attempt: int
    kind: str
    boot_id: str
    pid: int
    start_ticks: int
    host_pid: int
    host_ticks: int


class SessionProgressed(Fact):
    """The agent itself printed or did something: its only signs of life. Totals since it started."""

    session: str
    attempt: int
    output: int
    tools: int = 0
    note: str = ""


class UsageReported(Fact):
    """What a session has used of one model *so far*: totals, so a repeated or lost report harms nothing.

    `origin` is `runtime` (the agent's own account) or `proxy` (LiteLLM's spend log, which is believed where both
    exist). `cost` is None where no price is known.
    """

    session: str
    attempt: int
    model: str
    origin: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None


class SessionKillRequested(Fact):
    """Somebody wants the session ended, and why."""

    session: str
    attempt: int
    reason: str


class SessionExited(Fact):
    """Written by the session's own host, the only one that can know. `code` < 0 is a signal.

    `ok` is the runtime's verdict, never the exit code alone; `why` says what was wrong. `ended_by` is empty where the
    program ended by itself, else `timeout`, `killed` or `missing` (it could not be started). `report` is the agent's
    last word, `tail` the end of the output, `dropped` what the cap kept out of the raw log.
    """

    session: str
    attempt: int
    code: int
    ok: bool
    seconds: float
    why: str = ""
    ended_by: str = ""
    report: str = ""
    tail: str = ""
    output: int = 0
    dropped: int = 0
    resume: str = ""


class SessionLost(Fact):
    """The session's host is gone and left no exit record."""

    session: str
    attempt: int
    reason: str


# --- gates and merges -----------------------------------------------------------------------------
class GateFinished(Fact):
    """The test judged the attempt's own commit: passed, failed, broken (it could not judge), or none (no command)."""

    attempt: int
    commit: str
    verdict: str
    command: str = ""
    code: int = 0
    output: str = ""


class MergeQueued(Decision):
    """The attempt's commit waits to land."""

    attempt: int
    branch: str
    commit: str


class MergePrepared(Fact):
    """`commit` is the merge of the attempt into the target's tip `base`; it has `tree` and nothing points at it yet."""

    attempt: int
    base: str
    commit: str
    tree: str


class MergeTested(Fact):
    """The test command judged the merged result `commit`. Verdicts as for `gate.finished`."""

    attempt: int
    base: str
    commit: str
    verdict: str
    command: str = ""
    code: int = 0
    output: str = ""


class MergeRequeued(Fact):
    """The target moved from `base` to `found` while the merge was tested: it is merged and tested again."""

    attempt: int
    base: str
    found: str


class MergeConflicted(Fact):
    """The attempt does not merge into `base`; these files conflict."""

    attempt: int
    base: str
    files: list[str]


class MergeRejected(Fact):
    """The merged result failed the tests (or, `final`, could not be tested), so it does not land."""

    attempt: int
    reason: str
    output: str = ""
    final: bool = False


class LandingHeld(Fact):
    """Git would not fast-forward the checked-out target; `command` is for the person whose checkout it is."""

    attempt: int
    target: str
    commit: str
    reason: str
    command: str


class MergeLanded(Fact):
    """The target moved from `base` to `commit`, under `lease`."""

    attempt: int
    target: str
    base: str
    commit: str
    lease: str = ""


# --- mail -----------------------------------------------------------------------------------------
class MailSent(Fact):
    """A letter. Its id is this event's id. `kind` is progress, blocked, help_request, handoff or event."""

    to: list[str]
    body: str
    kind: str = "event"
    priority: int = 3
    issue: str = ""
    reply_to: str = ""


class MailDelivered(Fact):
    """The letter's text was written out for `reader`."""

    letter: str
    reader: str


class MailAcked(Fact):
    """`reader` read the letter on purpose, or acted on it."""

    letter: str
    reader: str


class MailDeadLettered(Fact):
    """The letter will not reach `recipient`."""

    letter: str
    recipient: str
    reason: str


# --- the log itself -------------------------------------------------------------------------------
class EventRefused(Fact):
    """What came from elsewhere (`origin`: a file) was not taken over: its id is too far ahead, or it is not its
    author's file.
    """

    origin: str
    event: str
    reason: str


class LogRepaired(Fact):
    """Bad lines of `file` were moved to `quarantine`. `gaps`: hashes that later lines name in `prev` and that no line
    has any more. `moved`: hashes of those of the lines that were events: no clone keeps them (moved.py).
    """

    file: str
    quarantine: str
    lines: int
    gaps: list[str] = []
    moved: list[str] = []
