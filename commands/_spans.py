"""What each file of a log holds: the ids of its first and last event, and how many there are. Rule: of a sealed file
that is found out once and kept in `cache/`, which is disposable; it says nothing that the files do not.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any

import msgspec

from ..eventlog.chains import each_file
from ..eventlog.disk import REAL, Disk
from ..eventlog.errors import LogError
from ..eventlog.fact import Event
from ..eventlog.ids import made_on
from ..eventlog.lines import decode_block
from ..eventlog.segments import is_sealed, node_of_file, sealed_name
from ..eventlog.tail import blocks, first_event, opened

KEPT = "spans.json"


class Span(msgspec.Struct):
    """A file of the log when it had `size` bytes and was last changed at `ctime_ns`: the ids of its first and its last
    event, and how many there are (-1: not counted).
    """

    size: int
    ctime_ns: int
    first: str = ""
    last: str = ""
    count: int = -1


class Spans:
    """The files of the log in `directory` that hold events, in order, as they were when this was made.

    `cache`: a folder to keep in what is known of them, or empty.
    """

    def __init__(self, directory: str, cache: str = "", disk: Disk = REAL) -> None:
        self._directory, self._disk = directory, disk
        self._path = os.path.join(cache, KEPT) if cache else ""
        self._known = _load(self._path)
        found = {name: self._look(name, fd) for name, fd, _ in each_file(directory, disk)}
        self.all = {name: span for name, span in found.items() if span.first}

    def tidy(self) -> bool:
        """Whether each file begins after the one before it, and holds its own node's events: as they are written. With
        a copy, a fork, or a file that somebody put there, spans say nothing, and everything is to be read.
        """
        nodes = {name: node_of_file(name) for name in self.all}
        own = all(made_on(id_, nodes[name]) for name, span in self.all.items() for id_ in (span.first, span.last))
        pairs = pairwise(self.all.items())
        return own and all(one.last < two.first for (a, one), (b, two) in pairs if nodes[a] == nodes[b])

    def count(self, name: str) -> int:
        """How many events that file holds."""
        span = self.all[name]
        if span.count < 0:
            span.count = len({event.id for event in self.events(name)})
        return span.count

    def events(self, name: str) -> Iterator[Event[Any]]:
        """The events of that file, as they stand there."""
        for block in self.blocks(name):
            yield from decode_block(block)[0]

    def blocks(self, name: str) -> Iterator[bytes]:
        """Its lines. If it was sealed meanwhile, another may be growing under its name."""
        sealed, fd = sealed_name(node_of_file(name), self.all[name].first), self._opened(name)
        if sealed not in self.all and (now := self._opened(sealed)) >= 0:  # last: so none can be sealed in between
            if fd >= 0:
                self._disk.close(fd)
            fd = now
        if fd < 0:
            raise LogError(f"{name} is gone since it was first looked at", "run it again")
        try:
            for _, block, _ in blocks(fd, 0, self._disk.fstat(fd).st_size, self._disk):
                yield block
        finally:
            self._disk.close(fd)

    def keep(self) -> None:
        """Write down what is known of the sealed files; where that cannot be, it will be found out again."""
        sealed = {name: span for name, span in self.all.items() if is_sealed(name)}
        if not self._path or sealed == self._known:
            return
        with suppress(OSError):
            draft = f"{self._path}.{os.getpid()}"
            with open(draft, "wb") as file:
                file.write(msgspec.json.encode(sealed))
            os.replace(draft, self._path)

    def _look(self, name: str, fd: int) -> Span:
        status, known = self._disk.fstat(fd), self._known.get(name)
        if known and (known.size, known.ctime_ns) == (status.st_size, status.st_ctime_ns):
            return msgspec.structs.replace(known)
        span = Span(status.st_size, status.st_ctime_ns, first_event(self._disk, fd, status.st_size))
        span.last = _last_event(self._disk, fd, status.st_size) if span.first else ""
        return span

    def _opened(self, name: str) -> int:
        return opened(os.path.join(self._directory, name), self._disk)


def _load(path: str) -> dict[str, Span]:
    try:
        with open(path, "rb") as file:
            return msgspec.json.decode(file.read(), type=dict[str, Span])
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}


def _last_event(disk: Disk, fd: int, size: int) -> str:
    """The id of the last event in a file of so many bytes that holds one."""
    window = 4096
    while True:
        begin = max(0, size - window)
        block = disk.pread(fd, size - begin, begin)
        block = block[: block.rfind(b"\n") + 1]
        events, _ = decode_block(block if begin == 0 else block[block.find(b"\n") + 1 :])
        if events or begin == 0:
            return events[-1].id if events else ""
        window *= 4
