"""How a run went, in words, and the exit code that says so. Rule: what needs a person is named with the command that
goes on from there.
"""

from collections.abc import Iterator

from ..mailbox import views, waits
from ..projections import Board, agents, issues, runs
from . import say


def report(board: Board, reason: str, until_idle: bool) -> int:
    """Say how it went; returns the exit code."""
    counts = board[issues.State].counts()
    left = [issue for issue in board[issues.State].known() if issue.status != issues.DONE]
    say(f"{reason}: {counts[issues.DONE]} of {sum(counts.values())} issues done")
    for words in (*_left(board, left), *_held(board), *_spent(board), *_landings(board), *_leaks(board)):
        say(words)
    sessions = list(board[agents.State].sessions())
    if sessions:
        say(f"{len(sessions)} sessions work on; `swarm start` takes them over, `swarm stop --now` ends them")
    if reason == "interrupted":
        return 130
    return 1 if left and until_idle else 0


def _left(board: Board, left: list[issues.Issue]) -> Iterator[str]:
    """What is not done, and why."""
    from ..actors import budgets
    from ..world import clock

    state, accounts, settings = board[issues.State], budgets.book(board, clock.now()), board[runs.State].settings
    reasons = waits.reasons(board, left)
    for issue in left:
        needs = state.waiting(issue)
        spent = accounts.waits(issue, settings) if settings and issue.status == issues.OPEN else ""
        waiting = spent or (f"waits: {reasons[issue.id]}" if issue.id in reasons else "")
        why = waiting or issue.reason or (f"needs {', '.join(needs)}" if needs else "")
        title = issue.opened.title if issue.opened else ""
        yield f"  {issue.id}  {issue.status:<11}  {title}{': ' + why if why else ''}"


def _held(board: Board) -> Iterator[str]:
    held = board[runs.State].held
    if held:
        yield f"the merge queue is held: {held.reason}"
        yield "  when that is out of the way: swarm merge now, or swarm start"
    blocked = [issue.id for issue in board[issues.State].known() if issue.status == issues.BLOCKED]
    if blocked:
        yield f"what went wrong, in full: swarm issue show {blocked[0]}"


def _spent(board: Board) -> Iterator[str]:
    from ..actors import budgets
    from ..world import clock

    for line in budgets.book(board, clock.now()).lines():
        if line.over:
            more = f"to allow more: swarm budget raise {line.subject} --{line.unit} N"
            ended = line.subject.startswith("run:")
            yield f"budget {line.subject}: {line.words}; {'the next run has one of its own' if ended else more}"


def _landings(board: Board) -> Iterator[str]:
    for row in views.merges_view(board, recent=True):
        if row["status"] == "held":
            yield f"  {row['issue']} is ready to land, but git says: {row['reason']}"
            yield f"  when that is out of the way: {row['command']}"


def _leaks(board: Board) -> Iterator[str]:
    for attempt in board[agents.State].ongoing():
        if attempt.leak and not attempt.ended:
            yield f"  look at your checkout, and if the work may land: swarm work clear {attempt.issue}"
