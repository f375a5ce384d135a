"""A command that runs in front of the person who asked for it. Rule: it has the terminal's output, an end in time, and
leaves no process behind; what needs a log or a limit is a session (host.py).
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress

from . import environment


def run(command: str, folder: str, seconds: float) -> int:
    """Run the shell command in that folder, its output on our standard error; returns its exit code, -1 if it had to be
    ended after so many seconds. Ctrl-C ends it too.
    """
    program = subprocess.Popen(  # the command is the person's own
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment.of_session(os.environ, {}),
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        start_new_session=True,
    )
    try:
        return abs(program.wait(seconds))
    except subprocess.TimeoutExpired:
        return -1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
