"""The real LiteLLM proxy in front of a scripted model, on free ports of this machine, for tests of real agents.

The proxy runs the configuration and the callback that `docs/litellm` ships. `proxy` is a fixture for the whole test
run (it takes about 10 s to start); `.ci/tools` installs what is needed.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs" / "litellm"
MODEL = "kimi-k2"
PRICES = {MODEL: (0.6, 2.5)}  # dollars per million tokens, as in docs/litellm/litellm.yaml

# Read once, before any test's own environment hides them.
PLACES = [
    Path(place).resolve()
    for place in (os.environ.get("SWARM_TOOLS"), HERE.parent / ".tools", Path.home() / ".cache" / "swarm-tools")
    if place
]
IN_CI = os.environ.get("CI") == "true"


class Tools(NamedTuple):
    """Where the real programs are. `path` is the PATH with which pi finds its own Node.js."""

    pi: str
    litellm: str
    path: str


class Proxy(NamedTuple):
    """A running proxy: its address without /v1, the file it writes, and the port of the model behind it."""

    base_url: str
    spend_log: Path
    model_port: int

    def asked(self) -> list[dict[str, Any]]:
        """The requests that reached the model."""
        return json.loads(get(f"http://127.0.0.1:{self.model_port}/__requests"))

    def spent(self, session: str) -> list[dict[str, Any]]:
        """The lines of the spend log about that session."""
        lines = self.spend_log.read_text().splitlines() if self.spend_log.exists() else []
        return [line for line in map(json.loads, lines) if f"session={session}" in line["tags"]]


def tools() -> Tools:
    """The installed programs; skips the test where there are none, fails it in CI."""
    for place in PLACES:
        node, pi = place / "node24/node_modules/.bin", place / "pi/node_modules/.bin"
        litellm = place / "litellm/bin/litellm"
        if (node / "node").exists() and (pi / "pi").exists() and litellm.exists():
            return Tools(str(pi / "pi"), str(litellm), f"{node}:{pi}:{os.environ['PATH']}")
    give_up = pytest.fail if IN_CI else pytest.skip
    return give_up("pi and LiteLLM are not installed: run `make tools` (or set SWARM_TOOLS to where they are)")


@contextmanager
def scripted_model(folder: Path) -> Iterator[int]:
    """The scripted model's port, while it runs."""
    argv = [sys.executable, "-B", str(HERE / "scripted_model.py")]
    with running(argv, folder / "model.log", dict(os.environ), folder) as process:
        yield json.loads(first_line(process, folder / "model.log", 60))["listening"]


@contextmanager
def litellm_proxy(folder: Path, upstream_port: int, spend_log: Path) -> Iterator[str]:
    """The address of a LiteLLM proxy in front of that port, while it runs."""
    litellm, port = tools().litellm, free_port()
    env = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "TMPDIR")} | {
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "LITELLM_TELEMETRY": "False",
        "LITELLM_MASTER_KEY": f"sk-{secrets.token_hex(32)}",
        "PYTHONDONTWRITEBYTECODE": "1",  # LiteLLM imports swarm_spend.py from docs/
        "SWARM_SPEND_LOG": str(spend_log),
        "UPSTREAM_URL": f"http://127.0.0.1:{upstream_port}/v1",
        "UPSTREAM_KEY": "sk-upstream",
    }
    argv = [litellm, "--config", str(DOCS / "litellm.yaml"), "--host", "127.0.0.1", "--port", str(port)]
    with running(argv, folder / "litellm.log", env, folder) as process:
        ready(process, f"http://127.0.0.1:{port}/health/readiness", folder / "litellm.log", 300)
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy for all tests of the run; tell sessions apart by their names."""
    tools()
    folder = tmp_path_factory.mktemp("llm")
    spend_log = folder / "spend.jsonl"
    with scripted_model(folder) as port, litellm_proxy(folder, port, spend_log) as base_url:
        yield Proxy(base_url, spend_log, port)


# --- processes ------------------------------------------------------------------------------------


@contextmanager
def running(argv: list[str], log: Path, env: dict[str, str], cwd: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A program in a process group of its own, none of which is left at the end."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=cwd, start_new_session=True
        )
    try:
        yield process
    finally:
        end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """TERM to the group, and KILL to what remains of it after five seconds."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sent)
        except ProcessLookupError:
            break
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def first_line(process: "subprocess.Popen[bytes]", log: Path, seconds: float) -> str:
    """The first whole line that the program prints."""
    deadline = time.monotonic() + seconds
    while b"\n" not in (text := log.read_bytes()):
        still_going(process, log, deadline)
    return text.partition(b"\n")[0].decode()


def ready(process: "subprocess.Popen[bytes]", url: str, log: Path, seconds: float) -> None:
    """Wait until the address answers."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            get(url)
        except OSError:  # refused, or an HTTP error while it starts
            still_going(process, log, deadline)
        else:
            return


def still_going(process: "subprocess.Popen[bytes]", log: Path, deadline: float) -> None:
    """Wait a moment; raises AssertionError with the log's end when the program died or the time is over."""
    try:
        code = process.wait(0.05)
    except subprocess.TimeoutExpired:
        code = None
    if code is not None or time.monotonic() > deadline:
        why = "took too long" if code is None else f"ended with {code}"
        raise AssertionError(f"{process.args!r} {why}:\n{log.read_text(errors='replace')[-3000:]}")


def get(url: str) -> bytes:
    """The body at that address, which is on this machine; raises OSError."""
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=10) as answer:
        return answer.read()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
