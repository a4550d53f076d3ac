"""Read the AWS configuration as every AWS tool does, and refuse what cannot work before anything is sent.

boto3 alone decides: endpoint, region and credentials from the environment, from ~/.aws or from the machine's role, in
the order that it documents. Clients of other libraries are given its values. Only AWS_REGION, which every other AWS
tool reads and pods are given, it does not know: it goes first.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import boto3
import botocore.config
import botocore.exceptions

from lesionlab.errors import AccessDenied, StoreError
from lesionlab.store.faults import CREDENTIALS_HELP, masked

DEFAULT_REGION = "us-east-1"
"""Region for servers without regions (Ceph, MinIO, SeaweedFS)."""

_ENDPOINT_NAME = "the endpoint URL (AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or endpoint_url in ~/.aws/config)"
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_VISIBLE = re.compile(r"[\x21-\x7e]+")
_ENVIRONMENT = threading.RLock()
"""Whoever reads or hides the AWS variables holds it: without them boto3 would find other keys, or another server."""


@dataclass(frozen=True)
class AwsAccess:
    """Where the objects are, and who may reach them."""

    session: boto3.Session
    endpoint: str
    """http:// or https://, in lower case, without user name, query and trailing slash."""
    region: str

    def outdated(self) -> bool:
        """Whether the configuration holds other credentials by now, such as a renewed session token."""
        with _ENVIRONMENT:
            return _keys(boto3.Session()) not in ((), _keys(self.session))


def aws_access(uri: str) -> AwsAccess:
    """Read the configuration for this store.

    Raises AccessDenied without usable credentials, StoreError with the setting that cannot be used. No message repeats
    a secret.
    """
    with _ENVIRONMENT:
        return _aws_access(uri)


def _aws_access(uri: str) -> AwsAccess:
    for name in _ENDPOINT_VARIABLES:
        _check_endpoint(uri, os.environ.get(name))
    try:
        session = boto3.Session(region_name=os.environ.get("AWS_REGION") or None)
        region = session.region_name or DEFAULT_REGION
        # Only botocore knows the full order of precedence: environment, profile, services section, AWS itself.
        endpoint = session.client("s3", region_name=region).meta.endpoint_url
        credentials = session.get_credentials()
        if credentials is None:
            raise AccessDenied(f"{uri}: no credentials found; {CREDENTIALS_HELP}")
        _check_credentials(uri, credentials.method, credentials.get_frozen_credentials())
    except (botocore.exceptions.BotoCoreError, ValueError, OSError) as error:
        raise StoreError(f"{uri}: the AWS configuration cannot be used: {masked(str(error))}") from error
    return AwsAccess(session, _check_endpoint(uri, endpoint), region)


@contextmanager
def without_aws_environment() -> Iterator[None]:
    """Hide the AWS variables from a library that would read them beside boto3, in an order of its own."""
    with _ENVIRONMENT:
        hidden = {name: value for name, value in os.environ.items() if name.upper().startswith("AWS_")}
        try:
            for name in hidden:
                del os.environ[name]
            yield
        finally:
            os.environ.update(hidden)


@cache
def aws_caller(uri: str) -> str:
    """Who the credentials belong to: on AWS the ARN of the caller, on other servers the access key, which is no secret.

    Raises what `aws_access` raises.
    """
    access = aws_access(uri)
    credentials = access.session.get_credentials()
    key = f"access key {credentials.get_frozen_credentials().access_key}"
    host = urlsplit(access.endpoint).hostname or ""
    if access.endpoint and not host.endswith((".amazonaws.com", ".amazonaws.com.cn")):
        return key
    once = botocore.config.Config(connect_timeout=3, read_timeout=3, retries={"total_max_attempts": 1})
    try:
        client: Any = access.session.client("sts", region_name=access.region, config=once)
        return str(client.get_caller_identity()["Arn"])
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        return key


def _keys(session: boto3.Session) -> tuple[str | None, ...]:
    """The credentials of a session as they are now, only to be compared."""
    credentials = session.get_credentials()
    return tuple(credentials.get_frozen_credentials()) if credentials else ()


def _check_endpoint(uri: str, endpoint: str | None) -> str:
    """The endpoint with its scheme and host in lower case; empty if there is none."""
    if not endpoint:
        return ""
    problem = None
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        problem = "has no valid host and port"
    else:
        if not _VISIBLE.fullmatch(endpoint):
            problem = "holds a space, a line break or another character that no URL has"
        elif "@" in parts.netloc:
            problem = "holds a user name or password; keys belong in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        elif parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            problem = f"is not http:// or https:// with a host; found {masked(endpoint.partition('?')[0])!r}"
        elif parts.query or parts.fragment:
            problem = "has a query or a fragment"
        else:
            return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"
    raise StoreError(f"{uri}: {_ENDPOINT_NAME} {problem}; write it as http://server:8333 or https://server")


def _check_credentials(uri: str, method: str, found: Any) -> None:
    """Raises AccessDenied if a key has a character that no HTTP header may hold."""
    parts = {"access key": found.access_key, "secret key": found.secret_key, "session token": found.token}
    wrong = [name for name, value in parts.items() if value and not _VISIBLE.fullmatch(value)]
    if wrong:
        raise AccessDenied(
            f"{uri}: {' and '.join(wrong)} (found by boto3 in {method}) must not hold a space, a line break or another "
            f"invisible character; {CREDENTIALS_HELP}"
        )
