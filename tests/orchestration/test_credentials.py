"""Credentials reach the workers of a sweep but no file written by Ray."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """A short path for Ray's sockets, whose paths are limited to 107 characters: pytest's folders are too long."""
    with tempfile.TemporaryDirectory(prefix="ray") as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("store", "workers"),
    [
        ("file_store_uri", 1),
        pytest.param("s3_store_uri", 2, marks=[pytest.mark.slow, pytest.mark.s3]),
    ],
)
def test_every_worker_gets_the_credentials_and_no_file_of_ray_contains_them(
    store: str, workers: int, request: pytest.FixtureRequest, ray_folder: Path, tmp_path: Path
) -> None:
    store_uri = request.getfixturevalue(store)
    names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN"]
    # The S3 server has its own credentials and does not support session tokens.
    names += [] if store == "s3_store_uri" else ["AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
    planted = {name: os.environ.get(name, secrets.token_hex(32)) for name in names}
    script = Path(__file__).with_name("sweep_with_credentials.py")
    command = [sys.executable, str(script), store_uri, str(tmp_path), str(workers), *names]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "RAY_TMPDIR": str(ray_folder)} | planted
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    digests = " ".join(sha256(value.encode()).hexdigest() for value in planted.values())
    assert [(tmp_path / f"rank-{rank}").read_text() for rank in range(workers)] == [digests] * workers

    left = {path: path.read_bytes() for path in ray_folder.rglob("*") if path.is_file()}
    (log,) = (data for path, data in left.items() if path.name == "runtime_env_agent.log")
    assert b"env_vars" in log
    told = {
        (path.name, name) for path, data in left.items() for name, value in planted.items() if value.encode() in data
    }
    assert told == set()
