"""The end of a file that grows: what the next line is to follow. Rule: only as much is read as it takes."""

import msgspec

from .disk import Disk
from .lines import decode_block

_WINDOW = 1024


class End(msgspec.Struct, frozen=True, gc=False):
    """The end of the file when it had `size` bytes: the last event's id and line, and whether a line is torn."""

    size: int
    id: str = ""
    line: bytes = b""
    torn: bool = False


def end_of(disk: Disk, fd: int, size: int) -> End:
    """Look for the last event, from the end backwards. Lines that are none are passed over: they have no id."""
    window = _WINDOW
    while True:
        start = max(0, size - window)
        block = disk.pread(fd, size - start, start)
        torn, end = not block.endswith(b"\n") and block != b"", len(block)
        while (begin := block.rfind(b"\n", 0, end) + 1) or start == 0:
            line = block[begin:end]
            if line and (events := decode_block(line)[0]):
                return End(size, events[0].id, line, torn)
            if begin == 0:
                return End(size, torn=torn)
            end = begin - 1
        window *= 16
