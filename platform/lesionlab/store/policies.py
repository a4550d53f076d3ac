"""Generate the access policies of a consortium's store from `sites.yaml`, for AWS IAM and for SeaweedFS.

Both say the same: who may read, list, write and delete below which folder. SeaweedFS has no deny: what AWS keeps from a
role within a folder that it writes (`Role.never`), it can write there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from storage_schemas.roles import ROLES, Role, RoleName
from storage_schemas.sites import Consortium

ORIGIN = "generated from sites.yaml by `lesionlab storage policies`; change that file, not this one"


def identities(pool: Consortium) -> Iterator[tuple[str, RoleName, str | None]]:
    """Name, role and site of every identity: one contributor for each site, one of every other role."""
    yield from ((f"contributor-{site}", "contributor", site) for site in pool.sites)
    yield from ((name, name, None) for name in ROLES if name != "contributor")


def aws_policy(pool: Consortium, role: Role, site: str | None = None) -> dict[str, Any]:
    """The IAM policy of one identity."""
    bucket, folder = f"arn:aws:s3:::{pool.bucket}", pool.folder
    if role.all:
        return _policy(
            {"Sid": "Everything", "Effect": "Allow", "Action": ["s3:*"], "Resource": [bucket, f"{bucket}/{folder}*"]}
        )
    reads, writes = role.readable(site, pool.sites), role.writable(site)
    statements: list[dict[str, Any]] = [
        {"Sid": "Find", "Effect": "Allow", "Action": ["s3:GetBucketLocation"], "Resource": [bucket]},
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [bucket],
            "Condition": {
                "StringLike": {
                    "s3:prefix": [text for name in reads for text in (f"{folder}{name}", f"{folder}{name}*")]
                }
            },
        },
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"{bucket}/{folder}{name}*" for name in reads],
        },
    ]
    if writes:
        statements.append(
            {
                "Sid": "Write",
                "Effect": "Allow",
                "Action": [
                    "s3:PutObject",
                    "s3:DeleteObject",
                    "s3:AbortMultipartUpload",
                    "s3:ListMultipartUploadParts",
                ],
                "Resource": [f"{bucket}/{folder}{name}*" for name in writes],
            }
        )
    if appends := role.appendable(site):
        statements.append(
            {
                "Sid": "Append",
                "Effect": "Allow",
                "Action": ["s3:PutObject"],
                "Resource": [f"{bucket}/{folder}{name}*" for name in appends],
                # Only with If-None-Match, so that nothing that was written is written over.
                "Condition": {"Null": {"s3:if-none-match": "false"}},
            }
        )
    if role.never:
        statements.append(
            {
                "Sid": "Never",
                "Effect": "Deny",
                "Action": ["s3:PutObject", "s3:DeleteObject"],
                "Resource": [f"{bucket}/{folder}{name}" for name in role.never],
            }
        )
    return _policy(*statements)


def seaweed_actions(pool: Consortium, role: Role, site: str | None = None) -> list[str]:
    """The actions of one identity in the configuration of SeaweedFS's S3 server."""
    if role.all:
        return [f"{action}:{pool.bucket}" for action in ("Admin", "Read", "List", "Write", "Tagging")]
    place = f"{pool.bucket}/{pool.folder}"
    return [f"{action}:{place}{name}*" for name in role.readable(site, pool.sites) for action in ("Read", "List")] + [
        f"Write:{place}{name}*" for name in (*role.writable(site), *role.appendable(site))
    ]


def seaweed_config(pool: Consortium, keys: Mapping[str, tuple[str, str]] | None = None) -> dict[str, Any]:
    """The server's identities; `keys` has access and secret key of each by name; without them, to be filled in."""
    return {
        "identities": [
            {
                "name": name,
                "credentials": [
                    {"accessKey": access, "secretKey": secret}
                    for access, secret in ([keys[name]] if keys and name in keys else [])
                ],
                "actions": seaweed_actions(pool, ROLES[role], site),
            }
            for name, role, site in identities(pool)
        ]
    }


def policy_files(pool: Consortium) -> dict[str, str]:
    """Every generated file by its name."""
    files = {f"aws/{name}.json": aws_policy(pool, ROLES[role], site) for name, role, site in identities(pool)}
    files["seaweedfs.json"] = seaweed_config(pool)
    return {name: json.dumps(content, indent=2) + "\n" for name, content in files.items()} | {"ORIGIN": f"{ORIGIN}\n"}


def _policy(*statements: dict[str, Any]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}
