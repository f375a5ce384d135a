"""The runtime `shell`: the issue's body is the script. Rule: the embedded default, so it needs no model and no key.

The script runs in the attempt's worktree with `/bin/sh -e`; a body whose first line is `#!…` names its interpreter. A
script that waits for a person, or for a provider that slows it down, says so with a line: `swarm: waiting for input` or
`swarm: rate limited`. `[runtimes.shell]` may name another shell (`binary`) and more of its options (`args`). A scout's
script is as free as a builder's: what holds it back is that a scout's work never lands.
"""

from collections import deque

from ..eventlog.errors import UsageError
from ..eventlog.text import plain, tail
from . import Launch, Outcome, Task, Usage, ending, one_line
from .quota import refusal

BINARY = "/bin/sh"
INSTALL = "nothing to install: every POSIX system has /bin/sh"

STATES = {b"swarm: waiting for input": "waiting_input", b"swarm: rate limited": "rate_limited"}
"""Lines by which a script says that it waits, until it prints another: it is not taken for one that hangs."""
REPORT_LINES = 40
REPORT_BYTES = 8192


def launch(task: Task) -> Launch:
    """Write the body to `<run_dir>/script` and run it; raises UsageError for an empty body."""
    if not task.body.strip():
        raise UsageError(
            f"issue {task.issue} has no body, and for the runtime 'shell' the body is the script",
            "create the issue again with --body 'the commands to run', or choose another --runtime",
        )
    script = f"{task.run_dir}/script"
    return Launch(argv=(*_interpreter(task), script), files={script: task.body.rstrip("\n") + "\n"})


def _interpreter(task: Task) -> tuple[str, ...]:
    """The `#!` line is read here and not by the kernel: the run folder may be mounted noexec."""
    first = task.body.splitlines()[0]
    if first.startswith("#!") and first[2:].strip():
        return tuple(first[2:].split())
    return (task.binary or BINARY, "-e", *task.args)


def reader() -> "Lines":
    """A reader for one session."""
    return Lines()


class Lines:
    """A script's standard output: its last line is what it is doing, its last lines are its report."""

    tools = 0
    usage: tuple[Usage, ...] = ()

    def __init__(self) -> None:
        self._last: deque[bytes] = deque(maxlen=REPORT_LINES)

    def feed(self, line: bytes) -> None:
        """Take one line of output. It is only kept: a flood of lines must not cost a look at each."""
        self._last.append(line[-REPORT_BYTES:])

    @property
    def note(self) -> str:
        """The last line that says something."""
        shown = (one_line(line.decode(errors="replace")) for line in reversed(self._last))
        return next(filter(None, shown), "")

    @property
    def state(self) -> str:
        """What the last line says, if it is one of `STATES`."""
        return STATES.get(self._last[-1].strip(), "") if self._last else ""

    def outcome(self, code: int) -> Outcome:
        """A script is believed: 0 is success. One that fails is often but a call of a coding agent, and its last lines
        that one's.
        """
        text = plain(b"\n".join(self._last).decode(errors="replace"))
        report = tail(text, REPORT_BYTES).strip()
        if code == 0:
            return Outcome(ok=True, report=report)
        words = refusal(text.strip().splitlines())
        why = one_line(f"{ending(code)}: {words}", 300) if words else ending(code)
        return Outcome(ok=False, why=why, report=report, quota=words)
