"""A bucket is set up once and again without a change; a storage that cannot do what is relied on is refused."""

from __future__ import annotations

from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from lesionlab.store.base import Store
from lesionlab.store.conformance import conformance
from lesionlab.store.objects import open_store
from lesionlab.store.setup import STEPS, VERSIONS_DAYS, set_up
from storage_schemas.sites import Consortium, Site
from tests.jobs.conftest import Lesionlab
from tests.moto_server import moto_server
from tests.s3_server import S3Server

CONTACT = {"name": "Data office", "email": "data@example.org"}
SITES = """
consortium: pool
store: {store}
sites:
  north:
    title: North
    contacts: [{{name: Data office, email: data@example.org}}]
"""
POOL = Consortium(
    consortium="pool", store="s3://set-up/lesionlab", sites={"north": Site(title="North", contacts=[CONTACT])}
)
AWS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "eu-central-1"}


class WithoutConditions(Store):
    """A storage that ignores If-Match and If-None-Match, as some do."""

    def create(self, key: str, data: bytes) -> str:
        self.put(key, data)
        return self.get_tagged(key).tag

    def replace(self, key: str, data: bytes, tag: str) -> str:
        return self.create(key, data)


def test_a_storage_without_conditional_writes_is_refused_and_nothing_is_left_behind(
    lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = WithoutConditions("s3://pool/lesionlab", open_store("memory://").objects)
    failed = {found.what for found in conformance(place) if not found.holds}
    assert failed == {"put-if-absent", "compare-and-swap"}
    (tmp_path / "sites.yaml").write_text(SITES.format(store=place.uri))
    monkeypatch.setattr("jobs.storage.open_store", lambda uri: place)
    refused = lesionlab("storage", "check", tmp_path / "sites.yaml")
    assert refused.exit_code == 3
    assert "FAIL put-if-absent: an existing object was written over" in refused.output
    assert "2 things that the platform relies on do not hold" in refused.output
    assert place.list("") == []


def use(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


@pytest.mark.s3
def test_setting_a_bucket_up_again_changes_nothing(
    s3_server: S3Server, lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, s3_server.environment())
    assert_set_up_once(lesionlab, tmp_path)


@pytest.mark.s3
def test_an_emulated_aws_is_set_up_and_conforms_as_a_server_on_premises_does(
    lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with moto_server(tmp_path) as url:
        use(monkeypatch, AWS | {"AWS_ENDPOINT_URL": url})
        assert assert_set_up_once(lesionlab, tmp_path) == [], "every step is offered"


def test_every_setting_of_a_bucket_on_aws_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, AWS)
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with mock_aws():
        for _ in range(2):
            assert [line.partition(": ")[::2] for line in set_up(POOL)] == [(step, "done") for step in STEPS]
        client = boto3.client("s3", region_name=AWS["AWS_REGION"])
        place = {"Bucket": "set-up"}
        assert client.get_bucket_location(**place)["LocationConstraint"] == AWS["AWS_REGION"]
        assert client.get_bucket_versioning(**place)["Status"] == "Enabled"
        (rule,) = client.get_bucket_encryption(**place)["ServerSideEncryptionConfiguration"]["Rules"]
        assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert set(client.get_public_access_block(**place)["PublicAccessBlockConfiguration"].values()) == {True}
        rules = {rule["ID"]: rule for rule in client.get_bucket_lifecycle_configuration(**place)["Rules"]}
        assert rules["temporary"]["Filter"] == {"Prefix": "lesionlab/clock/"}
        assert rules["versions"]["NoncurrentVersionExpiration"] == {"NoncurrentDays": VERSIONS_DAYS}
        assert "Contents" not in client.list_objects_v2(**place), "the trial object of the encryption is gone"


def assert_set_up_once(lesionlab: Lesionlab, tmp_path: Path) -> list[str]:
    """Set the bucket up twice, store what is agreed on, and let the store conform; the steps that are not offered."""
    client = boto3.client("s3", region_name="us-east-1")

    def found() -> list[object]:
        versioning = client.get_bucket_versioning(Bucket="set-up")["Status"]
        rules = client.get_bucket_lifecycle_configuration(Bucket="set-up")["Rules"]
        return [versioning, sorted(rule["ID"] for rule in rules), rules]

    first = list(set_up(POOL))
    lacking = [line for line in first if not line.endswith("done")]
    assert lacking == [line for line in first if "not offered by this server" in line]
    before = found()
    assert before[:2] == ["Enabled", ["temporary", "versions"]]
    assert f"'NoncurrentDays': {VERSIONS_DAYS}" in str(before[2])
    client.put_object(Bucket="set-up", Key="lesionlab/ledger/a.json", Body=b"1")
    assert list(set_up(POOL)) == first
    assert found() == before
    assert client.get_object(Bucket="set-up", Key="lesionlab/ledger/a.json")["Body"].read() == b"1"
    file = tmp_path / "sites.yaml"
    file.write_text(SITES.format(store=POOL.store))
    unset = lesionlab("storage", "check", file)
    assert unset.exit_code == 3
    assert "smallest counts: sites.yaml says 10, the store nothing; the steward sets it" in unset.output
    assert "smallest counts: done" in lesionlab("storage", "init", file).output
    conforms = lesionlab("storage", "check", file)
    assert conforms.exit_code == 0, conforms.output
    assert "FAIL" not in conforms.output
    file.write_text(f"{file.read_text()}smallest_count: 12\n")
    drifted = lesionlab("storage", "check", file)
    assert drifted.exit_code == 3
    assert "sites.yaml says 12, the store 10" in drifted.output
    return lacking
