"""The generated policies for AWS say what the roles say.

moto evaluates actions and resources. It knows no condition of S3, so the two statements that have one, for listing
(`s3:prefix`) and for appending (`s3:if-none-match`), are left out there and evaluated here by the rules
of AWS. Nothing of this was tried on AWS itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import enable_iam_authentication

from lesionlab.store.policies import aws_policy, identities
from storage_schemas.roles import ROLES
from tests.s3_server import BUCKET
from tests.store.test_roles import ALLOWED, OWN_CHAINS, POOL

POLICIES = {name: aws_policy(POOL, ROLES[role], site) for name, role, site in identities(POOL)}
OWN = {
    ("contributor-north", "sites/north/x.json"): {"read", "list", "write", "delete"},
    ("trainer", "runs/r/run.json"): {"read", "list", "write", "delete"},
    ("trainer", "audit/trainer/00000001.json"): {"read", "list"},
    ("trainer", "audit/analyst/00000001.json"): set(),
    ("trainer", "models/m/0123456789abcdef/card.json"): {"read", "list", "write", "delete"},
    ("trainer", "models/m/champion.json"): {"read", "list"},
    ("trainer", "models/m/history/0123456789abcdef.json"): {"read", "list"},
    ("trainer", "rules/m/0123456789abcdef.json"): {"read", "list"},
    ("gate", "models/m/champion.json"): {"read", "list", "write", "delete"},
    ("contributor-north", "audit/contributor-north/00000001.json"): {"read", "list"},
    ("analyst", "reports/e/d/report.html"): {"read", "list", "write", "delete"},
    ("gate", "benchmarks/results/b/tickets/0001.json"): {"read", "list", "write", "delete"},
    ("steward", "sites/north/x.json"): {"read", "list", "write", "delete"},
}
EXPECTED = ALLOWED | OWN

VERBS: dict[str, Callable[[Any, str], object]] = {
    "read": lambda client, key: client.get_object(Bucket=BUCKET, Key=key)["Body"].read(),
    "write": lambda client, key: client.put_object(Bucket=BUCKET, Key=key, Body=b"1"),
    "delete": lambda client, key: client.delete_object(Bucket=BUCKET, Key=key),
}


def granted(name: str, action: str, key: str = "", **context: str) -> bool:
    """Whether a statement allows an action: one of its actions, one of its resources, and all of its conditions."""
    resource = f"arn:aws:s3:::{BUCKET}" + (f"/{POOL.folder}{key}" if key else "")
    effects = {
        statement["Effect"]
        for statement in POLICIES[name]["Statement"]
        if any(fnmatchcase(action, pattern) for pattern in statement["Action"])
        and any(fnmatchcase(resource, pattern) for pattern in statement["Resource"])
        and all(_holds(kind, own, context) for kind, own in statement.get("Condition", {}).items())
    }
    return effects == {"Allow"}


def _holds(kind: str, own: dict[str, Any], context: dict[str, str]) -> bool:
    found = {key: context.get(key.partition(":")[2].replace("-", "_")) for key in own}
    if kind == "StringLike":
        return all(
            found[key] is not None and any(fnmatchcase(found[key], pattern) for pattern in patterns)
            for key, patterns in own.items()
        )
    assert kind == "Null"
    return all((found[key] is None) == (wanted == "true") for key, wanted in own.items())


def unconditional(name: str) -> str:
    statements = [one for one in POLICIES[name]["Statement"] if "Condition" not in one]
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


@pytest.fixture(scope="module")
def clients() -> Iterator[dict[str, Any]]:
    """A client of each identity, with the statements of its policy that have no condition; IAM is switched on."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(variable, "testing")
        iam, admin = (boto3.client(name, region_name="us-east-1") for name in ("iam", "s3"))
        admin.create_bucket(Bucket=BUCKET)
        found = {}
        for name in POLICIES:
            iam.create_user(UserName=name)
            iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=unconditional(name))
            key = iam.create_access_key(UserName=name)["AccessKey"]
            found[name] = boto3.client(
                "s3",
                region_name="us-east-1",
                aws_access_key_id=key["AccessKeyId"],
                aws_secret_access_key=key["SecretAccessKey"],
            )
        for _, key in EXPECTED:
            admin.put_object(Bucket=BUCKET, Key=POOL.folder + key, Body=b"1")
        with enable_iam_authentication():
            yield found


@pytest.mark.parametrize(("name", "key"), EXPECTED, ids=lambda value: value.replace("/", "_"))
def test_each_role_does_what_it_may_and_nothing_else(clients: dict[str, Any], name: str, key: str) -> None:
    done = set()
    for verb, act in VERBS.items():
        try:
            act(clients[name], POOL.folder + key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDenied":
                continue
            assert error.response["Error"]["Code"] == "NoSuchKey"  # noqa: PT017 - another role may have deleted it
        done.add(verb)
    wanted = EXPECTED[name, key] & VERBS.keys()
    assert done == wanted
    # The same by the rules that the test of conditions below goes by.
    actions = {"read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}
    assert {verb for verb, action in actions.items() if granted(name, action, key)} == wanted


@pytest.mark.parametrize(("name", "key"), EXPECTED, ids=lambda value: value.replace("/", "_"))
def test_each_role_lists_what_it_may_read_and_nothing_else(name: str, key: str) -> None:
    folder = f"{POOL.folder}{key.rpartition('/')[0]}/"
    assert granted(name, "s3:ListBucket", prefix=folder) == ("list" in EXPECTED[name, key])
    if name != "steward":
        assert not granted(name, "s3:ListBucket", prefix=POOL.folder)
        assert not granted(name, "s3:ListBucket", prefix="")
        assert not granted(name, "s3:ListBucket")
        assert not granted(name, "s3:ListBucketVersions", prefix=folder)


@pytest.mark.parametrize("name", OWN_CHAINS)
def test_a_role_appends_to_its_own_chain_of_the_audit_and_changes_nothing_there(name: str) -> None:
    own, other = f"audit/{name}/00000002.json", "audit/somebody/00000002.json"
    assert granted(name, "s3:PutObject", own, if_none_match="*")
    assert not granted(name, "s3:PutObject", own)
    assert not granted(name, "s3:DeleteObject", own)
    assert not granted(name, "s3:PutObject", other, if_none_match="*")
