"""A copy of ourselves in the background. Rule: it shares nothing with the terminal that started it."""

import os
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def start(argv: Sequence[str], output: str) -> "subprocess.Popen[bytes]":
    """Run it in a session of its own, its output in that file (made anew, 0600)."""
    fd = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=fd, stderr=fd, start_new_session=True, close_fds=True
        )
    finally:
        os.close(fd)


def wait(process: "subprocess.Popen[bytes]", up: Callable[[], T | None], seconds: float = 30.0) -> T | None:
    """What `up()` says once it says something; None if the process ended before, or time ran out."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = up()
        if found is not None:
            return found
        if process.poll() is not None:
            return None
        time.sleep(0.02)
    return None
