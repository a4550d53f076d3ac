"""Store objects in an S3 bucket below a prefix, with the standard AWS configuration.

boto3 finds credentials, profile, region and endpoint: in the environment, in ~/.aws or from the machine's role.
"""

from __future__ import annotations

import threading
from datetime import timedelta

from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import ObjectStore, S3Store

from lesionlab.store.aws import AwsAccess, aws_access, without_aws_environment
from lesionlab.store.base import Store, probe
from lesionlab.store.patience import Patience

# An unreachable server is reported within about 10 s; a slow one has a minute per request.
_CONNECT_TIMEOUT = timedelta(seconds=3)
_PROBE_TIMEOUT = timedelta(seconds=5)
_REQUEST_TIMEOUT = timedelta(seconds=60)
PROBE_PATIENCE_S = 1.5

CREDENTIALS_LIVE = timedelta(minutes=8)
"""Credentials are asked for again after so long: botocore renews those that expire 10 minutes before they do."""


class BucketStore(Store):
    """Objects in one bucket below one prefix. The server is not contacted before the first use.

    Raises AccessDenied if boto3 finds no credentials, StoreError if the configuration is invalid.
    """

    def __init__(self, uri: str, bucket: str, prefix: str) -> None:
        self._bucket, self._prefix, self._access = bucket, prefix, aws_access(uri)
        self._one_renews = threading.Lock()
        super().__init__(uri, _connect(self._access, bucket, prefix, _REQUEST_TIMEOUT))

    @property
    def bucket(self) -> str:
        """The bucket."""
        return self._bucket

    @property
    def folder(self) -> str:
        """The prefix of every key in the bucket, with a slash at its end; empty: none."""
        return f"{self._prefix}/" if self._prefix else ""

    def check_readable(self, folder: str = "") -> None:
        """Raise, within about 10 s, unless this folder of the bucket can be listed."""
        probing = _connect(aws_access(self.uri), self._bucket, self._prefix, _PROBE_TIMEOUT)
        Patience(PROBE_PATIENCE_S).insist(lambda again: probe(self.uri, probing, folder))

    def _renew_access(self, refused: ObjectStore) -> bool:
        with self._one_renews:
            if self.objects is not refused:  # another thread, refused too, has renewed it
                return True
            if not self._access.outdated():
                return False
            self._access = aws_access(self.uri)
            self.objects = _connect(self._access, self._bucket, self._prefix, _REQUEST_TIMEOUT)
            return True


def _connect(access: AwsAccess, bucket: str, prefix: str, timeout: timedelta) -> S3Store:
    with without_aws_environment():
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=access.endpoint,
            region=access.region,
            virtual_hosted_style_request=False,
            credential_provider=Boto3CredentialProvider(access.session, ttl=CREDENTIALS_LIVE),
            client_options={
                "allow_http": access.endpoint.startswith("http://"),
                "connect_timeout": _CONNECT_TIMEOUT,
                "timeout": timeout,
            },
            retry_config={"max_retries": 0},  # see `Patience`: obstore's own omit conditional writes and end early
        )
