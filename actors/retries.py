"""Another try or not: what failed is tried again after a while, until that would not help or its retries are used up.

Rule: this is pure; how often, and how long in between, follows from the settings of the run and from how often the
issue failed since it was (re)opened. What was called off has not failed.
"""

from ..eventlog.events import (
    AttemptCancelled,
    AttemptRetried,
    IssueAssigned,
    IssueHeld,
    IssueReopened,
    MergeConflicted,
    MergeDropped,
    MergeRejected,
    RetryPolicy,
    RunStarted,
    WorkRejected,
)
from ..projections import Board, fact, happened, issues, runs
from . import nodes
from .command import Command, Decide

_FAILED = (WorkRejected, MergeConflicted, MergeRejected, MergeDropped)
_LONG = 60  # doublings of a pause: by then it is as long as it can get


def due(board: Board, now: float) -> list[Command]:
    """A failed attempt may be tried again, after a pause; or its issue is held for a person."""
    settings = board[runs.State].settings
    if settings is None:
        return []
    found: list[Command] = []
    for issue in sorted(board[issues.State].live.values(), key=lambda one: one.id):
        failed = issue.current
        if failed is None or not failed.failure or issue.mark:
            continue
        if failed.assigned and not nodes.is_ours(settings, failed.assigned.node):
            continue
        cause = max(happened(failed.latest, kind) for kind in _FAILED)
        final = _final(failed, settings)
        if final or issue.failures > allowed(settings, failed):
            tries = "" if final else f" (after {issue.failures} attempts)"
            held = IssueHeld(generation=issue.generation, reason=failed.failure + tries, attempt=failed.number)
            found.append(Decide(issue.id, held, cause))
        else:
            wait = pause(settings.retry, issue.failures)
            retried = AttemptRetried(failed.number, failed.failure, after=now + wait if wait else 0.0)
            found.append(Decide(issue.id, retried, cause))
    return found


def allowed(settings: RunStarted, failed: issues.Attempt) -> int:
    """How many retries an issue has: those of its role, where the settings say so."""
    role = failed.assigned.role if failed.assigned else ""
    return settings.retry.roles.get(role, settings.max_retries)


def is_wished(failed: issues.Attempt, settings: RunStarted) -> bool:
    """Whether a person wants it left as it is: it was dropped, or conflicts are not to be tried again."""
    left = settings.merge.on_conflict in ("skip", "stop")
    return MergeDropped in failed.latest or (left and MergeConflicted in failed.latest)


def pause(policy: RetryPolicy, failures: int) -> float:
    """Seconds until an issue that failed so often is tried again."""
    return min(policy.backoff * 2.0 ** min(failures - 1, _LONG), policy.longest)


def waits(issue: issues.Issue, now: float) -> bool:
    """Whether its pause after a failure is not over yet."""
    tries = issue.tries
    retried = fact(tries[-1].latest, AttemptRetried) if tries else None
    return retried is not None and now < retried.after


def _final(failed: issues.Attempt, settings: RunStarted) -> bool:
    """Whether trying again would not help, or is not what a person wants."""
    if is_wished(failed, settings):
        return True
    if MergeConflicted in failed.latest:
        return False
    rejected, unmerged = fact(failed.latest, WorkRejected), fact(failed.latest, MergeRejected)
    return bool((rejected and rejected.final) or (unmerged and unmerged.final))


# --- what the next attempt is told ----------------------------------------------------------------


def lesson(issue: issues.Issue, number: int) -> tuple[str, str]:
    """What attempt `number` is to know of those before it: why the last of them failed, or else was called off, and
    why the issue was reopened since; and the evidence. Both empty if there is nothing.
    """
    before = [attempt for _, attempt in sorted(issue.attempts.items()) if attempt.number < number]
    last = next((attempt for attempt in reversed(before) if attempt.failure), None)
    why, output = (last.failure, _evidence(last)) if last else (_called_off(before), "")
    reopened = fact(issue.latest, IssueReopened)
    since = happened(issue.latest, IssueReopened) > happened(last.latest, IssueAssigned) if last else True
    if reopened and reopened.reason and since:
        why = "; then ".join(filter(None, (why, f"it was reopened: {reopened.reason}")))
    return why, output


def _evidence(failed: issues.Attempt) -> str:
    """The output of what judged it, or what it is about."""
    conflicted = fact(failed.latest, MergeConflicted)
    if conflicted:
        files = "\n".join(conflicted.files)
        return f"The target was changed meanwhile, and you begin with what it is now. Changed on both sides:\n{files}"
    unmerged, rejected = fact(failed.latest, MergeRejected), fact(failed.latest, WorkRejected)
    if unmerged:
        return unmerged.output
    return rejected.detail if rejected else ""


def _called_off(before: list[issues.Attempt]) -> str:
    reasons = [cancelled.reason for attempt in before if (cancelled := fact(attempt.latest, AttemptCancelled))]
    return f"it was called off: {reasons[-1]}" if reasons else ""
