"""A kubeconfig that is malformed, and what stands between a laptop and the API server: named in one sentence."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lesionlab.clusters.api import connected
from lesionlab.errors import ClusterError, NotAllowed
from tests.clusters.emulator import kubeconfig, serving
from tests.clusters.laptop import NORTH, use


def changed(change: Any) -> Any:
    config = kubeconfig("http://127.0.0.1:9", "north", NORTH)
    change(config)
    return config


@pytest.mark.parametrize(
    "config",
    [
        ["a", "list"],
        "a word",
        {"contexts": "test", "clusters": [], "users": [], "current-context": "test"},
        changed(lambda config: config["contexts"].append("a word")),
        changed(lambda config: config["contexts"][0].update(context="a word")),
        changed(lambda config: config["clusters"][0].pop("cluster")),
        changed(lambda config: config["clusters"][0]["cluster"].update(server=5)),
        changed(lambda config: config.pop("contexts")),
    ],
)
def test_a_kubeconfig_of_another_shape_is_called_that(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path, config)
    with pytest.raises(ClusterError, match="kubeconfig: "):
        connected()


def test_a_context_that_is_named_needs_no_current_one(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(api) as url:
        config = kubeconfig(url, "north", NORTH)
        del config["current-context"]
        use(monkeypatch, tmp_path, config)
        assert connected("test").who() == "anna@north"
        with pytest.raises(ClusterError, match="current-context"):
            connected()


@pytest.mark.parametrize("proxy", ["nonsense", "socks5://127.0.0.1:1080"])
def test_a_proxy_that_cannot_be_used_is_named(proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, tmp_path, kubeconfig("http://127.0.0.1:9", "north", NORTH, **{"proxy-url": proxy}))
    with pytest.raises(ClusterError, match=f"proxy {proxy}: wanted http://HOST:PORT"):
        connected()


@contextmanager
def answering(code: int, body: bytes) -> Iterator[str]:
    """The address of what gives each request this answer; without a body it gives none."""
    silent = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            asked.append(self.path)
            if not body:
                silent.wait(60)
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    silent.set()
    server.shutdown()
    server.server_close()
    assert len(asked) <= 2, "each question may last half a minute"


PORTAL = b"<html>log in to the guests' network</html>"


@pytest.mark.parametrize(
    ("code", "body"), [(200, PORTAL), (200, b"[1, 2]"), (403, PORTAL), (407, b"Proxy Authentication Required")]
)
def test_the_answer_of_a_proxy_or_a_login_page_is_not_taken_for_the_servers(
    code: int, body: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(code, body) as url:
        use(monkeypatch, tmp_path, kubeconfig(url, "north", NORTH))
        with pytest.raises(ClusterError, match="no Kubernetes API server") as found:
            connected().get("RayJob", "lesionlab-work")
    assert not isinstance(found.value, NotAllowed)
    assert body.decode()[:30] in str(found.value)


def test_a_server_that_accepts_and_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionlab.clusters.api.TIMEOUT_S", 0.3)
    with answering(200, b"") as url:
        use(monkeypatch, tmp_path, kubeconfig(url, "north", NORTH))
        with pytest.raises(ClusterError, match=f"no answer from {url}"):
            connected().get("RayJob", "lesionlab-work")


def test_a_ca_file_without_a_certificate_is_no_fault_of_the_network(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("no certificate\n")
    with serving(api) as url:
        secure = url.replace("http:", "https:")
        use(monkeypatch, tmp_path, kubeconfig(secure, "north", NORTH, **{"certificate-authority": str(authority)}))
        with pytest.raises(ClusterError, match="check the certificate authority"):
            connected().who()
