"""What the Merger would do now, without doing it. Rule: nothing is written, neither to the log nor to git; what is not
known before a gate has run is not said.
"""

from collections.abc import Sequence
from typing import Any

from ..eventlog.events import IssueReopened, WorkSecured
from ..projections import Board, agents, batches, fact, issues
from . import Home, emit, say


def foretell(home: Home, options: dict[str, Any], offers: Sequence[tuple[str, IssueReopened]], json_: bool) -> int:
    """Say who would be tested together, and what would conflict, `offers` included; returns 1 if anything would."""
    from ..actors import boot, gates, queue
    from ..world import clock
    from ..world.git import Git
    from ..world.settings import load

    git, board = Git(home.place.root, home.place.common), home.board()
    force = boot.in_force(git, load(home.place.root), boot.Options(**options), home.place.root)
    tip = git.tip(force.target)
    left = queue.entries(board, force, clock.now())
    conflicts = {entry: files for entry in left if (files := git.predict(tip, entry.commit))}
    left = [entry for entry in left if entry not in conflicts]
    size = queue.size(board[batches.State].recent(), force.merge.batch_max)
    tests = [gate.command for gate in gates.chosen(force, "batch")]
    found = [[issue for issue, _ in batch.members] for batch in board[batches.State].open()]
    while left:
        chosen = queue.choose(left, size)
        found.append([entry.issue for entry in chosen])
        left = [entry for entry in left if entry not in chosen]
    clash = {entry.issue: files for entry, files in conflicts.items()}
    given = {issue.id: issue.work for issue in board[issues.State].ready() if issue.work}
    given |= _being_tested(board) | {issue: reopened.work for issue, reopened in offers}
    clash |= {name: files for name, work in given.items() if (files := git.predict(tip, work))}
    policy = force.merge.on_conflict
    if json_:
        emit(
            {
                "target": force.target,
                "tip": tip,
                "tests": tests,
                "first": [*given],
                "batches": found,
                "conflicts": clash,
            }
        )
        return 1 if clash else 0
    for name in given:
        say(f"{name}: its work is tested by itself first, and then queued")
    for number, names in enumerate(found, 1):
        say(f"batch {number}: {', '.join(names)}")
    for name, files in clash.items():
        say(f"{name}: conflict in {', '.join(files[:5])} ({policy})")
    if not (found or clash or given):
        say("nothing waits to land")
    elif found:
        say(f"each is merged onto {force.target} ({tip[:10]}), and tested by: {'; '.join(tests) or 'nothing'}")
    return 1 if clash else 0


def _being_tested(board: Board) -> dict[str, str]:
    """Issue to commit of what an agent completed and no test of its own has judged, as its command could not, or was
    ended.
    """
    done = {one.issue: fact(one.latest, WorkSecured) for one in board[agents.State].ongoing() if one.testing}
    return {issue: secured.commit for issue, secured in done.items() if secured and secured.commits}
