"""The ways to tell somebody outside, asked of the real ones and of their double; and what only the real ones can do."""

import json
import os
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from swarm.eventlog.errors import UsageError
from swarm.world import Alerts
from swarm.world.alerts import Channels, configured

from doubles import MemoryAlerts
from waiting import until

SECRET = "T00/B00/SECRET"
SOON = 30  # seconds: what hangs here does so for ever, or for ten minutes


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy of this machine's is asked, and who was given up is waited for."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    until(lambda: not [thread for thread in threading.enumerate() if thread.name == "slack"])


class Slack:
    """A server that gives these `answers`, one after the other, then 200; `posts` is what it got."""

    def __init__(self, *answers: int) -> None:
        self.answers, self.posts = list(answers), list[dict[str, Any]]()
        slack = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                slack.posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(slack.answers.pop(0) if slack.answers else 200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Be quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/{SECRET}"

    @contextmanager
    def open(self) -> Iterator["Slack"]:
        thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


def channels(hook: str = "", slack: str = "", command: str = "", seconds: float = 5.0) -> Channels:
    return Channels(hook, slack, command, {"PATH": "/usr/bin:/bin", "SWARM_SLACK_WEBHOOK_URL": SECRET}, seconds)


def script(folder: Path, text: str) -> str:
    path = folder / "hook with a space.py"
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(0o755)
    return str(path)


# --- what actors rely on ---


@pytest.fixture(params=["memory", "command"])
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Alerts, Any]:
    """Alerts with the channel `command`, and a way to take it away."""
    if request.param == "memory":
        double = MemoryAlerts("command")
        return double, lambda: double.away.add("command")
    flag = tmp_path / "away"
    return channels(command=f"test ! -e {flag}"), flag.touch


def test_what_is_taken_is_taken_without_a_word(ground: tuple[Alerts, Any]) -> None:
    assert ground[0].send("command", "tests_failed", "a: it failed", "id") == ""


def test_what_is_not_taken_says_why(ground: tuple[Alerts, Any]) -> None:
    ground[1]()
    assert ground[0].send("command", "tests_failed", "a: it failed", "id") != ""


def test_a_channel_that_is_not_there_takes_nothing(ground: tuple[Alerts, Any]) -> None:
    assert "no channel" in ground[0].send("pigeon", "tests_failed", "a: it failed", "id")


# --- Slack ---


def test_slack_gets_the_kind_and_the_text_and_nobody_is_called_by_it() -> None:
    with Slack().open() as slack:
        assert channels(slack=slack.url).send("slack", "tests_failed", "a: <!channel> & \x1b[31mred", "id") == ""
    assert slack.posts == [{"text": "tests_failed: a: &lt;!channel&gt; &amp; red"}]


def test_slack_that_fails_twice_takes_it_then() -> None:
    with Slack(500, 302).open() as slack:
        to = channels(slack=slack.url)
        said = [to.send("slack", "k", "t", "id") for _ in range(3)]
    assert said == ["Slack answered with status 500", "Slack answered with status 302", ""]
    assert len(slack.posts) == 3


def test_slack_that_is_not_there_is_told_without_its_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = channels(slack=f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}").send("slack", "k", "t", "id")
    assert error == "Slack cannot be reached (ConnectError)"


@pytest.mark.parametrize("url", [f"http://[{SECRET}", f"http://\0{SECRET}", f"http://xn--{SECRET}..", "http://"])
def test_an_address_that_is_none_is_told_without_it(url: str) -> None:
    error = channels(slack=url, seconds=2.0).send("slack", "k", "t", "id")
    assert error.startswith("Slack cannot be reached")
    assert SECRET not in error


def test_slack_that_hangs_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/{SECRET}"
        began = time.monotonic()
        error = channels(slack=url, seconds=0.3).send("slack", "k", "t", "id")
        assert time.monotonic() - began < SOON
    assert error in ("Slack did not answer within 0.3 s", "Slack cannot be reached (ReadTimeout)")


def test_slack_that_sends_a_byte_now_and_then_is_given_up_in_time() -> None:
    enough = threading.Event()

    def drip() -> None:
        connection, _ = server.accept()
        with connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not enough.wait(0.05):
                try:
                    connection.sendall(b"X-Wait: 1\r\n")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        began = time.monotonic()
        error = channels(slack=url, seconds=0.4).send("slack", "k", "t", "id")
        seconds = time.monotonic() - began
        enough.set()
        thread.join()
    assert error == "Slack did not answer within 0.4 s"
    assert seconds < SOON


# --- programs ---


def test_a_hook_is_called_with_the_kind_and_the_text_and_knows_what_it_is_about(tmp_path: Path) -> None:
    out = tmp_path / "out"
    text = f"import json, os, sys\njson.dump([sys.argv[1:], dict(os.environ)], open({str(out)!r}, 'w'))\n"
    words = 'a: "quoted"; $(touch pwned) \0 `x`'
    assert channels(hook=script(tmp_path, text)).send("hook", "tests_failed", words, "id") == ""
    argv, env = json.loads(out.read_text())
    assert argv == ["tests_failed", words.replace("\0", " ")]
    assert (env["SWARM_ALERT_KIND"], env["SWARM_ALERT_ABOUT"]) == ("tests_failed", "id")
    assert env["SWARM_ALERT_TEXT"] == words.replace("\0", " ")
    assert "SWARM_SLACK_WEBHOOK_URL" not in env


def test_a_command_gets_the_kind_and_the_text_as_words_of_the_shell(tmp_path: Path) -> None:
    out = tmp_path / "out"
    to = channels(command=f'printf "%s|%s|%s" "$1" "$2" "$SWARM_ALERT_ABOUT" > {out}')
    assert to.send("command", "tests_failed", "a; $(rm -rf x)", "id") == ""
    assert out.read_text() == "tests_failed|a; $(rm -rf x)|id"


def test_a_hook_that_fails_or_cannot_be_run_is_told(tmp_path: Path) -> None:
    failing = script(tmp_path, "raise SystemExit(3)\n")
    assert channels(hook=failing).send("hook", "k", "t", "id") == f"{failing} ended with 3"
    assert "cannot be run" in channels(hook=str(tmp_path / "none")).send("hook", "k", "t", "id")


def test_a_hook_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        to = channels(command=f"exec >{fifo}; echo on; sleep 600 & sleep 600", seconds=1.0)
        began = time.monotonic()
        assert "did not end within 1 s" in to.send("command", "k", "t", "id")
        assert time.monotonic() - began < SOON
        assert os.read(reader, 9) == b"on\n"
        assert select.select([reader], [], [], SOON)[0], "nobody holds the other end any more"
        assert os.read(reader, 9) == b""
    finally:
        os.close(reader)


# --- which there are ---


def test_only_what_is_set_is_a_channel() -> None:
    assert configured({}, "") is None
    env = {"PATH": "/usr/bin:/bin", "SWARM_ALERT_HOOK": "true", "SWARM_SLACK_WEBHOOK_URL": "https://x/y"}
    both, command = configured(env, ""), configured({}, "cat")
    assert both
    assert both.names == ["hook", "slack"]
    assert command
    assert command.names == ["command"]


def test_a_channel_that_cannot_work_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="no program"):
        configured({"PATH": "/usr/bin:/bin", "SWARM_ALERT_HOOK": "/no/such/hook"}, "")
    with pytest.raises(UsageError, match="no http") as refused:
        configured({"SWARM_SLACK_WEBHOOK_URL": SECRET}, "")
    assert SECRET not in f"{refused.value}{refused.value.hint}"
