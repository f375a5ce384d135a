"""Those that the log is measured against: a table in SQLite, and the recorder of the `eventsourcing` package on SQLite.

Rule: each gets what makes it quick (an open connection, prepared statements, the write-ahead log), and makes no id.
"""

import os
import sqlite3
from uuid import uuid4

from eventsourcing.persistence import StoredEvent
from eventsourcing.sqlite import SQLiteApplicationRecorder, SQLiteDatastore

_FIELDS = (
    *("id", "type", "time", "source", "subject", "causationid", "correlationid", "seen", "now", "prev", "data"),
    *("recipient", "read"),
)


class Raw:
    """Plain `write(2)`, at the end of one file, of the bytes of a line; with `sync`, fdatasync after each."""

    def __init__(self, path: str, line: bytes) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._line = line

    def append(self) -> None:
        """One line."""
        os.write(self._fd, self._line)

    def append_durably(self) -> None:
        """One line that survives a loss of power."""
        os.write(self._fd, self._line)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


class Sqlite:
    """A table with the fields of an event: WAL, synchronous = NORMAL, one transaction an event.

    It has the two indexes without which it could not say what is unread by whom, or what belongs together: other
    agents' mailboxes have the same two.
    """

    def __init__(self, path: str, data: str) -> None:
        self._connection = sqlite3.connect(path, timeout=600, isolation_level=None)
        for setting in ("journal_mode = WAL", "synchronous = NORMAL"):
            self._connection.execute(f"PRAGMA {setting}")
        columns = ", ".join(f"{name} TEXT NOT NULL" for name in _FIELDS[1:])
        self._connection.execute(f"CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, {columns})")
        self._connection.execute("CREATE INDEX IF NOT EXISTS inbox ON events (recipient, read)")
        self._connection.execute("CREATE INDEX IF NOT EXISTS thread ON events (correlationid)")
        self._insert = f"INSERT INTO events VALUES ({', '.join('?' * len(_FIELDS))})"
        self._head = ("mail.sent", "2026-11-21T04:20:09.123Z", "agent/kim", "sw-7f3a91c2", "")
        self._tail = ("", 0.0, "b7e0a6f2c4d81935", data)
        self._prefix, self._count = uuid4().hex[:20], 0

    def append(self) -> None:
        """One event. Its id sorts after the one before, as ours do: that is where an index takes it quickest."""
        self._count += 1
        id_, some = f"{self._prefix}{self._count:016x}", self._count % 50
        self._connection.execute(self._insert, (id_, *self._head, f"run-{some}", *self._tail, f"builder-{some}", "no"))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Recorder:
    """What an application of `eventsourcing` saves its events with."""

    def __init__(self, path: str, state: bytes) -> None:
        self._datastore = SQLiteDatastore(path, lock_timeout=600)
        self._recorder = SQLiteApplicationRecorder(self._datastore)
        self._recorder.create_table()
        self._aggregate, self._version, self._state = uuid4(), 0, state

    def append(self) -> None:
        """One event."""
        self._version += 1
        self._recorder.insert_events([StoredEvent(self._aggregate, self._version, "swarm:MailSent", self._state)])

    def close(self) -> None:
        """Close the connections."""
        self._datastore.close()
