"""Gates: a test command run in a session of its own, and what its end means. Builder and Merger use them.

Rule: only an exit code that a test can give is a verdict. A command that is missing (127), cannot be run (126), timed
out, was killed or lost, went over a limit, or ran no test at all (`runtimes/runners.py`) has not judged: that is
`broken`, never a pass and not yet the branch's fault. It is tried once more; then it is run without the branch's work,
on what that stands on (a control). If it cannot judge there either, the queue is held, until a person has mended it. If
it can, it is run on the work again, for an outage may have ended just then: broken once more, the work has broken it,
and goes the way of what fails; else what it says now counts.
"""

from collections.abc import Iterator

import msgspec

from ..eventlog.events import (
    BatchTested,
    Gate,
    GateControlled,
    GateFinished,
    QueueHeld,
    RunStarted,
    SessionExited,
    SessionLost,
    SessionRequested,
    ValidationFinished,
    WorkSecured,
)
from ..eventlog.telling import one_line
from ..eventlog.text import head
from ..projections import agents, fact, happened
from ..runtimes.runners import ran_nothing
from ..world import SessionSpec
from .command import Said
from .hands import Hands

PASSED, FAILED, BROKEN, NONE = "passed", "failed", "broken", "none"

TRIES = 2
"""So many tries that could not judge, one after the other, call for a control."""
KILLED = (-9, -15, 128 + 9, 128 + 15)
"""Exit codes of a program that was killed from outside (mostly for want of memory), and of a shell that saw it."""
NOT_SET_UP = "swarm: the setup command failed"
"""What a gate's session prints (with exit code 126) where the worktree could not be made ready for the test."""
WHOLE = 4096
"""Output of at most so many bytes is in its event as a whole."""
PORTS = 10


def chosen(settings: RunStarted, when: str) -> list[Gate]:
    """The tests of an `attempt`'s own commit, or of a `batch` that is to land, in the order they are run: those for a
    landing alone come last. A gate with timeout 0 has that of the settings.
    """
    test = [Gate("test", settings.test, timeout=0.0)] if settings.test else []
    kinds = (when, "both") if when == "attempt" else (when, "both", "landing")
    found = [gate for gate in settings.gates or test if gate.when in kinds]
    return sorted(found, key=lambda gate: gate.when == "landing")


def passed(attempt: agents.Attempt, settings: RunStarted) -> str:
    """The attempt's secured commit, once each of its gates let it pass (or it has none, and that was said); else
    empty.
    """
    secured = fact(attempt.latest, WorkSecured)
    if secured is None:
        return ""
    names = [gate.name for gate in chosen(settings, "attempt")] or ["test"]
    said = [attempt.gates.get((name, secured.commit)) for name in names]
    return secured.commit if all(event and event.data.verdict in agents.GOOD for event in said) else ""


def stem(attempt: agents.Attempt, gate: str) -> str:
    """What the sessions of that gate of the attempt are called; the lone test's have had this name since 0.1."""
    return f"{attempt.name}-gate" if gate == "test" else f"{attempt.name}-gate-{gate}"


def stem_of_control(attempt: agents.Attempt, gate: str) -> str:
    """What the sessions of that gate are called that are run without the attempt's work."""
    return f"{attempt.name}-control-{gate}"


def newest(attempt: agents.Attempt, stem: str, judged: str = "") -> tuple[str, agents.Session | None]:
    """The gate session to look at or to start. One that a stop ended has not judged, so there is a next one; so there
    is after one that was broken, once the event `judged` has said so.
    """
    for name, session in _tries(attempt, stem):
        if session is None or not session.over or _end(session) > judged:
            return name, session
    raise AssertionError("there is always a next one")


def broken(attempt: agents.Attempt, stem: str, since: str, command: str) -> int:
    """How many of the newest sessions of that gate, one after the other, ended since that event and could not judge."""
    count = 0
    for _, session in _tries(attempt, stem):
        if session and session.over:
            count = count + 1 if _end(session) > since and verdict(session, command).word == BROKEN else 0
    return count


def _tries(attempt: agents.Attempt, stem: str) -> Iterator[tuple[str, agents.Session | None]]:
    """The gate's sessions by number, without those that somebody wanted ended, and the one to start at the end."""
    number, session = 0, None
    while number == 0 or session:
        number += 1
        name = stem if number == 1 else f"{stem}-{number}"
        session = attempt.sessions.get(name)
        called_off = session and session.exited and session.exited.ended_by == "killed"
        if not called_off:
            yield name, session


def _end(session: agents.Session) -> str:
    return max(happened(session.latest, SessionExited), happened(session.latest, SessionLost))


def spec(
    hands: Hands,
    command: str,
    session: str,
    issue: str,
    attempt: int,
    kind: str,
    path: str,
    cause: str,
    timeout: float = 0.0,
) -> SessionSpec:
    """The session that runs the test command in that worktree, for `timeout` seconds at most (0: as the settings
    say).
    """
    return SessionSpec(
        session=session,
        issue=issue,
        attempt=attempt,
        kind=kind,
        argv=["/bin/sh", "-c", command],
        cwd=path,
        run_dir=f"{hands.runs}/{session}",
        log_dir=hands.log,
        cap=hands.limits.log,
        timeout=timeout or hands.limits.gate,
        memory=hands.limits.memory,
        processes=hands.limits.processes,
        correlationid=hands.run,
        causationid=cause,
    )


def ports(first: int) -> dict[str, str]:
    """The variables that tell a session its ten ports; none for 0."""
    return {f"SWARM_PORT_{number}": str(first + number) for number in range(PORTS)} if first else {}


def start(hands: Hands, gate: SessionSpec, port: int = 0) -> Said:
    """Run the gate; what is to be said of that. `port`: the first of the worktree's ten, if it has some."""
    env = hands.environment({"SWARM_ISSUE": gate.issue, "SWARM_SESSION": gate.session, **ports(port)})
    host = hands.sessions.start(gate, env)
    asked = SessionRequested(gate.session, gate.attempt, gate.kind, host_pid=host, port=port)
    return Said(gate.issue, asked, gate.causationid)


class Verdict(msgspec.Struct, frozen=True):
    """What a test command said. `why` is one line, empty if it passed; `output` is the end of what it printed."""

    word: str
    code: int = 0
    why: str = ""
    output: str = ""


def verdict(session: agents.Session, command: str = "") -> Verdict:
    """What the end of a gate session means."""
    exited = session.exited
    if exited is None:
        return Verdict(BROKEN, 0, "the test's session was lost", "")
    why = _unable(exited, command)
    if why:
        return Verdict(BROKEN, exited.code, why, exited.tail)
    if exited.code == 0:
        return Verdict(PASSED, 0, "", exited.tail)
    return Verdict(FAILED, exited.code, f"the tests fail (exit code {exited.code})", exited.tail)


def _unable(exited: SessionExited, command: str) -> str:
    """Why this end is no verdict; empty if it is one."""
    if exited.ended_by == "timeout":
        return f"the test command did not end within its {exited.seconds:.0f} s"
    if exited.ended_by == "killed":
        return "the test command was ended before it could judge"
    if exited.ended_by in ("memory", "processes", "output"):
        return f"the test command was ended: {exited.why}"
    if not exited.ended_by and is_not_set_up(exited.code, exited.tail):
        return "the setup command failed, so no test was run"
    if exited.code in (126, 127) or exited.ended_by:
        return f"the test command could not be run (exit code {exited.code})"
    if exited.code in KILLED:
        return f"the test command was killed (exit code {exited.code}): for want of memory, or by somebody"
    runner = exited.empty or ran_nothing(command, exited.code, exited.tail, exited.output <= WHOLE)
    return f"no test ran, says {runner} (exit code {exited.code})" if runner else ""


def is_not_set_up(code: int, output: str) -> bool:
    """Whether it was not even the test that ended so."""
    return code == 126 and NOT_SET_UP in output


def recorded(said: BatchTested | GateControlled | GateFinished | ValidationFinished) -> Verdict:
    """A verdict that is none, as far as its event tells of it."""
    unready = is_not_set_up(said.code, said.output)
    unable = f"the test command could not judge (exit code {said.code})" if said.code else said.output
    why = "the setup command failed before the test command" if unready else unable
    told = "" if isinstance(said, ValidationFinished) else said.why
    return Verdict(BROKEN, said.code, told or why, said.output)


def controlled(base: str, gate: str, command: str, said: Verdict, attempt: int = 0) -> GateControlled:
    """What is to be said when a gate that could not judge was run on `base` alone."""
    why = said.why if said.word == BROKEN else ""
    return GateControlled(base, said.word, gate, command, said.code, said.output, why, attempt)


def blamed(why: str) -> str:
    """In words: the work is at fault, though no test has judged it."""
    return f"{why}; without this work it can judge, so it is this work that keeps it from that"


def hold(issue: str, command: str, said: Verdict) -> QueueHeld:
    """What is to be said when a gate could not judge `TRIES` times, one after the other."""
    what = f"{said.why}, {TRIES} times in a row: {head(one_line(command), 200)}"
    why = f"{what}; that is no fault of the branch: mend it, then run `swarm merge now`"
    return QueueHeld("infrastructure", why, issue)
