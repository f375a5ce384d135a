"""Starting one program, with its ends of the pipes in our hands. Rule: between fork and exec only system calls.

Not `subprocess`: the host needs the controlling terminal, the umask and the words of a failed exec, and its import
costs more than all of this.
"""

import fcntl
import os
import signal
import termios
from collections.abc import Mapping, Sequence
from typing import NoReturn

import msgspec

from ..eventlog.errors import SwarmError

ROWS, COLUMNS = 40, 120


class Program(msgspec.Struct, frozen=True):
    """A running program, leader of its own session. `stderr` is -1 with a terminal, `stdin` with nothing to feed."""

    pid: int
    stdin: int
    stdout: int
    stderr: int


def launch(
    argv: Sequence[str], cwd: str, env: Mapping[bytes, bytes], *, terminal: bool, feed: bool, umask: int
) -> Program:
    """Run `argv` (looked up on the PATH of `env`); raises SwarmError with words when it cannot be started.

    With a terminal, standard output and error are a PTY of 40 x 120. Standard input is a pipe when there is something
    to feed (exact bytes, no echo, a real end of file), else the terminal, or nothing.
    """
    near, far = _terminal() if terminal else _pipes()
    stdin, fed = os.pipe() if feed else (far[0] if terminal else os.open(os.devnull, os.O_RDONLY), -1)
    report, words = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(argv, cwd, env, (stdin, *far), terminal, umask, words)
    for fd in {stdin, *far, words}:
        os.close(fd)
    with open(report, "rb") as pipe:
        failure = pipe.read().decode(errors="replace")
    if failure:
        os.waitpid(pid, 0)
        for fd in {fed, *near} - {-1}:
            os.close(fd)
        raise SwarmError(failure, "install it, or name another in the settings")
    if fed >= 0:
        os.set_blocking(fed, False)
    return Program(pid, fed, *near)


def _pipes() -> tuple[tuple[int, int], tuple[int, int]]:
    """(our ends, its ends) of standard output and error."""
    (out, its_out), (err, its_err) = os.pipe(), os.pipe()
    return (out, err), (its_out, its_err)


def _terminal() -> tuple[tuple[int, int], tuple[int, int]]:
    """The same with one PTY."""
    ours, its = os.openpty()
    termios.tcsetwinsize(its, (ROWS, COLUMNS))
    return (ours, -1), (its, its)


def _become(
    argv: Sequence[str],
    cwd: str,
    env: Mapping[bytes, bytes],
    streams: tuple[int, int, int],
    terminal: bool,
    umask: int,
    words: int,
) -> NoReturn:
    """In the child: never returns. What goes wrong goes through `words`, which a successful exec closes."""
    what = "its standard streams cannot be prepared"
    try:
        os.setsid()
        if terminal:
            fcntl.ioctl(streams[1], termios.TIOCSCTTY, 0)
        for number, fd in enumerate(streams):
            os.dup2(fd, number)
        _forget_signals()
        os.umask(umask)
        what = f"its folder {cwd} cannot be entered"
        os.chdir(cwd)
        what = f"cannot run {argv[0]!r}"
        os.execvpe(argv[0], list(argv), dict(env))  # noqa: S606 - no shell: that is the point
    except (OSError, ValueError) as error:
        unknown = isinstance(error, FileNotFoundError) and "/" not in argv[0] and "folder" not in what
        reason = "it is not on the PATH" if unknown else getattr(error, "strerror", None) or str(error)
        os.write(words, f"{what}: {reason}".encode(errors="replace")[:4096])
    finally:
        os._exit(127)


def _forget_signals() -> None:
    """What the host ignores or blocks, its program must not: an ignored signal survives exec."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) not in (signal.SIG_DFL, None):
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
