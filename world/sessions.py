"""Outside programs under hosts of their own (`host.py`). Rule: what is true of a session is in its folder or the log.

So any process may ask: the one that started a session, a later one that adopts it, a command line that ends it.
"""

import os
import re
import signal
import sys
import time
from collections.abc import Sequence

from ..eventlog.errors import SwarmError, UsageError
from ..eventlog.events import SessionExited
from ..eventlog.files import Draft, Log
from ..eventlog.place import Place
from ..eventlog.tail import Tail
from ..projections import agents
from . import Identity, SessionSpec, processes
from .clock import monotonic
from .liveness import processes_of
from .node import open_log
from .runfolder import NOBODY, ExitRecord, RunFolder, drafted

PATIENCE = 30.0  # seconds for sessions to end: their grace, what is hard to kill, and the last words
_NAME = re.compile("[a-z0-9](?:[a-z0-9_-]{0,78}[a-z0-9])?")


class HostedSessions:
    """Satisfies the Protocol `Sessions`. `runs` holds the run folders; ends that hosts could not log go to `log`."""

    def __init__(self, runs: str, log: Log) -> None:
        self._runs = os.path.abspath(runs)
        self._log = log
        self._hosts: set[int] = set()

    def start(self, spec: SessionSpec, env: dict[str, str]) -> int:
        """Run it under a new host unless its run folder was claimed before; returns the host's pid (0: claimed before).

        `env` is all that the program gets, with SWARM_SESSION and SWARM_RUN_DIR added. Raises UsageError for what
        cannot be a session, SwarmError when no host could be started. A program that cannot be started is an exit with
        `ended_by` "missing".
        """
        self._reap()
        folder = self._folder(spec.session)
        if not spec.argv:
            raise UsageError(f"session {spec.session} has no command to run")
        if self.claimed(spec.session):
            return 0
        try:
            folder.create(spec)
            host = _spawn(folder, {**env, "SWARM_SESSION": spec.session, processes.MARK: folder.path})
        except OSError as error:
            raise SwarmError(f"cannot start a host for session {spec.session}: {error}") from error
        self._hosts.add(host)
        return host

    def alive(self, identity: Identity) -> bool:
        """Whether exactly that process still runs."""
        self._reap()
        return processes.alive(identity)

    def running(self, session: str) -> bool:
        """Whether the host that took the run folder of this session is alive. Not taken yet, or a copy: no."""
        host = self._folder(session).owner()
        return host is not None and self.alive(host)

    def claimed(self, session: str) -> bool:
        """Whether a host has taken the run folder of this session."""
        return os.path.exists(self._folder(session).file("claimed"))

    def settle(self, session: str) -> bool:
        """If the session left an exit record whose event is not in the log, append it. True if a record was found."""
        self._reap()
        folder = self._folder(session)
        host = folder.owner()
        hosted = host is not None and processes.alive(host)  # asked first: a dead host writes no record after our look
        record, spec = folder.exit_record(), folder.spec()
        if record is None or spec is None:
            return False
        if not hosted:
            self._append_once(session, drafted(spec, *record.usage, record.exited))
        return True

    def interrupt(self, session: str) -> None:
        """Ask the session's host to send its program what Ctrl-C sends. Not running: fine."""
        self._reap()
        host = self._folder(session).owner()
        if host is not None:
            processes.send(host, signal.SIGINT)

    def kill(self, session: str) -> None:
        """Ask the session's host to end the program and all its children. Not running: fine.

        Not begun yet: it never will, and that is its exit record. Host gone: what it left behind is killed here.
        """
        self._reap()
        folder = self._folder(session)
        spec = folder.spec()
        if spec is None:
            return
        if not self.claimed(session) and folder.claim(NOBODY):
            why, code = "it was ended before it began", -signal.SIGTERM
            exited = SessionExited(session, spec.attempt, code, ok=False, seconds=0.0, why=why, ended_by="killed")
            folder.keep_exit(ExitRecord(exited))
            return
        host = folder.owner()
        if host is None or not processes.send(host, signal.SIGTERM):
            processes.end(lambda: self.orphans(session))

    def orphans(self, session: str) -> list[Identity]:
        """What a session whose host was killed left running: its program, all below that, all that carry its mark."""
        folder = self._folder(session)
        program = folder.program()
        found = processes.marked(folder.path)
        if program and processes.alive(program):
            found += [program, *processes.descendants(program.pid)]
        return list(dict.fromkeys(found))

    def _folder(self, session: str) -> RunFolder:
        if not _NAME.fullmatch(session):
            raise UsageError(f"{session!r} cannot be a session's name", "use a-z, 0-9, - and _, at most 80")
        return RunFolder(os.path.join(self._runs, session))

    def _append_once(self, session: str, drafts: list[Draft]) -> None:
        """Append unless the log has the session's end. Most of it is read before the lock is taken, the rest after."""
        ends = Tail(os.path.dirname(self._log.path), [SessionExited.type])

        def known() -> bool:
            return any(event.data.session == session for event in ends.read() if isinstance(event.data, SessionExited))

        if not known():
            self._log.append_if(lambda: [] if known() else drafts)

    def _reap(self) -> None:
        """Hosts are our children while we live: leave no zombies of those that ended since the last call."""
        for pid in tuple(self._hosts):
            try:
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            except ChildProcessError:
                pass  # another thread took it
            self._hosts.discard(pid)


def end_all(place: Place, sessions: Sequence[agents.Session], patience: float = PATIENCE) -> None:
    """End these sessions where no swarm runs that could: ask their hosts, and write down the ends that those could not.

    Returns when their processes are gone; raises SwarmError if one is there after `patience` seconds.
    """
    log = open_log(place)
    try:
        hosted = HostedSessions(place.runs, log)
        for session in sessions:
            hosted.kill(session.id)
        try:
            wait_for_end(place.runs, sessions, patience)
        finally:
            for session in sessions:
                hosted.settle(session.id)
    finally:
        log.close()


def wait_for_end(runs: str, sessions: Sequence[agents.Session], patience: float = PATIENCE) -> None:
    """Return when the processes of these sessions are gone; raises SwarmError if one is there after that time."""
    deadline = monotonic() + patience
    while left := {session.id: found for session in sessions if (found := _left(runs, session))}:
        if monotonic() > deadline:
            pids = " ".join(dict.fromkeys(str(process.pid) for found in left.values() for process in found))
            raise SwarmError(f"still there after {patience:g} s: {', '.join(left)}", f"kill -9 {pids}")
        time.sleep(0.02)  # they are no children of ours: nobody tells


def _left(runs: str, session: agents.Session) -> list[Identity]:
    """Its program and host, or what bears its mark when both are gone."""
    known = [process for process in processes_of(runs, session) if process and processes.alive(process)]
    return known or processes.marked(os.path.join(runs, os.path.basename(session.id)))


def _spawn(folder: RunFolder, env: dict[str, str]) -> int:
    """A host in a session of its own: neither our terminal nor our death reaches it."""
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-m", f"{__package__}.host", folder.path],
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_DUP2, 0, 1),
            (os.POSIX_SPAWN_OPEN, 2, folder.file("host.err"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
        ],
        setsid=True,
        setsigmask=(),
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )
