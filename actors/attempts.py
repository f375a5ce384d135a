"""The steps that every attempt shares, whoever does it: prepare, run, secure, remove. Builder and Scout use them;
launching.py starts the agent, workspace.py what is run in the worktree besides, endings.py has what comes last.

Rule: nothing is removed that was not secured, and each step is due exactly as long as its fact is missing.
"""

from msgspec.structs import replace

from ..eventlog.errors import SwarmError
from ..eventlog.events import (
    AgentInterrupted,
    AttemptCancelled,
    CheckoutSeen,
    ConflictResolved,
    SessionKillRequested,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from ..eventlog.fact import Fact
from ..projections import Board, agents, fact, happened, issues, runs
from ..runtimes import names, runtime
from ..world import Secured
from . import endings, gates, launching, leaks, workspace
from .command import Command, Decide, Said, Step, words
from .hands import Hands
from .launching import Run
from .workspace import Chore, RejectSetup

WORKTREES = ".swarm/worktrees"
_INTERRUPTED = (-2, 130)
"""Exit codes of a program that was interrupted."""


class Prepare(Step, frozen=True):
    """Cut a worktree for the attempt from the target's tip, or begin it with `work`: with `resolve`, as a merge of that
    into the target that does not merge. `taken`: the ports that others have; None: it gets none.
    """

    path: str
    branch: str
    target: str
    cause: str
    taken: tuple[int, ...] | None = None
    work: str = ""
    resolve: bool = False


class Secure(Step, frozen=True):
    """Commit what the agent left: to its branch, or with `wip` to a wip ref; `why`, if there is one, ends it there.

    `seen`: the person's checkout before, if that is to be compared; `work` and `resolve` as it was prepared.
    """

    agent: str
    title: str
    path: str
    branch: str
    base: str
    wip: bool
    why: str
    detail: str
    final: bool
    ended: bool
    cause: str
    seen: CheckoutSeen | None = None
    work: str = ""
    resolve: bool = False


def session_name(attempt: agents.Attempt) -> str:
    """The agent's session of an attempt."""
    return attempt.name


def steps(board: Board, role: str, now: float) -> list[Command]:
    """The shared steps that are due for the attempts of that role."""
    found = []
    for attempt in board[agents.State].ongoing(endings.wanted(board, now)):
        if attempt.assigned and attempt.assigned.role == role:
            step = _ending(board, attempt, now) if attempt.ended else _next(board, attempt)
            if step:
                found.append(step)
    return found


def _next(board: Board, attempt: agents.Attempt) -> Command | None:
    settings = board[runs.State].settings
    prepared = fact(attempt.latest, WorktreePrepared)
    session = attempt.sessions.get(session_name(attempt))
    assigned, where, cause = attempt.assigned, (attempt.issue, attempt.number), _newest(attempt)
    if settings is None or assigned is None:
        return None
    given = assigned.work and (not assigned.resolve or settings.merge.on_conflict == "resolve")
    if not (settings.max_agents or session or given):
        return None  # this run only lands what is there
    if prepared is None:
        branch = f"swarm/{attempt.agent}/{attempt.name}"
        path = f"{WORKTREES}/{attempt.name}"
        taken = workspace.taken(board) if settings.ports else None
        return Prepare(*where, path, branch, settings.target, cause, taken, assigned.work, assigned.resolve)
    if assigned.work and not assigned.resolve:  # it is there already, and needs no agent
        return None if fact(attempt.latest, WorkSecured) else _take_over(board, attempt, prepared)
    if session is None:
        return _begin(board, attempt, prepared)
    if session.exited and session.exited.quota:
        return None  # no failure of the attempt: the Watchdog tells of the provider, and calls the attempt off
    if session.over and not fact(attempt.latest, WorkSecured):
        return _stopped(attempt, session) or _secure(board, attempt, prepared)
    return None


def _take_over(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared) -> Command | None:
    """Work that is given is secured as it is, where its tests can be run."""
    first = workspace.before(board, attempt, prepared, _newest(attempt))
    return _secure(board, attempt, prepared) if first is None else next(iter(first), None)


def _begin(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared) -> Command | None:
    """What stands before the agent, and then the agent."""
    first = workspace.before(board, attempt, prepared, _newest(attempt))
    if first is not None:
        return next(iter(first), None)
    if board[runs.State].ending:
        return None
    if CheckoutSeen not in attempt.latest:
        return leaks.Look(attempt.issue, attempt.number, _newest(attempt))
    return launching.due(board, attempt, prepared, _newest(attempt))


def _stopped(attempt: agents.Attempt, session: agents.Session) -> Decide | None:
    """A session that a person ended is no failure of the attempt; one that was ended for its silence is."""
    wish = fact(session.latest, SessionKillRequested)
    if session.exited and session.exited.ended_by == "killed" and wish and not wish.failure:
        return Decide(attempt.issue, AttemptCancelled(attempt=attempt.number, reason=wish.reason), _newest(attempt))
    return None


def _secure(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared) -> Secure:
    session = attempt.sessions.get(session_name(attempt))
    exited = session.exited if session else None
    opened = board[issues.State].all[attempt.issue].opened
    assigned = attempt.assigned
    given = assigned is not None and bool(assigned.work) and not assigned.resolve and not attempt.ended
    why = _failure(session) if session else "" if given else "cancelled"
    missing = bool(exited and exited.ended_by == "missing")
    return Secure(
        issue=attempt.issue,
        attempt=attempt.number,
        agent=attempt.agent,
        title=opened.title if opened else attempt.issue,
        path=prepared.path,
        branch=prepared.branch,
        base=prepared.base,
        wip=bool(why) or attempt.ended or (assigned is not None and assigned.role == "scout"),
        why=why,
        detail=_install(attempt) if missing else exited.tail if exited and not exited.ok else "",
        final=missing,
        ended=attempt.ended,
        cause=_newest(attempt),
        seen=leaks.seen(attempt),
        work=assigned.work if assigned else "",
        resolve=assigned is not None and assigned.resolve,
    )


def _failure(session: agents.Session) -> str:
    """Why its agent did not end well; empty if it did."""
    exited, wish = session.exited, fact(session.latest, SessionKillRequested)
    if exited is None:
        return "the agent's session was lost" if session.lost else "cancelled"
    if exited.ok:
        return ""
    if exited.ended_by == "killed" and wish:
        return wish.reason
    why = exited.why or f"exit code {exited.code}"
    interrupted = fact(session.latest, AgentInterrupted)
    if interrupted and exited.code in _INTERRUPTED:
        why += f", as it was interrupted: {interrupted.reason}"
    return why


def _install(attempt: agents.Attempt) -> str:
    """What to do when the runtime's program is missing."""
    name = attempt.assigned.runtime if attempt.assigned else ""
    return f"install it with: {runtime(name).INSTALL}" if name in names() else ""


def _ending(board: Board, attempt: agents.Attempt, now: float) -> Command | None:
    """An attempt whose outcome is known: let its agent end, secure what is left, remove the worktree in due time."""
    prepared, secured = fact(attempt.latest, WorktreePrepared), fact(attempt.latest, WorkSecured)
    running = [one for one in attempt.sessions.values() if not one.over and one.kind != "validation"]
    if prepared is None or fact(attempt.latest, WorktreeRemoved):
        return _kill(attempt, running)
    if working := [session for session in running if session.kind != workspace.CLEANUP]:
        return _kill(attempt, working)
    if secured is None:
        return _secure(board, attempt, prepared)
    step = endings.due(board, attempt, secured, now, _newest(attempt))
    if isinstance(step, endings.Remove):
        last = workspace.after(board, attempt, prepared, _newest(attempt))
        if last is not None:
            return next(iter(last), None)
        return replace(step, next=_next_gates(board, attempt))
    return step


def _next_gates(board: Board, attempt: agents.Attempt) -> tuple[str, ...]:
    """The gate sessions that would have come next."""
    settings = board[runs.State].settings
    chosen = gates.chosen(settings, "attempt") if settings else []
    stems = [stem(attempt, gate.name) for gate in chosen for stem in (gates.stem, gates.stem_of_control)]
    return tuple(name for name, session in (gates.newest(attempt, stem) for stem in stems) if session is None)


def _kill(attempt: agents.Attempt, running: list[agents.Session]) -> Decide | None:
    """Ask for the end of a session that still runs though nothing can come of it; the Watchdog sees to it."""
    for session in sorted(running, key=lambda one: one.id):
        if not session.killed:
            reason = "the attempt has ended"
            wish = SessionKillRequested(session=session.id, attempt=attempt.number, reason=reason)
            return Decide(attempt.issue, wish, _newest(attempt))
    return None


def _newest(attempt: agents.Attempt) -> str:
    """The id of the attempt's newest event, its sessions' included: what led to the next step."""
    own = [happened(attempt.latest, kind) for kind in attempt.latest]
    theirs = [happened(session.latest, kind) for session in attempt.sessions.values() for kind in session.latest]
    return max(own + theirs, default="")


# --- doing it -------------------------------------------------------------------------------------


def perform(command: Command, hands: Hands) -> list[Said]:
    """Do one of the shared steps."""
    match command:
        case Prepare():
            return _do_prepare(command, hands)
        case leaks.Look():
            return leaks.look(command, hands)
        case Run():
            return launching.run(command, hands)
        case Secure():
            return _do_secure(command, hands)
        case Chore() | RejectSetup():
            return workspace.perform(command, hands)
        case endings.Keep():
            return [endings.keep(command, hands.repository)]
        case endings.Remove():
            if any(hands.sessions.running(name) for name in command.next):
                return []  # it is in the log soon, and will be ended
            return [endings.remove(command, hands.repository)]
    raise TypeError(f"not a step of an attempt: {command}")


def _do_prepare(command: Prepare, hands: Hands) -> list[Said]:
    notes = [f"{told}: {mend}" if mend else told for told, mend in hands.follow(command.target)]
    base = hands.repository.tip(command.target)
    hands.repository.prepare(command.path, command.branch, base, work=command.work, resolve=command.resolve)
    notes += _furnish(command, hands, base)
    port = workspace.give_ports(hands, command.taken)
    if command.taken is not None and not port:
        notes.append("there are no ten free ports")
    begun = "" if command.resolve else command.work
    made = WorktreePrepared(command.attempt, command.path, command.branch, base, port, work=begun, notes=notes)
    return [Said(command.issue, made, command.cause)]


def _furnish(command: Prepare, hands: Hands, base: str) -> list[str]:
    """What the recipe copies and links. Where that is refused, there is no worktree: nobody would remove it."""
    try:
        return workspace.furnish(hands, command.path)
    except SwarmError:
        hands.repository.remove(command.path, base, recycle=True)
        hands.repository.delete_branch(command.branch, base)
        raise


def _do_secure(command: Secure, hands: Hands) -> list[Said]:
    ref = endings.wip(command.agent, command) if command.wip else f"refs/heads/{command.branch}"
    where = (command.path, command.branch, command.base, ref)
    author, work, resolve = hands.author(command.agent), command.work, command.resolve
    secured = hands.repository.secure(*where, command.title, author, work=work, resolve=resolve)
    said = WorkSecured(
        attempt=command.attempt,
        ref=secured.ref,
        commit=secured.commit,
        base=command.base,
        commits=secured.commits,
        files=secured.files,
        left=secured.left,
        notes=secured.notes,
    )
    facts = [*_leak(command, secured, hands), *_judge(command, secured, hands), said]
    return [Said(command.issue, fact, command.cause) for fact in facts]


def _leak(command: Secure, secured: Secured, hands: Hands) -> list[Fact]:
    found = command.seen and leaks.compare(command.seen, command.agent, command.base, secured, hands)
    return [found] if found else []


def _judge(command: Secure, secured: Secured, hands: Hands) -> list[Fact]:
    """What is to be said before that the work is secured: a kill may cut the write."""
    if command.ended:
        return []
    if command.why:
        return [WorkRejected(attempt=command.attempt, reason=command.why, detail=command.detail, final=command.final)]
    if not command.resolve or not secured.commits:
        return []
    dropped = hands.repository.resolved(command.base, command.work, secured.commit)
    return [ConflictResolved(command.attempt, command.base, command.work, secured.commit, dropped)]


def refused(command: Command, error: SwarmError) -> list[Said]:
    """The world refused a step: the attempt ends with the world's words, unless it has ended anyway."""
    if isinstance(command, endings.Keep | endings.Remove) or (isinstance(command, Secure) and command.ended):
        return []
    if isinstance(command, Chore):
        return workspace.refused(command, error, words(error))
    if isinstance(command, Prepare | leaks.Look | Run | Secure):
        rejected = WorkRejected(attempt=command.attempt, reason=words(error), detail=error.hint)
        return [Said(command.issue, rejected, command.cause)]
    raise error
