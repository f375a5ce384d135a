"""`swarm` with a failpoint: `python -P tests/failpoint.py NAME:N FILE start …` is `swarm start …` that dies, as by
`kill -9`, when it comes by the N-th point of that name, of which it tells in FILE.

Points lie before and after each append to the log (`append`), each deed of git (`prepare`, `secure`, `land`, …) and of
sessions (`start`, `kill`, …), and each git command in these (`git`). The product knows nothing of them: they are
wrapped around it here.
"""

import os
import signal
import sys
import threading
from typing import Any

from swarm import cli
from swarm.eventlog.files import Log
from swarm.world import Repository, Sessions
from swarm.world.door import Door
from swarm.world.git import Git
from swarm.world.sessions import HostedSessions

LOOKS = ("alive", "running", "claimed", "tip", "is_ancestor")
"""What only looks leaves nothing to find."""
ALSO = {"append_if": "append", "stack": "merge"}
"""Points that go by another name than their method."""


class Failpoint:
    """Counts the points of that name that are passed, and dies at the N-th."""

    def __init__(self, name: str, number: int, report: str) -> None:
        self.name, self.left, self.report, self.lock = name, number, report, threading.Lock()

    def passed(self, name: str, words: str) -> None:
        with self.lock:
            self.left -= name == self.name
            if self.left == 0:
                with open(self.report, "a") as file:
                    file.write(words + "\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def wrap(self, owner: type, method: str, name: str = "") -> None:
        """Put a point before and one after that method."""
        inner, name = getattr(owner, method), name or ALSO.get(method, method)

        def between(*given: Any, **more: Any) -> Any:
            what = f"git {given[1]}" if owner is Door else method
            self.passed(name, f"before {what}")
            result = inner(*given, **more)
            self.passed(name, f"after {what}")
            return result

        setattr(owner, method, between)


def main(where: str, report: str, arguments: list[str]) -> None:
    """Run `swarm` with these arguments."""
    name, _, number = where.partition(":")
    point = Failpoint(name, int(number), report)
    point.wrap(Log, "append")
    point.wrap(Log, "append_if")
    for protocol, hands in ((Repository, Git), (Sessions, HostedSessions)):
        for method in vars(protocol):
            if not method.startswith("_") and method not in LOOKS and method in vars(hands):
                point.wrap(hands, method)
    point.wrap(Door, "run", "git")
    point.wrap(Door, "ask", "git")
    cli.main(arguments)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
