"""Worktrees that are not secured, and those that an agent put a link in the place of. Rule: the link goes; what it
leads to is not looked at, for it may be anybody's: a person is told where it is.
"""

import os
from typing import TYPE_CHECKING

from ..eventlog.events import WorkSecured, WorktreePrepared, WorktreeRemoved
from ..projections import Board, agents, fact, happened, issues
from . import Home, whoami

if TYPE_CHECKING:
    from ..world.git import Git


def unsecured(home: Home, board: Board) -> list[agents.Attempt]:
    """The attempts that are over, with something in the place of their worktrees that is not secured yet, by name."""
    found = (one for one in board[agents.State].live.values() if one.ended and WorkSecured not in one.latest)
    left = (one for one in found if WorktreeRemoved not in one.latest and os.path.lexists(folder(home, one) or "\0"))
    return sorted(left, key=lambda attempt: attempt.name)


def folder(home: Home, attempt: agents.Attempt) -> str:
    """Where its worktree is, or was; empty if it never had one."""
    prepared = fact(attempt.latest, WorktreePrepared)
    return os.path.join(home.place.root, prepared.path) if prepared else ""


def take_away(home: Home, git: "Git", board: Board) -> list[tuple[str, str]]:
    """Remove the links, and secure what the branches have; returns (the attempt's name, where its link led)."""
    gone = []
    for attempt in unsecured(home, board):
        path, over = folder(home, attempt), all(session.over for session in attempt.sessions.values())
        if over and os.path.islink(path):
            leads = os.path.realpath(path)
            os.unlink(path)
            _secure(home, git, board, attempt, leads)
            gone.append((attempt.name, leads))
    return gone


def _secure(home: Home, git: "Git", board: Board, attempt: agents.Attempt, leads: str) -> None:
    from ..actors import endings
    from ..actors.command import Step

    prepared, assigned = fact(attempt.latest, WorktreePrepared), attempt.assigned
    if prepared is None or assigned is None:
        return
    opened = board[issues.State].all[attempt.issue].opened
    ref = endings.wip(attempt.agent, Step(attempt.issue, attempt.number))
    where = (prepared.path, prepared.branch, prepared.base, ref)
    title, author = opened.title if opened else attempt.issue, "swarm <swarm@swarm.invalid>"
    found = git.secure(*where, title, author, work=assigned.work, resolve=assigned.resolve)
    note = f"a link to {leads} was in the place of the worktree: what is there was not looked at"
    lists = (found.files, found.left, [*found.notes, note])
    secured = WorkSecured(attempt.number, found.ref, found.commit, prepared.base, found.commits, *lists)
    cause = max(happened(attempt.latest, kind) for kind in agents.ENDS)
    home.append(whoami(home.place), [(attempt.issue, secured)], cause)
