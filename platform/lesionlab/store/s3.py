"""Store objects in an S3 bucket below a prefix, with the standard AWS configuration.

boto3 finds credentials, profile, region and endpoint: in the environment, in ~/.aws or from the machine's role.
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
"""Region for servers without regions (Ceph, MinIO, SeaweedFS)."""

# An unreachable server is reported within about 10 s; a slow one has a minute per request.
_CONNECT_TIMEOUT = timedelta(seconds=3)
_PROBE_TIMEOUT = timedelta(seconds=5)
_REQUEST_TIMEOUT = timedelta(seconds=60)
_RETRY_TIMEOUT = timedelta(seconds=8)
_RETRIES = 5


class BucketStore(Store):
    """Objects in one bucket below one prefix. The server is not contacted before the first use.

    Raises AccessDenied if boto3 finds no credentials, StoreError if the configuration is invalid.
    """

    def __init__(self, uri: str, bucket: str, prefix: str) -> None:
        super().__init__(uri, _connect(uri, bucket, prefix, _REQUEST_TIMEOUT))
        self._bucket, self._prefix = bucket, prefix

    def check(self) -> None:
        """Raise, within about 10 s, unless the bucket can be listed."""
        probe(self.uri, _connect(self.uri, self._bucket, self._prefix, _PROBE_TIMEOUT))


def _connect(uri: str, bucket: str, prefix: str, timeout: timedelta) -> S3Store:
    try:
        session = boto3.Session()
        region = session.region_name or DEFAULT_REGION
        # Only botocore knows the full order of precedence: environment, profile, services section, AWS itself.
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
