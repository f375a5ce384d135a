"""Guards for every test: this checkout is under test, and nothing is left behind."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import swarm

sys.path.insert(0, str(Path(__file__).parent))  # tests share `waiting` and `doubles`
pytest_plugins = ["llm"]  # the fixture `proxy`: real LiteLLM, started once for all tests that ask for it


def pytest_configure() -> None:
    """An editable install maps `swarm` to one checkout; from another worktree the wrong code would pass.

    And a shell has what it runs in the background ignore Ctrl-C, its children too: what is to end by it never would.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    here = Path(__file__).resolve().parents[1]
    found = Path(swarm.__file__).resolve().parent
    if found != here:
        raise pytest.UsageError(f"swarm is imported from {found}, not from {here}: run `make .venv/ready` here")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test sees the settings or the git configuration of the machine."""
    for name in list(os.environ):
        if name.startswith(("SWARM_", "GIT_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir(exist_ok=True)


@pytest.fixture(autouse=True)
def _nothing_left_behind() -> Iterator[None]:
    """No thread and no descriptor outlives its test."""
    threads, descriptors = set(threading.enumerate()), _open_descriptors()
    yield
    left = [t.name for t in threading.enumerate() if t not in threads and t.is_alive()]
    assert not left, f"threads left behind: {left}"
    leaked = {fd: where for fd, where in _open_descriptors().items() if fd not in descriptors}
    assert not leaked, f"descriptors left open: {leaked}"


def _open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue  # the listing's own descriptor
    return found
