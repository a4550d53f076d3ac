"""A bucket, a prefix and the standard AWS configuration in; a store out.

Credentials, profile, region and endpoint are whatever boto3 finds: environment, ~/.aws, or the machine's own role.
"""

from __future__ import annotations

from datetime import timedelta

import boto3
import botocore.exceptions
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from lesionlab.errors import AccessDenied, StoreError
from lesionlab.store.base import Store, probe
from lesionlab.store.faults import CREDENTIALS_HELP

DEFAULT_REGION = "us-east-1"
"""For servers that have no regions (Ceph, MinIO, SeaweedFS)."""

# A server that is gone is reported within about 10 s; one that is merely slow has a minute for each request.
_CONNECT_TIMEOUT = timedelta(seconds=3)
_PROBE_TIMEOUT = timedelta(seconds=5)
_REQUEST_TIMEOUT = timedelta(seconds=60)
_RETRY_TIMEOUT = timedelta(seconds=8)
_RETRIES = 5


class BucketStore(Store):
    """Objects in one bucket below one prefix. Nothing is asked of the server before the first use.

    Raises AccessDenied where boto3 finds no credentials, StoreError where the configuration contradicts itself.
    """

    def __init__(self, uri: str, bucket: str, prefix: str) -> None:
        super().__init__(uri, _connect(uri, bucket, prefix, _REQUEST_TIMEOUT))
        self._bucket, self._prefix = bucket, prefix

    def check(self) -> None:
        """Return where the bucket can be listed; raise within about 10 s where not."""
        probe(self.uri, _connect(self.uri, self._bucket, self._prefix, _PROBE_TIMEOUT))


def _connect(uri: str, bucket: str, prefix: str, timeout: timedelta) -> S3Store:
    try:
        session = boto3.Session()
        region = session.region_name or DEFAULT_REGION
        # botocore alone knows the whole order of precedence: environment, profile, services section, AWS itself.
        endpoint = session.client("s3", region_name=region).meta.endpoint_url
        if session.get_credentials() is None:
            raise AccessDenied(f"{uri}: no credentials found; {CREDENTIALS_HELP}")
        credentials = Boto3CredentialProvider(session)
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise StoreError(f"{uri}: the AWS configuration cannot be used: {error}") from error
    return S3Store(
        bucket,
        prefix=prefix or None,
        endpoint=endpoint,
        region=region,
        virtual_hosted_style_request=False,
        credential_provider=credentials,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": _CONNECT_TIMEOUT,
            "timeout": timeout,
        },
        retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
    )
