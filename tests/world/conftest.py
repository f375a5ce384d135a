"""A long log, its checkpoints, and copies of both; a repository in two ways."""

import shutil
from pathlib import Path

import pytest

from grounds import Ground, MemoryGround, RealGround
from longlog import opened, shown, whole, write


@pytest.fixture(scope="session")
def long_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    folder = tmp_path_factory.mktemp("long") / "log"
    write(folder)
    return folder


@pytest.fixture(scope="session")
def long_cache(long_log: Path) -> Path:
    """Its checkpoints. Not to be changed."""
    cache = long_log.parent / "cache"
    opened(str(long_log), str(cache)).close()
    return cache


@pytest.fixture(scope="session")
def long_screen(long_log: Path) -> list[str]:
    """What a fold of the whole long log shows."""
    return shown(whole(str(long_log)))


@pytest.fixture
def log(long_log: Path, tmp_path: Path) -> str:
    """A copy of the long log."""
    shutil.copytree(long_log, tmp_path / "log")
    return str(tmp_path / "log")


@pytest.fixture
def cache(long_cache: Path, log: str, tmp_path: Path) -> str:
    """Its checkpoints, which know that the log is a copy."""
    shutil.copytree(long_cache, tmp_path / "cache")
    keeper = opened(log, str(tmp_path / "cache"))
    keeper.save()
    keeper.close()
    return str(tmp_path / "cache")


@pytest.fixture(params=["double", "real"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Ground:
    return MemoryGround() if request.param == "double" else RealGround(tmp_path)
