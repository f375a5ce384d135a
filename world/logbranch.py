"""The branch that carries the log: what is in its commits, new ones, and the way to another repository and back.

Rule: this only moves bytes, and never checks anything out. What the bytes are is not known here.

refs/heads/swarm-log              this clone's tip; never moved under a checkout of it
refs/swarm/remote/<remote>/log    the tip that the remote had when it was last heard of
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from ..eventlog.errors import UsageError
from .door import Door, GitError, Output, failed, first_lines

NAME = "swarm-log"
REF = f"refs/heads/{NAME}"
ATTRIBUTES = ".gitattributes"
UNION = b"*.jsonl merge=union\n"
FILE = "100644"
PATIENCE = 60.0
"""Seconds that a remote may be silent."""
ALIKE = 128 * 1024
"""Bytes of a file up to which git may look for another that it is like."""

# Whatever a person has set for pushes and fetches of their own, this is about one branch and nothing else.
_PUSH = ["--porcelain", "--progress", "--no-follow-tags", "--no-recurse-submodules", "--no-mirror"]
_FETCH = ["--progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-prune", "--refmap="]
_OVERTAKEN = re.compile(
    r"\[rejected\]|cannot lock ref|failed to update ref|reference already exists|incorrect old value"
)
_PROGRESS = re.compile(
    r"(remote: )?(Enumerating|Counting|Compressing|Delta|Writing|Total|Unpacking|Receiving|Resolving)\b"
)
_NAME = re.compile("[A-Za-z0-9_.][A-Za-z0-9_.-]*")


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One entry of a tree. `size` in bytes; 0 where it is not known, or the entry is no file."""

    mode: str
    kind: str
    id: str
    size: int = 0


NAMES = "latin-1"
"""How the bytes of a name are kept: people may put anything on the branch, and what is not ours stays as it is."""

Tree = dict[str, Entry]


class Heads(msgspec.Struct):
    """Tips: this clone's, the remote's as far as known, and those that git itself fetched of remotes (by name). Empty:
    there is none. `checkout`: a folder where a person has the branch checked out.
    """

    local: str = ""
    remote: str = ""
    tracking: dict[str, str] = {}
    checkout: str = ""


class Unreachable(GitError):
    """Raised when the remote could not be asked. Nothing is lost: the next sync catches up."""


class LogBranch:
    """The branch in one repository, and at one remote: the name of a remote, or an address."""

    def __init__(self, door: Door, remote: str = "") -> None:
        self._door = door
        self.remote = remote
        key = remote if _NAME.fullmatch(remote) else blake2b(remote.encode(), digest_size=8).hexdigest()
        self._ref = f"refs/swarm/remote/{key}/log"

    # --- looking ---

    def heads(self) -> Heads:
        """All tips, as they are in this repository."""
        form = "--format=%(refname) %(objectname) %(worktreepath)"
        found = Heads()
        for line in self._run("for-each-ref", form, REF, self._ref, f"refs/remotes/*/{NAME}").decode().splitlines():
            ref, commit, checkout = line.split(" ", 2)
            if ref == REF:
                found.local, found.checkout = commit, checkout
            elif ref == self._ref:
                found.remote = commit
            else:
                found.tracking[ref.removeprefix("refs/remotes/").removesuffix(f"/{NAME}")] = commit
        return found

    def remotes(self) -> list[str]:
        """The names of the remotes that are configured."""
        return self._run("remote").decode().split()

    def contains(self, newer: str, older: str) -> bool:
        """Whether commit `newer` came from commit `older`."""
        answer = self._door.pipe("merge-base", "--is-ancestor", "--end-of-options", older, newer)
        if answer.code not in (0, 1):
            raise failed("merge-base", answer)
        return answer.code == 0

    def tree(self, commit: str) -> Tree:
        """What is at the top of a commit."""
        found: Tree = {}
        for line in self._run("ls-tree", "-l", "-z", "--full-tree", commit).split(b"\0")[:-1]:
            words, name = line.split(b"\t", 1)
            mode, kind, id_, size = words.decode().split()
            found[name.decode(NAMES)] = Entry(mode, kind, id_, int(size) if size != "-" else 0)
        return found

    def blobs(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The content of files, by their ids."""
        if not ids:
            return {}
        data = self._run("cat-file", "--batch", given="".join(f"{id_}\n" for id_ in ids).encode())
        found, at = {}, 0
        for id_ in ids:
            end = data.index(b"\n", at)
            head, at = data[at:end].split(), end + 1
            if len(head) != 3:
                raise GitError(f"git has no object {id_}", "git fsck")
            found[id_], at = data[at : at + int(head[2])], at + int(head[2]) + 1
        return found

    # --- making ---

    def keep(self, data: bytes) -> str:
        """The id of a file with that content, which is in the object store now."""
        return self._run("hash-object", "-w", "--stdin", given=data).decode().strip()

    def keep_files(self, paths: Sequence[str]) -> list[str]:
        """The same for files as they lie there."""
        given = b"".join(os.fsencode(path) + b"\n" for path in paths)
        return self._run("hash-object", "-w", "--no-filters", "--stdin-paths", given=given).decode().split()

    def commit(self, tree: Tree, parents: Iterable[str], message: str, author: str) -> str:
        """A new commit, which nothing points at yet."""
        # (`git mktree` would look for each of the hundreds of files.)
        entries = sorted((f"{name}/" if entry.kind == "tree" else name, name, entry) for name, entry in tree.items())
        lines = [
            f"{entry.mode.lstrip('0')} {name}\0".encode(NAMES) + bytes.fromhex(entry.id) for _, name, entry in entries
        ]
        made = self._run("hash-object", "-w", "-t", "tree", "--stdin", given=b"".join(lines)).decode().strip()
        names = {"NAME": author, "EMAIL": f"{author}@swarm.invalid"}
        env = {f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in names.items()}
        above = [word for parent in parents for word in ("-p", parent)]
        return self._run("commit-tree", made, *above, "-m", message, env=env).decode().strip()

    def move(self, before: Heads, local: str, remote: str) -> bool:
        """Say what the tips are now; a tip that is empty stays. False: somebody else moved this clone's meanwhile."""
        asked = [f"update {self._ref} {remote}\n"] if remote and remote != before.remote else []
        if local and local != before.local and not before.checkout:
            swap = f"update {REF} {local} {before.local or '0' * len(local)}\n"
            if self._door.pipe("update-ref", "--stdin", given="".join([*asked, swap]).encode()).code == 0:
                return True
            if asked:
                self._run("update-ref", "--stdin", given=asked[0].encode())
            return False
        if asked:
            self._run("update-ref", "--stdin", given=asked[0].encode())
        return True

    # --- the way to the remote and back ---

    def fetch(self) -> None:
        """Bring what the remote has. Raises Unreachable."""
        answer = self._far("fetch", *_FETCH, "--", self.remote, f"+{REF}:{self._ref}")
        if answer.code == 0:
            return
        looked = self._far("ls-remote", "--exit-code", "--", self.remote, REF)
        if looked.code != 2:  # that it has no such branch
            raise self._unreachable(looked if looked.code else answer)
        self._door.pipe("update-ref", "-d", self._ref)

    def push(self, commit: str) -> str:
        """Have the remote's tip be that commit, if that only adds to it. Returns why not, empty if it is.

        Raises Unreachable; and GitError where trying again is of no use.
        """
        # Sealed segments have little in common with each other: the search for it would take a minute for 200 MB.
        plain = ("-c", f"core.bigFileThreshold={ALIKE}")
        answer = self._far(*plain, "push", *_PUSH, "--", self.remote, f"{commit}:{REF}")
        lines = [line for line in answer.out.decode("utf-8", "replace").splitlines() if f":{REF}\t" in line]
        if not lines:
            raise self._unreachable(answer)
        flag, _, why = lines[0].split("\t", 2)
        if flag != "!":
            return ""
        if not _OVERTAKEN.search(why + answer.err):
            raise GitError(f"{self.remote} refused the log: {_words(answer) or why}", "git remote -v")
        return why

    def _far(self, *args: str) -> Output:
        return self._door.pipe(*args, env={"LC_ALL": "C"}, silence=PATIENCE)  # its words are looked at

    def _unreachable(self, answer: Output) -> Unreachable:
        words = _words(answer) or f"exit {answer.code}"
        return Unreachable(f"cannot reach {self.remote}: {words}", "nothing is lost; when it answers again: swarm sync")

    def _run(self, *args: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        answer = self._door.pipe(*args, given=given, env=env)
        if answer.code:
            raise failed(args[0], answer, "swarm doctor")
        return answer.out


def _words(answer: Output) -> str:
    """What git said, without how far it came."""
    return first_lines("\n".join(line for line in answer.err.splitlines() if not _PROGRESS.match(line)))


def chosen(door: Door, given: str, settings: str = "") -> str:
    """The remote to sync with: the given one, else that of `swarm.toml`, else the only one, else origin. Raises
    UsageError.
    """
    wanted = given or settings
    if "/" in wanted or ":" in wanted:
        if wanted.startswith("-"):
            raise UsageError(f"not a remote: {wanted!r}", "git remote -v")
        return wanted
    if wanted and _configured(door, wanted):
        return wanted
    known = LogBranch(door).remotes()
    if wanted in known:
        return wanted
    if wanted:
        names = f"known: {', '.join(known)}" if known else f"git remote add {wanted} URL"
        raise UsageError(f"there is no remote {wanted!r}", names)
    if len(known) == 1 or "origin" in known:
        return known[0] if len(known) == 1 else "origin"
    hint = f"swarm sync {known[0]}" if known else "git remote add origin URL"
    raise UsageError("there is no one remote to sync with" if known else "this repository has no remote", hint)


def _configured(door: Door, name: str) -> bool:
    """Whether the repository's own configuration file names that remote; if not, git may know it from elsewhere."""
    try:
        with open(os.path.join(door.common, "config"), encoding="utf-8", errors="replace") as file:
            return f'[remote "{name}"]' in (line.strip() for line in file)
    except OSError:
        return False
