"""The one door to git. Rule: nothing else in this project runs git, and nothing an agent wrote decides how git runs.

An agent can write its worktree, its branch, and git's notes about that worktree. So each call names the repository
itself (`GIT_DIR`, `GIT_COMMON_DIR`, `GIT_WORK_TREE`; a worktree's own `.git` and `commondir` are never read), switches
off what runs programs (hooks, fsmonitor, signing, maintenance), takes no GIT_* variable from outside except where the
person's configuration and credentials are, and starts without a shell and without standard input; programs are looked
for in absolute folders only: with `.` in PATH, a worktree's own `./git` would run. Git is in a session of its own, so
that Ctrl-C in the terminal cannot stop it between two files.

`ask` and `run` are for words. `pipe` is for data, for what is run often, and for what may wait on a network: gitpython
hands nothing to git's standard input, and takes longer to import than a whole `swarm sync` may last.
"""

import fcntl
import functools
import os
import signal
import subprocess
import threading
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec

from ..eventlog.errors import SwarmError
from ..eventlog.text import fitting, head
from .gitfiles import branch_tip, checked_out, stamp
from .hearing import answered, heard

WORKTREES = ".swarm/worktrees"

_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.untrackedCache": "false",
    "core.splitIndex": "false",
    "core.sparseCheckout": "false",
    "core.ignoreStat": "false",
    "core.safecrlf": "false",
    "core.pager": "cat",
    "add.ignoreErrors": "false",
    "checkout.workers": "0",
    "commit.gpgSign": "false",
    "tag.gpgSign": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
    "i18n.commitEncoding": "UTF-8",
    "protocol.ext.allow": "never",
    "submodule.recurse": "false",
    "worktree.useRelativePaths": "false",
}
# What the person says about configuration and credentials; every other inherited GIT_* variable is dropped.
_KEPT = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM", "GIT_ASKPASS", "GIT_TERMINAL_PROMPT")


_FULL = "No space left"
FREE_SPACE = "free space and run it again"
_MOST_KNOWN = 1024
_LONGEST = 4000  # bytes of words in an error: it goes into an event
_PYTHON_GIT = "GIT_PYTHON_GIT_EXECUTABLE"
_importing = threading.Lock()


class GitError(SwarmError):
    """Raised when git refused, with its own first words. Nothing was thrown away.

    The words fit into an event: names that are not UTF-8 are made so, and what is too long is cut.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(head(message, _LONGEST), head(hint, _LONGEST))


class Place(msgspec.Struct, frozen=True):
    """Where a call works: git's directory (of the repository or one worktree), the files, the index (empty: git's)."""

    git_dir: str
    work_tree: str
    index: str = ""


class Answer(msgspec.Struct, frozen=True):
    """How git ended, what it printed (file names that are not UTF-8 as surrogates), and what it said about it (made
    printable: it goes into errors and events).
    """

    code: int
    out: str
    err: str


class Output(msgspec.Struct, frozen=True):
    """The same, with what git printed as it is."""

    code: int
    out: bytes
    err: str


class Door:
    """Runs git on one repository: `root` is its main work tree, `common` its common git directory."""

    def __init__(self, root: str, common: str) -> None:
        self.root = os.path.realpath(root)
        self.common = os.path.realpath(common)
        self.main = Place(self.common, self.root)
        self._mine = threading.local()  # .locks: descriptors of the locks that this thread holds
        self._known: dict[str, str] = {}  # see `note`
        self._settings: dict[str, tuple[tuple[int, ...], bool]] = {}

    def ask(self, *args: str, at: Place | None = None, env: Mapping[str, str] | None = None) -> Answer:
        """Run `git args…`, whatever its exit code."""
        at = at or self.main
        if not os.path.isdir(at.work_tree):
            raise GitError(f"there is no folder {at.work_tree}")
        git = _program("git")
        given = {**self._environment(at), **(env or {})}
        # gitpython lays `env` over os.environ and cannot take a variable away: env(1) can.
        stray = [name for name in os.environ if name.startswith("GIT_") and name not in given and not _kept(name)]
        without = [_program("env"), *(f"--unset={name}" for name in stray)] if stray else []
        code, out, err = _runner(git)(at.work_tree).execute(
            [*without, git, *args],
            env=given,
            start_new_session=True,
            pass_fds=getattr(self._mine, "locks", ()),
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            shell=False,
        )
        return Answer(code, os.fsdecode(out), printable(os.fsdecode(err)))

    def run(self, *args: str, at: Place | None = None, env: Mapping[str, str] | None = None, hint: str = "") -> str:
        """What `git args…` printed; raises GitError when it does not end well."""
        answer = self.ask(*args, at=at, env=env)
        if answer.code:
            raise failed(args[0], answer, hint)
        return answer.out

    def pipe(
        self,
        *args: str,
        given: bytes = b"",
        at: Place | None = None,
        env: Mapping[str, str] | None = None,
        silence: float = 0.0,
    ) -> Output:
        """Run `git args…` with `given` on its standard input, whatever its exit code.

        With `silence` it is killed, and `err` says so, once it has printed nothing for so many seconds. When we are
        interrupted it is killed with all that it started.
        """
        with self._started(args, at, env, subprocess.PIPE if given else subprocess.DEVNULL) as process:
            try:
                out, err = heard(process, silence) if silence else process.communicate(given or None)
            except TimeoutError:
                os.killpg(process.pid, signal.SIGKILL)
                return Output(-signal.SIGKILL, b"", f"it said nothing for {silence:g} s")
        return Output(process.returncode, out, printable(os.fsdecode(err)))

    @contextmanager
    def talk(self, *args: str) -> Iterator[Callable[[bytes], bytes]]:
        """Run `git args…` for as long as the block lasts. Called with a line it returns the line that git answers (both
        without their ends); raises GitError if git ends instead.
        """
        with self._started(args, None, None, subprocess.PIPE) as process:

            def said(line: bytes) -> bytes:
                answer = answered(process, line)
                if answer is None:
                    _, err = process.communicate()
                    raise failed(args[0], Output(process.returncode, b"", printable(os.fsdecode(err))))
                return answer

            yield said

    @contextmanager
    def _started(
        self, args: Sequence[str], at: Place | None, env: Mapping[str, str] | None, given: int
    ) -> Iterator["subprocess.Popen[bytes]"]:
        at = at or self.main
        if not os.path.isdir(at.work_tree):
            raise GitError(f"there is no folder {at.work_tree}")
        outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_") or _kept(name)}
        with subprocess.Popen(
            [_program("git"), *args],
            cwd=at.work_tree,
            env={**outside, **self._environment(at), **(env or {})},
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            pass_fds=getattr(self._mine, "locks", ()),
        ) as process:
            try:
                yield process
            except BaseException:
                if process.returncode is None:
                    os.killpg(process.pid, signal.SIGKILL)
                raise

    def _environment(self, at: Place) -> dict[str, str]:
        given = {
            "GIT_DIR": at.git_dir,
            "GIT_COMMON_DIR": self.common,
            "GIT_WORK_TREE": at.work_tree,
            "GIT_NO_REPLACE_OBJECTS": "1",  # refs/replace/ would show another content under the same id
            "GIT_OPTIONAL_LOCKS": "0",
            "PATH": _search_path(),  # git starts the person's filters by name
            "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
        }
        for number, (key, value) in enumerate(_SETTINGS.items()):
            given[f"GIT_CONFIG_KEY_{number}"] = key
            given[f"GIT_CONFIG_VALUE_{number}"] = value
        if at.index:
            given["GIT_INDEX_FILE"] = at.index
        return given

    # --- questions that every hand asks ---

    def commit(self, name: str) -> str:
        """The id of the commit that `name` (a full ref or an id) leads to; empty if there is none."""
        tip = branch_tip(self.common, name)
        if tip and tip in self._known:
            return tip
        answer = self.ask("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
        found = answer.out.strip() if answer.code == 0 else ""
        if found and found not in self._known:
            self.note(found)
        return found

    def note(self, commit: str, contains: str = "") -> None:
        """Remember that there is such a commit, and of what it contains one: git need not be asked each time."""
        while len(self._known) >= _MOST_KNOWN:
            self._known.pop(next(iter(self._known), ""), None)
        self._known[commit] = contains or commit

    def branch(self, at: Place | None = None) -> str:
        """The branch (a full ref) that is checked out there; empty if HEAD is at a commit."""
        at = at or self.main
        found = checked_out(self.common, at.git_dir)
        return self.ask("symbolic-ref", "--quiet", "HEAD", at=at).out.strip() if found is None else found

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Whether commit `newer` contains commit `older`."""
        if older in (newer, self._known.get(newer)):
            return True
        answer = self.ask("merge-base", "--is-ancestor", "--end-of-options", older, newer)
        if answer.code not in (0, 1):
            raise failed("merge-base", answer)
        return answer.code == 0

    def setting(self, key: str) -> bool:
        """Whether the repository's own configuration file sets `key` to true."""
        file = os.path.join(self.common, "config")
        seen = stamp(file)
        known = self._settings.get(key)
        if not known or known[0] != seen:
            said = self.ask("config", "--file", file, "--type=bool", "--get", key).out.strip() == "true"
            known = self._settings[key] = seen, said
        return known[1]

    # --- worktrees ---

    def beneath(self, path: str) -> str:
        """The absolute path of a worktree of ours; raises GitError for a path elsewhere, or that a link leads away."""
        full = os.path.normpath(os.path.join(self.root, path))
        if os.path.dirname(full) != os.path.join(self.root, WORKTREES):
            raise GitError(f"{path} is not a worktree of the swarm: they are in {WORKTREES}/")
        if os.path.realpath(full) != full:
            raise GitError(f"{path} leads elsewhere by a symbolic link", hint=f"look at it, then: rm {full}")
        return full

    def worktree(self, full: str) -> Place:
        """The place of the worktree at `full`. Git's directory of it has the same name: `worktrees.py` sees to that."""
        return Place(os.path.join(self.common, "worktrees", os.path.basename(full)), full)

    @contextmanager
    def lock(self, name: str = "worktree") -> Iterator[None]:
        """Held while worktrees come and go: of sixty `git worktree add` at once, thirty-three failed.

        Git inherits it: when the swarm is killed, whoever comes next waits until the git that it left has ended.
        """
        folder = os.path.join(self.common, "swarm", "locks")
        os.makedirs(folder, exist_ok=True)
        descriptor = os.open(os.path.join(folder, f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        before = getattr(self._mine, "locks", ())
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._mine.locks = (*before, descriptor)
            yield
        finally:
            self._mine.locks = before
            os.close(descriptor)

    def lock_on(self, full: str) -> AbstractContextManager[None]:
        """Held while the files of one worktree are written. One of 64 locks, so that their files do not pile up."""
        return self.lock(f"files-{zlib.crc32(os.fsencode(full)) % 64}")


def _kept(name: str) -> bool:
    return name in _KEPT or name.startswith("GIT_SSH")


def _search_path() -> str:
    """PATH without the entries that depend on where a program is started."""
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in given if os.path.isabs(folder)) or os.defpath


def _program(name: str) -> str:
    for folder in _search_path().split(os.pathsep):
        path = os.path.join(folder, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise GitError(f"{name} is not installed", hint="install git 2.38 or newer")


@functools.cache
def _runner(git: str) -> Any:
    """Gitpython's class `Git`. When it is imported it runs `git version`: also that by its path."""
    with _importing:
        before = os.environ.get(_PYTHON_GIT)
        os.environ[_PYTHON_GIT] = git
        try:
            from git.cmd import Git as Runner
        except ImportError as error:
            raise GitError(f"{git} does not run", hint="install git 2.38 or newer") from error
        finally:
            if before is None:
                del os.environ[_PYTHON_GIT]
            else:
                os.environ[_PYTHON_GIT] = before
    return Runner


def failed(what: str, answer: Answer | Output, hint: str = "") -> GitError:
    """The error for `git <what>` that did not end well."""
    words = first_lines(answer.err) or f"exit {answer.code}"
    return GitError(f"git {what} failed: {words}", hint=FREE_SPACE if _FULL in answer.err else hint)


def first_lines(text: str, most: int = 4) -> str:
    """Git's words on one line: its first lines, without its advice."""
    lines = [line.strip() for line in text.splitlines()]
    return head(" ".join([line for line in lines if line and not line.startswith("hint:")][:most]), _LONGEST)


def printable(name: str) -> str:
    """A file name that may be written as UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def named(names: Sequence[str], most: int = 200, room: int = 16_000) -> list[str]:
    """The first file names, made printable, at most `most` and `room` bytes as JSON: an event holds 64 KiB. How many
    were left out is the last entry: `… and 3 more`.
    """
    return fitting(list(map(printable, names)), most, room)


def erase(path: str) -> None:
    """Delete a file, a link or a folder whatever its modes. A link is never followed. Gone already: fine."""
    import shutil  # here, for it loads what unpacks archives, and most who come by the door delete nothing

    try:
        if os.path.islink(path) or not os.path.isdir(path):
            os.unlink(path)
            return
        try:
            shutil.rmtree(path)
        except PermissionError:  # an agent left folders that may not be written or listed
            _open_up(path)
            shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise GitError(f"cannot delete {path}: {error.strerror}", hint=f"rm -rf {path}") from error


def _open_up(path: str) -> None:
    os.chmod(path, 0o700)
    for folder, names, _ in os.walk(path):
        for name in names:
            inner = os.path.join(folder, name)
            if not os.path.islink(inner):
                os.chmod(inner, 0o700)
