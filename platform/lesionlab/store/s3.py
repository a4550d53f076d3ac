"""Store objects in an S3 bucket below a prefix, with the standard AWS configuration.

boto3 finds credentials, profile, region and endpoint: in the environment, in ~/.aws or from the machine's role.
"""

from __future__ import annotations

from datetime import timedelta

from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from lesionlab.store.aws import aws_access, without_aws_environment
from lesionlab.store.base import Store, probe

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

    def check_readable(self) -> None:
        """Raise, within about 10 s, unless the bucket can be listed."""
        probe(self.uri, _connect(self.uri, self._bucket, self._prefix, _PROBE_TIMEOUT))


def _connect(uri: str, bucket: str, prefix: str, timeout: timedelta) -> S3Store:
    access = aws_access(uri)
    with without_aws_environment():
        return S3Store(
            bucket,
            prefix=prefix or None,
            endpoint=access.endpoint,
            region=access.region,
            virtual_hosted_style_request=False,
            credential_provider=Boto3CredentialProvider(access.session),
            client_options={
                "allow_http": access.endpoint.startswith("http://"),
                "connect_timeout": _CONNECT_TIMEOUT,
                "timeout": timeout,
            },
            retry_config={"max_retries": _RETRIES, "retry_timeout": _RETRY_TIMEOUT},
        )
