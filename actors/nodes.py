"""Whose business something is, where several clones share one log. Rule: what a node began, that node sees to its end;
another only takes it over with the lease.
"""

from ..eventlog.events import IssueAssigned, RunStarted
from ..eventlog.ids import made_on
from ..projections import Board, leases

TURN = 1000
"""Attempts of a node that took an issue over begin above the next thousand: what the one before it did may not have
reached us, and its numbers are not to be used again.
"""


def is_ours(settings: RunStarted, node: str) -> bool:
    """Whether that is this node; what does not say its node is ours."""
    return not settings.node or node in ("", settings.node)


def sees_to(settings: RunStarted | None, letter: str) -> bool:
    """Whether this node answers that letter and sees that it arrives: of a shared log, those written here."""
    return settings is None or not settings.sync or made_on(letter, settings.node)


def lease(board: Board, settings: RunStarted, issue: str, generation: str, now: float) -> leases.Lease | None:
    """Our lease on it, if it has not run out."""
    held = board[leases.State].newest(issue, generation)
    return held if held and held.data.node == settings.node and now < held.data.until else None


def taken_over(board: Board, issue: str, assigned: IssueAssigned) -> leases.Lease | None:
    """The lease by which another node has taken the issue over from the one that this attempt was given to."""
    if not assigned.lease:
        return None
    newest = board[leases.State].newest(issue, assigned.generation)
    return newest if newest and newest.data.node != assigned.node else None


def may_land(
    board: Board, settings: RunStarted, issue: str, assigned: IssueAssigned, now: float
) -> tuple[bool, str, float]:
    """Whether the attempt's work may land, under which lease, and until when (Unix time; 0: for ever)."""
    if not settings.sync:
        return taken_over(board, issue, assigned) is None, "", 0.0
    held = lease(board, settings, issue, assigned.generation, now)
    if held is None or (assigned.lease and not board[leases.State].covers(issue, assigned.generation, assigned.lease)):
        return False, "", 0.0
    return True, held.id, held.data.until
