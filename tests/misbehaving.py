"""Agents that misbehave, as short shell scripts (tests/agents), and how an issue ends that one of them was given.

Rule: they are real programs and do real harm; what they commit they note in `$OUTSIDE/commits`.
"""

from pathlib import Path
from typing import NamedTuple

SCRIPTS = Path(__file__).with_name("agents")

PRELUDE = """\
root=${SWARM_LOG%/.git/swarm/log}
keep() { git add -A; git commit -qm "$1"; git rev-parse HEAD >> "$OUTSIDE/commits"; }
"""

DONE, BLOCKED = "done", "blocked"


class Agent(NamedTuple):
    """One kind: its script, and the status that its issue ends with. `why` is in the reason of a blocked one."""

    script: str
    status: str
    why: str = ""

    @property
    def name(self) -> str:
        """As in the issue's id."""
        return self.script.partition("-")[2] or self.script

    @property
    def body(self) -> str:
        """The issue's body."""
        return PRELUDE + (SCRIPTS / f"{self.script}.sh").read_text()


BAD = (
    Agent("a-dirty", DONE),
    Agent("b-quota", BLOCKED, "exit code 1"),
    Agent("c-hangs", BLOCKED, "it ran longer than"),
    Agent("d-asks", BLOCKED, "it ran longer than"),
    Agent("e-elsewhere", BLOCKED, "unverified"),
    Agent("f-unknown", DONE),
    Agent("g-fails", BLOCKED, "exit code 3"),
    Agent("h-mute", BLOCKED, "unverified"),
    Agent("i-forks", DONE),
    Agent("j-tells", DONE),
    Agent("k-floods", DONE),
    Agent("l-stubborn", BLOCKED, "it ran longer than"),
    Agent("m-deletes", DONE),
    Agent("n-forges", DONE),
)
"""The fourteen."""

GOOD = Agent("good", DONE)
BREAKS = Agent("breaks", BLOCKED, "the tests fail")
