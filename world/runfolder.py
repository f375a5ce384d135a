"""The folder of one session, `runs/<session>/`: who took it, what ran, how it ended. Rule: every file appears whole.

    spec.json      what to run (SessionSpec)              program.json   what runs (Claim), once it does
    claimed        the one host (Claim)                   exit.json      how it ended (ExitRecord)
    stdout.log     raw output, capped                     host.err       what a crashing host had to say
    stderr.log     the same

0700, its files 0600: they hold the prompt and whatever the agent printed. The environment is in none of them.
Who runs is bound to this very folder: in a copy of it (`cp -r`) nobody does, and nobody is ended from there.
"""

import os
from threading import get_native_id
from typing import TypeVar

import msgspec

from ..eventlog.events import SessionExited, UsageReported
from ..eventlog.fact import Fact
from ..eventlog.files import Draft
from . import Identity, SessionSpec

T = TypeVar("T")

NOBODY = Identity("", 0, 0)  # claims a folder so that no host ever will, and has the copy of a claimed one


class Claim(msgspec.Struct, frozen=True):
    """Which process works in which folder: a copied folder is another one."""

    identity: Identity
    device: int
    inode: int


class ExitRecord(msgspec.Struct, frozen=True):
    """What a host appends when its program is gone, kept beside the log in case it cannot."""

    exited: SessionExited
    usage: list[UsageReported] = []


def drafted(spec: SessionSpec, *facts: Fact) -> list[Draft]:
    """The facts as the session itself says them, whoever appends them."""
    source = f"session/{spec.session}"
    return [Draft(fact, source, spec.issue, spec.causationid, spec.correlationid) for fact in facts]


class RunFolder:
    """One session's folder. Nothing is cached: other processes write here too."""

    def __init__(self, path: str) -> None:
        self.path = path

    def file(self, name: str) -> str:
        """The path of one file in it."""
        return os.path.join(self.path, name)

    def create(self, spec: SessionSpec) -> None:
        """Make the folder (it may exist, with the runtime's files in it) and write down what is to run."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        os.chmod(self.path, 0o700)
        self._write("spec.json", spec)

    def claim(self, owner: Identity) -> bool:
        """Take the folder for `owner`; False if somebody has it. link(2) is exclusive, and never half done."""
        draft = self._draft("claimed", self._bound(owner))
        try:
            os.link(draft, self.file("claimed"))
        except FileExistsError:
            return False
        finally:
            os.unlink(draft)
        return True

    def spec(self) -> SessionSpec | None:
        """What is to run here."""
        return self._read("spec.json", SessionSpec)

    def owner(self) -> Identity | None:
        """Who claimed it; NOBODY if that was another folder, of which this is a copy."""
        return self._bearer("claimed")

    def program(self) -> Identity | None:
        """What runs, or ran, here; NOBODY if that is in another folder, of which this is a copy."""
        return self._bearer("program.json")

    def exit_record(self) -> ExitRecord | None:
        """How it ended, if that was written down."""
        return self._read("exit.json", ExitRecord)

    def keep_program(self, program: Identity) -> None:
        """Write down what runs here, for whoever must end it if the host is killed."""
        self._write("program.json", self._bound(program))

    def keep_exit(self, record: ExitRecord) -> None:
        """Write down how it ended."""
        self._write("exit.json", record)

    def _bound(self, process: Identity) -> Claim:
        status = os.stat(self.path)
        return Claim(process, status.st_dev, status.st_ino)

    def _bearer(self, name: str) -> Identity | None:
        claim = self._read(name, Claim)
        if claim is None:
            return None
        return claim.identity if claim == self._bound(claim.identity) else NOBODY

    def _read(self, name: str, kind: type[T]) -> T | None:
        """The file's content; None if it is missing or, after a power cut, not whole."""
        try:
            with open(self.file(name), "rb") as file:
                return msgspec.json.decode(file.read(), type=kind)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
            return None

    def _write(self, name: str, content: msgspec.Struct) -> None:
        os.rename(self._draft(name, content), self.file(name))

    def _draft(self, name: str, content: msgspec.Struct) -> str:
        """The content in a file of its own, for the name to appear with all of it at once."""
        draft = self.file(f"{name}.{os.getpid()}.{get_native_id()}")  # threads may race
        try:
            with open(os.open(draft, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(msgspec.json.encode(content))
        except OSError:
            if os.path.exists(draft):
                os.unlink(draft)
            raise
        return draft
