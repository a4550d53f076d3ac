"""Set up the bucket of a consortium with boto3; setting it up again changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import botocore.exceptions

from lesionlab.errors import AccessDenied, StoreError
from lesionlab.store.aws import aws_access
from lesionlab.store.base import Store
from lesionlab.store.s3 import BucketStore
from storage_schemas.sites import Consortium

VERSIONS_DAYS = 30
"""For so long an overwritten or deleted object can be brought back; a withdrawal deletes its versions at once."""
TEMPORARY_DAYS = 1
_UNSUPPORTED = {"NotImplemented", "MethodNotAllowed", "InvalidRequest", "UnsupportedOperation"}
_OPTIONAL = "not offered by this server: see to it that its administrator does it"


def set_up(pool: Consortium) -> Iterator[str]:
    """Do every step and say what was done. Raises AccessDenied or StoreError with the step that failed."""
    access = aws_access(pool.store)
    client: Any = access.session.client("s3", endpoint_url=access.endpoint or None, region_name=access.region)
    for what, step in STEPS.items():
        try:
            step(client, pool)
            yield f"{what}: done"
        except botocore.exceptions.ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _UNSUPPORTED and what != "bucket":
                yield f"{what}: {_OPTIONAL}"
            elif code in {"AccessDenied", "403"}:
                raise AccessDenied(f"{pool.store}: {what}: refused; use the keys of the steward") from error
            else:
                raise StoreError(f"{pool.store}: {what}: {code or error}") from error
        except botocore.exceptions.BotoCoreError as error:
            raise StoreError(f"{pool.store}: {what}: {error}") from error


def delete_versions(store: Store, prefixes: Iterable[str]) -> int:
    """Delete every version but the current one of the objects below these prefixes; the number of versions.

    A store without versions has none. Raises AccessDenied or StoreError.
    """
    if not isinstance(store, BucketStore):
        return 0
    access, deleted = aws_access(store.uri), 0
    client: Any = access.session.client("s3", endpoint_url=access.endpoint or None, region_name=access.region)
    pages = client.get_paginator("list_object_versions")
    try:
        for prefix in prefixes:
            for page in pages.paginate(Bucket=store.bucket, Prefix=store.folder + prefix):
                old = [one for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())) if not _counts(one)]
                for one in old:
                    client.delete_object(Bucket=store.bucket, Key=one["Key"], VersionId=one["VersionId"])
                deleted += len(old)
    except botocore.exceptions.ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        kind = AccessDenied if code in {"AccessDenied", "403"} else StoreError
        raise kind(f"{store.uri}: old versions cannot be deleted ({code}); use the keys of the steward") from error
    return deleted


def _counts(version: Any) -> bool:
    """Whether this is the object as it is now; the mark of a deletion is removed with what it hides."""
    return bool(version["IsLatest"] and "Size" in version)


def lifecycle(pool: Consortium) -> dict[str, Any]:
    """What is removed by itself: readings of the clock, uploads that were cut, versions that nobody brought back."""
    folder = pool.folder
    return {
        "Rules": [
            {
                "ID": "temporary",
                "Status": "Enabled",
                "Filter": {"Prefix": f"{folder}clock/"},
                "Expiration": {"Days": TEMPORARY_DAYS},
            },
            {
                "ID": "versions",
                "Status": "Enabled",
                "Filter": {"Prefix": folder},
                "NoncurrentVersionExpiration": {"NoncurrentDays": VERSIONS_DAYS},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": TEMPORARY_DAYS},
            },
        ]
    }


def _bucket(client: Any, pool: Consortium) -> None:
    try:
        client.head_bucket(Bucket=pool.bucket)
    except botocore.exceptions.ClientError as error:
        if error.response.get("Error", {}).get("Code") not in {"404", "NoSuchBucket"}:
            raise
        region = client.meta.region_name
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        client.create_bucket(Bucket=pool.bucket, **place)


def _versioning(client: Any, pool: Consortium) -> None:
    client.put_bucket_versioning(Bucket=pool.bucket, VersioningConfiguration={"Status": "Enabled"})


def _lifecycle(client: Any, pool: Consortium) -> None:
    client.put_bucket_lifecycle_configuration(Bucket=pool.bucket, LifecycleConfiguration=lifecycle(pool))


def _encryption(client: Any, pool: Consortium) -> None:
    """Some servers accept the setting without having keys, and then refuse every write: it is taken back there."""
    rule = {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    client.put_bucket_encryption(Bucket=pool.bucket, ServerSideEncryptionConfiguration={"Rules": [rule]})
    trial = {"Bucket": pool.bucket, "Key": f"{pool.folder}clock/encryption"}
    try:
        client.put_object(**trial, Body=b"")
        client.delete_object(**trial)
    except botocore.exceptions.ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) < 500:
            raise
        client.delete_bucket_encryption(Bucket=pool.bucket)
        raise botocore.exceptions.ClientError(
            {"Error": {"Code": "NotImplemented", "Message": str(error)}}, "PutBucketEncryption"
        ) from error


def _no_public_access(client: Any, pool: Consortium) -> None:
    names = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    client.put_public_access_block(Bucket=pool.bucket, PublicAccessBlockConfiguration=dict.fromkeys(names, True))


STEPS: dict[str, Callable[[Any, Consortium], None]] = {
    "bucket": _bucket,
    "versioning": _versioning,
    "lifecycle": _lifecycle,
    "encryption": _encryption,
    "no public access": _no_public_access,
}
