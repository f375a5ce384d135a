"""Where the log lies. Rule: found from any directory of any worktree by reading a few small files; git is never run.

The log's home is `<git common dir>/swarm`: no `git clean`, checkout or branch switch reaches it, and every worktree
finds the same one (gitrepository-layout(5): a `.git` file says `gitdir: …`, and `commondir` in there leads to the
common directory).
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, flock

import msgspec

from .errors import LogError, UsageError


class Place(msgspec.Struct, frozen=True):
    """Absolute paths. `root`: the main work tree; `common`: git's common directory; `log`: the folder of node files."""

    root: str
    common: str
    log: str

    @property
    def home(self) -> str:
        """All that is the swarm's and not a work tree's."""
        return os.path.dirname(self.log)

    @property
    def runs(self) -> str:
        """One folder per session."""
        return os.path.join(self.home, "runs")

    @property
    def cache(self) -> str:
        """What can be made again from the log."""
        return os.path.join(self.home, "cache")

    @property
    def quarantine(self) -> str:
        """What `swarm log repair` took out of the log."""
        return os.path.join(self.home, "quarantine")

    @property
    def locks(self) -> str:
        """Files that are only locked."""
        return os.path.join(self.home, "locks")

    @property
    def worktrees(self) -> str:
        """The agents' worktrees."""
        return os.path.join(self.root, ".swarm", "worktrees")

    @property
    def link(self) -> str:
        """Where people see the log."""
        return os.path.join(self.root, ".swarm", "log")


class _Identity(msgspec.Struct, frozen=True):
    """Which machine's which folder a node is: a copied folder is another node."""

    node: str
    machine: str
    device: int
    inode: int


def find(start: str, env: Mapping[str, str], initialised: bool = True) -> Place:
    """The place of the repository that `start` is in; `SWARM_LOG` in `env`, the log's folder, wins.

    Raises UsageError outside of a repository, in a bare one, and, unless `initialised` is False, where there is no
    log yet.
    """
    given = env.get("SWARM_LOG", "")
    place = _at(os.path.realpath(given), start) if given else _around(os.path.realpath(start))
    if initialised and not os.path.isdir(place.log):
        where = f"SWARM_LOG names {given}, and there" if given else f"in {place.root} there"
        raise UsageError(f"{where} is no log of a swarm", "swarm init")
    return place


def initialise(place: Place, entropy: Callable[[], int]) -> None:
    """Make the folders, the link `.swarm/log`, the entry in `info/exclude` and the node's identity. Again is harmless.

    Raises UsageError if something of the user's is in the way, LogError if it cannot be written.
    """
    try:
        for folder in (place.home, place.log, place.runs, place.locks, place.worktrees):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        with _locked(place.home):
            _link(place)
            _exclude(os.path.join(place.common, "info", "exclude"))
    except (FileExistsError, NotADirectoryError) as error:
        name = error.filename2 or error.filename  # of a link, the second is what was to be made
        raise UsageError(f"cannot make {name}: something else is in the way", "move it elsewhere") from error
    except OSError as error:
        raise LogError(f"cannot make {error.filename}: {error.strerror}") from error
    node_of(place, entropy)


def node_of(place: Place, entropy: Callable[[], int]) -> str:
    """This clone's name on this machine, made when it is first asked for; `entropy` gives 48 or more random bits.

    It is bound to the machine and to the home folder's device and inode: a copy (`cp -r`) becomes a node of its own.
    """
    path = os.path.join(place.home, "node.json")
    try:
        status = os.stat(place.home)
        here = (_machine(), status.st_dev, status.st_ino)
        if node := _known(path, here):
            return node
        with _locked(place.home):
            if node := _known(path, here):  # another process was quicker
                return node
            node = f"n{entropy() & 0xFFFF_FFFF_FFFF:012x}"
            _replace(path, msgspec.json.encode(_Identity(node, *here)) + b"\n")
            return node
    except FileNotFoundError as error:
        raise UsageError(f"in {place.root} there is no log of a swarm", "swarm init") from error
    except OSError as error:
        raise LogError(f"cannot keep this node's name in {path}: {error.strerror}") from error


def known_node(place: Place) -> str:
    """This clone's name on this machine, empty if it has none yet. Writes nothing."""
    try:
        status = os.stat(place.home)
        return _known(os.path.join(place.home, "node.json"), (_machine(), status.st_dev, status.st_ino))
    except OSError:
        return ""


def _around(start: str) -> Place:
    """Walk up to the first directory that has a `.git`."""
    directory = start
    while True:
        git = os.path.join(directory, ".git")
        if os.path.isfile(git):
            return _linked(directory, _pointer(git, "gitdir: "))
        if os.path.isfile(os.path.join(git, "HEAD")):
            return _in(directory, git)
        if all(os.path.exists(os.path.join(directory, name)) for name in ("HEAD", "objects", "refs")):
            raise _bare(directory)
        parent = os.path.dirname(directory)
        if parent == directory:
            raise UsageError(f"{start} is in no git repository", "git init")
        directory = parent


def _linked(directory: str, git: str) -> Place:
    """A `.git` file: of a linked worktree (it has a `commondir`), or of a main work tree whose `.git` is elsewhere."""
    if not os.path.isfile(os.path.join(git, "HEAD")):
        raise UsageError(f"{directory}/.git leads to {git}, and there is no repository", "git worktree repair")
    if not os.path.isfile(os.path.join(git, "commondir")):
        return _in(directory, git)
    common = _pointer(os.path.join(git, "commondir"), "")
    if os.path.basename(common) == ".git":
        return _in(os.path.dirname(common), common)
    if _is_bare(common):
        raise _bare(common)
    raise UsageError(f"{common} does not say where its main work tree is", "run swarm in the main work tree")


def _at(log: str, start: str) -> Place:
    """The place of a log that was named: its repository follows from its path, or else from where one stands."""
    common = os.path.dirname(os.path.dirname(log))
    if os.path.basename(common) != ".git":
        try:
            around = _around(os.path.realpath(start))
        except UsageError:
            pass  # an agent's sandbox may hide every repository
        else:
            return Place(around.root, around.common, log)
    return Place(os.path.dirname(common), common, log)


def _in(root: str, common: str) -> Place:
    if _is_bare(common):
        raise _bare(common)
    return Place(root, common, os.path.join(common, "swarm", "log"))


def _is_bare(common: str) -> bool:
    try:
        with open(os.path.join(common, "config"), encoding="utf-8", errors="replace") as config:
            return any(line.replace(" ", "").strip().lower() == "bare=true" for line in config)
    except OSError:
        return False


def _bare(directory: str) -> UsageError:
    return UsageError(
        f"{directory} is a bare repository: a swarm needs a work tree", f"git clone {directory} elsewhere"
    )


def _pointer(path: str, prefix: str) -> str:
    """The path that a small file of git holds, relative to that file's directory."""
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        target = file.readline().rstrip("\n").removeprefix(prefix)
    return os.path.realpath(os.path.join(os.path.dirname(path), target))


def _link(place: Place) -> None:
    target = os.path.relpath(place.log, os.path.dirname(place.link))
    if os.path.islink(place.link):
        if os.readlink(place.link) == target:
            return
        os.unlink(place.link)
    os.symlink(target, place.link)


def _exclude(path: str) -> None:
    """Tell git to overlook `.swarm/`: this file is shared by all worktrees and is nobody's to commit."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "a+b") as file:
        file.seek(0)
        text = file.read()
        if b".swarm/" not in text.splitlines():
            file.write((b"\n" if text and not text.endswith(b"\n") else b"") + b".swarm/\n")


def _machine() -> str:
    """What tells this machine from others: systemd's machine-id(5), or the host's name where there is none."""
    try:
        with open("/etc/machine-id", encoding="ascii", errors="replace") as file:
            found = file.read().strip()
    except OSError:
        found = ""
    return found or os.uname().nodename


def _known(path: str, here: tuple[str, int, int]) -> str:
    """The node that was kept, if it is this folder's; a file that cannot be understood is no identity."""
    try:
        with open(path, "rb") as file:
            kept = msgspec.json.decode(file.read(), type=_Identity)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return ""
    return kept.node if (kept.machine, kept.device, kept.inode) == here else ""


def _replace(path: str, content: bytes) -> None:
    with open(path + ".new", "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.rename(path + ".new", path)


@contextmanager
def _locked(directory: str) -> Iterator[None]:
    """One process at a time; the folder itself is the lock, and closing it gives it up."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        flock(fd, LOCK_EX)
        yield
    finally:
        os.close(fd)
