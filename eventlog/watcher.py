"""Waking whoever reads the log. Rule: an event only rings the bell; what happened is read from the files.

File-system events are quick but not sure: the kernel drops them when its queue is full and nobody is told, and there
may be no inotify left. So a heartbeat looks at the sizes too, once a second.
"""

import os
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

from watchdog.events import (
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, EventQueue


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
        self._observer: BaseObserver | None = None
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
        if self._observer is not None:
            self._observer.stop()
            self._observer.join()
            self._observer = None
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
        # Without the filter a bell that reads the log would ring itself: reading gives events too.
        wanted: list[type[FileSystemEvent]] = [FileModifiedEvent, FileCreatedEvent, FileMovedEvent, FileDeletedEvent]
        observer: BaseObserver | None = None
        try:
            observer = Observer()
            observer._event_queue = _BellQueue(self._bell)  # watchdog offers no way to give it one
            observer.schedule(FileSystemEventHandler(), self._directory, event_filter=wanted)
            observer.start()
            self._observer = observer
        except OSError as error:
            if observer is not None:
                observer.stop()  # it has a thread and a descriptor from its making
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
        try:
            with os.scandir(self._directory) as entries:
                return {entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns) for entry in entries}
        except OSError:
            return {}  # the folder is being replaced: the next look will differ


class _BellQueue(EventQueue):
    """Rings when watchdog queues an event, and drops it: nothing waits until its third thread takes the event out."""

    def __init__(self, bell: Callable[[], None]) -> None:
        super().__init__()
        self._bell = bell

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """An event rings; what is no event (the word to stop) is queued."""
        if isinstance(item, tuple):
            self._bell()
        else:
            super().put(item, block, timeout)
