"""What is run in a worktree beside the agent and its tests: the setting up before, the cleaning up after.

Rule: an agent begins in a worktree that was set up, or not at all; what fails to clean up is said and holds nothing up.
The Merger's own worktrees are cleaned for every test, so there the same session sets up first, and then tests: a setup
that fails there is never a verdict. They stay, so nothing is cleaned up in them.
"""

from msgspec.structs import replace

from ..eventlog.errors import SwarmError
from ..eventlog.events import SessionLost, SessionRequested, WorkRejected, WorktreePrepared
from ..projections import Board, agents, fact, happened, runs
from ..world import SessionSpec
from . import gates
from .command import Command, Said, Step
from .hands import Hands

SETUP, CLEANUP = "setup", "cleanup"
TRIES = 3
"""So many lost sessions of the setup command are its own doing: it takes its host down with it."""
_FIRST = f"""
/bin/sh -c "$1" || {{ code=$?; echo "{gates.NOT_SET_UP} (exit code $code)"; exit 126; }}
shift
exec "$@"
"""


class Chore(Step, frozen=True):
    """Run the command, which is of that kind (setup or cleanup), in the attempt's worktree."""

    kind: str
    session: str
    line: str
    path: str
    port: int
    cause: str


class RejectSetup(Step, frozen=True):
    """The worktree could not be set up: the agent is not even started."""

    why: str
    detail: str
    cause: str


def before(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared, cause: str) -> list[Command] | None:
    """What stands before the agent: None if nothing does, else what is due of it, which may be nothing but to wait."""
    settings, where = board[runs.State].settings, (attempt.issue, attempt.number)
    if settings is None or not settings.setup:
        return None
    lost = [happened(s.latest, SessionLost) for s in attempt.sessions.values() if s.kind == SETUP and s.lost]
    name, session = gates.newest(attempt, f"{attempt.name}-{SETUP}", max(lost, default="") if len(lost) < TRIES else "")
    if session is None:
        chore = Chore(*where, SETUP, name, settings.setup, prepared.path, prepared.port, cause)
        return [] if board[runs.State].ending else [chore]
    if not session.over:
        return []
    exited = session.exited
    if exited and exited.ok:
        return None
    why = exited.why if exited else "its session was lost"
    return [RejectSetup(*where, f"the setup command failed: {why}", exited.tail if exited else "", cause)]


def after(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared, cause: str) -> list[Command] | None:
    """The same before the worktree is removed. It is tried once."""
    settings, where = board[runs.State].settings, (attempt.issue, attempt.number)
    if settings is None or not settings.cleanup:
        return None
    name = f"{attempt.name}-{CLEANUP}"
    session = attempt.sessions.get(name)
    if session is None:
        chore = Chore(*where, CLEANUP, name, settings.cleanup, prepared.path, prepared.port, cause)
        return [] if board[runs.State].ending else [chore]
    return None if session.over else []


def taken(board: Board) -> tuple[int, ...]:
    """The blocks of ports of worktrees which are still there, and of sessions which run."""
    state = board[agents.State]
    live = (attempt.get(WorktreePrepared) for attempt in state.live.values())
    running = (fact(session.latest, SessionRequested) for session in state.sessions())
    return tuple(sorted({given.port for given in (*live, *running) if given and given.port}))


def furnish(hands: Hands, path: str) -> list[str]:
    """Copy and link what the recipe says; returns what could not be had, in words."""
    recipe = hands.recipe
    return hands.repository.furnish(path, recipe.copy, recipe.link) if recipe.copy or recipe.link else []


def give_ports(hands: Hands, taken: tuple[int, ...] | None) -> int:
    """The first of ten ports that nobody has; 0 if there are none, or none are asked for (None)."""
    return hands.gauge.ports(taken) if hands.gauge and taken is not None else 0


def set_up_first(spec: SessionSpec, hands: Hands) -> SessionSpec:
    """The same session, which runs the setup command before its own; it may take the time of both."""
    setup, seconds = hands.recipe.setup, hands.recipe.seconds
    if not setup:
        return spec
    return replace(spec, argv=["/bin/sh", "-c", _FIRST, "sh", setup, *spec.argv], timeout=spec.timeout + seconds)


def perform(command: Chore | RejectSetup, hands: Hands) -> list[Said]:
    """Do it."""
    if isinstance(command, RejectSetup):
        rejected = WorkRejected(attempt=command.attempt, reason=command.why, detail=command.detail)
        return [Said(command.issue, rejected, command.cause)]
    path = f"{hands.root}/{command.path}"
    spec = gates.spec(
        hands, command.line, command.session, command.issue, command.attempt, command.kind, path, command.cause
    )
    return [gates.start(hands, replace(spec, timeout=hands.recipe.seconds), command.port)]


def refused(command: Chore, error: SwarmError, words: str) -> list[Said]:
    """No host could be started for it."""
    if command.kind == SETUP:
        rejected = WorkRejected(attempt=command.attempt, reason=words, detail=error.hint)
        return [Said(command.issue, rejected, command.cause)]
    asked = SessionRequested(session=command.session, attempt=command.attempt, kind=command.kind)
    lost = SessionLost(session=command.session, attempt=command.attempt, reason=words)
    return [Said(command.issue, asked, command.cause), Said(command.issue, lost, command.cause)]
