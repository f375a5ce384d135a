"""One attempt, as the builder takes its steps: what is due, and what comes of doing it."""

from typing import Any

from swarm.actors import builder
from swarm.actors.attempts import Secure
from swarm.actors.command import Command
from swarm.eventlog.events import WorktreeRemoved
from swarm.eventlog.fact import Fact

from history import BASE, History, commit, deeds

PATH, BRANCH = ".swarm/worktrees/a-1", "swarm/builder-1/a-1"
WIP = "refs/swarm/wip/builder-1/a-1"


def due(h: History) -> list[Command]:
    return deeds(builder.due(h.board(), h.now))


def one(h: History) -> Any:
    (command,) = due(h)
    return command


def said(command: Command, bench: Any) -> list[Fact]:
    return [each.fact for each in builder.perform(command, bench.hands)]


def secure_of(**changes: Any) -> Secure:
    given: dict[str, Any] = {
        "issue": "a",
        "attempt": 1,
        "agent": "kim",
        "title": "Do a",
        "path": PATH,
        "branch": BRANCH,
        "base": BASE,
        "wip": False,
        "why": "",
        "detail": "",
        "final": False,
        "ended": False,
        "cause": "cause",
    }
    return Secure(**(given | changes))


def remove(h: History, attempt: int = 1) -> str:
    path = f".swarm/worktrees/a-{attempt}"
    return h.add(WorktreeRemoved(attempt, path, commit(f"a-{attempt}")), "a", "builder")
