"""What is missing or wrong here, and the command that mends it."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

import click

from .. import runtimes
from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.place import Place, find, known_node
from ..eventlog.text import many
from ..eventlog.verify import verify
from ..mailbox import letters, views
from ..projections import Board, agents, issues, mail, runs
from ..world import liveness, running, settings
from ..world.tables import Settings
from . import Home, as_json, emit, say

GROUP = "Begin"
OK, WARN, WRONG = "ok", "warn", "wrong"
LEAST_DISK = 1 << 30


class Finding(NamedTuple):
    """One line of the report. `state`: ok, warn (it works all the same) or wrong; `mend` is a command, or empty."""

    check: str
    state: str
    words: str
    mend: str = ""


Findings = Iterator[Finding]


@click.command()
@as_json
def command(json_: bool) -> int:
    """What is missing or wrong here, and the command that mends it. Looks, and changes nothing.

    Exit code 1 if anything is wrong; a warning is none.
    """
    found = list(_examine())
    if json_:
        emit({"ok": not any(f.state == WRONG for f in found), "checks": [f._asdict() for f in found]})
    else:
        for finding in found:
            say(f"{finding.state:<5}  {finding.check:<11}  {finding.words}")
            if finding.mend and finding.state != OK:
                say(f"{'':<20}{finding.mend}")
    return 1 if any(finding.state == WRONG for finding in found) else 0


def _examine() -> Findings:
    yield _python()
    try:
        place = find(os.getcwd(), os.environ, initialised=False)
    except UsageError as error:
        yield Finding("repository", WRONG, str(error), error.hint)
        return
    yield from _repository(place)
    yield from _settings(place)
    yield from _target(place)
    yield disk(shutil.disk_usage(place.common).free)
    if not os.path.isdir(place.log):
        yield Finding("log", WRONG, "this repository is not ready for a swarm", "swarm init")
        return
    yield _node(place)
    yield from _log(place)
    yield _notification(place)
    board = Home(place).board()
    for check in (_run, _sessions, _needs, _landings, _letters):
        yield from check(place, board)


# --- the machine ----------------------------------------------------------------------------------


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = sys.version_info >= (3, 11)
    return Finding("python", OK if fits else WRONG, version, "install Python 3.11 or newer")


def disk(free: int) -> Finding:
    """What so many free bytes are good for: worktrees and raw logs need room."""
    state = OK if free >= LEAST_DISK else WARN
    return Finding("disk", state, f"{free / 1e9:.1f} GB free", "free some space: git worktree list; swarm agent list")


def _notification(place: Place) -> Finding:
    """Asked by using it: limits are per user, and others use them up too."""
    from ..eventlog.watcher import Watcher

    with Watcher(place.log, lambda: None) as watcher:
        degraded = watcher.degraded
    mend = "sudo sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536"
    return Finding("inotify", WARN if degraded else OK, degraded or "files are watched", mend)


def _settings(place: Place) -> Findings:
    try:
        known = settings.load(place.root)
    except UsageError as error:
        yield Finding("settings", WRONG, str(error), error.hint)
        known = Settings()
    else:
        there = os.path.exists(os.path.join(place.root, settings.FILE))
        yield Finding("settings", OK, f"{settings.FILE} is valid" if there else f"no {settings.FILE}: defaults")
    for name in runtimes.names():
        runtime, own = runtimes.runtime(name), known.runtimes.get(name)
        binary = (own.binary if own else "") or runtime.BINARY
        path = shutil.which(binary)
        missing = WRONG if name == known.start.runtime else WARN
        words = f"{name}: {path}" if path else f"{name}: there is no program {binary}"
        yield Finding("runtime", OK if path else missing, words, runtime.INSTALL)


# --- the repository and its log -------------------------------------------------------------------


def _repository(place: Place) -> Findings:
    from ..world.git import Git

    git = Git(place.root, place.common)
    try:
        version, problems = git.version(), git.problems()
    except SwarmError as error:
        yield Finding("git", WRONG, str(error), error.hint)
        return
    yield Finding("git", OK, ".".join(map(str, version)))
    for words, mend in problems:
        yield Finding("repository", WRONG, words, mend)
    if not problems:
        yield Finding("repository", OK, place.root)


def _target(place: Place) -> Findings:
    """Whether work would be cut from what others have moved on from. (What is wrong otherwise is said above.)"""
    from ..world.git import Git

    git = Git(place.root, place.common)
    with suppress(SwarmError):
        behind = git.behind(settings.load(place.root).start.target or git.default_branch())
        if behind:
            yield Finding("target", WARN, *behind)


def _node(place: Place) -> Finding:
    node = known_node(place)
    return Finding("node", OK, node or "this clone is new or a copy: its first event gives it a name of its own")


def _log(place: Place) -> Findings:
    report = verify(place.log)
    words = f"{many(report.events, 'event')} in {many(report.files, 'file')}"
    if report.errors:
        words += f", {len(report.errors)} errors; the first: {report.errors[0]}"
    elif report.notes:
        words += f", {len(report.notes)} notes"
    yield Finding("log", WRONG if report.errors else OK, words, "see all: swarm log verify")


def _run(place: Place, board: Board) -> Findings:
    holder, last = running.holder(os.path.join(place.home, "run.lock")), board[runs.State].current
    if holder:
        yield Finding("run", OK, f"{holder.run} runs (pid {holder.pid})")
    elif last and not last.stopped:
        yield Finding("run", WARN, f"{last.id} ended without a word: it was killed", "swarm start  (it goes on there)")
    else:
        yield Finding("run", OK, "no swarm runs")


def _sessions(place: Place, board: Board) -> Findings:
    found = liveness.conditions(place.runs, board)
    gone = sorted(session for session, word in found.items() if word == liveness.GONE)
    for session in gone:
        yield Finding("session", WARN, f"{session} is gone and left no word", "swarm start  (it sees to it)")
    if not gone:
        yield Finding("session", OK, f"{sum(1 for _ in board[agents.State].sessions())} run")


def _needs(_place: Place, board: Board) -> Findings:
    """Circles are refused when they are written; two clones can still make one together."""
    state = board[issues.State]
    found = [_stuck(state, issue) for issue in state.known() if issue.status != issues.DONE]
    wrong = [finding for finding in found if finding]
    yield from wrong or [Finding("needs", OK, "nothing waits for itself")]


def _stuck(state: issues.State, issue: issues.Issue) -> Finding | None:
    for need in state.waiting(issue):
        if need not in state.all or not state.all[need].opened:
            words = f"{issue.id} needs {need}, which is not in the log"
            return Finding("needs", WRONG, words, f"swarm issue close {issue.id}  (and write it again)")
        try:
            issues.check_needs(state, issue.id, [need])
        except UsageError as error:
            return Finding("needs", WRONG, str(error), f"swarm issue close {need}")
    return None


def _landings(_place: Place, board: Board) -> Findings:
    for row in views.merges_view(board):
        if row["status"] == "held":
            yield Finding("landing", WARN, f"{row['issue']} waits for you: {row['reason']}", row["command"])


def _letters(_place: Place, board: Board) -> Findings:
    lost = [letter for letter in board[mail.State].unsettled.values() if letters.undeliverable(board, letter)]
    for letter in sorted(lost, key=lambda one: one.id):
        why = letters.undeliverable(board, letter)[0].reason
        words = f"letter {letter.id} cannot arrive: {why}"
        yield Finding("mail", WARN, words, "swarm start  (it goes back to its sender)")
    if not lost:
        yield Finding("mail", OK, "every letter can arrive")
