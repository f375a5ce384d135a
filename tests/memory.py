"""An object store in memory: commits, and all that is made of them without a work tree. Rule: a file merges as a whole;
beyond that it does what git does. `doubles.MemoryRepository` is built on it.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from zlib import crc32

import msgspec

from swarm.world import Branch, Conflict, Merged, Stacked, messages
from swarm.world.git import GitError

Files = dict[str, str]


class Commit(msgspec.Struct, frozen=True):
    """A commit: what it came from, all its files, and what it says."""

    parents: tuple[str, ...]
    files: Files
    message: str = ""


class Objects:
    """All commits, by id."""

    def __init__(self) -> None:
        self.commits: dict[str, Commit] = {}

    def files(self, commit: str) -> Files:
        """What is in a commit."""
        return self.commits[commit].files

    def contains(self, newer: str, older: str) -> bool:
        """Whether `newer` is `older` or came from it."""
        return older in self._history(newer)

    # --- the Protocol ---

    def is_ancestor(self, older: str, newer: str) -> bool:
        return self.contains(newer, older)

    def merge(self, base: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        if self.contains(base, commit):
            return Merged(base, _digest(self.files(base)))
        merged, clash = self._merged(base, commit)
        if clash:
            return Conflict(clash)
        return Merged(self._keep((base, commit), merged, message, f"{author}{when}"), _digest(merged))

    def stack(self, base: str, branches: Sequence[Branch], mode: str, author: str, when: float) -> Stacked:
        tip, commits, landed = base, [], []
        conflicts: dict[int, list[str]] = {}
        for place, branch in enumerate(branches):
            files, clash = ({}, []) if self.contains(tip, branch.commit) else self._merged(tip, branch.commit)
            if clash:
                conflicts[place] = clash
            elif files and (mode == "merge" or files != self.files(tip)):
                tip = self._stacked(tip, branch, files, mode, f"{author}{when}")
                landed.append(branch)
            commits.append("" if clash else tip)
        if mode == "merge" and len(landed) > 1:
            tip = self._keep((base, tip), self.files(tip), messages.batch(landed), f"{author}{when}")
        return Stacked(tip, _digest(self.files(tip)), commits, conflicts)

    def predict(self, base: str, commit: str) -> list[str]:
        return [] if self.contains(base, commit) else self._merged(base, commit)[1]

    def revert(self, tip: str, commit: str, message: str, author: str, when: float) -> Merged | Conflict:
        if not self.contains(tip, commit):
            raise GitError(f"{tip} does not contain {commit}")
        since = messages.since(self.commits[commit].message)
        before = since or next(iter(self.commits[commit].parents), "")
        files, clash = _three_way(self.files(commit), self.files(tip), self.files(before) if before else {})
        if clash:
            return Conflict(clash)
        if files == self.files(tip):
            return Merged(tip, _digest(files))
        return Merged(self._keep((tip,), files, message, f"{author}{when}"), _digest(files))

    def _line(self, tip: str, since: str) -> list[str]:
        """The commits on the own line of `tip` since that one, newest first."""
        line = [tip] if tip != since else []
        while line and self.commits[line[-1]].parents and self.commits[line[-1]].parents[0] != since:
            line.append(self.commits[line[-1]].parents[0])
        return line

    def resolved(self, base: str, work: str, commit: str) -> list[str]:
        origin, result = self.files(self._fork(base, work)), self.files(commit)
        found: list[str] = []
        for side in (self.files(base), self.files(work)):
            for name in sorted(side.keys()):
                was, have, now = (Counter(each.get(name, "").splitlines()) for each in (origin, side, result))
                lacking = (have - was) & (have - now)
                found += [f"{name}: {line}" for line in lacking.elements() if line.strip()]
        return [entry[:200] for entry in dict.fromkeys(found)][:200]

    # --- how ---

    def _stacked(self, tip: str, branch: Branch, files: Files, mode: str, signed: str) -> str:
        if mode == "merge":
            return self._keep((tip, branch.commit), files, messages.merge(branch), signed)
        path = self._path(tip, branch.commit) if mode == "rebase" else []
        onto = tip
        for commit in path[:-1]:
            before = self.files(self.commits[commit].parents[0])
            step, clash = _three_way(before, self.files(onto), self.files(commit))
            if clash:
                return self._keep((tip,), files, messages.squash(branch), signed)
            onto = self._keep((onto,), step, messages.replayed(self.commits[commit].message), signed)
        if not path:
            return self._keep((tip,), files, messages.squash(branch), signed)
        since = tip if onto != tip else ""
        return self._keep((onto,), files, messages.replayed(self.commits[path[-1]].message, branch, since), signed)

    def _path(self, base: str, commit: str) -> list[str]:
        """The commits above `base`, oldest first; none if there are merges among them."""
        found: list[str] = []
        while not self.contains(base, commit):
            found.insert(0, commit)
            if len(self.commits[commit].parents) != 1:
                return []
            commit = self.commits[commit].parents[0]
        return found

    def _merged(self, base: str, commit: str) -> tuple[Files, list[str]]:
        return _three_way(self.files(self._fork(base, commit)), self.files(base), self.files(commit))

    def _keep(self, parents: tuple[str, ...], files: Files, message: str, signed: str = "") -> str:
        id_ = _digest([parents, files, message, signed])
        self.commits[id_] = Commit(parents, files, message)
        return id_

    def _history(self, commit: str) -> set[str]:
        found: set[str] = set()
        queue = [commit]
        while queue:
            each = queue.pop()
            if each not in found:
                found.add(each)
                queue += self.commits[each].parents
        return found

    def _fork(self, one: str, other: str) -> str:
        shared = self._history(one) & self._history(other)
        return max(shared, key=lambda commit: (len(self._history(commit)), commit))

    def _changed(self, base: str, commit: str) -> list[str]:
        before, after = self.files(base), self.files(commit)
        return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _three_way(origin: Files, ours: Files, theirs: Files) -> tuple[Files, list[str]]:
    """The merged files, and the names of those that conflict: of these, ours is followed by theirs."""
    merged, clash = dict(ours), []
    for name in sorted(ours.keys() | theirs.keys()):
        mine, other, was = ours.get(name), theirs.get(name), origin.get(name)
        if other in (mine, was):
            continue
        if mine != was:
            clash.append(name)
            merged[name] = f"<<<<<<< ours\n{mine or ''}=======\n{other or ''}>>>>>>> theirs\n"
        elif other is None:
            del merged[name]
        else:
            merged[name] = other
    return merged, clash


def _digest(of: Iterable[object]) -> str:
    return blake2b(msgspec.json.encode(of, order="sorted"), digest_size=20).hexdigest()


def marks(names: Iterable[str]) -> dict[str, str]:
    """What a checkout says of files that are as they were when they came."""
    return {name: f"{crc32(name.encode()):08x}{len(name):08x}" for name in sorted(names)}
