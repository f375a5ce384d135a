"""A disk in memory that can fill up, fail, and lose its power. Rule: what holds for a real file system holds for it, so
both pass `tests/eventlog/test_disk.py`; beyond that it offers only what goes wrong with real ones.

After a loss of power only that is sure which was synced. Of what was written since, any part may be there, and any part
not; what is missing in the midst of what is there reads as NULs. A name that was made or changed is sure once the
folder was synced after it. (A disk whose sync *failed* keeps its dirty pages here, and a later sync saves them. Linux
may drop them: no log can promise anything on such a disk.)
"""

import errno
import fcntl
import os
from collections.abc import Callable
from itertools import count
from random import Random

import msgspec

from inodes import File, Machine, Open, Status, apply

FOLDER = "/log"
LINES = "write of lines"


class Killed(BaseException):
    """The process was killed in the midst of a call."""


class Faults(msgspec.Struct):
    """What is wrong with a disk now. `room`: bytes that it still takes. `broken`: the calls that fail with EIO.
    `lying`: the calls that say that they synced and did not.
    """

    room: int | None = None
    readonly: bool = False
    broken: set[str] = set()
    lying: set[str] = set()


class SimDisk:
    """Satisfies `Disk`, with one folder, `FOLDER`, as one process has it; `another()` is the same disk for another.

    `faults` are for all processes; `descriptors` bounds the open files of this one.
    """

    def __init__(self, seed: int = 0, same: "SimDisk | None" = None) -> None:
        self._machine: Machine = same._machine if same else Machine(seed)
        self._machine.processes.append(self)
        self._opened: dict[int, Open] = {}
        self._calls_left, self._fatal = -1, ""
        self.faults: Faults = same.faults if same else Faults()
        self.descriptors: int | None = None

    # --- what happens to it ---

    def another(self) -> "SimDisk":
        """The same disk, for another process."""
        return SimDisk(same=self)

    def kill(self) -> None:
        """The process is gone: what it had open is closed, its locks are free."""
        for fd in list(self._opened):
            self._close(fd)
        self._calls_left = -1

    def kill_in(self, calls: int, call: str = "") -> None:
        """Raise Killed in the call after so many more, and in all that follow; a write gets in only in part. Only those
        to `call` count, if it is named; a write of several is called `LINES` too.
        """
        self._calls_left, self._fatal = calls, call

    def power_loss(self) -> None:
        """All processes end, and of what was not synced some is there and some is not."""
        machine = self._machine
        for process in machine.processes:
            process.kill()
        survives = _fate(machine.random)
        names = machine.synced
        for old, new, file in machine.pending:
            if survives() and (names.get(old) is file if old else new not in names):
                names.pop(old, None)
                names[new] = file
        for file in names.values():
            file.data = self._left(file)
            file.synced = bytearray(file.data)
            file.pending.clear()
        machine.names, machine.pending = dict(names), []

    def _left(self, file: File) -> bytearray:
        random, survives = self._machine.random, _fate(self._machine.random)
        left = bytearray(file.synced)
        for offset, written in file.pending:
            if written is None:
                if survives():
                    apply(left, offset, None)
                continue
            cuts = sorted(random.randrange(len(written) + 1) for _ in range(random.choice((0, 0, 1, 1, 3))))
            for start, end in zip([0, *cuts], [*cuts, len(written)], strict=True):
                if survives():
                    apply(left, offset + start, written[start:end])
        if len(left) < len(file.data) and random.random() < 0.3:
            apply(left, random.randint(len(left), len(file.data)), None)
        return left

    # --- what a test looks at ---

    @property
    def changes(self) -> int:
        """How many there were so far, of files and names."""
        return self._machine.changes

    def files(self) -> dict[str, bytes]:
        """What is in every file, by name, sorted."""
        return {name: bytes(file.data) for name, file in sorted(self._machine.names.items())}

    def dump(self, folder: str) -> None:
        """Write every file into a real folder that has none of these names."""
        for name, content in self.files().items():
            with open(os.path.join(folder, name), "xb") as file:
                file.write(content)

    # --- the Protocol ---

    def open(self, path: str, flags: int, mode: int = 0o600, /) -> int:
        self.called("open")
        if self.descriptors is not None and len(self._opened) >= self.descriptors:
            raise _error(errno.EMFILE, path)
        writing = flags & os.O_ACCMODE != os.O_RDONLY
        if path == FOLDER:
            if writing or flags & os.O_CREAT:
                raise _error(errno.EISDIR, path)
            return self._keep(Open(None, flags))
        name = _name(path)
        file = self._machine.names.get(name)
        if file is None and not flags & os.O_CREAT:
            raise _error(errno.ENOENT, path)
        if file is not None and flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST, path)
        if self.faults.readonly and (writing or file is None):
            raise _error(errno.EROFS, path)
        if flags & os.O_DIRECTORY:
            raise _error(errno.ENOTDIR if file else errno.EINVAL, path)
        return self._keep(Open(file or self._make(name), flags))

    def close(self, fd: int, /) -> None:
        self._find(fd)
        self._close(fd)

    def write(self, fd: int, data: bytes, /) -> int:
        opened, file = self._find_file(fd, os.O_RDONLY)
        try:
            self.called("write", LINES if data.count(b"\n") > 1 else "write")
        except Killed:
            self._put(opened, file, data[: self._cut(data)])
            raise
        if self.faults.readonly:
            raise _error(errno.EROFS)
        if self.faults.room is not None:
            if data and not self.faults.room:
                raise _error(errno.ENOSPC)
            data = data[: self.faults.room]
            self.faults.room -= len(data)
        self._put(opened, file, data)
        return len(data)

    def pread(self, fd: int, length: int, offset: int, /) -> bytes:
        _, file = self._find_file(fd, os.O_WRONLY)
        self.called("pread")
        return bytes(memoryview(file.data)[offset : offset + length])

    def lseek(self, fd: int, position: int, whence: int, /) -> int:
        opened, file = self._find(fd), self._find(fd).file
        self.called("lseek")
        if file is None or whence != os.SEEK_END or position:
            raise NotImplementedError("only to the end of a file")
        opened.position = len(file.data)
        return opened.position

    def clock(self) -> int:
        return self._machine.clock()

    def monotonic(self) -> float:
        self._machine.time += 0.0003  # what is done between two looks takes some time
        return self._machine.time

    def sleep(self, seconds: float, /) -> None:
        self.called("sleep")
        self._machine.time += seconds

    def fstat(self, fd: int, /) -> Status:
        self.called("fstat")
        return self._status(self._find(fd).file)

    def stat(self, path: str, /) -> Status:
        self.called("stat")
        if path == FOLDER:
            return self._status(None)
        file = self._machine.names.get(_name(path))
        if file is None:
            raise _error(errno.ENOENT, path)
        return self._status(file)

    def ftruncate(self, fd: int, length: int, /) -> None:
        _, file = self._find_file(fd, os.O_RDONLY, errno.EINVAL)
        self.called("ftruncate")
        if self.faults.readonly:
            raise _error(errno.EROFS)
        if self.faults.room is not None:
            self.faults.room += max(0, len(file.data) - length)
        file.pending.append((length, None))
        apply(file.data, length, None)
        file.mtime = file.ctime = self._machine.now()

    def rename(self, old: str, new: str, /) -> None:
        self.called("rename")
        source, target = _name(old), _name(new)
        file = self._machine.names.get(source)
        if file is None:
            raise _error(errno.ENOENT, old, new)
        if self.faults.readonly:
            raise _error(errno.EROFS, old, new)
        if self._machine.names.get(target) is not file:
            del self._machine.names[source]
            self._machine.names[target] = file
            self._machine.pending.append((source, target, file))
            self._machine.mtime = file.ctime = self._machine.now()

    def listdir(self, path: str, /) -> list[str]:
        self.called("listdir")
        if path != FOLDER:
            raise _error(errno.ENOTDIR if _name(path) in self._machine.names else errno.ENOENT, path)
        names = list(self._machine.names)
        self._machine.random.shuffle(names)
        return names

    def fdatasync(self, fd: int, /) -> None:
        self._sync(fd, "fdatasync")

    def fsync(self, fd: int, /) -> None:
        self._sync(fd, "fsync")

    def flock(self, fd: int, operation: int, /) -> None:
        opened = self._find(fd)
        if operation & fcntl.LOCK_UN:
            _unlock(opened)
            return
        self.called("flock")
        file = opened.file
        if file is None or not operation & fcntl.LOCK_EX:
            raise NotImplementedError("only exclusive locks of files")
        if file.holder not in (None, opened):
            if operation & fcntl.LOCK_NB:
                raise _error(errno.EWOULDBLOCK)
            raise RuntimeError("this would wait for ever: the lock is held in the only thread that there is")
        file.holder = opened

    # --- inside ---

    def called(self, call: str, also: str = "") -> None:
        """It makes a call. One that is killed makes none any more, but what its kernel does for it: close, unlock."""
        if self._fatal in ("", call, also):
            if self._calls_left == 0:
                self._fatal = ""
                raise Killed
            self._calls_left -= self._calls_left > 0
        if call in self.faults.broken:
            raise _error(errno.EIO)

    def _make(self, name: str) -> File:
        machine = self._machine
        machine.inodes += 1
        file = machine.names[name] = File(machine.inodes)
        machine.pending.append(("", name, file))
        machine.mtime = file.mtime = file.ctime = machine.now()
        return file

    def _keep(self, opened: Open) -> int:
        fd = next(number for number in count(3) if number not in self._opened)
        self._opened[fd] = opened
        return fd

    def _find(self, fd: int) -> Open:
        if fd not in self._opened:
            raise _error(errno.EBADF)
        return self._opened[fd]

    def _find_file(self, fd: int, wrong: int, error: int = errno.EBADF) -> tuple[Open, File]:
        opened = self._find(fd)
        if opened.flags & os.O_ACCMODE == wrong:
            raise _error(error)
        if opened.file is None:
            raise _error(errno.EISDIR)
        return opened, opened.file

    def _close(self, fd: int) -> None:
        _unlock(self._opened.pop(fd))

    def _cut(self, data: bytes) -> int:
        """How much of it gets in: any part; just as likely some lines, and a bit of the next."""
        random, ends = self._machine.random, [at + 2 for at, byte in enumerate(data) if byte == 10]
        return min(random.choice((random.randint(0, len(data)), random.choice([1, *ends]))), len(data))

    def _put(self, opened: Open, file: File, data: bytes) -> None:
        at = len(file.data) if opened.flags & os.O_APPEND else opened.position
        opened.position = at + len(data)
        if data:
            file.pending.append((at, bytes(data)))
            apply(file.data, at, data)
            file.mtime = file.ctime = self._machine.now()

    def _sync(self, fd: int, call: str) -> None:
        opened = self._find(fd)
        self.called(call)
        if call in self.faults.lying:
            return
        if opened.file:
            opened.file.sync()
        else:
            self._machine.synced, self._machine.pending = dict(self._machine.names), []

    def _status(self, file: File | None) -> Status:
        machine = self._machine
        if file is None:
            return Status(7, 1, 4096, machine.mtime, machine.mtime)
        return Status(7, file.ino, len(file.data), file.mtime, file.ctime)


def _unlock(opened: Open) -> None:
    if opened.file and opened.file.holder is opened:
        opened.file.holder = None


def _fate(random: Random) -> Callable[[], bool]:
    """Whether the next piece survives: all do, none, or some."""
    share = random.choice((0.0, 0.5, random.random(), 1.0))
    return lambda: random.random() < share


def _name(path: str) -> str:
    folder, _, name = path.rpartition("/")
    if folder != FOLDER:
        raise _error(errno.ENOENT, path)
    return name


def _error(number: int, *names: str) -> OSError:
    """OSError makes itself the class that fits the number."""
    text = os.strerror(number)
    return OSError(number, text, names[0], None, *names[1:]) if names else OSError(number, text)
