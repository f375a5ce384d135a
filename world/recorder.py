"""What a session's host appends to the log. Rule: a full disk ends no agent, and no secret goes into one."""

from collections.abc import Callable
from contextlib import suppress

from ..eventlog.errors import NotDurable, SwarmError
from ..eventlog.fact import Fact
from ..eventlog.files import Draft, Log
from ..eventlog.place import find
from . import SessionSpec, node
from .redaction import Redactor
from .runfolder import drafted


def open_log(log_dir: str) -> Log:
    """The node's log, for one more writer."""
    return node.open_log(find(log_dir, {"SWARM_LOG": log_dir}))


class Recorder:
    """Appends the session's events under its name, to the log that `opened` gives. Never raises: a full disk must not
    end an agent.
    """

    def __init__(self, spec: SessionSpec, opened: Callable[[], Log], redactor: Redactor) -> None:
        self._spec, self._opened, self.redactor = spec, opened, redactor
        self._log: Log | None = None
        self._owed: list[Draft] = []

    def append(self, *facts: Fact, owed: bool = False) -> bool:
        """Append the facts, after those still owed. False: the log refused; what is `owed` goes with the next ones."""
        drafts = drafted(self._spec, *map(self.redactor.fact, facts))
        try:
            self._log = self._log or self._opened()
            with suppress(NotDurable):  # it is written: said again it would be there twice
                self._log.append(self._owed + drafts)
        except (SwarmError, OSError):
            self._owed += drafts if owed else []
            return False
        self._owed = []
        return True

    def close(self) -> None:
        """Close the log."""
        if self._log:
            with suppress(NotDurable):
                self._log.close()
