"""The process above one program: `python -I -m swarm.world.host <run folder>`. Rule: only a parent knows the exit code.

It is started with the program's environment as its own, and lives on when whoever started it dies. It claims the folder
before it starts anything, so a session runs once; feeds standard input; keeps the raw output up to a cap; ends the
program at its limits (limits.py) or at a SIGTERM, and passes a SIGINT on to it; ends every descendant, wherever it hid
(orphans fall to a subreaper); writes exit.json; and appends the session's events itself. Sessions are many and short:
import nothing heavy here.
"""

import ctypes
import os
import select
import signal
import sys
import time
from math import inf

import msgspec

from ..eventlog.errors import SwarmError
from ..eventlog.events import SessionExited, SessionProgressed, SessionStarted, UsageReported
from ..eventlog.text import head, plain, tail
from ..runtimes import Outcome, Reader, Usage, ending, one_line, quota, runtime
from . import Identity, SessionSpec
from .capture import Account, RawLog, Ring
from .clock import monotonic, now, zone
from .limits import Bounds
from .processes import descendants, identity, send
from .program import Program, launch
from .recorder import Recorder, open_log
from .redaction import Redactor, Stream
from .runfolder import ExitRecord, RunFolder

BLOCK = 1 << 16
REPORT_EVERY = 2.0  # seconds between two signs of life
DRAIN = 1.0  # seconds that output may still come after the last process has ended
UNKILLABLE = 10.0  # seconds after which a process that survives SIGKILL (in the kernel, or another user's) is left
PAUSES = (0.0, 0.1, 0.4, 1.5)  # seconds before each try to append the end
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>
WHY, REPORT, TAIL, NOTE = 500, 8192, 4096, 160  # bytes that go into events


def main(run_dir: str) -> None:
    """Host the session of this folder; returns at once if it was claimed before."""
    umask = os.umask(0o077)
    os.chdir("/")
    folder = RunFolder(run_dir)
    spec, me = folder.spec(), identity(os.getpid())
    if spec is None or me is None:
        raise SwarmError(f"{run_dir} has no readable spec.json")
    wake = _listen()
    if not folder.claim(me):
        return
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise SwarmError("this kernel has no subreaper: children could escape")
    redactor = Redactor({os.fsdecode(name): os.fsdecode(value) for name, value in _environment().items()})
    recorder = Recorder(spec, lambda: open_log(spec.log_dir), redactor)
    try:
        exited, usage = _run(folder, spec, recorder, wake, me, umask)
        record = ExitRecord(redactor.fact(exited), [redactor.fact(used) for used in usage])
        _conclude(folder, recorder, record)
    finally:
        recorder.close()


def _run(
    folder: RunFolder, spec: SessionSpec, recorder: Recorder, wake: int, me: Identity, umask: int
) -> tuple[SessionExited, list[UsageReported]]:
    """The program's life, from exec to the last descendant's end."""
    try:
        reader = runtime(spec.runtime).reader() if spec.runtime else None
        program = launch(
            spec.argv, spec.cwd, _environment(), terminal=spec.terminal, feed=bool(spec.stdin), umask=umask
        )
    except (SwarmError, OSError) as error:
        why = head(plain(str(error)), WHY)
        return SessionExited(spec.session, spec.attempt, 127, ok=False, seconds=0.0, why=why, ended_by="missing"), []
    session = Session(folder, spec, program, reader, recorder, wake)
    try:
        session.announce(me)
        session.live()
    finally:
        session.end_children()
    return session.verdict(), session.new_usage()


def _conclude(folder: RunFolder, recorder: Recorder, record: ExitRecord) -> None:
    """First the record, then the event: whoever finds the one without the other appends it (`settle`)."""
    for pause in PAUSES:
        time.sleep(pause)
        try:
            folder.keep_exit(record)
        except OSError:
            pass  # disk full: the event matters more
        if recorder.append(*record.usage, record.exited):
            return


def _listen() -> int:
    """Signals as bytes: each one's number appears on the descriptor returned."""
    wake, end = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    return wake


def _environment() -> dict[bytes, bytes]:
    """Exactly what we were started with: Python itself adds LC_CTYPE to its own copy (PEP 538)."""
    with open("/proc/self/environ", "rb") as file:
        pairs = (entry.partition(b"=") for entry in file.read().split(b"\0") if entry)
        return {name: value for name, _, value in pairs}


class Session:
    """One running program: its streams in, its events out."""

    def __init__(
        self,
        folder: RunFolder,
        spec: SessionSpec,
        program: Program,
        reader: Reader | None,
        recorder: Recorder,
        wake: int,
    ) -> None:
        self._folder, self._spec, self._program, self._recorder, self._wake = folder, spec, program, recorder, wake
        self._account, self._ring, self._errors = Account(reader), Ring(BLOCK), Ring(TAIL)
        self._logs = {program.stdout: RawLog(folder.file("stdout.log"), spec.cap)}
        if program.stderr >= 0:
            self._logs[program.stderr] = RawLog(folder.file("stderr.log"), spec.cap)
        self._shown = {stream: Stream(recorder.redactor) for stream in self._logs}
        self._input = memoryview(spec.stdin.encode())
        self._begun = self._next_change = monotonic()
        self._next_report = self._begun + REPORT_EVERY
        self._bounds, self._kill_at = Bounds(spec, self._begun), inf
        self._code: int | None = None
        self._ended_by = self._why = ""
        self._output = self._reported = 0
        self._state = ""
        self._used: dict[str, Usage] = {}
        self._seconds = 0.0
        self._poll = select.poll()
        self._poll.register(wake, select.POLLIN)
        self._open = set(self._logs)
        for stream in self._open:
            self._poll.register(stream, select.POLLIN)
        if program.stdin >= 0:
            self._poll.register(program.stdin, select.POLLOUT)

    def announce(self, host: Identity) -> None:
        """Say that the program runs, and who it is."""
        me = identity(self._program.pid)
        if me is None:
            raise SwarmError(f"{self._program.pid} vanished unreaped")
        self._recorder.append(
            SessionStarted(
                session=self._spec.session,
                attempt=self._spec.attempt,
                kind=self._spec.kind,
                boot_id=me.boot_id,
                pid=me.pid,
                start_ticks=me.start_ticks,
                host_pid=host.pid,
                host_ticks=host.start_ticks,
            ),
            owed=True,
        )
        try:
            self._folder.keep_program(me)
        except OSError:
            pass  # disk full: the sweep for orphans then has only the mark in the environment

    def live(self) -> None:
        """Serve the program until it has ended."""
        self._reap()
        while self._code is None:
            self._serve(min(inf if self._ended_by else self._bounds.next, self._kill_at, self._report_at()))
            self._enforce(monotonic())
            self._report(monotonic())
        self._seconds = monotonic() - self._begun

    def end_children(self) -> None:
        """SIGKILL whatever still runs below us, until nothing does; then take the last output."""
        deadline = monotonic() + UNKILLABLE
        while self._reap() and monotonic() < deadline:
            for process in descendants(os.getpid()):
                send(process, signal.SIGKILL)
            self._serve(monotonic() + 0.01)
        deadline = monotonic() + DRAIN
        while self._open and monotonic() < deadline:
            self._serve(deadline)
        for stream, log in self._logs.items():
            self._give(stream, self._shown[stream].end())
            log.close()

    def verdict(self) -> SessionExited:
        """How it went."""
        code = self._code if self._code is not None else -signal.SIGKILL
        outcome = self._refused(self._account.outcome(code))
        said = plain(self._ring.end().decode(errors="replace"))
        if self._ended_by:
            why = self._why or f"it was ended on request ({ending(code)})"
            kept = outcome.quota if self._ended_by == "timeout" else 0.0
            outcome = msgspec.structs.replace(outcome, ok=False, why=why, quota=kept)
        return SessionExited(
            session=self._spec.session,
            attempt=self._spec.attempt,
            code=code,
            ok=outcome.ok,
            seconds=round(self._seconds, 3),
            why=head(plain(outcome.why), WHY),
            ended_by=self._ended_by,
            report=head(plain(outcome.report), REPORT),
            tail=tail(self._recorder.redactor.text(said).rstrip(), TAIL),
            output=self._output,
            dropped=sum(log.dropped for log in self._logs.values()),
            resume=head(plain(outcome.resume), WHY),
            quota=_until(outcome),
            empty=self._empty(said),
        )

    def _empty(self, said: str) -> str:
        """The test runner that ran nothing, where the event's tail is too short to know that nothing ran before."""
        if self._spec.runtime or self._code or self._ended_by or any(log.dropped for log in self._logs.values()):
            return ""
        from ..runtimes import runners  # many patterns: paid only where they are needed

        found = runners.ran_nothing("", 0, said, whole=True) if TAIL < self._output <= runners.SEARCHED else ""
        if not found or any(self._ran_some(name) for name in ("stdout.log", "stderr.log")):
            return ""
        return found

    def _ran_some(self, name: str) -> bool:
        from ..runtimes import runners

        try:
            with open(self._folder.file(name), encoding="utf-8", errors="replace") as file:
                return runners.ran_some(plain(line) for line in file)
        except FileNotFoundError:
            return False  # a terminal has one stream
        except OSError:
            return True  # in doubt a test did run

    def _refused(self, outcome: Outcome) -> Outcome:
        """The outcome, with what a failed agent's errors say of its provider: they are plain text, whatever it is."""
        if outcome.ok or outcome.quota or not self._spec.runtime:
            return outcome
        words = quota.refusal(plain(self._errors.end().decode(errors="replace")).strip().splitlines())
        why = one_line(f"{outcome.why}: {words}", WHY)
        return Outcome(False, why, outcome.report, outcome.resume, words) if words else outcome

    def new_usage(self) -> list[UsageReported]:
        """The totals that are not the ones reported last."""
        news = [used for used in self._account.usage() if self._used.get(used.model) != used]
        self._used.update((used.model, used) for used in news)
        return [
            UsageReported(
                session=self._spec.session,
                attempt=self._spec.attempt,
                model=head(used.model, NOTE),
                origin="runtime",
                calls=used.calls,
                input_tokens=used.input_tokens,
                output_tokens=used.output_tokens,
                cached_tokens=used.cached_tokens,
                cost=used.cost,
            )
            for used in news
        ]

    def _serve(self, until: float) -> None:
        """Wait for something to do, at most until then, and do it."""
        patience = max(0, min(until - monotonic(), 1000.0))
        for fd, _ in self._poll.poll(int(patience * 1000) + 1):
            if fd == self._wake:
                self._heed(os.read(fd, BLOCK))
            elif fd == self._program.stdin:
                self._feed()
            else:
                self._take(fd)

    def _heed(self, signals: bytes) -> None:
        self._reap()
        if signal.SIGTERM in signals:
            self._stop("killed")
        elif signal.SIGINT in signals:
            self._signal(signal.SIGINT)

    def _take(self, stream: int) -> None:
        """A block of output; its end is an empty one, or EIO from a PTY that nobody holds any more."""
        try:
            data = os.read(stream, BLOCK)
        except OSError:
            data = b""
        if not data:
            self._poll.unregister(stream)
            self._open.discard(stream)  # not closed: closing a PTY hangs up on the program
            return
        self._output += len(data)
        shown = self._shown[stream]
        # Of a flood, only the end is looked at that goes into an event.
        self._give(stream, shown.let_go() + data if self._logs[stream].full else shown.take(data))

    def _give(self, stream: int, data: bytes) -> None:
        """Output without secrets, for all who keep some of it."""
        self._logs[stream].take(data)
        self._ring.take(data)
        (self._account if stream == self._program.stdout else self._errors).take(data)

    def _feed(self) -> None:
        """As much input as it takes now; closed after the last byte, or when it closed its side."""
        try:
            self._input = self._input[os.write(self._program.stdin, self._input[:BLOCK]) :]
        except BlockingIOError:
            return
        except OSError:
            self._input = self._input[:0]
        if not self._input:
            self._poll.unregister(self._program.stdin)
            os.close(self._program.stdin)

    def _stop(self, ended_by: str, why: str = "", grace: bool = True) -> None:
        """Ask it to end. Whatever is left after the grace is killed."""
        if self._ended_by or self._code is not None:
            return
        self._ended_by, self._why = ended_by, why
        self._kill_at = monotonic() + (self._spec.grace if grace else 0.0)
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        """To its process group; a stopped program is woken to hear it."""
        for each in (number, signal.SIGCONT):
            try:
                os.killpg(self._program.pid, each)
            except OSError:
                pass  # it changed its user: SIGKILL by the kernel's rules fails too, and says so in the end

    def _enforce(self, now: float) -> None:
        self._bounds.park(bool(self._account.state()), now)
        excess = None if self._ended_by else self._bounds.exceeded(now, self._output)
        if excess:
            self._stop(excess.what, excess.why, excess.grace)
        if now >= self._kill_at:
            self._kill_at = now + 0.1  # again: it may fork faster than we look
            for process in descendants(os.getpid()):
                send(process, signal.SIGKILL)

    def _report_at(self) -> float:
        """At once when it begins to wait, or waits no more; while it waits there is nothing new to say."""
        state = self._account.state()
        if state != self._state:
            return self._next_change
        return self._next_report if self._output > self._reported and not state else inf

    def _report(self, now: float) -> None:
        """A sign of life, where there is one."""
        if now < self._report_at():
            return
        state, (tools, note) = self._account.state(), self._account.activity()
        self._reported, self._next_report = self._output, now + REPORT_EVERY
        if state != self._state:
            self._next_change = now + REPORT_EVERY  # it may change its mind with each line
        progress = SessionProgressed(
            self._spec.session, self._spec.attempt, self._output, tools, head(plain(note), NOTE), state
        )
        if self._recorder.append(progress, *self.new_usage()):
            self._state = state
        else:
            self._used.clear()  # nobody heard it: say it again

    def _reap(self) -> bool:
        """Take the exit codes of all who ended, adopted orphans too. False: there are no children left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._program.pid:
                self._code = os.waitstatus_to_exitcode(status)


def _until(outcome: Outcome) -> float:
    """Until when its provider refuses (Unix time); now, if it did not say; 0 if it does not refuse."""
    at = now()
    return quota.until(outcome.quota, at, zone()) or float(int(at)) if outcome.quota else 0.0


if __name__ == "__main__":
    main(sys.argv[1])
