"""Listening to a program that may fall silent. Rule: it may take as long as it likes, as long as it says something."""

import os
import selectors
import subprocess
from contextlib import suppress


def heard(process: "subprocess.Popen[bytes]", silence: float) -> tuple[bytes, bytes]:
    """What it prints on both pipes until its end. Raises TimeoutError once there was nothing for so many seconds."""
    out, err = bytearray(), bytearray()
    with selectors.DefaultSelector() as waiting:
        for stream, kept in ((process.stdout, out), (process.stderr, err)):
            if stream:
                waiting.register(stream, selectors.EVENT_READ, kept)
        while waiting.get_map():
            ready = waiting.select(silence)
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                data = os.read(key.fd, 65_536)
                key.data.extend(data)
                if not data:
                    waiting.unregister(key.fileobj)
    process.wait()
    return bytes(out), bytes(err)


def answered(process: "subprocess.Popen[bytes]", line: bytes) -> bytes | None:
    """The line that it prints when it is given one (both without their ends); None if it ends instead."""
    if process.stdin is None or process.stdout is None:
        return None
    with suppress(BrokenPipeError):
        os.write(process.stdin.fileno(), line + b"\n")
    answer = process.stdout.readline()
    return answer[:-1] if answer.endswith(b"\n") else None
