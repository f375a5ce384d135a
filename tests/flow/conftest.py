"""The stage on which whole runs are played."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import repository
from stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """An initialised repository with one commit on main; whatever still runs afterwards is ended, and is an error."""
    scratch = repository.make(tmp_path / "repo", {"a.txt": "a\n"})
    there = Stage(Path(scratch.root))
    assert there.swarm("init").code == 0
    yield there
    there.close()
