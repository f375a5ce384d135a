"""What a disk in memory consists of. Rule: here is only what is there; what can be done to it stands in `disk.py`."""

from random import Random
from typing import Any

import msgspec


class Status(msgspec.Struct, frozen=True):
    """What `stat` tells."""

    st_dev: int
    st_ino: int
    st_size: int
    st_mtime_ns: int
    st_ctime_ns: int


class File:
    """An inode. `pending`: what is not synced, oldest first: (offset, bytes), or (length, None) for a truncation."""

    def __init__(self, ino: int) -> None:
        self.ino = ino
        self.data, self.synced = bytearray(), bytearray()
        self.pending: list[tuple[int, bytes | None]] = []
        self.mtime = self.ctime = 0
        self.holder: Open | None = None

    def sync(self) -> None:
        for change in self.pending:
            apply(self.synced, *change)
        self.pending.clear()


class Open:
    """An open file description; of the folder itself, `file` is None."""

    def __init__(self, file: File | None, flags: int) -> None:
        self.file, self.flags, self.position = file, flags, 0


class Machine:
    """What all processes share."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.names: dict[str, File] = {}
        self.synced: dict[str, File] = {}
        self.pending: list[tuple[str, str, File]] = []
        self.inodes = 1
        self.changes = self.mtime = 0
        self.time = 0.0
        self.processes: list[Any] = []

    def now(self) -> int:
        """The time of the next change. Several have the same: a file system's clock is coarse."""
        self.changes += 1
        return self.clock()

    def clock(self) -> int:
        return self.changes // 3


def apply(content: bytearray, offset: int, data: bytes | None) -> None:
    """Write `data` at the offset or, without any, make it so long."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    if data is None:
        del content[offset:]
    else:
        content[offset : offset + len(data)] = data
