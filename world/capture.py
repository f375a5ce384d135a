"""What a program prints: kept raw up to a cap, remembered at its end, read by lines. Rule: memory is bounded.

A program may print gigabytes, one line without an end, or bytes that are no text, and its reader may have a bug: none
of that may reach the host.
"""

import os

from ..runtimes import Outcome, Reader, Usage, ending

LINE = 1 << 20  # bytes of one line that a reader gets to see


class RawLog:
    """The first `cap` bytes of one stream in a file. `dropped` counts the rest, and what the disk refused."""

    def __init__(self, path: str, cap: int) -> None:
        self.dropped = 0
        try:
            self._fd, self._room = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), cap
        except OSError:
            self._fd, self._room = -1, 0  # disk full: the program's output is worth less than the program

    @property
    def full(self) -> bool:
        """Whether nothing more is kept."""
        return self._room <= 0

    def take(self, data: bytes) -> None:
        """Keep what there is room for."""
        kept = data[: self._room]
        try:
            written = os.write(self._fd, kept) if kept else 0
        except OSError:
            written = 0
        self._room -= written
        self.dropped += len(data) - written

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)


class Ring:
    """The last `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._bytes = bytearray()

    def take(self, data: bytes) -> None:
        """Remember these, forget the oldest."""
        self._bytes += data
        if len(self._bytes) > 2 * self._size:
            del self._bytes[: -self._size]

    def end(self) -> bytes:
        """The last `size` bytes, or all if there were fewer."""
        return bytes(self._bytes[-self._size :])


class Account:
    """The runtime's reader behind a wall: once it has raised it is not asked again, and its verdict is no."""

    def __init__(self, reader: Reader | None) -> None:
        self._reader = reader
        self._line = bytearray()
        self._usage: tuple[Usage, ...] = ()
        self._activity = (0, "")
        self._failure = ""

    def take(self, data: bytes) -> None:
        """A block of standard output. A line longer than `LINE` is cut."""
        if self._reader is None:
            return
        *ends, rest = data.split(b"\n")
        for part in ends:
            self._extend(part)
            self._feed()
        self._extend(rest)

    def activity(self) -> tuple[int, str]:
        """(tools used so far, what it does now); the last known ones if the reader failed."""
        try:
            if self._reader:
                self._activity = (self._reader.tools, self._reader.note)
        except Exception as error:  # noqa: BLE001 - a runtime's bug must not end the session
            self._switch_off(error)
        return self._activity

    def state(self) -> str:
        """What the program says it waits for; nothing if the reader failed, or knows nothing of waiting."""
        try:
            return getattr(self._reader, "state", "")
        except Exception as error:  # noqa: BLE001 - a runtime's bug must not end the session
            self._switch_off(error)
        return ""

    def usage(self) -> tuple[Usage, ...]:
        """The totals so far; the last known ones if the reader failed."""
        try:
            if self._reader:
                self._usage = tuple(self._reader.usage)
        except Exception as error:  # noqa: BLE001 - a runtime's bug must not end the session
            self._switch_off(error)
        return self._usage

    def outcome(self, code: int) -> Outcome:
        """The runtime's verdict; where there is no runtime, the exit code is believed."""
        if self._line:
            self._feed()
        try:
            if self._reader:
                return self._reader.outcome(code)
        except Exception as error:  # noqa: BLE001 - a runtime's bug must not end the session
            self._switch_off(error)
        if self._failure:
            return Outcome(False, f"the reader of its output failed: {self._failure} ({ending(code)})")
        return Outcome(code == 0, "" if code == 0 else ending(code))

    def _extend(self, part: bytes) -> None:
        self._line += part[: LINE - len(self._line)]

    def _feed(self) -> None:
        line = bytes(self._line).removesuffix(b"\r")  # a terminal ends its lines with both
        self._line.clear()
        try:
            if self._reader:
                self._reader.feed(line)
        except Exception as error:  # noqa: BLE001 - a runtime's bug must not end the session
            self._switch_off(error)

    def _switch_off(self, error: Exception) -> None:
        self._reader, self._failure = None, f"{type(error).__name__}: {error}"
