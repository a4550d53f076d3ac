"""An emulated AWS on this machine: moto's server, where it is installed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def moto_server(folder: Path) -> Iterator[str]:
    """Its URL; skips the test where there is none. It keeps a log in the folder."""
    program = os.environ.get("LESIONLAB_MOTO") or shutil.which("moto_server")
    if not program:
        pytest.skip("moto_server is not installed (PyPI: moto[server]); LESIONLAB_MOTO names one")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = folder / "log"
    log = said.open("wb")
    server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], stdout=log, stderr=log)
    url, end = f"http://127.0.0.1:{port}", time.monotonic() + 60
    try:
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api/data.json", timeout=2).close()
                break
            except OSError:
                if server.poll() is not None and "No module named 'flask'" in said.read_text():
                    pytest.skip("moto_server lacks its server (PyPI: moto[server]); LESIONLAB_MOTO names another one")
                assert server.poll() is None, said.read_text()
                assert time.monotonic() < end, "the emulator does not start"
                time.sleep(0.3)
        yield url
    finally:
        server.kill()
        server.wait()
        log.close()
