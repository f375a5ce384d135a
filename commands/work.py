"""What attempts left that did not land: list, show, restore it, clean up after it."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import (
    AttemptCancelled,
    IssueReopened,
    LeakCleared,
    MergeLanded,
    MergeReverted,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from ..eventlog.fact import Fact
from ..eventlog.files import Draft
from ..eventlog.ids import rfc3339
from ..eventlog.telling import sentence
from ..eventlog.text import many, printable
from ..mailbox import addresses
from ..projections import Board, agents, fact, happened, issues
from . import Home, as_json, emit, put, say, table, whoami
from ._astray import take_away, unsecured

if TYPE_CHECKING:
    from ..world.door import Door
    from ..world.git import Git

GROUP = "Work"


@click.group()
def command() -> None:
    """What attempts left that did not land: list, show, restore it, clean up after it.

    Nothing that an agent did is thrown away: what did not land is a commit under refs/swarm/wip/, and the worktree of a
    failure stays for [workspace] keep_failed. ID is an issue, or one attempt at it: sw-7f3a91c2-2.
    """


# --- looking --------------------------------------------------------------------------------------


@command.command("list")
@click.option("--all", "all_", is_flag=True, help="What landed, too.")
@as_json
def list_(all_: bool, json_: bool) -> None:
    """What did not land, oldest first: whose it is, why it ended, where it is kept, if its worktree is there."""
    home = Home()
    board = home.board(("agents", "issues"), whole=True)
    rows = [row for attempt in _left(board) if not (row := _row(home, board, attempt))["landed"] or all_]
    stuck = [_row(home, board, attempt) for attempt in unsecured(home, board)]
    rows += stuck
    strays = list(_strays(home, board))
    rows += [_stray(home, name) for name in strays]
    if json_:
        emit(rows)
        return
    if not rows:
        say("nothing is left of any attempt that did not land")
        return
    head = ("work", "agent", "ended", "why", "commits", "files", "kept in", "worktree")
    table([[row[key] or "-" for key in _COLUMNS] for row in [_short(row) for row in rows]], head)
    if stuck:
        say("what is kept nowhere yet is secured by: swarm start; what has a link for a worktree, by: swarm work clean")
    if strays:
        say("what the log does not know is kept and removed by: swarm work clean --all")


_COLUMNS = ("name", "agent", "ended", "why", "commits", "files", "ref", "worktree")


def _short(row: dict[str, Any]) -> dict[str, Any]:
    there = "a link" if os.path.islink(row["worktree"]) else "there" if row["worktree"] else ""
    return {**row, "files": len(row["files"]), "worktree": there}


def _left(board: Board) -> list[agents.Attempt]:
    """The attempts that left something, oldest first."""
    found = [attempt for attempt in board[agents.State].attempts.values() if attempt.agent]
    left = [attempt for attempt in found if (secured := fact(attempt.latest, WorkSecured)) and secured.commits]
    return sorted(left, key=lambda attempt: (happened(attempt.latest, WorkSecured), attempt.name))


def _row(home: Home, board: Board, attempt: agents.Attempt) -> dict[str, Any]:
    """One entry of `swarm work list --json`."""
    secured, prepared = fact(attempt.latest, WorkSecured), fact(attempt.latest, WorktreePrepared)
    ended = max((happened(attempt.latest, kind) for kind in agents.ENDS), default="")
    path = os.path.join(home.place.root, prepared.path) if prepared else ""
    return {
        "name": attempt.name,
        "issue": attempt.issue,
        "attempt": attempt.number,
        "agent": attempt.agent,
        "state": attempt.stage,
        "why": _why(board, attempt),
        "ended": rfc3339(ended) if ended else "",
        "ref": secured.ref if secured else "",
        "commit": secured.commit if secured else "",
        "base": secured.base if secured else "",
        "commits": secured.commits if secured else 0,
        "files": secured.files if secured else [],
        "left": secured.left if secured else [],
        "notes": secured.notes if secured else [],
        "worktree": path if os.path.isdir(path) or os.path.islink(path) else "",
        "landed": _has_landed(board, attempt),
    }


def _has_landed(board: Board, attempt: agents.Attempt) -> bool:
    """Whether what it left is in the target, by itself or by another attempt at its issue that began with it."""
    secured = fact(attempt.latest, WorkSecured)
    others = [other.assigned for other in board[agents.State].of[attempt.issue].values() if not other.unlanded]
    return not attempt.unlanded or bool(secured and any(given and given.work == secured.commit for given in others))


def _why(board: Board, attempt: agents.Attempt) -> str:
    """Why it did not land, as far as that is known."""
    seen = board[issues.State].all[attempt.issue].attempts[attempt.number]
    reverted = fact(attempt.latest, MergeReverted)
    if reverted and attempt.unlanded:
        return f"rolled back: {reverted.reason}" if reverted.reason else "rolled back"
    cancelled = fact(attempt.latest, AttemptCancelled)
    if not attempt.ended and attempt.leak:
        return f"held: {attempt.leak}"
    return seen.failure or (cancelled.reason if cancelled else "") or ("" if attempt.ended else "it goes on")


def _strays(home: Home, board: Board) -> Iterator[str]:
    """The names of agents' worktrees on disk of which the log knows nothing (any more): the swarm was killed between
    making one, or removing it, and saying so.
    """
    from ..world.worktrees import is_attempts

    known = {attempt.name for attempt in board[agents.State].attempts.values() if WorktreeRemoved not in attempt.latest}
    folder = home.place.worktrees
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name not in known and is_attempts(name) and os.path.isdir(os.path.join(folder, name)):
            yield name


def _stray(home: Home, name: str) -> dict[str, Any]:
    why, path = "the log does not know it", os.path.join(home.place.worktrees, name)
    row: dict[str, Any] = dict.fromkeys(("issue", "agent", "ended", "ref", "commit", "base"), "")
    row |= {"attempt": 0, "commits": 0, "files": [], "left": [], "notes": [], "landed": False}
    return {**row, "name": name, "state": "unknown", "why": why, "worktree": path}


@command.command()
@click.argument("id")
@click.option("--patch", is_flag=True, help="The changes alone, as git apply takes them.")
@as_json
def show(id: str, patch: bool, json_: bool) -> None:  # noqa: A002
    """What one attempt left: what happened to it, its commits, and the files that they change."""
    from ..world import showing

    home = Home()
    board = home.board(("agents", "issues"), whole=True)
    attempt = _find(board, id, anything=True)
    row = _row(home, board, attempt)
    door = _door(home)
    if patch:
        changes = showing.patch(door, row["base"], row["commit"])
        put(printable(changes.decode(errors="replace")).encode() if sys.stdout.isatty() else changes)
        return
    events = [e for e in board[agents.State].about(attempt.issue) if getattr(e.data, "attempt", 0) == attempt.number]
    told = [{"id": e.id, "type": e.type, "text": sentence(e)} for e in sorted(events, key=lambda event: event.id)]
    here = showing.is_there(door, row["commit"])
    commits = showing.commits(door, row["base"], row["commit"]) if here else []
    files = showing.files(door, row["base"], row["commit"]) if here else []
    if json_:
        emit({**row, "events": told, "log": commits, "stat": files})
        return
    say(f"{attempt.name}  {row['state']}{': ' + row['why'] if row['why'] else ''}")
    for one in told:
        say(f"  {rfc3339(one['id'])[:19]}  {one['text']}")
    where = "" if here else " (this repository does not have it)"
    say(f"\n{row['ref'] or 'nothing is secured yet'}{where if row['ref'] else ''}\n")
    for line in (*commits, *files):
        say(line)
    for line in (*row["left"], *row["notes"]):
        say(f"note: {line}")


def _find(board: Board, name: str, anything: bool = False) -> agents.Attempt:
    """The attempt of that name, or of the issue the newest, that left something (with `anything`: if one did); raises
    UsageError.
    """
    left = _left(board)
    if anything:
        rest = [attempt for attempt in board[agents.State].attempts.values() if attempt.agent and attempt not in left]
        left = [*sorted(rest, key=lambda attempt: (attempt.issue, attempt.number)), *left]
    exact = [attempt for attempt in left if name in (attempt.name, attempt.name.removeprefix("sw-"))]
    if exact:
        return exact[0]
    prefix, dash, number = name.rpartition("-")
    try:
        issue, wanted = issues.find(board[issues.State], name), ""
    except UsageError:
        if not (dash and number.isdigit() and prefix not in ("", "sw")):
            raise
        issue, wanted = issues.find(board[issues.State], prefix), number
    mine = [attempt for attempt in left if attempt.issue == issue.id and wanted in ("", str(attempt.number))]
    if not mine:
        raise UsageError(f"nothing is left of {issue.id}{'-' * bool(wanted)}{wanted}", "see: swarm work list --all")
    return mine[-1]


def _door(home: Home) -> "Door":
    from ..world.door import Door

    return Door(home.place.root, home.place.common)


# --- restoring ------------------------------------------------------------------------------------


@command.command()
@click.argument("id")
@click.option("--branch", default="", metavar="NAME", help="Make a new branch of it, for you.")
@click.option("--reopen", is_flag=True, help="Have the swarm test it and land it as it is.")
def restore(id: str, branch: str, reopen: bool) -> None:  # noqa: A002
    """Take up again what an attempt left: as a branch of yours, or as the next attempt at its issue."""
    if bool(branch) == reopen:
        raise UsageError("say what is to become of it", f"swarm work restore {id} --branch NAME, or --reopen")
    home = Home()
    attempt = _find(home.board(("agents", "issues"), whole=True), id)
    secured = fact(attempt.latest, WorkSecured)
    commit = secured.commit if secured else ""
    if branch:
        from ..world import showing

        showing.make_branch(_door(home), branch, commit)
        say(f"{branch} is what {attempt.name} left ({commit[:10]}); see it with: git log {branch}")
        return
    _reopen(home, attempt, commit)
    say(f"{attempt.issue} is open again, and begins with {commit[:10]}: swarm start tests it and lands it")


def _reopen(home: Home, attempt: agents.Attempt, commit: str) -> None:
    from ..world import showing

    door = _door(home)
    showing.check_there(door, commit)
    landed = fact(attempt.latest, MergeLanded)
    tip = door.commit(f"refs/heads/{landed.target}") if landed else ""
    if landed and tip and door.is_ancestor(commit, tip):
        words = f"{attempt.name} was taken out of {landed.target} again: merging its commits again would change nothing"
        raise UsageError(words, f"to have it done anew: swarm issue reopen {attempt.issue}; or use --branch NAME")
    source = whoami(home.place)

    def ask(board: Board) -> list[Draft]:
        issue = issues.find(board[issues.State], attempt.issue)
        at_work = issue.current.assigned if issue.current and not issue.mark else None
        if at_work:
            hint = f"call it off: swarm agent kill {at_work.agent}"
            raise UsageError(f"{at_work.agent} is at work on {issue.id}", hint)
        if issue.opened and issue.opened.role != "builder":
            raise UsageError(f"{issue.id} is for a {issue.opened.role}: its work does not land", "use --branch NAME")
        if _has_landed(board, attempt):
            raise UsageError(f"{attempt.name} has landed", "use --branch NAME")
        return [Draft(IssueReopened(reason=f"with what {attempt.name} left", work=commit), source, issue.id)]

    home.decide(("agents", "issues"), ask)


# --- cleaning up ----------------------------------------------------------------------------------


@command.command()
@click.option("--all", "all_", is_flag=True, help="Also what the log does not know of, once it is kept under a ref.")
def clean(all_: bool) -> None:
    """Remove the worktrees of attempts that are over; what they left stays under refs/swarm/wip/.

    The swarm does so by itself: at once for what landed, after [workspace] keep_failed for what failed.
    """
    from ..world import running
    from ..world.clock import now
    from ..world.git import Git

    home = Home()
    lock = running.RunLock(os.path.join(home.place.home, "run.lock"))
    lock.take(running.Holder(os.getpid(), "swarm work clean", _moment(now())))
    try:
        git = Git(home.place.root, home.place.common)
        projections = ("agents", "issues", "runs")
        links = take_away(home, git, home.board(projections, whole=True))
        board = home.board(projections, whole=True)
        gone, waiting = _collect(home, git, board)
        kept = [_keep_stray(git, home, name) for name in _strays(home, board)] if all_ else []
    finally:
        lock.drop()
    say(f"removed {many(gone, 'worktree')}; what was left in them: swarm work list")
    for name, ref in kept:
        say(f"removed {name}, of which the log knew nothing; what was in it is {ref}")
    for name, leads in links:
        say(f"removed a link in the place of {name}; what it led to was not touched: {printable(leads)}")
        say("  look at that, and delete it if it is what the agent moved away")
    if waiting:
        stay = "stays: what is in it" if waiting == 1 else "stay: what is in them"
        say(f"{many(waiting, 'worktree')} {stay} is not secured yet; have that done: swarm start")
        say("  where that does not help, this says why: swarm work list")


def _moment(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _collect(home: Home, git: "Git", board: Board) -> tuple[int, int]:
    """Remove what is over; returns how many worktrees are gone, and how many are over and not secured."""
    from ..actors import endings

    gone = waiting = 0
    for attempt in sorted(board[agents.State].live.values(), key=lambda one: one.name):
        if not attempt.ended or WorktreePrepared not in attempt.latest or WorktreeRemoved in attempt.latest:
            continue
        cause = happened(attempt.latest, WorkSecured)
        keep, remove = endings.keeping(board, attempt, cause), endings.removal(attempt, cause)
        if remove is None:
            waiting += 1
            continue
        said: list[tuple[str, Fact]] = [(attempt.issue, endings.keep(keep, git).fact)] if keep else []
        _clean_up(home, attempt, remove.path)
        home.append(whoami(home.place), [*said, (attempt.issue, endings.remove(remove, git).fact)], cause)
        gone += 1
    return gone, waiting


def _clean_up(home: Home, attempt: agents.Attempt, path: str) -> None:
    """What the settings say is to be run in a worktree before it goes, unless the swarm did so. What fails is told, and
    holds nothing up.
    """
    from ..actors.workspace import CLEANUP
    from ..world import foreground
    from ..world.settings import load

    recipe, folder = load(home.place.root).workspace, os.path.join(home.place.root, path)
    done = any(session.kind == CLEANUP for session in attempt.sessions.values())
    if recipe.cleanup and not done and os.path.isdir(folder):
        code = foreground.run(recipe.cleanup, folder, recipe.minutes * 60)
        if code:
            how = "did not end in time" if code < 0 else f"failed with exit code {code}"
            say(f"the cleanup command {how} in {path}; its output is above")


def _keep_stray(git: "Git", home: Home, name: str) -> tuple[str, str]:
    """Secure what is in a worktree that the log does not know, and remove it; returns its name and the ref."""
    from ..world import showing

    path = os.path.relpath(os.path.join(home.place.worktrees, name), home.place.root)
    door = _door(home)
    base = showing.head_of(door, name) or git.tip(git.default_branch())
    ref = showing.free_ref(door, f"refs/swarm/wip/unknown/{name}")
    secured = git.secure(path, f"swarm/unknown/{name}", base, ref, f"What was in {path}", "swarm <swarm@swarm.invalid>")
    git.remove(path, secured.commit)
    return name, ref


@command.command()
@click.argument("id")
def clear(id: str) -> None:  # noqa: A002
    """Let work land that is held because its agent changed your checkout: you looked at it."""
    home = Home()
    source = whoami(home.place)
    if source != addresses.HUMAN:
        raise UsageError("only a person clears a leak", "ask for it: swarm mail send --to human --type blocked")
    said = ""

    def ask(board: Board) -> Sequence[Draft]:
        nonlocal said
        attempt = _find(board, id)
        if LeakCleared in attempt.latest and not attempt.leak:
            said = f"{attempt.name} may land: a person said so"
            return []
        if not attempt.leak:
            raise UsageError(f"{attempt.name} is not held for a leak", "see what is: swarm work list")
        said = f"{attempt.name} may land; it was held because {attempt.leak}"
        return [Draft(LeakCleared(attempt=attempt.number), source, attempt.issue)]

    home.decide(("agents", "issues"), ask)
    say(said)
