"""A repository and what agents and persons do to it, by real git and by its double: what contract tests run over."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from swarm.world import Repository
from swarm.world.git import Git

import doubles
import repository


class Ground(Protocol):
    """A repository, and what agents and persons do to it."""

    repo: Repository

    def write(self, path: str, files: Mapping[str, str]) -> None: ...
    def delete(self, path: str, name: str) -> None: ...
    def commit(self, files: Mapping[str, str]) -> str: ...
    def files(self, commit: str) -> dict[str, str]: ...
    def worktree(self, path: str) -> dict[str, str] | None: ...
    def ref(self, name: str) -> str: ...
    def obstruct(self, name: str) -> None: ...
    def clear(self, name: str) -> None: ...


class MemoryGround:
    """The double."""

    def __init__(self) -> None:
        self.repo = self.memory = doubles.MemoryRepository({"a": "1\n"})

    def write(self, path: str, files: Mapping[str, str]) -> None:
        self.memory.write(path, files)

    def delete(self, path: str, name: str) -> None:
        del self.memory.worktrees[path].files[name]

    def commit(self, files: Mapping[str, str]) -> str:
        return self.memory.commit("main", files)

    def files(self, commit: str) -> dict[str, str]:
        return {name: text.strip() for name, text in self.memory.files(commit).items()}

    def worktree(self, path: str) -> dict[str, str] | None:
        found = self.memory.worktrees.get(path)
        return dict(found.files) if found else None

    def ref(self, name: str) -> str:
        return self.memory.refs.get(name, "")

    def obstruct(self, name: str) -> None:
        self.memory.dirty.add(name)

    def clear(self, name: str) -> None:
        self.memory.dirty.discard(name)


class RealGround:
    """Real git."""

    def __init__(self, place: Path) -> None:
        self.scratch = repository.make(place / "repo", {"a": "1\n"})
        self.repo = Git(str(self.scratch.root), str(self.scratch.common))

    def write(self, path: str, files: Mapping[str, str]) -> None:
        self.scratch.write(files, self.scratch.root / path)

    def delete(self, path: str, name: str) -> None:
        (self.scratch.root / path / name).unlink()

    def commit(self, files: Mapping[str, str]) -> str:
        return self.scratch.commit(files)

    def files(self, commit: str) -> dict[str, str]:
        return self.scratch.files(commit)

    def worktree(self, path: str) -> dict[str, str] | None:
        folder = self.scratch.root / path
        if not folder.exists():
            return None
        return {each.name: each.read_text() for each in folder.iterdir() if each.name != ".git"}

    def ref(self, name: str) -> str:
        return self.scratch.git("for-each-ref", "--format=%(objectname)", name)

    def obstruct(self, name: str) -> None:
        (self.scratch.root / name).write_text("a person's own\n")

    def clear(self, name: str) -> None:
        (self.scratch.root / name).unlink()
