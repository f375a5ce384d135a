"""What was taken out of a target and never said: killed between git's move and the line in the log, `swarm rollback`
leaves its word in its commits alone. The swarm looks for that when it starts, and so does the next rollback.

Rule: what is due follows from the landings that the log knows; git is believed only about these.
"""

from ..eventlog.errors import SwarmError
from ..eventlog.events import IssueReopened, MergeLanded, MergeReverted
from ..projections import Board, happened, issues, merges
from ..world import Repository
from .command import Command, Said


class LookBack(Command, frozen=True):
    """See which of these landings on the target the commits since then take out. `landings`: (the event that says it,
    issue, attempt, the commit that landed, whether the issue is done).
    """

    target: str
    since: str
    landings: tuple[tuple[str, str, int, str, bool], ...]


def due(board: Board, _now: float = 0.0) -> list[LookBack]:
    """One look for each target on which something landed lately."""
    state, targets = board[issues.State], dict[str, list[merges.Merge]]()
    for merge in board[merges.State].recent():
        if merge.landed and merge.status == "landed":
            targets.setdefault(merge.landed.target, []).append(merge)
    return [
        LookBack(target, _first(found), tuple(_row(state, one) for one in found)) for target, found in targets.items()
    ]


def _first(found: list[merges.Merge]) -> str:
    """What the target was at before the oldest of them landed."""
    oldest = min(found, key=lambda merge: happened(merge.latest, MergeLanded))
    return oldest.landed.base if oldest.landed else ""


def _row(state: issues.State, merge: merges.Merge) -> tuple[str, str, int, str, bool]:
    commit = merge.landed.commit if merge.landed else ""
    done = merge.issue in state.all and state.all[merge.issue].status == issues.DONE
    return happened(merge.latest, MergeLanded), merge.issue, merge.attempt, commit, done


def perform(command: LookBack, repository: Repository) -> list[Said]:
    """What is to be said, in the order that a kill may cut; nothing where git knows no such branch or commit."""
    try:
        found = {event: one for one in repository.reverts(command.target, command.since) for event in one.events}
    except SwarmError:
        return []
    said: list[Said] = []
    for event, issue, attempt, commit, done in command.landings:
        if one := found.get(event):
            reopened = IssueReopened(reason=f"rolled back: {one.reason}" if one.reason else "rolled back")
            said += [Said(issue, reopened, event)] if done and not one.keep_closed else []
            said.append(Said(issue, MergeReverted(attempt, command.target, commit, one.commit, one.reason), event))
    return said
