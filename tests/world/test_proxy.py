"""Whether the LLM proxy is there: asked of a real HTTP server on loopback."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from swarm.world.proxy import trouble


@contextmanager
def server(status: int) -> Iterator[str]:
    """Answers every GET with that status, and notes the paths and keys."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    asked: list[tuple[str, str | None]] = []
    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{httpd.server_port}"
    finally:
        httpd.shutdown()
        httpd.server_close()
        thread.join()
    assert asked == [("/v1/models", "Bearer sk-test")]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_a_proxy_that_answers_is_no_trouble(suffix: str) -> None:
    with server(200) as url:
        assert trouble(url + suffix, "sk-test") == ""


@pytest.mark.parametrize(("status", "words"), [(401, "refuses the key"), (400, "refuses the key"), (503, "fails")])
def test_a_proxy_that_will_not_serve_says_why(status: int, words: str) -> None:
    with server(status) as url:
        assert words in trouble(url, "sk-test")


def test_nobody_there() -> None:
    with server(200) as url:
        trouble(url, "sk-test")
    assert "does not answer" in trouble(url, "sk-test")
