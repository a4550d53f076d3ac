"""The modules for AWS are valid, plan what they say, and a role that they make cannot reach another site's folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from lesionlab.experiments.sites_file import read_sites
from lesionlab.store.policies import identities
from tests.moto_server import moto_server

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ACCOUNT = "123456789012"
"""The account of the emulator."""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the modules beside the generated policies, initialised from a folder of providers."""
    plugins = os.environ.get("LESIONLAB_TERRAFORM_PLUGINS")
    if shutil.which("terraform") is None or not plugins:
        pytest.skip("wants terraform, and LESIONLAB_TERRAFORM_PLUGINS: a folder with the provider hashicorp/aws")
    folder = tmp_path_factory.mktemp("infra")
    shutil.copytree(ROOT / "infra" / "terraform", folder / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
    shutil.copytree(ROOT / "infra" / "storage", folder / "storage")
    terraform(folder / "terraform", "init", "-backend=false", f"-plugin-dir={plugins}")
    return folder / "terraform"


def terraform(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["terraform", f"-chdir={folder}", *arguments, "-no-color"],
        env=os.environ | {"TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_modules_are_formatted_and_valid(work: Path) -> None:
    terraform(work, "fmt", "-check", "-recursive")
    assert "The configuration is valid" in terraform(work, "validate")


def test_the_modules_plan_what_they_say(work: Path) -> None:
    assert "0 failed" in terraform(work, "test")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An emulated AWS."""
    with moto_server(tmp_path_factory.mktemp("moto")) as url:
        yield url


PROVIDER = """
provider "aws" {{
  region                      = "eu-central-1"
  access_key                  = "tests"
  secret_key                  = "tests"
  skip_credentials_validation = true
  skip_requesting_account_id  = true
  skip_metadata_api_check     = true
  s3_use_path_style           = true
  endpoints {{
    s3  = "{url}"
    iam = "{url}"
    sts = "{url}"
  }}
}}
"""


def test_a_role_that_was_made_cannot_reach_another_sites_folder(work: Path, aws: str) -> None:
    """The emulator enforces policies once it is told to; it ignores the condition on listed prefixes."""
    (work / "provider.tf").write_text(PROVIDER.format(url=aws))
    bucket = read_sites(ROOT / "k8s" / "sites.yaml").bucket
    names = [name for name, _, _ in identities(read_sites(ROOT / "k8s" / "sites.yaml"))]
    principals = {name: [f"arn:aws:iam::{ACCOUNT}:root"] for name in names}
    given = [f"-var=bucket={bucket}", f"-var=principals={json.dumps(principals)}"]
    told = terraform(work, "apply", "-auto-approve", "-input=false", *given)
    assert "Apply complete" in told
    assert "No changes" in terraform(work, "plan", "-input=false", *given)
    roles: dict[str, str] = json.loads(terraform(work, "output", "-json", "roles"))
    assert set(roles) == set(names)

    own: dict[str, Any] = {"region_name": "eu-central-1", "endpoint_url": aws}
    root = boto3.client("s3", aws_access_key_id="tests", aws_secret_access_key="tests", **own)
    south = "studies/sites/south/volumes/x"
    with pytest.raises(ClientError, match="403"):  # the bucket wants TLS, which the emulator does not speak
        root.put_object(Bucket=bucket, Key=south, Body=b"theirs")
    root.delete_bucket_policy(Bucket=bucket)
    root.put_object(Bucket=bucket, Key=south, Body=b"theirs")
    assert root.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]["BlockPublicPolicy"]
    assert root.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    sts = boto3.client("sts", aws_access_key_id="tests", aws_secret_access_key="tests", **own)
    keys = sts.assume_role(RoleArn=roles["contributor-north"], RoleSessionName="north")["Credentials"]
    # From here on the emulator refuses what no policy allows.
    enforce = urllib.request.Request(f"{aws}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urllib.request.urlopen(enforce).close()
    north = boto3.client(
        "s3",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        **own,
    )
    mine = "studies/sites/north/volumes/x"
    north.put_object(Bucket=bucket, Key=mine, Body=b"ours")
    assert north.get_object(Bucket=bucket, Key=mine)["Body"].read() == b"ours"
    for refused in (
        lambda: north.get_object(Bucket=bucket, Key=south),
        lambda: north.put_object(Bucket=bucket, Key=south, Body=b"mine now"),
        lambda: north.delete_object(Bucket=bucket, Key=south),
        lambda: north.put_object(Bucket=bucket, Key="studies/models/ms/champion.json", Body=b"mine"),
    ):
        with pytest.raises(ClientError, match=r"AccessDenied|Forbidden|403"):
            refused()
