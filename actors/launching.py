"""From an attempt to its agent at work: what it is told, its program, its environment. Rule: what the agent is given is
in the command, and what the runtime makes of it is asked of the runtime alone.
"""

from ..eventlog.errors import UsageError
from ..eventlog.events import MergeConflicted, SessionRequested, WorkRejected, WorktreePrepared
from ..projections import Board, agents, fact, issues
from ..runtimes import Task, runtime
from ..world import SessionSpec
from . import budgets, gates, retries
from .command import Said, Step, words
from .hands import Hands, RuntimeOptions
from .prompt import compose


class Run(Step, frozen=True):
    """Start the agent in its worktree. `spend`: variables that tell it of the run's budget."""

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
    conflict: tuple[str, ...] = ()
    spend: tuple[tuple[str, str], ...] = ()


def due(board: Board, attempt: agents.Attempt, prepared: WorktreePrepared, cause: str) -> Run | None:
    """How the attempt's agent is to be started; None for an attempt that nobody opened or was given."""
    issue = board[issues.State].all[attempt.issue]
    assigned, opened = attempt.assigned, issue.opened
    if assigned is None or opened is None:
        return None
    failure, output = retries.lesson(issue, attempt.number)
    before = [other for other in issue.tries if other.number < attempt.number and other.failure]
    conflict = fact(before[-1].latest, MergeConflicted) if before and assigned.resolve else None
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
        cause,
        prepared.port,
        tuple(conflict.files) if conflict else (),
        tuple(budgets.environment(board).items()),
    )


def run(command: Run, hands: Hands) -> list[Said]:
    """Start it."""
    session = f"{command.issue}-{command.attempt}"
    try:
        spec, env = _session(command, hands, session)
    except UsageError as error:
        rejected = WorkRejected(attempt=command.attempt, reason=words(error), detail=error.hint, final=True)
        return [Said(command.issue, rejected, command.cause)]
    host = hands.sessions.start(spec, hands.environment(env))
    asked = SessionRequested(session=session, attempt=command.attempt, kind="agent", host_pid=host)
    return [Said(command.issue, asked, command.cause)]


def _task(command: Run, hands: Hands, session: str) -> Task:
    """What the runtime is asked to do."""
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
        conflict=command.conflict,
    )
    return Task(
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


def _session(command: Run, hands: Hands, session: str) -> tuple[SessionSpec, dict[str, str]]:
    task = _task(command, hands, session)
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
    return spec, {**who, **gates.ports(command.port), **dict(command.spend), **launch.env}
