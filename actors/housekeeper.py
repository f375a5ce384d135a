"""What a running system does in the background for everybody: it syncs the log, and saves checkpoints of the board.

Rule: it decides nothing and appends nothing. One thread, that sleeps while nothing is appended. By syncing at most
every `PAUSE` it syncs for all writers of that time at once: whatever any process of this node appended is safe from a
loss of power within 50 ms, a sync's own time included where the disk takes no more than the other half.
"""

import threading
from collections.abc import Callable
from types import TracebackType

PAUSE = 0.02
"""Seconds between two syncs."""
SAVE_EVERY = 10.0
"""Seconds between two checkpoints."""


class Housekeeper:
    """`sync` and `save` are called in its thread. `failed` is told, once, what one of them raised: then it ends."""

    def __init__(
        self,
        sync: Callable[[], None],
        save: Callable[[], None],
        failed: Callable[[Exception], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._sync, self._save, self._failed, self._monotonic = sync, save, failed, monotonic
        self._rung, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="housekeeper", daemon=True)

    def ring(self) -> None:
        """Something was appended, perhaps."""
        self._rung.set()

    def __enter__(self) -> "Housekeeper":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Sync and save a last time, and wait for the thread."""
        self._stopping.set()
        self._rung.set()
        self._thread.join()

    def _run(self) -> None:
        saved = self._monotonic()
        try:
            while not self._stopping.wait(PAUSE):
                self._rung.wait()
                self._rung.clear()
                self._sync()
                if self._monotonic() - saved > SAVE_EVERY:
                    self._save()
                    saved = self._monotonic()
            self._sync()
            self._save()
        except Exception as error:  # noqa: BLE001  # whatever it is, it must not be lost with this thread
            self._failed(error)
