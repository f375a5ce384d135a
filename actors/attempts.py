"""The steps that every attempt shares, whoever does it: prepare, run, secure, remove. Builder and Scout use them;
workspace.py has what is run in the worktree besides.

Rule: nothing is removed that was not secured, and each step is due exactly as long as its fact is missing.
"""

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import (
    AgentInterrupted,
    AttemptCancelled,
    MergeLanded,
    SessionKillRequested,
    SessionRequested,
    WorkRejected,
    WorkSecured,
    WorktreePrepared,
    WorktreeRemoved,
)
from ..eventlog.text import head
from ..projections import Board, agents, fact, happened, issues, runs
from ..runtimes import Task, names, runtime
from ..world import SessionSpec
from . import gates, retries, workspace
from .command import Command, Decide, Said, Step
from .hands import Hands, RuntimeOptions
from .prompt import compose
from .workspace import Chore, RejectSetup

WORKTREES = ".swarm/worktrees"
_INTERRUPTED = (-2, 130)
"""Exit codes of a program that was interrupted."""


class Prepare(Step, frozen=True):
    """Cut a worktree for the attempt from the target's tip. `taken`: the ports that others have; None: it gets none."""

    path: str
    branch: str
    target: str
    cause: str
    taken: tuple[int, ...] | None = None


class Run(Step, frozen=True):
    """Start the agent in its worktree."""

    agent: str
    role: str
    runtime: str
    model: str
    title: str
    body: str
    failure: str
    output: str
    path: str
    cause: str
    port: int = 0


class Secure(Step, frozen=True):
    """Commit what the agent left: to its branch, or with `wip` to a wip ref; `why`, if there is one, ends it there."""

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


class Remove(Step, frozen=True):
    """Remove the worktree; its work is in `secured`, so that `branch`, if it is named, may go too.

    `recycle`: every process that ran in it is known to have ended, so its folder may be used again.
    """

    path: str
    branch: str
    secured: str
    recycle: bool
    cause: str


def session_name(attempt: agents.Attempt) -> str:
    """The agent's session of an attempt."""
    return attempt.name


def steps(board: Board, role: str) -> list[Command]:
    """The shared steps that are due for the attempts of that role."""
    found = []
    for attempt in board[agents.State].ongoing():
        if attempt.assigned and attempt.assigned.role == role:
            step = _ending(board, attempt) if attempt.ended else _next(board, attempt)
            if step:
                found.append(step)
    return found


def _next(board: Board, attempt: agents.Attempt) -> Command | None:
    settings = board[runs.State].settings
    prepared = fact(attempt.latest, WorktreePrepared)
    session = attempt.sessions.get(session_name(attempt))
    if settings is None:
        return None
    if prepared is None:
        branch = f"swarm/{attempt.agent}/{attempt.name}"
        path = f"{WORKTREES}/{attempt.name}"
        cause = _newest(attempt)
        taken = workspace.taken(board) if settings.ports else None
        return Prepare(attempt.issue, attempt.number, path, branch, settings.target, cause, taken)
    if session is None:
        first = workspace.before(board, attempt, prepared, _newest(attempt))
        if first is not None:
            return next(iter(first), None)
        return None if board[runs.State].ending else _run(board, attempt, prepared)
    if session.exited and session.exited.quota:
        return None  # no failure of the attempt: the Watchdog tells of the provider, and calls the attempt off
    if session.over and not fact(attempt.latest, WorkSecured):
        return _stopped(attempt, session) or _secure(board, attempt, prepared)
    return None


def _run(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared) -> Run | None:
    issue = board[issues.State].all[attempt.issue]
    assigned, opened = attempt.assigned, issue.opened
    if assigned is None or opened is None:
        return None
    failure, output = retries.lesson(issue, attempt.number)
    return Run(
        attempt.issue,
        attempt.number,
        assigned.agent,
        assigned.role,
        assigned.runtime,
        assigned.model,
        opened.title,
        opened.body,
        failure,
        output,
        prepared.path,
        _newest(attempt),
        prepared.port,
    )


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
    why = _failure(session) if session else "cancelled"
    missing = bool(exited and exited.ended_by == "missing")
    return Secure(
        issue=attempt.issue,
        attempt=attempt.number,
        agent=attempt.agent,
        title=opened.title if opened else attempt.issue,
        path=prepared.path,
        branch=prepared.branch,
        base=prepared.base,
        wip=bool(why) or attempt.ended or (attempt.assigned is not None and attempt.assigned.role == "scout"),
        why=why,
        detail=_install(attempt) if missing else exited.tail if exited and not exited.ok else "",
        final=missing,
        ended=attempt.ended,
        cause=_newest(attempt),
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


def _ending(board: Board, attempt: agents.Attempt) -> Command | None:
    """An attempt whose outcome is known: let its agent end, secure what is left, remove the worktree."""
    prepared, secured = fact(attempt.latest, WorktreePrepared), fact(attempt.latest, WorkSecured)
    running = [session for session in attempt.sessions.values() if not session.over]
    if prepared is None or fact(attempt.latest, WorktreeRemoved):
        return _kill(attempt, running)
    if working := [session for session in running if session.kind != workspace.CLEANUP]:
        return _kill(attempt, working)
    if secured is None:
        return _secure(board, attempt, prepared)
    last = workspace.after(board, attempt, prepared, _newest(attempt))
    if last is not None:
        return next(iter(last), None)
    elsewhere = MergeLanded in attempt.latest or secured.ref != f"refs/heads/{prepared.branch}"
    branch = prepared.branch if elsewhere else ""
    recycle = not any(session.lost for session in attempt.sessions.values())
    return Remove(attempt.issue, attempt.number, prepared.path, branch, secured.commit, recycle, _newest(attempt))


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
        case Run():
            return _do_run(command, hands)
        case Secure():
            return _do_secure(command, hands)
        case Chore() | RejectSetup():
            return workspace.perform(command, hands)
        case Remove():
            hands.repository.remove(command.path, command.secured, recycle=command.recycle)
            if command.branch:
                hands.repository.delete_branch(command.branch, command.secured)
            gone = WorktreeRemoved(attempt=command.attempt, path=command.path, secured=command.secured)
            return [Said(command.issue, gone, command.cause)]
    raise TypeError(f"not a step of an attempt: {command}")


def _do_prepare(command: Prepare, hands: Hands) -> list[Said]:
    base = hands.repository.tip(command.target)
    hands.repository.prepare(command.path, command.branch, base)
    notes = _furnish(command, hands, base)
    port = hands.gauge.ports(command.taken) if hands.gauge and command.taken is not None else 0
    if command.taken is not None and not port:
        notes.append("there are no ten free ports")
    made = WorktreePrepared(command.attempt, command.path, command.branch, base, port, notes=notes)
    return [Said(command.issue, made, command.cause)]


def _furnish(command: Prepare, hands: Hands, base: str) -> list[str]:
    """What the recipe copies and links. Where that is refused, there is no worktree: nobody would remove it."""
    recipe = hands.recipe
    if not (recipe.copy or recipe.link):
        return []
    try:
        return hands.repository.furnish(command.path, recipe.copy, recipe.link)
    except SwarmError:
        hands.repository.remove(command.path, base, recycle=True)
        hands.repository.delete_branch(command.branch, base)
        raise


def _do_run(command: Run, hands: Hands) -> list[Said]:
    session = f"{command.issue}-{command.attempt}"
    try:
        spec, env = _session(command, hands, session)
    except UsageError as error:
        rejected = WorkRejected(attempt=command.attempt, reason=words(error), detail=error.hint, final=True)
        return [Said(command.issue, rejected, command.cause)]
    host = hands.sessions.start(spec, hands.environment(env))
    asked = SessionRequested(session=session, attempt=command.attempt, kind="agent", host_pid=host)
    return [Said(command.issue, asked, command.cause)]


def _session(command: Run, hands: Hands, session: str) -> tuple[SessionSpec, dict[str, str]]:
    options = hands.options.get(command.runtime, RuntimeOptions())
    prompt = compose(
        command.issue,
        command.title,
        command.body,
        command.role,
        command.agent,
        failure=command.failure,
        output=command.output,
        port=command.port,
    )
    task = Task(
        session=session,
        issue=command.issue,
        agent=command.agent,
        role=command.role,
        prompt=prompt,
        body=command.body,
        worktree=f"{hands.root}/{command.path}",
        run_dir=f"{hands.runs}/{session}",
        model=command.model,
        llm=hands.llm,
        binary=options.binary,
        args=options.args,
    )
    launch = runtime(command.runtime).launch(task)
    for path, text in launch.files.items():
        hands.write(path, text)
    spec = SessionSpec(
        session=session,
        issue=command.issue,
        attempt=command.attempt,
        kind="agent",
        argv=list(launch.argv),
        cwd=task.worktree,
        run_dir=task.run_dir,
        log_dir=hands.log,
        runtime=command.runtime,
        stdin=launch.stdin,
        terminal=launch.terminal,
        cap=hands.limits.log,
        timeout=hands.limits.attempt,
        memory=hands.limits.memory,
        processes=hands.limits.processes,
        output=hands.limits.output,
        correlationid=hands.run,
        causationid=command.cause,
    )
    name, _, email = hands.author(command.agent).partition(" <")
    who = {
        "SWARM_AGENT": command.agent,
        "SWARM_ISSUE": command.issue,
        "SWARM_SESSION": session,
        "SWARM_ROLE": command.role,
        "SWARM_LOG": hands.log,
        "GIT_AUTHOR_NAME": name,
        "GIT_AUTHOR_EMAIL": email.rstrip(">"),
        "GIT_COMMITTER_NAME": name,
        "GIT_COMMITTER_EMAIL": email.rstrip(">"),
    }
    return spec, {**who, **gates.ports(command.port), **launch.env}


def _do_secure(command: Secure, hands: Hands) -> list[Said]:
    wip = f"refs/swarm/wip/{command.agent}/{command.issue}-{command.attempt}"
    ref = wip if command.wip else f"refs/heads/{command.branch}"
    secured = hands.repository.secure(
        command.path, command.branch, command.base, ref, command.title, hands.author(command.agent)
    )
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
    facts: list[Said] = [Said(command.issue, said, command.cause)]
    if command.why and not command.ended:
        rejected = WorkRejected(attempt=command.attempt, reason=command.why, detail=command.detail, final=command.final)
        facts.insert(0, Said(command.issue, rejected, command.cause))  # first: a kill may cut the write
    return facts


def refused(command: Command, error: SwarmError) -> list[Said]:
    """The world refused a step: the attempt ends with the world's words, unless it has ended anyway."""
    if isinstance(command, Remove) or (isinstance(command, Secure) and command.ended):
        return []
    if isinstance(command, Chore):
        return workspace.refused(command, error, words(error))
    if isinstance(command, Prepare | Run | Secure):
        rejected = WorkRejected(attempt=command.attempt, reason=words(error), detail=error.hint)
        return [Said(command.issue, rejected, command.cause)]
    raise error


def words(error: SwarmError) -> str:
    """The error on one line that fits into a fact."""
    return head(" ".join(str(error).split()), 1000) or type(error).__name__
