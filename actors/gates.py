"""Gates: a test command run in a session of its own, and what its end means. Builder and Merger use them.

Rule: only an exit code that a test can give is a verdict. A command that is missing (127), cannot be run (126), timed
out or was lost has not judged: that is `broken`, never a pass and never the branch's fault.
"""

import msgspec

from ..eventlog.events import Gate, RunStarted, SessionRequested, WorkSecured
from ..projections import agents, fact
from ..world import SessionSpec
from .command import Said
from .hands import Hands

PASSED, FAILED, BROKEN, NONE = "passed", "failed", "broken", "none"


LOST_BEFORE = 3
"""So many lost sessions of one test are the test's own doing: it takes its host down with it."""


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


def newest(attempt: agents.Attempt, stem: str) -> tuple[str, agents.Session | None]:
    """The gate session to look at or to start: one that a crash or a stop ended has not judged, so there is a next
    one.
    """
    number, lost = 1, 0
    while True:
        name = stem if number == 1 else f"{stem}-{number}"
        session = attempt.sessions.get(name)
        if session is None:
            return name, None
        lost += bool(session.lost)
        killed = session.exited and session.exited.ended_by == "killed"
        if not killed and (not session.lost or lost == LOST_BEFORE):
            return name, session
        number += 1


def spec(
    hands: Hands, command: str, session: str, issue: str, attempt: int, kind: str, path: str, cause: str
) -> SessionSpec:
    """The session that runs the test command in that worktree."""
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
        timeout=hands.limits.gate,
        correlationid=hands.run,
        causationid=cause,
    )


def start(hands: Hands, gate: SessionSpec) -> Said:
    """Run the gate; what is to be said of that."""
    env = hands.environment({"SWARM_ISSUE": gate.issue, "SWARM_SESSION": gate.session})
    host = hands.sessions.start(gate, env)
    asked = SessionRequested(session=gate.session, attempt=gate.attempt, kind=gate.kind, host_pid=host)
    return Said(gate.issue, asked, gate.causationid)


class Verdict(msgspec.Struct, frozen=True):
    """What a test command said. `why` is one line, empty if it passed; `output` is the end of what it printed."""

    word: str
    code: int = 0
    why: str = ""
    output: str = ""


def verdict(session: agents.Session) -> Verdict:
    """What the end of a gate session means."""
    exited = session.exited
    if exited is None:
        return Verdict(BROKEN, 0, "the test's session was lost", "")
    if exited.ended_by == "timeout":
        return Verdict(
            BROKEN, exited.code, f"the test command did not end within its {exited.seconds:.0f} s", exited.tail
        )
    if exited.code in (126, 127) or exited.ended_by:
        return Verdict(BROKEN, exited.code, f"the test command could not be run (exit code {exited.code})", exited.tail)
    if exited.code == 0:
        return Verdict(PASSED, 0, "", exited.tail)
    return Verdict(FAILED, exited.code, f"the tests fail (exit code {exited.code})", exited.tail)
