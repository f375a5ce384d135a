"""The merge queue: what waits to land, why, and what is to become of it."""

import os
from collections.abc import Iterator
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import IssueReopened, MergeConflicted, MergeDropped, MergeQueued, QueueResumed, WorkSecured
from ..eventlog.fact import Fact
from ..eventlog.files import Draft
from ..eventlog.ids import rfc3339
from ..eventlog.telling import one_line
from ..eventlog.text import many
from ..mailbox import views
from ..projections import Board, agents, batches, fact, happened, issues, merges, runs
from . import Home, as_json, emit, fitting, say, table, whoami
from ._foretelling import foretell
from ._running import CONFLICTS, run

GROUP = "Work"


@click.group()
def command() -> None:
    """The merge queue: what waits to land, why, and what is to become of it."""


# --- looking --------------------------------------------------------------------------------------


@command.command("list")
@click.option("--all", "all_", is_flag=True, help="Also what landed, or will not.")
@as_json
def list_(all_: bool, json_: bool) -> None:
    """What waits to land, whoever comes first first.

    Also which test commands flake: on how many trees each failed and passed.
    """
    board = Home().board(whole=all_)
    rows = [_row(board, merge) for merge in _in_order(board)]
    if all_:
        known = {(row["issue"], row["attempt"]) for row in rows}
        ended = (merge for merge in board[merges.State].history() if (merge.issue, merge.attempt) not in known)
        rows = [*(_row(board, merge) for merge in ended), *rows]
    held = board[runs.State].held
    flakes = views.flakes_view(board)
    if json_:
        emit({"held": held.reason if held else "", "merges": rows, "flakes": flakes})
        return
    if held:
        say(f"the queue is held: {held.reason}\n  to go on: swarm merge now")
    for flaky in flakes:
        say(f"failed and passed on the same tree, {many(flaky['count'], 'time')}: {one_line(flaky['command'], 200)}")
    if not rows:
        say("nothing waits to land" if not all_ else "nothing was ever queued")
        return
    heads = ("issue", "attempt", "status", "prio", "since", "batch", "title", "why")
    cells = ("issue", "attempt", "status", "priority", "since", "batch", "title", "why")
    table([[row[cell] for cell in cells] for row in rows], heads)


@command.command()
@click.argument("id")
@as_json
def show(id: str, json_: bool) -> None:  # noqa: A002
    """All about one merge: its branch, what would conflict, its batch, and what the tests said of it.

    ID is an issue's, or an issue's with the number of an attempt (sw-7f3a91c2-2).
    """
    board = Home().board()
    merge = _find(board, id)
    row = _row(board, merge) | {"tests": [*_tests(board, merge)], "conflicts": _conflicts(merge)}
    if json_:
        emit(row)
        return
    for name in ("issue", "title", "attempt", "status", "branch", "commit", "target", "since", "batch", "why"):
        if row[name]:
            say(f"{name:<9} {row[name]}")
    if row["command"]:
        say(f"{'by hand':<9} {row['command']}")
    if row["conflicts"]:
        say(f"conflicts {', '.join(row['conflicts'])}")
    for test in row["tests"]:
        if test["verdict"] == "none":
            say(f"\nno test is set: {test['commit'][:10]} was not judged")
            continue
        say(f"\n{test['gate']} {test['verdict']} on {test['commit'][:10]} (code {test['code']}): {test['command']}")
        if test["output"].rstrip():
            say(test["output"].rstrip())


def _find(board: Board, name: str) -> merges.Merge:
    """The newest merge of that issue, or the one of that attempt; raises UsageError if there is none."""
    prefix, _, number = name.rpartition("-")
    if number.isdigit() and len(number) < 8 and prefix and prefix != "sw":
        found = board[merges.State].all.get((issues.find(board[issues.State], prefix).id, int(number)))
        if found and found.queued:
            return found
    issue = issues.find(board[issues.State], name)
    mine = [merge for merge in board[merges.State].of.get(issue.id, {}).values() if merge.queued]
    if not mine:
        raise UsageError(f"nothing of {issue.id} was ever queued to land", f"swarm issue show {issue.id}")
    return max(mine, key=lambda merge: merge.attempt)


def _in_order(board: Board) -> Iterator[merges.Merge]:
    """What waits: first what is in batches, then as it will be chosen, then what may not land now."""
    from ..actors import queue
    from ..world import clock

    waiting, settings = dict(board[merges.State].waiting), board[runs.State].settings
    for batch in board[batches.State].open():
        for issue, attempt in batch.formed.members if batch.formed else ():
            if merge := waiting.pop((issue, attempt), None):
                yield merge
    for entry in queue.entries(board, settings, clock.now()) if settings else ():
        if merge := waiting.pop(entry.member, None):
            yield merge
    yield from sorted(waiting.values(), key=lambda merge: happened(merge.latest, MergeQueued))


def _row(board: Board, merge: merges.Merge) -> dict[str, Any]:
    settings = board[runs.State].settings
    issue = board[issues.State].all.get(merge.issue)
    opened = issue.opened if issue else None
    batch = None if merge.ended else board[batches.State].holding((merge.issue, merge.attempt))
    since = happened(merge.latest, MergeQueued)
    return views.merge_row(board, merge, settings.target if settings else "") | {
        "title": opened.title if opened else "",
        "priority": opened.priority if opened else 3,
        "since": rfc3339(since) if since else "",
        "batch": batch.id if batch else "",
        "why": _why(board, merge, issue),
    }


def _why(board: Board, merge: merges.Merge, issue: issues.Issue | None) -> str:
    """What stands in the way of it, or became of it."""
    attempt = board[agents.State].attempts.get((merge.issue, merge.attempt))
    seen = issue.attempts.get(merge.attempt) if issue else None
    if merge.ended:
        return seen.failure if seen else ""
    if attempt and attempt.leak:
        return f"held, for the person's checkout changed: {attempt.leak}"
    conflicts = _conflicts(merge)
    return f"conflict in {', '.join(conflicts)}" if conflicts else merge.held.reason if merge.held else ""


def _conflicts(merge: merges.Merge) -> list[str]:
    """The files in which it conflicts, or is expected to."""
    conflicted = fact(merge.latest, MergeConflicted)
    if conflicted:
        return list(conflicted.files)
    return list(merge.predicted.files) if merge.predicted and not merge.ended else []


def _tests(board: Board, merge: merges.Merge) -> Iterator[dict[str, Any]]:
    """What was said of the batches in memory that it was in, oldest first."""
    for batch in board[batches.State].recent():
        if batch.formed and (merge.issue, merge.attempt) in map(tuple, batch.formed.members):
            for event in batch.tests:
                test = event.data
                said = {name: getattr(test, name) for name in ("verdict", "commit", "command", "code", "output")}
                yield {"batch": batch.id, "gate": test.gate or "test", **said}


# --- steering -------------------------------------------------------------------------------------


@command.command()
@click.argument("id")
@click.option("--reason", default="", metavar="R")
def retry(id: str, reason: str) -> None:  # noqa: A002
    """Test and land the same work again: of one that conflicted, failed, or was dropped. No agent is needed."""
    fitting(reason, "reason")
    home, said = Home(), ""
    source, goes_on = whoami(home.place), _holder(home) is not None

    def ask(board: Board) -> list[Draft]:
        nonlocal said
        merge = _find(board, id)
        subject, fact_, said = _again(board, merge, reason, goes_on)
        return [Draft(fact_, source, subject)] if fact_ else []

    home.decide((), ask)
    say(said)


def _again(board: Board, merge: merges.Merge, reason: str, goes_on: bool) -> tuple[str, Fact | None, str]:
    """(subject, fact, words); raises UsageError where that makes no sense. `goes_on`: the swarm runs."""
    run_, issue = board[runs.State].current, board[issues.State].all[merge.issue]
    if not merge.ended:
        if goes_on and run_ and run_.held:
            return run_.id, QueueResumed(reason or f"merge retry {merge.issue}"), "the queue goes on"
        return "", None, f"{merge.issue} waits in the queue already{'' if goes_on else ': swarm merge now'}"
    if merge.landed:
        back = "was rolled back: merging its commits again would change nothing"
        word = back if merge.status == "reverted" else "landed"
        raise UsageError(f"{merge.issue} {word}", f"to have it done anew: swarm issue reopen {merge.issue}")
    if issue.work:
        return "", None, f"{merge.issue} is to be merged again already: swarm merge now"
    if issue.current and not issue.mark:
        raise UsageError(f"{issue.assignee} is at work on {issue.id} already", f"swarm issue show {issue.id}")
    queued = fact(merge.latest, MergeQueued)
    commit = queued.commit if queued else ""
    again = IssueReopened(reason=reason or "the same work is to be merged again", work=commit)
    return issue.id, again, f"{issue.id}: {commit[:10]} is tested and queued again by the swarm (or: swarm merge now)"


@command.command()
@click.argument("id")
@click.option("--reason", default="", metavar="R")
def drop(id: str, reason: str) -> None:  # noqa: A002
    """Take it out of the queue; its work is kept, and its issue waits for a person."""
    fitting(reason, "reason")
    home, said = Home(), ""
    source = whoami(home.place)

    def ask(board: Board) -> list[Draft]:
        nonlocal said
        merge = _find(board, id)
        if merge.ended:
            raise UsageError(
                f"{merge.issue} does not wait to land: it is {merge.status}", "see: swarm merge list --all"
            )
        said = f"{merge.issue} is out of the queue; its work: swarm work show {merge.issue}-{merge.attempt}"
        return [Draft(MergeDropped(merge.attempt, reason), source, merge.issue)]

    home.decide((), ask)
    say(said)


@command.command()
@click.option("--completed", is_flag=True, help="What agents have completed (the default).")
@click.option("--all", "all_", is_flag=True, help="Also what failed attempts left, as it is.")
@click.option("--target", metavar="BRANCH", help="Where work lands (default: the branch that is checked out).")
@click.option("--test", metavar="CMD", help="Shell command that must pass before anything lands.")
@click.option(
    "--on-conflict", type=click.Choice(CONFLICTS), help="What becomes of a branch that does not merge (stop)."
)
@click.option("--validate", metavar="CMD", help="Shell command that judges the target after each landing.")
@click.option("--rollback-on-validate-fail", "rollback", is_flag=True, default=None, help="Then revert what landed.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing, not even the log.")
@click.option("--json", "json_", is_flag=True, help="With --dry-run: print one JSON document.")
def now(completed: bool, all_: bool, dry_run: bool, json_: bool, **options: Any) -> int:
    """Land what waits, now: test it, merge it, and stop. No agent is started, but to resolve a conflict.

    Where the swarm runs already, it lands what waits by itself: then only a queue that it holds goes on.
    """
    if completed and all_:
        raise UsageError("--completed and --all exclude each other")
    if json_ and not dry_run:
        raise UsageError("--json goes with --dry-run", "what waits: swarm merge list --json")
    home = Home()
    holder = None if dry_run else _holder(home)
    if holder and any(option is not None for option in options.values()):
        raise UsageError(f"{holder.run} runs, with settings of its own", "swarm stop, and then again")
    given = {"max_agents": 0, **options, "on_conflict": options["on_conflict"] or "stop"}
    offers = _offers(home.board()) if all_ else []
    if dry_run:
        return foretell(home, given, offers, json_)
    if offers:
        home.append(whoami(home.place), [*offers])
    if holder:
        return _resume(home, holder.run)
    before = home.board()[merges.State].landed()
    return run(home, True, given, lambda board, reason, _: _told(board, reason, before))


def _holder(home: Home) -> Any:
    """Who runs the swarm here; None if nobody does."""
    from ..world import running

    return running.holder(os.path.join(home.place.home, "run.lock"))


def _resume(home: Home, run_id: str) -> int:
    """A swarm that runs lands what waits by itself, unless it holds its queue."""
    if not home.board()[runs.State].held:
        say(f"{run_id} runs, and lands what waits by itself; see: swarm merge list")
        return 0
    home.append(whoami(home.place), [(run_id, QueueResumed("swarm merge now"))])
    say(f"the queue of {run_id} goes on")
    return 0


def _offers(board: Board) -> list[tuple[str, IssueReopened]]:
    """(issue, fact) for what failed attempts left, of issues that nobody works on: it is to be tested and queued as it
    is.
    """
    facts: list[tuple[str, IssueReopened]] = []
    for issue in board[issues.State].known():
        attempt = board[agents.State].attempts.get((issue.id, max(issue.attempts, default=0)))
        left = fact(attempt.latest, WorkSecured) if attempt else None
        at_rest = issue.status == issues.BLOCKED or (issue.status == issues.OPEN and issue.current is None)
        if attempt and attempt.ended and attempt.unlanded and left and left.commits and at_rest:
            facts.append((issue.id, IssueReopened(reason="swarm merge now --all", work=left.commit)))
    return facts


def _told(board: Board, reason: str, before: int) -> int:
    """How it went; returns the exit code."""
    current = board[runs.State].current
    waiting = board[merges.State].queue()
    known = {merge.issue for merge in waiting}
    left = [one for one in board[issues.State].known() if one.id not in known and _is_left(board, one, current)]
    say(f"{reason}: {max(0, board[merges.State].landed() - before)} landed")
    for row in (_row(board, merge) for merge in waiting):
        say(f"  {row['issue']}  {row['status']:<10}  {row['title']}{row['why'] and ': '}{row['why']}")
    for issue in left:
        merge = board[merges.State].of.get(issue.id, {}).get(max(issue.attempts))
        why = issue.attempts[max(issue.attempts)].failure or issue.reason
        title = issue.opened.title if issue.opened else ""
        say(f"  {issue.id}  {merge.status if merge and merge.queued else issue.status:<10}  {title}{why and ': '}{why}")
    held = current.held if current else None
    if held:
        say(f"the queue is held: {held.reason}\n  to go on: swarm merge now")
    return 130 if reason == "interrupted" else 1 if left or waiting or held else 0


def _is_left(board: Board, issue: issues.Issue, current: runs.Run | None) -> bool:
    """Whether this run did something for it, and it is not done."""
    if issue.status == issues.DONE or current is None:
        return False
    queued = (merge.latest for merge in board[merges.State].of.get(issue.id, {}).values())
    tried = (attempt.latest for attempt in issue.attempts.values())
    return any(event.correlationid == current.id for latest in (*queued, *tried) for event in latest.values())
