"""The servers of the tests come from a container engine where one answers: what is asked of it."""

import json
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import docker.errors
import pytest

from tests.support import servers

VERSION = {"ApiVersion": "1.44", "MinAPIVersion": "1.24", "Version": "27.0.0"}


class Engine(BaseHTTPRequestHandler):
    """An engine that has no images and can pull none."""

    asked: list[tuple[str, str]]

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.endswith("/_ping"):
            self._answer(200, "OK")
        elif path.endswith("/version"):
            self._answer(200, VERSION)
        else:
            self._answer(404, {"message": "no such image"})

    def do_POST(self) -> None:
        self.asked.append(("POST", self.path))
        self._answer(500, {"message": "this engine pulls nothing"})

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Api-Version", VERSION["ApiVersion"])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What is asked of the engine that DOCKER_HOST leads to."""
    Engine.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Engine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("TESTCONTAINERS_RYUK_DISABLED", "true")
    for url in ("DATABASE_URL", "NATS_URL"):
        monkeypatch.delenv(url, raising=False)
    servers.docker_answers.cache_clear()
    yield Engine.asked
    servers.docker_answers.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("start", "image"),
    [(servers.postgres_server, servers.POSTGRES_IMAGE), (servers.nats_server, servers.NATS_IMAGE)],
)
def test_an_engine_that_answers_is_asked_for_the_image(
    asked: list[tuple[str, str]], start: Any, image: str
) -> None:
    server: AbstractContextManager[Any] = start()
    with pytest.raises(docker.errors.APIError), server:
        pytest.fail("the engine has no images")
    pulled = [parse_qs(urlsplit(path).query) for _, path in asked if "/images/create" in path]
    assert [f"{query['fromImage'][0]}:{query['tag'][0]}" for query in pulled] == [image]


def test_podmans_socket_counts_as_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert tmp_path / "podman" / "podman.sock" in servers.engine_sockets()
