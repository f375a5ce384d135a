"""Take what landed out of the target again, and open its issue anew."""

from typing import Any, NamedTuple

import click

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import IssueReopened, MergeLanded, MergeReverted
from ..eventlog.fact import Fact
from ..projections import Board, happened, issues, merges
from ..world import Conflict, Landed, Refused, messages
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
    if not dry_run and (names := _unsaid(home, git)):
        words = f"{names}: was reverted already; now the log says so too"
        emit({"issues": names.split(", ")}) if json_ else say(words)
        return
    found = _landings(home.board(whole=True), what.lower())
    names = ", ".join(one.issue for one in found)
    target, commits = found[0].at.target, _commits(found)
    what = ", ".join(commit[:10] for commit in commits)
    document: dict[str, Any] = {"issues": [one.issue for one in found], "commits": commits, "target": target}
    if dry_run:
        _revert(git, target, commits, found, reason, keep_closed)
        words = f"{names}: {what} can be reverted on {target}"
    else:
        document["revert"] = _land(git, target, commits, found, reason, keep_closed)
        home.append(whoami(home.place), _facts(found, document["revert"], reason, keep_closed))
        words = f"{names}: {what} reverted, {target} is at {document['revert'][:10]}"
    emit(document) if json_ else say(words)


class Landing(NamedTuple):
    """One attempt's work on a target."""

    issue: str
    attempt: int
    at: MergeLanded
    event: str

    @property
    def own(self) -> str:
        """The commit that brought it."""
        return self.at.own or self.at.commit


def _unsaid(home: Home, git: Git) -> str:
    """Whose work a rollback that was killed has taken out: the log is told. Empty if there was none."""
    from ..actors import hindsight

    said = [one for command in hindsight.due(home.board()) for one in hindsight.perform(command, git)]
    if said:
        home.append(whoami(home.place), [(one.subject, one.fact) for one in said])
    return ", ".join(dict.fromkeys(one.subject for one in said))


def _commits(found: list[Landing]) -> list[str]:
    """What is to be reverted, in that order: of one of a batch its own commit; of a whole batch the one merge that it
    landed as, or all of its commits, the newest first.
    """
    owns = list(dict.fromkeys(one.own for one in reversed(found)))
    whole = found[0].at.commit
    return owns if len(owns) == 1 or whole in owns else [whole]


def _facts(found: list[Landing], revert: str, reason: str, keep_closed: bool) -> list[tuple[str, Fact]]:
    """The order that a kill may cut: an issue is reopened before it is said that its work is gone."""
    facts: list[tuple[str, Fact]] = []
    for one in found:
        if not keep_closed:
            facts.append((one.issue, IssueReopened(reason=f"rolled back: {reason}" if reason else "rolled back")))
        facts.append((one.issue, MergeReverted(one.attempt, one.at.target, one.at.commit, revert, reason)))
    return facts


def _landings(board: Board, what: str) -> list[Landing]:
    """What is to be reverted: one landing, or all of a batch; raises UsageError if there is none."""
    landed = sorted((m for m in board[merges.State].all.values() if m.status == "landed"), key=_when)
    every = [Landing(merge.issue, merge.attempt, merge.landed, _when(merge)) for merge in landed if merge.landed]
    if not every:
        raise UsageError("nothing has landed that could be reverted", "see: swarm merge list --all")
    if not what:
        return _sharing(every, _batch(every, every[-1]))
    if len(what) >= SHORTEST and set(what) <= set("0123456789abcdef"):
        whole = [one for one in every if one.at.commit.startswith(what)]
        own = [one for one in every if one.own.startswith(what) and not one.at.commit.startswith(what)]
        if own or whole:
            return _sharing(every, own[-1:] if own else _batch(every, whole[-1]))
    issue = issues.find(board[issues.State], what)
    mine = [one for one in every if one.issue == issue.id]
    if not mine:
        raise UsageError(f"nothing of {issue.id} is on the target", f"swarm issue show {issue.id}")
    return _sharing(every, mine[-1:])


def _sharing(every: list[Landing], found: list[Landing]) -> list[Landing]:
    """All whose work goes with what these brought; raises UsageError if it was not the swarm that brought it."""
    brought = {one.own for one in every if one.at.base != one.own} & {one.own for one in found}
    if not brought:
        names = ", ".join(one.issue for one in found)
        raise UsageError(f"landing {names} brought nothing: the target had it already", "by hand: git revert COMMIT")
    return [one for one in every if one.own in brought]


def _batch(every: list[Landing], one: Landing) -> list[Landing]:
    """All that landed with it."""
    return [each for each in every if each.at.commit == one.at.commit]


def _when(merge: merges.Merge) -> str:
    return happened(merge.latest, MergeLanded)


def _revert(
    git: Git, target: str, commits: list[str], found: list[Landing], reason: str, keep_closed: bool
) -> tuple[str, str]:
    """(the target's tip, the tip with what the commits brought taken out); raises SwarmError where that cannot be."""
    base = tip = git.tip(target)
    landings, names = [(one.issue, one.event) for one in found], ", ".join(one.issue for one in found)
    name, email = git.identity() or ("swarm", "swarm@swarm.invalid")
    for commit in commits:
        if not git.is_ancestor(commit, base):
            raise UsageError(f"{commit[:10]} is not on {target}", f"git log --first-parent {target}")
        message = messages.revert(commit, reason, landings, keep_closed)
        made = git.revert(tip, commit, message, f"{name} <{email}>", now())
        if isinstance(made, Conflict):
            raise SwarmError(
                f"{commit[:10]} cannot be reverted: later changes of {', '.join(made.files[:5])} stand on it",
                f"by hand, on {target}: git revert {commit} (a merge: git revert -m 1 {commit})",
            )
        tip = made.commit
    if tip == base:
        raise UsageError(f"nothing of {names} is left on {target}: there is nothing to revert")
    return base, tip


def _land(git: Git, target: str, commits: list[str], found: list[Landing], reason: str, keep_closed: bool) -> str:
    """Revert them on the target; returns the commit that did so."""
    for _ in range(TRIES):
        base, commit = _revert(git, target, commits, found, reason, keep_closed)
        result = git.land(target, base, commit)
        if isinstance(result, Landed):
            return commit
        if isinstance(result, Refused):
            raise SwarmError(f"{target} cannot be moved: {result.reason}", f"then again, or by hand: {result.command}")
    raise SwarmError(f"{target} moved {TRIES} times while it was to be reverted", "run it again")
