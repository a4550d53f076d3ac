"""A proxy in front of a real S3 server that answers some requests as an overloaded or broken server would.

with FaultyProxy(server.endpoint) as proxy:
    proxy.rule = mixture(seed=0, slow_down=0.1, reset=0.05)
    ...  # AWS_ENDPOINT_URL_S3 is proxy.endpoint
    proxy.rule = first(3, "lost-answer", conditional_writes)
    with proxy.outage():
        ...
    proxy.seen["503"]
"""

from __future__ import annotations

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, get_args
from urllib.parse import urlsplit

Fault = Literal["503", "reset", "lost-answer", "truncated"]
"""503: SlowDown, nothing is done. reset: the connection is reset, nothing is done. lost-answer: the server does what is
asked, then the connection is reset. truncated: the connection ends after half of the answer's body."""

FAULTS: tuple[Fault, ...] = get_args(Fault)

_SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
_OF_ONE_CONNECTION = ("connection", "keep-alive", "transfer-encoding", "content-length")


@dataclass(frozen=True)
class Request:
    """What a rule knows about a request."""

    method: str
    path: str
    """With the bucket, without the query."""
    conditional: bool
    """Whether it has If-Match or If-None-Match."""


Rule = Callable[[Request], Fault | None]
"""Which fault a request meets, if any. One request at a time is asked about."""


def no_fault(request: Request) -> Fault | None:
    """Every request reaches the server and every answer the client."""
    return None


def mixture(seed: int, *, slow_down: float = 0, reset: float = 0, lost_answer: float = 0, truncated: float = 0) -> Rule:
    """Faults by chance: each argument is the fraction of requests that meet it."""
    chance, shares = random.Random(seed), (slow_down, reset, lost_answer, truncated)

    def rule(request: Request) -> Fault | None:
        drawn = chance.random()
        for fault, share in zip(FAULTS, shares, strict=True):
            if drawn < share:
                return fault
            drawn -= share
        return None

    return rule


def first(count: int, fault: Fault, of: Callable[[Request], bool] = lambda request: True) -> Rule:
    """The first so many of these requests meet the fault, the others none."""
    left = [fault] * count
    return lambda request: left.pop() if of(request) and left else None


def conditional_writes(request: Request) -> bool:
    """Whether it is a PUT with a condition."""
    return request.method == "PUT" and request.conditional


class FaultyProxy:
    """The proxy on a free loopback port, from `__enter__` to `__exit__`; in threads of this process."""

    def __init__(self, upstream: str, *, latency_s: float = 0.0) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.rule: Rule = no_fault
        self.latency_s = latency_s
        """Added to each request."""
        self.seen: Counter[str] = Counter()
        """Requests by method, such as `PUT`, and by the fault that they met."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._asked = threading.Lock()

    @property
    def endpoint(self) -> str:
        """URL for AWS_ENDPOINT_URL_S3."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Within the block, every connection is reset before the server hears of it."""
        before, self.rule = self.rule, lambda request: "reset"
        try:
            yield
        finally:
            self.rule = before

    def fault_of(self, request: Request) -> Fault | None:
        """The fault that this request meets; counted."""
        with self._asked:
            fault = self.rule(request)
            self.seen.update([request.method, *([fault] if fault else [])])
            return fault

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    proxy: FaultyProxy

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        conditional = any(name in self.headers for name in ("if-match", "if-none-match"))
        proxy = self.server.proxy
        time.sleep(proxy.latency_s)
        fault = proxy.fault_of(Request(self.command, urlsplit(self.path).path, conditional))
        if fault == "reset":
            self._reset()
        elif fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN)
        else:
            status, headers, answer = self._ask(body)
            if fault == "lost-answer":
                self._reset()
            else:
                self._answer(status, headers, answer, cut=fault == "truncated")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """The server's answer to the very same request; the Host header stays, since it is signed."""
        connection = http.client.HTTPConnection(self.server.proxy.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                connection.putheader(name, value)
            connection.endheaders(body or None)
            found = connection.getresponse()
            headers = {name: value for name, value in found.getheaders() if name.lower() not in _OF_ONE_CONNECTION}
            data = found.read()
            if self.command == "HEAD":
                headers["Content-Length"] = found.getheader("content-length") or "0"
            return found.status, headers, data
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self._reset()

    def _reset(self) -> None:
        """End the connection as a machine does that has forgotten it."""
        self.close_connection = True
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        """The tests' output is no access log."""
