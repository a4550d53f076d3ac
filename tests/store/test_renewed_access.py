"""Credentials that are replaced while a command runs are used by all of its threads, however old ones are refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lesionlab.store.objects import open_store

THREADS = 4

REFUSALS = {
    "AccessDenied": (403, b"<Error><Code>AccessDenied</Code></Error>"),
    "ExpiredToken": (
        400,
        b"<Error><Code>ExpiredToken</Code></Error>",
    ),
}


class Server(ThreadingHTTPServer):
    """Has one object, for whoever signs with the new key; refuses the others once all threads have asked."""

    def __init__(self, refusal: tuple[int, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.refusal, self.asked = refusal, threading.Barrier(THREADS)


class Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        if "Credential=new/" in self.headers["Authorization"]:
            self._send(200, b"1")
        else:
            self.server.asked.wait(20)
            self._send(*self.server.refusal)

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(REFUSALS[request.param]) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("server", "method"),
    [("AccessDenied", "get"), ("ExpiredToken", "get"), ("ExpiredToken", "exists")],
    indirect=["server"],
)
def test_all_threads_go_on_with_new_credentials(
    server: Server, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "credentials"

    def use(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {key}\n")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("LESIONLAB_STORE_PATIENCE", "0")
    use("old")
    store = open_store("s3://bucket/prefix")
    use("new")
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda _: getattr(store, method)("a.json"), range(THREADS)))
    assert found == [b"1" if method == "get" else True] * THREADS
