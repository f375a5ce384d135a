"""Take what landed out of the target again, and open its issue anew."""

from typing import Any

import click

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import IssueReopened, MergeLanded, MergeReverted
from ..eventlog.fact import Fact
from ..projections import Board, happened, issues, merges
from ..world import Conflict, Landed, Merged, Refused
from ..world.clock import now
from ..world.git import Git
from . import Home, as_json, emit, fitting, say, whoami

GROUP = "Work"
TRIES = 5
"""How often the target may move away under it."""
SHORTEST = 7
"""Letters of a commit's id."""


@click.command()
@click.argument("what", required=False, default="", metavar="[SHA|ISSUE]")
@click.option("--reason", default="", metavar="R", help="Told to the agent that tries it again.")
@click.option("--keep-closed", is_flag=True, help="Leave the issue as it is.")
@click.option("--dry-run", is_flag=True, help="Say what would be reverted; change nothing, not even the log.")
@as_json
def command(what: str, reason: str, keep_closed: bool, dry_run: bool, json_: bool) -> None:
    """Take what landed out of the target again, and open its issue anew.

    What is reverted is the landing of ISSUE, or the commit SHA (a batch: all of its issues); without either, what
    landed last. The revert is made like a landing: without a checkout, by compare-and-swap; a person's checkout of the
    target is only fast-forwarded by git itself.
    """
    home = Home()
    fitting(reason, "reason")
    git = Git(home.place.root, home.place.common)
    found = _landings(home.board(whole=True), what.lower())
    names, target, commit = [merge.issue for merge in found], *_place(found)
    document: dict[str, Any] = {"issues": names, "commit": commit, "target": target}
    if dry_run:
        _revert(git, target, commit, names, reason)
        words = f"{', '.join(names)}: {commit[:10]} can be reverted on {target}"
    else:
        document["revert"] = _land(git, target, commit, names, reason)
        home.append(whoami(home.place), _facts(found, document["revert"], reason, keep_closed))
        words = f"{', '.join(names)}: {commit[:10]} is reverted on {target} as {document['revert'][:10]}"
    emit(document) if json_ else say(words)


def _place(found: list[merges.Merge]) -> tuple[str, str]:
    """(the target, the commit to revert): of one of a batch its own commit, of several the batch's."""
    landed = found[0].landed
    if landed is None:
        raise UsageError("nothing has landed", "swarm merge list")
    owns = {_own(merge) for merge in found}
    return landed.target, landed.commit if len(owns) > 1 else owns.pop()


def _own(merge: merges.Merge) -> str:
    """The commit that brought it, or had it already."""
    return (merge.landed.own or merge.landed.commit) if merge.landed else ""


def _facts(found: list[merges.Merge], revert: str, reason: str, keep_closed: bool) -> list[tuple[str, Fact]]:
    target, commit = _place(found)
    facts: list[tuple[str, Fact]] = []
    for merge in found:
        facts.append((merge.issue, MergeReverted(merge.attempt, target, commit, revert, reason)))
        if not keep_closed:
            facts.append((merge.issue, IssueReopened(reason=f"rolled back: {reason}" if reason else "rolled back")))
    return facts


def _landings(board: Board, what: str) -> list[merges.Merge]:
    """What is to be reverted: one landing, or all of a batch; raises UsageError if there is none."""
    every = sorted((m for m in board[merges.State].all.values() if m.status == "landed"), key=_when)
    if not every:
        raise UsageError("nothing has landed that could be reverted", "see: swarm merge list --all")
    if not what:
        return _sharing(every, _batch(every, every[-1]))
    if len(what) >= SHORTEST and set(what) <= set("0123456789abcdef"):
        own = [merge for merge in every if merge.landed and merge.landed.own.startswith(what)]
        whole = [merge for merge in every if merge.landed and merge.landed.commit.startswith(what)]
        if own or whole:
            return _sharing(every, own[-1:] if own else _batch(every, whole[-1]))
    issue = issues.find(board[issues.State], what)
    mine = [merge for merge in every if merge.issue == issue.id]
    if not mine:
        raise UsageError(f"nothing of {issue.id} is on the target", f"swarm issue show {issue.id}")
    return _sharing(every, mine[-1:])


def _sharing(every: list[merges.Merge], found: list[merges.Merge]) -> list[merges.Merge]:
    """All whose work goes with what these brought; raises UsageError if it was not the swarm that brought it."""
    theirs = {_own(merge) for merge in found}
    brought = {_own(merge) for merge in every if merge.landed and merge.landed.base != _own(merge)} & theirs
    if not brought:
        names = ", ".join(merge.issue for merge in found)
        raise UsageError(f"landing {names} brought nothing: the target had it already", "by hand: git revert COMMIT")
    return [merge for merge in every if _own(merge) in brought]


def _batch(every: list[merges.Merge], one: merges.Merge) -> list[merges.Merge]:
    """All that landed with it."""
    commit = one.landed.commit if one.landed else ""
    return [merge for merge in every if merge.landed and merge.landed.commit == commit]


def _when(merge: merges.Merge) -> str:
    return happened(merge.latest, MergeLanded)


def _revert(git: Git, target: str, commit: str, names: list[str], reason: str) -> tuple[str, Merged]:
    """(the target's tip, the revert on it); raises SwarmError where it cannot be made."""
    tip = git.tip(target)
    if not git.is_ancestor(commit, tip):
        raise UsageError(f"{commit[:10]} is not on {target}", f"git log --first-parent {target}")
    name, email = git.identity() or ("swarm", "swarm@swarm.invalid")
    why = f"\n\n{reason}" if reason else ""
    trailers = "".join(f"\nSwarm-Issue: {name}" for name in names)
    message = f"Revert {', '.join(names)}\n\nThis reverts commit {commit}.{why}\n{trailers}\n"
    made = git.revert(tip, commit, message, f"{name} <{email}>", now())
    if isinstance(made, Conflict):
        raise SwarmError(
            f"{commit[:10]} cannot be reverted: later changes of {', '.join(made.files[:5])} stand on it",
            f"by hand, on {target}: git revert -m 1 {commit}",
        )
    return tip, made


def _land(git: Git, target: str, commit: str, names: list[str], reason: str) -> str:
    """Revert it on the target; returns the commit that did so."""
    for _ in range(TRIES):
        tip, made = _revert(git, target, commit, names, reason)
        if made.commit == tip:
            raise UsageError(f"nothing of {commit[:10]} is left on {target}: there is nothing to revert")
        result = git.land(target, tip, made.commit)
        if isinstance(result, Landed):
            return made.commit
        if isinstance(result, Refused):
            raise SwarmError(f"{target} cannot be moved: {result.reason}", f"then again, or by hand: {result.command}")
    raise SwarmError(f"{target} moved {TRIES} times while it was to be reverted", "run it again")
