"""The end of a file that grows: what the next line is to follow. Rule: only as much is read as it takes.

The next id is to be greater than the last, even if that is years ahead: as a rule it is this machine's clock that was
set back. But an id that the time in its own line belies was changed, perhaps by one flipped bit: followed, it would
have all that comes sort after the year 2096, and every other clone refuse it. So the id before that one is followed.
"""

import msgspec

from .disk import Disk
from .ids import says_time
from .lines import id_and_time

_WINDOW = 1024


class End(msgspec.Struct, frozen=True, gc=False):
    """The end of the file when it had `size` bytes: the last id that its line does not belie, the last event's line,
    and whether a line is torn.
    """

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
        torn, end, last = not block.endswith(b"\n") and block != b"", len(block), b""
        while (begin := block.rfind(b"\n", 0, end) + 1) or start == 0:
            line = block[begin:end]
            if found := id_and_time(line):
                last = last or line
                if says_time(*found):
                    return End(size, found[0], last, torn)
            if begin == 0:
                return End(size, "", last, torn)
            end = begin - 1
        window *= 16
