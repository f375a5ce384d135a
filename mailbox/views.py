"""The board as documents: what `--json` prints. Rule: the keys of a document are always all there, whatever happened.

Shared by every command that shows state, of now or of then. What only the machine can tell (whether a process still
runs) is given, so that a replay shows the past.
"""

from collections.abc import Mapping
from typing import Any

from ..eventlog.events import IssueAssigned, SessionProgressed, WorkRejected
from ..eventlog.ids import rfc3339
from ..projections import Board, agents, batches, costs, fact, happened, issues, mail, merges, runs
from .letters import row

IDLE = "idle"
_DOING = {"gate": "gating", "landing": "landing", "setup": "setting up", "validation": "validating"}


def counts_view(board: Board) -> dict[str, int]:
    """Status -> how many issues have it."""
    return board[issues.State].counts()


def issues_view(board: Board) -> list[dict[str, Any]]:
    """Every issue, oldest first."""
    return [issue_row(issue) for issue in board[issues.State].known()]


def issue_row(issue: issues.Issue) -> dict[str, Any]:
    """One entry of `swarm issue list --json`."""
    opened = issue.opened
    return {
        "id": issue.id,
        "title": opened.title if opened else "",
        "status": issue.status,
        "priority": opened.priority if opened else 0,
        "needs": issue.needs,
        "role": opened.role if opened else "",
        "runtime": opened.runtime if opened else "",
        "assignee": issue.assignee,
        "attempts": sum(1 for attempt in issue.attempts.values() if attempt.assigned),
        "branch": issue.branch,
        "commit": issue.commit,
    }


def agents_view(board: Board, conditions: Mapping[str, str] | None = None, now: float = 0.0) -> list[dict[str, Any]]:
    """Every agent there ever was, by name. `conditions`: session -> what the machine says of it (`gone`, `ending`).

    `state` is assigned, prepared, starting, working, waiting_input, rate_limited, silent, exited, secured, gating,
    gated, queued, landing, ending, gone or idle. Who is silent is seen at `now` (Unix time), or once it was asked for a
    sign of life. `since` is when the agent got its work, or became idle; `seen` is the last sign of life that it gave
    itself, empty if it has given none. `pid` is 0 where nothing of it runs.
    """
    state = board[agents.State]
    settings = board[runs.State].settings
    nudge = settings.patience.nudge if settings else 0.0
    found = [(name, state.last(name)) for name in state.names()]
    return [
        _agent_row(state, name, attempt, conditions or {}, state.condition(attempt, nudge, now))
        for name, attempt in found
        if attempt
    ]


def _agent_row(
    state: agents.State, name: str, attempt: agents.Attempt, conditions: Mapping[str, str], condition: str
) -> dict[str, Any]:
    assigned, running = attempt.assigned, running_session(attempt)
    doing = _doing(attempt, running, conditions, condition)
    idle = doing == IDLE
    began = happened(attempt.latest, IssueAssigned)
    since = max(happened(attempt.latest, kind) for kind in agents.ENDS) if idle else began
    seen = state.sign(attempt)
    return {
        "name": name,
        "role": assigned.role if assigned else "",
        "state": doing,
        "issue": "" if idle else attempt.issue,
        "attempt": 0 if idle else attempt.number,
        "runtime": assigned.runtime if assigned else "",
        "model": assigned.model if assigned else "",
        "pid": running.started.pid if running and running.started and not _elsewhere(state, attempt) else 0,
        "since": rfc3339(since) if since else "",
        "seen": rfc3339(seen) if seen else "",
        "note": _note(attempt, running, doing, _elsewhere(state, attempt)),
    }


def _elsewhere(state: agents.State, attempt: agents.Attempt) -> str:
    """The other node that does it, where that is known."""
    node = attempt.assigned.node if attempt.assigned else ""
    return node if state.here and node != state.here else ""


def running_session(attempt: agents.Attempt) -> agents.Session | None:
    """The session of the attempt that has not ended: the agent's own before a gate's."""
    running = [session for session in attempt.sessions.values() if not session.over]
    return min(running, key=lambda session: (session.id != attempt.name, session.id), default=None)


def _doing(
    attempt: agents.Attempt, running: agents.Session | None, conditions: Mapping[str, str], condition: str
) -> str:
    if running is None:
        return IDLE if attempt.ended else attempt.stage
    if running.id in conditions:
        return conditions[running.id]
    if attempt.ended:
        return "ending"
    if not running.started:
        return "starting"
    return condition if running.kind == "agent" else _DOING.get(running.kind, "working")


def _note(attempt: agents.Attempt, running: agents.Session | None, doing: str, elsewhere: str) -> str:
    if doing == "gone":
        return "its process is gone; `swarm start` sees to it"
    if doing == IDLE:
        rejected = fact(attempt.latest, WorkRejected)
        return f"{attempt.stage} {attempt.issue}{f': {rejected.reason}' if rejected else ''}"
    if elsewhere:
        return f"on {elsewhere}"
    if running is None:
        return ""
    progress = fact(running.latest, SessionProgressed)
    return progress.note if progress else ""


def merges_view(board: Board, recent: bool = False) -> list[dict[str, Any]]:
    """Everything in memory that was ever queued to land, oldest first; or what waits and the newest alone. `command` is
    for the person, where git holds it back.
    """
    settings, state = board[runs.State].settings, board[merges.State]
    found = state.recent() if recent else state.history()
    return [merge_row(board, merge, settings.target if settings else "") for merge in found]


def flakes_view(board: Board) -> list[dict[str, Any]]:
    """Test commands that failed and passed on the same tree, and on how many; the worst first."""
    counted = board[batches.State].flakes().items()
    return [{"command": command, "count": n} for command, n in sorted(counted, key=lambda one: (-one[1], one[0]))]


def merge_status(board: Board, merge: merges.Merge) -> str:
    """queued, testing (in a batch), tested, held, landed, reverted, conflicted, rejected, dropped or cancelled."""
    if merge.status not in ("queued", "held") or merge.prepared:
        return merge.status
    batch = board[batches.State].holding((merge.issue, merge.attempt))
    if batch is None or (merge.issue, merge.attempt) not in batch.owns:
        return "queued"
    if merge.held and batch.stacked and merge.held.commit == batch.stacked.commit:
        return "held"
    tests = {test.data.gate: test.data.verdict for test in batch.tests}
    return "tested" if tests and set(tests.values()) <= set(batches.GOOD) else "testing"


def merge_row(board: Board, merge: merges.Merge, target: str) -> dict[str, Any]:
    """One merge as a row; `target` is where it lands, if it has not yet."""
    landed, status = merge.landed, merge_status(board, merge)
    held = merge.held if status == "held" else None
    return {
        "issue": merge.issue,
        "attempt": merge.attempt,
        "status": status,
        "branch": merge.queued.branch if merge.queued else "",
        "commit": merge.commit,
        "target": landed.target if landed else merge.held.target if merge.held else target,
        "reason": held.reason if held else "",
        "command": held.command if held else "",
    }


def costs_view(board: Board) -> dict[str, Any]:
    """What was used in all, and `by_agent`. `cost` is in dollars, None where all use is unpriced, a lower bound where
    some is.
    """
    state = board[costs.State]
    by_agent = {name or "unknown": total_row(total) for name, total in state.by_agent().items()}
    return {**total_row(state.total()), "by_agent": by_agent}


def total_row(total: costs.Total) -> dict[str, Any]:
    """A sum of use. `cost` as in `costs_view`; `unpriced` counts what has no known price."""
    return {
        "calls": total.calls,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "cached_tokens": total.cached_tokens,
        "cost": None if total.unpriced and not total.cost else round(total.cost, 6),
        "unpriced": total.unpriced,
    }


def mail_view(board: Board, last: int | None = None) -> list[dict[str, Any]]:
    """The letters, oldest first; the `last` ones alone if asked."""
    letters = list(board[mail.State].sent())
    return [row(letter) for letter in letters[-last if last else 0 :]]
