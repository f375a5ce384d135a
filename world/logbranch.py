"""The branch that carries the log: what is in its commits, new ones, and the way to another repository and back.

Rule: this only moves bytes, and never checks anything out. What the bytes are is not known here.

refs/heads/swarm-log              this clone's tip; never moved under a checkout of it
refs/swarm/remote/<remote>/log    the tip that the remote had when it was last heard of
"""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ..eventlog.errors import UsageError
from ..eventlog.hashes import blake2b
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
FETCH = ["--progress", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--no-prune", "--refmap="]
_OVERTAKEN = re.compile(
    r"\[rejected\]|cannot lock ref|failed to update ref|reference already exists|incorrect old value"
)
_PROGRESS = re.compile(
    r"(remote: )?(Enumerating|Counting|Compressing|Delta|Writing|Total|Unpacking|Receiving|Resolving)\b"
)
_DAMAGED = re.compile(
    "^(?!remote: ).*"
    "(corrupt|object file|bad object|not a valid object|unable to read|missing (blob|tree|commit|object))",
    re.MULTILINE,
)
"""What git says of its own objects, whatever it was at. (What the remote's git said begins with `remote: `.)"""
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
        self._mend = f"git fsck; find {shlex.quote(door.common)}/objects -type f -empty -delete"
        self._mend += f"; git fetch --refetch {shlex.quote(remote)} {NAME}; swarm sync"

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

    def is_carried(self) -> bool:
        """Whether there ever was a sync here, or an init that found the branch."""
        return bool(self._run("for-each-ref", "--count=1", REF, "refs/swarm/remote"))

    def is_narrow(self) -> bool:
        """Whether git was told to fetch only some branches of a remote (`git clone --single-branch`, or `--depth`)."""
        specs = self._door.pipe("config", "--get-regexp", r"^remote\..*\.fetch$").out.split(b"\n")[:-1]
        return any(b"refs/heads/*:" not in spec for spec in specs)

    def contains(self, newer: str, older: str) -> bool:
        """Whether commit `newer` came from commit `older`."""
        answer = self._door.pipe("merge-base", "--is-ancestor", "--end-of-options", older, newer)
        if answer.code not in (0, 1):
            raise failed("merge-base", answer)
        return answer.code == 0

    def forget_unreadable(self) -> list[str]:
        """Let go of tips that are no commits whose files git can read, as if there were none. Says which these were.

        One that a person has checked out is left alone.
        """
        heads, said = self.heads(), []
        for ref, tip in ((REF, "" if heads.checkout else heads.local), (self._ref, heads.remote)):
            if tip and not self._is_readable(tip):
                self._run("update-ref", "-d", ref, tip)
                said.append(f"{ref} led to {tip[:12]}, which is no commit that can be read: it was begun anew")
        return said

    def _is_readable(self, tip: str) -> bool:
        try:
            return self._is_commit(tip) and self.tree(tip) is not None
        except GitError:
            return False

    def _is_commit(self, tip: str) -> bool:
        return self._door.pipe("cat-file", "-e", f"{tip}^{{commit}}").code == 0

    def tree(self, commit: str) -> Tree:
        """What is at the top of a commit. Raises GitError, also where git has not the files themselves."""
        found: Tree = {}
        answer = self._door.pipe("ls-tree", "-l", "-z", "--full-tree", commit)
        if answer.code:
            raise GitError(f"git cannot read the commit {commit[:12]} here: {told(answer)}", self._mend)
        for line in answer.out.split(b"\0")[:-1]:
            words, name = line.split(b"\t", 1)
            mode, kind, id_, size = words.decode().split()
            if size == "BAD":
                raise GitError(f"git cannot read the object {id_} here", self._mend)
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
        """Bring what the remote has. Raises Unreachable; and GitError if that is no commit that can be read."""
        answer = self._far("fetch", *FETCH, "--", self.remote, f"+{REF}:{self._ref}")
        if answer.code == 0:
            if " -> " in answer.err and not self._is_commit(self._ref):  # it moved
                self._run("update-ref", "-d", self._ref)
                words = f"what {self.remote} has on its branch {NAME} is no commit that can be read"
                raise GitError(words, f"git push {self.remote} :{REF}; swarm sync  (this clone's log is sent again)")
            return
        looked = self._far("ls-remote", "--exit-code", "--", self.remote, REF)
        if looked.code != 2:  # that it has no such branch
            raise self._failed("fetch", looked if looked.code else answer, bool(looked.code))
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
            raise self._failed("push", answer)
        flag, _, why = lines[0].split("\t", 2)
        if flag != "!":
            return ""
        if not _OVERTAKEN.search(why + answer.err):
            words = ": ".join(filter(None, (told(answer), why.strip())))
            raise GitError(f"{self.remote} refused the log: {words}", "git remote -v")
        return why

    def _far(self, *args: str) -> Output:
        return self._door.pipe(*args, env={"LC_ALL": "C"}, silence=PATIENCE)  # its words are looked at

    def _failed(self, what: str, answer: Output, silent: bool = True) -> GitError:
        """The error for what came to no end; `silent`: as far as is known the remote did not answer."""
        words = told(answer) or f"exit {answer.code}"
        if _DAMAGED.search(answer.err):
            return GitError(f"git {what} failed, for objects of this repository are damaged: {words}", self._mend)
        if not silent:
            return GitError(f"{self.remote} answers, and git {what} failed: {words}", "swarm sync")
        return Unreachable(f"cannot reach {self.remote}: {words}", "nothing is lost; when it answers again: swarm sync")

    def _run(self, *args: str, given: bytes = b"", env: Mapping[str, str] | None = None) -> bytes:
        answer = self._door.pipe(*args, given=given, env=env)
        if answer.code:
            raise failed(args[0], answer, "swarm doctor")
        return answer.out


def told(answer: Output) -> str:
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
