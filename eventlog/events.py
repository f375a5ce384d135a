"""Every fact of the swarm, on one page (the one file that may be longer than 400 lines: it is read by its names).

Rules. A fact is in the past tense. Its wire name is its class name (`IssueOpened` is `issue.opened`) and is never
renamed or given another meaning; fields are only added, at the end, with a default. A fact names ids, never objects.
What an actor chose is a `Decision`: it is appended only if it is still due under the log's lock. Everything else is
an observation.

`subject` in the envelope is the issue, except: a letter's own id for `mail.delivered|acked|dead_lettered`, the actor
for `actor.*`, the run for `run.*` and `queue.*`, the batch for `batch.*` and `validation.*`, the provider for
`quota.*`, what is limited for `budget.*` (`run:…`, `day:2026-11-21`, `agent:builder-1`, …), the node for
`admission.*`, the alert's own id for `alert.delivered|failed`, nothing for `event.*`, `log.*` and `branch.*`. Attempts
are numbered 1, 2, … within an issue and never reused. A *generation* is the id of the event that (re)opened the issue.
Sizes are bytes, durations seconds, money US dollars, commits full hex SHAs.
"""

import msgspec

from .fact import Decision, Fact


class Part(msgspec.Struct, frozen=True, omit_defaults=True, gc=False, forbid_unknown_fields=True):
    """What stands inside of a fact."""


class Gate(Part, frozen=True):
    """A test. `when`: attempt (an agent's own commit), batch (what is to land), both, or landing (what is to land, once
    it passed the others).
    """

    name: str
    command: str
    timeout: float = 1800.0
    when: str = "both"


class MergePolicy(Part, frozen=True):
    """How work lands. `batch_max` branches are tested at once at most, and `parallel` batches side by side.
    `on_conflict`: stop, skip, reopen or resolve. `mode`: merge, squash or rebase. After a landing the command
    `validate` judges the target; `rollback`: what it does not accept is reverted. Waiting for `ageing` seconds counts
    as one step of priority. (Where a log leaves a field out, the value here is meant, not the settings' default.)
    """

    batch_max: int = 8
    parallel: int = 1
    on_conflict: str = "reopen"
    mode: str = "merge"
    validate: str = ""
    rollback: bool = False
    ageing: float = 600.0


class RetryPolicy(Part, frozen=True):
    """A failed attempt waits `backoff` seconds, then twice as long each time, at most `longest`. `roles`: role ->
    retries, where it is not `max_retries`.
    """

    backoff: float = 0.0
    longest: float = 600.0
    roles: dict[str, int] = {}


class Patience(Part, frozen=True):
    """Seconds: of silence until an agent is nudged, then interrupted, then ended (0: never); and how long one that
    waits for a person, or for its provider, may do so.
    """

    nudge: float = 0.0
    interrupt: float = 0.0
    kill: float = 0.0
    waiting: float = 86_400.0
    limited: float = 21_600.0


class Limit(Part, frozen=True):
    """A budget. `scope`: run, issue, agent, role, model or day, or one of them by its name (`agent:builder-1`).
    `usd` in dollars, `tokens` in and out; 0: not limited.
    """

    scope: str
    usd: float = 0.0
    tokens: int = 0


class Admission(Part, frozen=True):
    """What must be free before an agent is started: bytes, and the load of a core (0: does not matter). `roles`: role
    -> agents at once; `rate`: starts a minute.
    """

    disk: int = 0
    memory: int = 0
    load: float = 0.0
    roles: dict[str, int] = {}
    rate: float = 0.0


class Fallback(Part, frozen=True):
    """What is used while the provider of the first choice has no quota left. Empty: as the issue says."""

    runtime: str = ""
    model: str = ""


# --- runs and actors ------------------------------------------------------------------------------
class RunStarted(Fact):
    """`swarm start` booted, with these settings in force. subject: the run.

    `sync`: the remote that carries the log to other clones, empty if it is this clone's alone; `lease`: how long a
    lease on an issue lasts then. `alerts`: the channels there are (hook, slack, command). `keep_failed`: how long what
    a failed attempt left stays on disk. `setup` and `cleanup` are run in each worktree, before the agent and before the
    worktree goes; `ports`: each has ten of its own.
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
    gates: list[Gate] = []
    merge: MergePolicy = MergePolicy()
    retry: RetryPolicy = RetryPolicy()
    patience: Patience = Patience()
    budgets: list[Limit] = []
    admission: Admission = Admission()
    fallback: list[Fallback] = []
    alerts: list[str] = []
    keep_failed: float = 604_800.0
    setup: str = ""
    cleanup: str = ""
    ports: bool = False


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
    """It is to be done (again): this event's id is its new generation. `work`: a commit that holds the work already, so
    that it needs no agent, only its tests and its place in the queue.
    """

    reason: str = ""
    work: str = ""


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
    one clone's alone). The number is the key: there is one assignment of it. `work`: the commit that it begins from
    instead of the target's tip; `resolve`: that commit does not merge, and to make it do so is the task.
    """

    attempt: int
    generation: str
    agent: str
    role: str
    runtime: str
    model: str = ""
    node: str = ""
    lease: str = ""
    work: str = ""
    resolve: bool = False


class AttemptRetried(Decision):
    """The attempt failed and the issue may be assigned again, but not before `after` (Unix time)."""

    attempt: int
    reason: str
    after: float = 0.0


class AttemptCancelled(Decision):
    """The attempt is to end without landing: its issue was closed, held, taken or reopened meanwhile."""

    attempt: int
    reason: str


class WorktreePrepared(Fact):
    """The attempt has a worktree at `path` (relative to the repository), on `branch`, cut from `base`. `port`: the
    first of its ten, 0 if it has none. `work`: the commit that the branch begins with, if not `base`. `notes`: what
    it was to have and has not, in words.
    """

    attempt: int
    path: str
    branch: str
    base: str
    port: int = 0
    work: str = ""
    notes: list[str] = []


class WorkSecured(Fact):
    """Everything the agent left is in commit `commit`, reachable from `ref`; `commits` above `base`, 0 if it did
    nothing. `left`: large ignored files that are not in it; `notes`: what else is not as it was left, in words.
    """

    attempt: int
    ref: str
    commit: str
    base: str
    commits: int
    files: list[str] = []
    left: list[str] = []
    notes: list[str] = []


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


class ConflictResolved(Fact):
    """`commit` merges the attempt's `work` with `base`. `dropped`: lines (`file: line`) that one side had added and
    that are not in it.
    """

    attempt: int
    base: str
    work: str
    commit: str
    dropped: list[str] = []


class CheckoutSeen(Fact):
    """The person's checkout before the attempt began: `head` (commit), `branch` (empty: detached), `state` (a digest of
    what is not as in the commit). There are so many such `files` (-1: not noted down). `marks`: one after the other, of
    each eight hex digits for its name and eight for what it is; those with the smallest, where they are too many.
    """

    attempt: int
    head: str
    branch: str
    state: str
    files: int = -1
    marks: str = ""


class LeakDetected(Fact):
    """The person's checkout changed while the attempt ran. `evidence`: why it was the attempt's agent; empty if it may
    have been a person. With evidence its work does not land until a person says so.
    """

    attempt: int
    what: str
    evidence: str = ""
    files: list[str] = []


class LeakCleared(Fact):
    """A person looked at it: the attempt's work may land."""

    attempt: int


class WorktreeRemoved(Fact):
    """The attempt's worktree is gone; its work was secured in `secured` before."""

    attempt: int
    path: str
    secured: str


# --- sessions: every outside process --------------------------------------------------------------
class SessionRequested(Fact):
    """A host process was asked to run `session`. `kind` is agent, gate (an attempt's test), landing (the test of what
    is to land), validation (of what landed), setup or cleanup (of a worktree). `port`: the first of the ten that
    it may use (0: none).
    """

    session: str
    attempt: int
    kind: str
    host_pid: int = 0
    port: int = 0


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
    """The agent itself printed or did something: its only signs of life. Totals since it started. `state`: empty while
    it works, waiting_input (for a person) or rate_limited.
    """

    session: str
    attempt: int
    output: int
    tools: int = 0
    note: str = ""
    state: str = ""


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


class AgentNudged(Decision):
    """It was silent for too long: a letter asks what it waits for."""

    session: str
    attempt: int
    reason: str


class AgentInterrupted(Decision):
    """It was silent after that too: its program gets what Ctrl-C sends."""

    session: str
    attempt: int
    reason: str


class SessionKillRequested(Fact):
    """Somebody wants the session ended, and why. `failure`: the attempt has failed by that; else it is called off."""

    session: str
    attempt: int
    reason: str
    failure: bool = False


class SessionExited(Fact):
    """Written by the session's own host, the only one that can know. `code` < 0 is a signal.

    `ok` is the runtime's verdict, never the exit code alone; `why` says what was wrong. `ended_by` is empty where the
    program ended by itself, else `timeout`, `killed`, `memory`, `processes`, `output` (a limit), or `missing` (it could
    not be started). `quota`: its provider refused for lack of quota, until then (Unix time; 0: it did not; not after
    the end itself: it did not say until when). `report` is the agent's last word, `tail` the end of the output,
    `dropped` what the cap kept out of the raw log. `empty`: the test runner that ran no test, by all that was printed,
    where `tail` is not all of it.
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
    quota: float = 0.0
    empty: str = ""


class SessionLost(Fact):
    """The session's host is gone and left no exit record."""

    session: str
    attempt: int
    reason: str


# --- gates and merges -----------------------------------------------------------------------------
class GateFinished(Fact):
    """The test judged the attempt's own commit: passed, failed, broken (it could not judge: `why`), or none (no
    command).
    """

    attempt: int
    commit: str
    verdict: str
    command: str = ""
    code: int = 0
    output: str = ""
    gate: str = ""
    why: str = ""


class GateControlled(Fact):
    """A gate that could not judge was run on `base` alone, without the work, to tell whose fault that is: nobody's if
    it was broken there too (`why`), else perhaps the work's. subject: the issue, or the batch (`attempt` 0).
    """

    base: str
    verdict: str
    gate: str = ""
    command: str = ""
    code: int = 0
    output: str = ""
    why: str = ""
    attempt: int = 0


class GateFlaked(Fact):
    """The same tree failed and passed. subject: the issue, or the batch."""

    gate: str
    command: str
    tree: str


class MergeQueued(Decision):
    """The attempt's commit waits to land."""

    attempt: int
    branch: str
    commit: str


class MergePredicted(Fact):
    """The attempt's `commit` was merged into the target's tip `base` to see what would come of it: these files
    conflict; none if it merges.
    """

    attempt: int
    commit: str
    base: str
    files: list[str] = []


class BatchFormed(Decision):
    """These (issue, attempt) are to be tested together, in this order, on top of the batch `after` (empty: of the
    target's tip). `of`: the batch that failed, of which this is a part. `slot`: in which of the Merger's worktrees it
    is tested. subject: the batch.
    """

    members: list[tuple[str, int]]
    after: str = ""
    of: str = ""
    slot: int = 1


class BatchStacked(Fact):
    """The batch is merged into `base` of `target` as `commit` with `tree`, and nothing points at it yet. `commits` are
    those of its members, in order, without those that conflict.
    """

    target: str
    base: str
    commit: str
    tree: str
    commits: list[str] = []


class BatchTested(Fact):
    """A gate judged exactly that commit, the `run`-th time. Verdicts as for `gate.finished`."""

    base: str
    commit: str
    tree: str
    verdict: str
    gate: str = ""
    command: str = ""
    code: int = 0
    output: str = ""
    run: int = 1
    why: str = ""


class BatchDissolved(Fact):
    """Nothing more comes of the batch: its members that have not ended wait in the queue again. `tip`: where the target
    was then, as far as that was looked at: the batch's own commit if it landed. `failed`: the next ones are smaller.
    """

    reason: str
    tip: str = ""
    failed: bool = False


class QueueHeld(Fact):
    """Nothing more is tested or landed until a person resumes it, or the swarm starts anew. `kind`: infrastructure,
    conflict or person. subject: the run.
    """

    kind: str
    reason: str
    issue: str = ""


class QueueResumed(Fact):
    """A person let the queue go on."""

    reason: str = ""


class MergeDropped(Fact):
    """A person took the attempt out of the queue."""

    attempt: int
    reason: str = ""


class MergePrepared(Fact):
    """(Written before there were batches.) `commit` is the merge of the attempt into the target's tip `base`;
    it has `tree` and nothing points at it yet.
    """

    attempt: int
    base: str
    commit: str
    tree: str


class MergeTested(Fact):
    """(Written before there were batches.) The test command judged the merged result `commit`. Verdicts as for
    `gate.finished`.
    """

    attempt: int
    base: str
    commit: str
    verdict: str
    command: str = ""
    code: int = 0
    output: str = ""


class MergeRequeued(Fact):
    """(Written before there were batches.) The target moved from `base` to `found` while the merge was tested: it is
    merged and tested again.
    """

    attempt: int
    base: str
    found: str


class MergeConflicted(Fact):
    """The attempt does not merge into `base`; these files conflict."""

    attempt: int
    base: str
    files: list[str]


class MergeRejected(Fact):
    """The merged result failed the tests (or, `final`, could not be tested), so it does not land. `batch`: in which the
    tests found it.
    """

    attempt: int
    reason: str
    output: str = ""
    final: bool = False
    batch: str = ""


class LandingHeld(Fact):
    """Git would not fast-forward the checked-out target; `command` is for the person whose checkout it is. `others`: so
    many more were to land with it, and each is tried alone next. `known`: of one that still waits, the same was said.
    """

    attempt: int
    target: str
    commit: str
    reason: str
    command: str
    others: int = 0
    known: bool = False


class MergeLanded(Fact):
    """The target moved from `base` to `commit`, under `lease`. In a `batch`, `own` is the commit that brought this
    attempt's work, and to revert which takes it out again.
    """

    attempt: int
    target: str
    base: str
    commit: str
    lease: str = ""
    batch: str = ""
    own: str = ""


class ValidationFinished(Fact):
    """The validation command judged the target after the batch landed as `commit`. subject: the batch."""

    commit: str
    verdict: str
    command: str
    code: int = 0
    output: str = ""


class MergeReverted(Fact):
    """What the attempt landed as `commit` was taken out of the target again by the commit `revert`."""

    attempt: int
    target: str
    commit: str
    revert: str
    reason: str = ""


class BranchPromoted(Fact):
    """`target` moved from `base` to `commit`, which has everything of `source`."""

    source: str
    target: str
    base: str
    commit: str


# --- quotas, budgets, alerts, admission -----------------------------------------------------------
class QuotaExhausted(Fact):
    """The provider refused for lack of quota, until then (Unix time). subject: the provider."""

    until: float
    reason: str
    session: str = ""


class QuotaProbed(Decision):
    """One attempt may try whether the provider answers again. subject: the provider."""

    issue: str


class QuotaResumed(Fact):
    """The provider answers again. subject: the provider."""

    session: str = ""


class BudgetWarned(Decision):
    """So much of the limit is used that a person should know. `unit`: usd or tokens."""

    unit: str
    limit: float
    spent: float


class BudgetExceeded(Decision):
    """The limit is reached: nothing more is begun on its account, and what runs is ended, its work secured."""

    unit: str
    limit: float
    spent: float


class BudgetRaised(Fact):
    """A person allows so much more than the settings say. subject: what is limited."""

    unit: str
    more: float


class AlertRaised(Decision):
    """Somebody outside is to hear of it. Its id names the alert. `kind` is merge_conflict, tests_failed,
    pipeline_failed, budget_exceeded, validate_failed, retry_exhausted, landing_held, leak_detected or quota_exhausted.
    """

    kind: str
    text: str
    about: str


class AlertDelivered(Fact):
    """The channel took it."""

    channel: str


class AlertFailed(Fact):
    """The channel did not take it, the `tries`-th time."""

    channel: str
    error: str
    tries: int


class AdmissionClosed(Fact):
    """Nothing is begun on this node: there is too little of something."""

    reason: str


class AdmissionOpened(Fact):
    """There is enough again: so much."""

    reason: str = ""


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
