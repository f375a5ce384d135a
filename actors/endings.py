"""What is done with an attempt's work and worktree once its outcome is known. Rule: nothing is removed that was not
secured, what did not land is kept under a ref that no branch takes along, and what failed can be looked at for a while.
"""

from ..eventlog.events import FindingsReported, MergeLanded, WorkSecured, WorktreePrepared, WorktreeRemoved
from ..eventlog.ids import begin_of, time_of
from ..projections import Board, agents, fact, happened, issues, runs
from ..world import Repository
from .command import Command, Said, Step

_SURELY = 0.01
"""Seconds beside which sums of times are right."""


class Keep(Step, frozen=True):
    """Point a wip ref at what was secured on a branch and will not land: branches come and go."""

    agent: str
    commit: str
    base: str
    commits: int
    files: tuple[str, ...]
    left: tuple[str, ...]
    notes: tuple[str, ...]
    cause: str


class Remove(Step, frozen=True):
    """Remove the worktree; its work is in `secured`, so that `branch` may go too as far as it is contained in that.

    `recycle`: every process that ran in it is known to have ended, so its folder may be used again. `next`: sessions
    that may have been begun in it just before a crash, and that nobody knows of yet.
    """

    path: str
    branch: str
    secured: str
    recycle: bool
    cause: str
    next: tuple[str, ...] = ()


def due(board: Board, attempt: agents.Attempt, secured: WorkSecured, now: float, cause: str) -> Command | None:
    """What is to be done next for an attempt that has ended, whose sessions are over, and whose work is secured."""
    keep = keeping(board, attempt, cause)
    return keep or (removal(attempt, cause) if _is_collected(board, attempt, secured, now) else None)


def wanted(board: Board, now: float) -> list[tuple[str, int]]:
    """Those of the attempts that are kept whose turn may have come: `due` says. All others are not looked at: there may
    be thousands, at each look of each actor.
    """
    settings, live, kept = board[runs.State].settings, board[issues.State].live, board[agents.State].kept
    if settings is None:
        return list(kept)
    until = begin_of(now - settings.keep_failed + _SURELY)
    return [key for key, end in kept.items() if end < until or key[0] not in live]


def keeping(board: Board, attempt: agents.Attempt, cause: str) -> Keep | None:
    """How what it left on a branch is kept for ever; None if there is nothing, if these very commits landed, or if it
    is kept.
    """
    prepared, secured = fact(attempt.latest, WorktreePrepared), fact(attempt.latest, WorkSecured)
    if prepared is None or secured is None or not secured.commits or _is_in_target(board, attempt):
        return None
    if secured.ref != f"refs/heads/{prepared.branch}":
        return None
    lists = (tuple(secured.files), tuple(secured.left), tuple(secured.notes))
    where = (attempt.issue, attempt.number, attempt.agent)
    return Keep(*where, secured.commit, secured.base, secured.commits, *lists, cause)


def _is_in_target(board: Board, attempt: agents.Attempt) -> bool:
    """Whether its own commits landed: a squash or a rebase makes others of them."""
    landed = attempt.latest.get(MergeLanded)
    run = board[runs.State].runs.get(landed.correlationid) if landed else None
    return landed is not None and (run is None or run.started is None or run.started.merge.mode == "merge")


def removal(attempt: agents.Attempt, cause: str) -> Remove | None:
    """How the worktree of an attempt that is over goes; None while that may not be, or if there is none."""
    prepared, secured = fact(attempt.latest, WorktreePrepared), fact(attempt.latest, WorkSecured)
    running = any(not session.over for session in attempt.sessions.values())
    if prepared is None or secured is None or running or not attempt.ended or WorktreeRemoved in attempt.latest:
        return None
    recycle = not any(session.lost for session in attempt.sessions.values())
    return Remove(attempt.issue, attempt.number, prepared.path, prepared.branch, secured.commit, recycle, cause)


def _is_collected(board: Board, attempt: agents.Attempt, secured: WorkSecured, now: float) -> bool:
    """Whether nobody will want to look at the worktree any more. What a failed attempt left stays for some days."""
    if MergeLanded in attempt.latest or FindingsReported in attempt.latest or not (secured.commits or secured.left):
        return True
    settings, issue = board[runs.State].settings, board[issues.State].all[attempt.issue]
    end = max(happened(attempt.latest, kind) for kind in agents.ENDS)
    return issue.status == issues.DONE or settings is None or now - time_of(end) >= settings.keep_failed


def keep(command: Keep, repository: Repository) -> Said:
    """Do it; what is to be said of that."""
    ref = wip(command.agent, command)
    repository.keep(ref, command.commit)
    lists = (list(command.files), list(command.left), list(command.notes))
    kept = WorkSecured(command.attempt, ref, command.commit, command.base, command.commits, *lists)
    return Said(command.issue, kept, command.cause)


def remove(command: Remove, repository: Repository) -> Said:
    """Do it; what is to be said of that."""
    repository.remove(command.path, command.secured, recycle=command.recycle)
    repository.delete_branch(command.branch, command.secured)
    gone = WorktreeRemoved(attempt=command.attempt, path=command.path, secured=command.secured)
    return Said(command.issue, gone, command.cause)


def wip(agent: str, step: Step) -> str:
    """The ref that keeps what an attempt left."""
    return f"refs/swarm/wip/{agent}/{step.issue}-{step.attempt}"
