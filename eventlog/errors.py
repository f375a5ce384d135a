"""The root of the one error tree. Rule: a message says what happened and to what; a hint says what to do now.

SwarmError             exit 1: the work failed, and you can do something about it
+-- UsageError         exit 2: the words or the ids given do not fit
+-- LogError           exit 1: the log could not be written or read (disk full, read-only)
|   +-- FactError      exit 1: one fact cannot be a line (too long, or not text)
|   +-- NotDurable     exit 1: it is in the log, but a loss of power may take it away
+-- GitError           exit 1: git refused (world/git.py)
"""


class SwarmError(Exception):
    """Raised when the work failed for a reason that its user can mend. `hint` is what to do, a command if there is
    one.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(SwarmError):
    """Raised when what was asked cannot be: an unknown id, a bad setting, a wrong word. Nothing was changed."""

    exit_code = 2


class LogError(SwarmError):
    """Raised when an event could not be appended or the log not be read. Nothing partial stays in the file."""


class FactError(LogError):
    """Raised when a fact cannot be a line of the log: it is too long, or holds what is not text. The log is fine."""


class NotDurable(LogError):
    """Raised when what was appended is in the log, for every reader, but could not be synced. To append it again would
    say it twice. `events`: what this call had appended, as written; empty where it only synced what was there before.
    """

    def __init__(self, message: str, events: tuple[object, ...] = ()) -> None:
        super().__init__(message, "it is in the log all the same: do not write it again")
        self.events = events
