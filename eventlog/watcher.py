"""Waking whoever reads the log. Rule: an event only rings the bell; what happened is read from the files.

So what an event says is not even looked at: watchdog's thread that reads them from the kernel rings by itself, once
for all that one read gave. Watchdog's own observer takes each event apart, and hands it on to a second thread and a
third: in a burst that costs more than to fold the log.

File-system events are quick but not sure: the kernel drops them when its queue is full, and there may be no inotify
left. So a heartbeat looks at the sizes too, once a second.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import reduce
from operator import or_
from types import TracebackType

from watchdog.observers.inotify_c import CallbackId, InotifyConstants, InotifyEvent, InotifyFD, Mask, WatchDescriptor

_CHANGES = (
    InotifyConstants.IN_MODIFY,
    InotifyConstants.IN_CREATE,
    InotifyConstants.IN_MOVED_FROM,
    InotifyConstants.IN_MOVED_TO,
    InotifyConstants.IN_DELETE,
)
"""What the kernel is asked to tell. Were it asked for reads too, a bell that reads the log would ring itself."""
_GULP = 64 * 1024
"""Bytes of events to read at once."""


class Watcher:
    """Rings `bell` whenever a file of the folder changed, and calls `tick` at each heartbeat (`heartbeat` seconds).

    Both are called from threads of the watcher, perhaps at the same time, and must be quick: set a flag, tell an
    actor. A bell may ring without need. `degraded` says, in words, when only the heartbeat is left.
    """

    def __init__(
        self, directory: str, bell: Callable[[], None], tick: Callable[[], None] | None = None, heartbeat: float = 1.0
    ) -> None:
        self._directory = directory
        self._bell = bell
        self._tick = tick
        self._heartbeat = heartbeat
        self._reader: _Reader | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="log-heartbeat", daemon=True)
        self._sizes: dict[str, tuple[int, int]] = {}
        self.degraded = ""

    def start(self) -> None:
        """Begin to watch. What is in the folder already rings no bell: read it after this call."""
        self._sizes = self._look()
        self._observe()
        self._thread.start()

    def stop(self) -> None:
        """Stop and wait for the threads: no bell rings after this."""
        self._stopping.set()
        if self._reader is not None:
            self._reader.stop()
            self._reader.join()
            self._reader = None
        if self._thread.is_alive():
            self._thread.join()

    def __enter__(self) -> "Watcher":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _observe(self) -> None:
        reader: _Reader | None = None
        try:
            reader = _Reader(self._bell)
            reader.start()  # first: only its thread closes its descriptors
            reader.watch(self._directory)
            self._reader = reader
        except OSError as error:
            if reader is not None:
                reader.stop()
            self.degraded = (
                f"the system gives no file notification ({error.strerror or error}): "
                f"the log is looked at every {self._heartbeat:g} s (raise fs.inotify.max_user_instances)"
            )

    def _beat(self) -> None:
        while not self._stopping.wait(self._heartbeat):
            sizes = self._look()
            if sizes != self._sizes:  # even if it rang meanwhile: that may have been for an earlier change
                self._sizes = sizes
                self._bell()
            if self._tick is not None:
                self._tick()

    def _look(self) -> dict[str, tuple[int, int]]:
        found: dict[str, tuple[int, int]] = {}
        with suppress(OSError), os.scandir(self._directory) as entries:  # (it is being replaced: the next look differs)
            for entry in entries:
                with suppress(OSError):  # it is gone, or a link to nothing
                    status = entry.stat()
                    found[entry.name] = status.st_size, status.st_mtime_ns
        return found


class _Reader(InotifyFD):
    """Watchdog's thread that reads what the kernel tells."""

    def __init__(self, bell: Callable[[], None]) -> None:
        super().__init__()
        self._bell = bell

    def watch(self, directory: str) -> None:
        """Have the kernel tell of this folder's files. Raises OSError."""
        self.add_callback(os.fsencode(directory), Mask(reduce(or_, _CHANGES)), _Nobody(), CallbackId(0))

    def run(self) -> None:
        """Ring whenever there was something to read: also that the kernel's queue was full, and the rest is lost."""
        while self.should_keep_running():
            if self._read_event_buffer(_GULP):  # (`read_events` would take it apart)
                self._bell()


class _Nobody:
    """Whom watchdog would tell of each event: the reader has rung by then."""

    def on_event(self, event: InotifyEvent) -> None:
        """A file changed."""

    def on_watch_deleted(self, wd: WatchDescriptor) -> None:
        """The folder went, or we stop."""

    def on_queue_overflow(self) -> None:
        """There was more than the kernel keeps."""
