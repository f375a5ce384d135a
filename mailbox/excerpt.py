"""The part of a board that a decision is about, in a few lines. Rule: it shows what `due` looks at and a screen leaves
out: generations, marks, the stage of every attempt, who has had a letter, which places are free.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ..eventlog.fact import Event
from ..eventlog.telling import clock, one_line, sentence, short
from ..projections import Board, admission, agents, happened, issues, leases, mail, merges, quotas, runs
from .addresses import address_of
from .views import merge_status, running_session

_ATTEMPTS, _ROWS = 5, 8


def excerpt(board: Board, about: Iterable[str]) -> list[str]:
    """What stands on the board about these issues and letters (ids; others are passed by), and what all share: the
    agents at work, the merge queue, the settings.
    """
    found: list[str] = []
    for name in dict.fromkeys(about):
        if name in board[issues.State].all:
            found += _issue(board, board[issues.State].all[name])
        if name in board[mail.State].letters:
            found += _letter(board[mail.State].letters[name])
    return [*found, _agents(board), _queue(board), *_scarce(board), _run(board)]


def _issue(board: Board, issue: issues.Issue) -> Iterator[str]:
    opened = issue.opened
    if opened is None:
        yield f"issue   {one_line(issue.id)}: its opening is not in the log"
    else:
        words = f"{issue.status}, priority {opened.priority}, for a {one_line(opened.role)}"
        yield f"issue   {one_line(issue.id)}: {words}: {one_line(opened.title)}"
    if issue.generation:
        told = f"; {_told(issue.mark)}" if issue.mark else ""
        yield f"  generation {short(issue.generation)}, since {clock(issue.generation)}{told}"
    if lease := board[leases.State].newest(issue.id, issue.generation):
        yield f"  lease {short(lease.id)}: {_told(lease)}"
    if waits := board[issues.State].waiting(issue):
        yield f"  waits for {_list(waits)}"
    for number in sorted(issue.attempts)[-_ATTEMPTS:]:
        yield f"  attempt {number}: {_attempt(board, issue, number)}"


def _attempt(board: Board, issue: issues.Issue, number: int) -> str:
    seen, done = issue.attempts[number], board[agents.State].attempts.get((issue.id, number))
    if done is None or done.assigned is None:
        return "its assignment is not in the log"
    running = running_session(done)
    parts = [f"{done.agent}, {done.stage}"]
    parts += [f"{running.id} runs"] if running else []
    parts += [f"{running.id} is to end"] if running and running.killed else []
    parts += [one_line(seen.failure)] if seen.failure else []
    parts += ["over"] if seen.over else []
    parts += ["of an older generation"] if done.assigned.generation != issue.generation else []
    return ", ".join(parts)


def _letter(letter: mail.Letter) -> Iterator[str]:
    if letter.sent is None:
        yield f"letter  {short(letter.id)}: its sending is not in the log"
        return
    sent = letter.sent.data
    words = f"from {one_line(address_of(letter.sent.source))} to {_list(sent.to)}, {one_line(sent.kind)}"
    yield f"letter  {short(letter.id)}: {words}: {one_line(sent.body, 60)}"
    for word, readers in (("delivered to", letter.delivered), ("read by", letter.acked), ("dead for", letter.dead)):
        if readers:
            yield f"  {word} {_list(sorted(readers))}"
    if waiting := [address for address in sent.to if letter.awaits(address)]:
        yield f"  awaited by {_list(waiting)}"


def _agents(board: Board) -> str:
    busy = [attempt for attempt in board[agents.State].ongoing() if attempt.active or running_session(attempt)]
    return "agents  " + (_list([f"{a.agent} on {a.name} ({a.stage})" for a in busy]) if busy else "none at work")


def _queue(board: Board) -> str:
    queue = board[merges.State].queue()
    rows = [f"{merge.issue}-{merge.attempt} ({merge_status(board, merge)})" for merge in queue]
    return "queue   " + (_list(rows) if rows else "empty")


def _scarce(board: Board) -> Iterator[str]:
    """Providers that refuse, or are being tried, and nodes without room: nothing, where there are none."""
    for name, known in sorted(board[quotas.State].of.items()):
        for event in (*known.refusals.values(), *([known.probe] if known.probe else [])):
            yield f"quota   {one_line(name)}: {_told(event)}"
    for node in sorted(board[admission.State].of):
        if words := board[admission.State].closed(node):
            yield f"closed  {one_line(node) or 'this node'}: {one_line(words)}"


def _run(board: Board) -> str:
    run = board[runs.State].current
    if run is None or run.started is None:
        return "run     none yet"
    force = run.started
    words = f"{force.max_agents} agents at most, {force.max_retries} retries, landing on {one_line(force.target)}"
    ends = [_told(run.latest[kind]) for kind in sorted(run.latest, key=lambda k: happened(run.latest, k))][1:]
    return "; ".join([f"run     {one_line(run.id)}: {words}, test: {one_line(force.test) or 'none'}", *ends])


def _told(event: Event[Any]) -> str:
    return one_line(sentence(event))


def _list(names: list[str]) -> str:
    more = f" and {len(names) - _ROWS} more" if len(names) > _ROWS else ""
    return ", ".join(one_line(name, 60) for name in names[:_ROWS]) + more
