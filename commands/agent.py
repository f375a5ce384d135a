"""Agents, by name: list, show, read their output, end them."""

import codecs
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from ..eventlog.errors import UsageError
from ..eventlog.events import IssueHeld, SessionKillRequested, SessionProgressed
from ..eventlog.files import Draft
from ..eventlog.place import Place
from ..eventlog.telling import one_line
from ..eventlog.text import printable
from ..mailbox import addresses, views
from ..projections import Board, agents, fact, issues
from ..world import clock, running
from ..world.liveness import GONE, conditions
from . import Home, as_json, emit, put, say, table, whoami

GROUP = "Watch"
_STREAMS = ("stdout.log", "stderr.log")


@click.group()
def command() -> None:
    """Agents, by name: list, show, read their output, end them.

    An agent is a named place to work (builder-1), filled by one attempt at an issue at a time.
    """


# --- looking --------------------------------------------------------------------------------------


@command.command("list")
@as_json
def list_(json_: bool) -> None:
    """Every agent: what it does, since when, and its last sign of life."""
    home = Home()
    board = home.board(("agents", "runs"))
    rows = views.agents_view(board, conditions(home.place.runs, board), clock.now())
    if json_:
        emit(rows)
    elif rows:
        head = ("name", "role", "state", "issue", "runtime", "pid", "since", "last sign of life", "note")
        keys = ("name", "role", "state", "issue", "runtime", "pid", "since", "seen", "note")
        table([[row[key] or "-" for key in keys] for row in rows], head)
    else:
        say("no agent has worked yet; have some work done:  swarm start")


@command.command()
@click.argument("name")
@as_json
def show(name: str, json_: bool) -> None:
    """One agent: what it does, whether its process, its progress and its log are alive, and its attempts so far."""
    home = Home()
    board = home.board(("agents", "runs"), whole=True)
    attempt = _last(board, name)
    machine = conditions(home.place.runs, board)
    row = next(r for r in views.agents_view(board, machine, clock.now()) if r["name"] == attempt.agent)
    mine = [a for _, a in sorted(board[agents.State].attempts.items()) if a.agent == attempt.agent]
    tries = [{"issue": a.issue, "attempt": a.number, "stage": a.stage} for a in mine]
    folder = _folder(home.place, attempt)
    document = {**row, **_life(attempt, machine, folder), "output": folder, "attempts": tries}
    if json_:
        emit(document)
        return
    for key, value in document.items():
        if key != "attempts" and value:
            say(f"{key:<9} {one_line(str(value), 400)}")
    for one in tries:
        say(f"attempt   {one['issue']}-{one['attempt']}  {one['stage']}")


@command.command()
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until its session ends.")
@as_json
def logs(name: str, follow: bool, json_: bool) -> None:
    """What the agent printed in its newest attempt.

    On a terminal what could act on it is shown as an escape; into a pipe or a file go the very bytes.
    """
    if follow and json_:
        raise UsageError("--json prints one document, and -f goes on", f"swarm agent logs {name} --json")
    home = Home()
    attempt = _last(home.board(("agents",)), name)
    folder = _folder(home.place, attempt)
    if json_:
        stdout, stderr = (_text(os.path.join(folder, stream)) for stream in _STREAMS)
        who = {"agent": attempt.agent, "issue": attempt.issue, "attempt": attempt.number, "session": attempt.name}
        emit({**who, "stdout": stdout, "stderr": stderr})
        return
    if follow and not os.path.isdir(folder):
        _follow(home.place.runs, lambda: None, lambda: os.path.isdir(folder) or _is_over(home, attempt))
    if not os.path.isdir(folder):
        click.echo(f"swarm: {name} has printed nothing yet", err=True)
        return
    streams = [_Stream(os.path.join(folder, stream)) for stream in _STREAMS]
    if follow:
        _follow(folder, lambda: _pass_on(streams), lambda: _is_over(home, attempt))
    else:
        _pass_on(streams)


def _life(attempt: agents.Attempt, machine: Mapping[str, str], folder: str) -> dict[str, Any]:
    """Three facts that need not agree. `process`: runs, ending, gone or ended (empty: none began); `printed` bytes and
    `tools` used, as its host said last; `logged`: when its raw log grew last.
    """
    session = attempt.sessions.get(attempt.name)
    process = "" if session is None else "ended" if session.over else machine.get(session.id, "runs")
    progress = fact(session.latest, SessionProgressed) if session else None
    return {
        "process": process,
        "printed": progress.output if progress else 0,
        "tools": progress.tools if progress else 0,
        "logged": _grown(folder),
    }


def _grown(folder: str) -> str:
    logs = [path for stream in _STREAMS if os.path.exists(path := os.path.join(folder, stream))]
    written = [status.st_mtime for status in map(os.stat, logs) if status.st_size]
    return datetime.fromtimestamp(max(written), UTC).isoformat(timespec="seconds") if written else ""


def _last(board: Board, name: str) -> agents.Attempt:
    """The newest attempt of that agent; raises UsageError with the names there are."""
    state = board[agents.State]
    found = state.last(name) or state.last(name.removeprefix("agent-"))
    if found is None:
        known = ", ".join(state.names())
        raise UsageError(f"there is no agent {name!r}", f"known agents: {known}" if known else "none has worked yet")
    return found


def _folder(place: Place, attempt: agents.Attempt) -> str:
    return os.path.join(place.runs, os.path.basename(attempt.name))


def _text(path: str) -> str:
    """One raw log as a text that is UTF-8 whatever was printed; empty if there is none."""
    try:
        with open(path, encoding="utf-8", errors="replace", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""


class _Stream:
    """One raw log, from where it was read last."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode

    def pass_on(self) -> bool:
        """Print a piece of what came since; False if there was nothing."""
        try:
            with open(self._path, "rb") as file:
                file.seek(self._offset)
                data = file.read(1 << 20)
        except FileNotFoundError:
            return False
        self._offset += len(data)
        put(printable(self._decode(data)).encode() if sys.stdout.isatty() else data)
        return bool(data)


def _pass_on(streams: Sequence[_Stream]) -> None:
    for stream in streams:
        while stream.pass_on():
            pass


def _is_over(home: Home, attempt: agents.Attempt) -> bool:
    board = home.board(("agents",))
    session = board[agents.State].attempts[attempt.issue, attempt.number].sessions.get(attempt.name)
    if session is None:
        return attempt.ended
    return session.over or conditions(home.place.runs, board).get(session.id) == GONE


def _follow(folder: str, look: Callable[[], None], is_over: Callable[[], bool]) -> None:
    """Look whenever something happens in the folder, and a last time when it is over."""
    from ..eventlog.watcher import Watcher

    bell = threading.Event()
    with Watcher(folder, bell.set, tick=bell.set):
        over = False
        while not over:
            bell.clear()
            over = is_over()  # asked first: what was printed before the end is passed on after it
            look()
            if not over:
                bell.wait()


# --- ending ---------------------------------------------------------------------------------------


@command.command()
@click.argument("name")
def kill(name: str) -> None:
    """End what the agent runs, and hold its issue for a person; what it did so far is secured by the swarm.

    Returns when its processes are gone. The issue goes on with: swarm issue reopen ID
    """
    from ..world.sessions import end_all, wait_for_end

    home = Home()
    attempts: list[agents.Attempt] = []

    def ask(board: Board) -> list[Draft]:
        attempts[:] = _at_work(board, name)
        return [draft for attempt in attempts for draft in _wishes(board, attempt, whoami(home.place))]

    home.decide(("agents", "issues"), ask)
    sessions = [session for attempt in attempts for session in _own_sessions(attempt)]
    if running.holder(os.path.join(home.place.home, "run.lock")) is None:
        end_all(home.place, sessions)
    else:
        wait_for_end(home.place.runs, sessions)
    held = ", ".join(dict.fromkeys(attempt.issue for attempt in attempts))
    say(f"{name} is ended; {held} is blocked until: swarm issue reopen {attempts[0].issue}")


def _at_work(board: Board, name: str) -> list[agents.Attempt]:
    """The attempts that the agent is at; raises UsageError with those who are at work."""
    _last(board, name)
    plain = name.removeprefix("agent-")
    everybody = [attempt for attempt in board[agents.State].ongoing() if _in_hand(attempt)]
    mine = [attempt for attempt in everybody if attempt.agent in (name, plain)]
    if not mine:
        others = ", ".join(dict.fromkeys(attempt.agent for attempt in everybody))
        raise UsageError(f"{name} is not at work", f"at work: {others or 'nobody'}")
    return mine


def _in_hand(attempt: agents.Attempt) -> bool:
    """Whether there is something to end: an agent at work, a test of what it did, or what still runs of either."""
    return attempt.active or attempt.testing or bool(_own_sessions(attempt))


def _own_sessions(attempt: agents.Attempt) -> list[agents.Session]:
    """What runs for the attempt itself; the test of a merge is the Merger's."""
    return [session for session in attempt.sessions.values() if not session.over and session.kind != "landing"]


def _wishes(board: Board, attempt: agents.Attempt, source: str) -> list[Draft]:
    """That its sessions end, and that the issue waits for a person unless it is settled otherwise."""
    why = "killed by a person" if source == addresses.HUMAN else f"killed by {addresses.address_of(source)}"
    drafts = [
        Draft(SessionKillRequested(session=session.id, attempt=attempt.number, reason=why), source, attempt.issue)
        for session in _own_sessions(attempt)
        if not session.killed
    ]
    issue = board[issues.State].issue(attempt.issue)
    if issue.mark is None and (attempt.active or attempt.testing):
        held = IssueHeld(generation=issue.generation, reason=why, attempt=attempt.number)
        drafts.append(Draft(held, source, attempt.issue))
    return drafts
