"""Real sessions in a folder of their own, for tests: a log, the hands, and the promise that nothing is left running."""

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.files import Log
from swarm.world import Identity, SessionSpec, processes
from swarm.world.recorder import open_log
from swarm.world.runfolder import RunFolder
from swarm.world.sessions import HostedSessions

from waiting import until


class Rig:
    """`start` and `run` shell scripts as sessions; `events` and `exited` are read from the log's own lines."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.log_dir = place / "swarm" / "log"
        self.log_dir.mkdir(parents=True)
        self.log: Log = open_log(str(self.log_dir))
        self.sessions = HostedSessions(str(place / "runs"), self.log)
        self.mark = f"SWARM_TEST={uuid.uuid4().hex}"
        name, _, value = self.mark.partition("=")
        self.env = {"PATH": os.environ["PATH"], name: value}

    def spec(self, script: str, session: str = "sw-1", **changes: Any) -> SessionSpec:
        given: dict[str, Any] = {
            "session": session,
            "issue": "sw-7f3a91c2",
            "attempt": 1,
            "kind": "gate",
            "argv": ["sh", "-c", script],
            "cwd": str(self.place),
            "run_dir": str(self.place / "runs" / session),
            "log_dir": str(self.log_dir),
            "correlationid": "run-1",
            "causationid": "cause-1",
            "timeout": 60.0,
            "grace": 0.5,
        }
        return SessionSpec(**(given | changes))

    def start(self, script: str, session: str = "sw-1", **changes: Any) -> int:
        return self.sessions.start(self.spec(script, session, **changes), self.env)

    def run(self, script: str, session: str = "sw-1", **changes: Any) -> dict[str, Any]:
        self.start(script, session, **changes)
        return self.exited(session)

    def lines(self) -> list[dict[str, Any]]:
        files = sorted(self.log_dir.glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n")[:-1]]

    def events(self, kind: str, session: str = "sw-1") -> list[dict[str, Any]]:
        return [e["data"] for e in self.lines() if e["type"] == kind and e["data"].get("session") == session]

    def exited(self, session: str = "sw-1") -> dict[str, Any]:
        """The end of the session, once the host has gone too."""
        found: dict[str, Any] = until(lambda: self.events("session.exited", session), what=f"the end of {session}")[0]
        until(lambda: not self.sessions.alive(self.host(session)), what="the host to go")
        return found

    def started(self, session: str = "sw-1") -> Identity:
        """The running program's identity."""
        data = until(lambda: self.events("session.started", session), what=f"the start of {session}")[0]
        return Identity(data["boot_id"], data["pid"], data["start_ticks"])

    def folder(self, session: str = "sw-1") -> RunFolder:
        return RunFolder(str(self.place / "runs" / session))

    def host(self, session: str = "sw-1") -> Identity:
        return until(self.folder(session).owner, what=f"the claim of {session}")

    def output(self, stream: str = "stdout", session: str = "sw-1") -> bytes:
        file = self.place / "runs" / session / f"{stream}.log"
        return file.read_bytes() if file.exists() else b""

    def running(self) -> list[Identity]:
        """Every process that this test started, hosts too."""
        mark, found = self.mark.encode(), []
        for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
            process = processes.identity(pid)
            try:
                if process and mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                    found.append(process)
            except OSError:
                continue
        return [process for process in found if processes.alive(process)]

    def close(self) -> None:
        """Fails if anything still runs, and ends it."""
        self.log.close()
        try:
            until(lambda: not self.running(), what="all processes to be gone")
        finally:
            processes.end(self.running)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """Import it into a test module to use it."""
    made = Rig(tmp_path)
    yield made
    made.close()
