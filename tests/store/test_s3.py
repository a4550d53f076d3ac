"""A bucket on a real S3 server fulfils the contract; each connection problem gives one message."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import pytest

from lesionlab.errors import AccessDenied, StoreError, StoreUnreachable
from lesionlab.store.objects import Store, open_store
from tests.s3_server import S3Server
from tests.store.contract import SharedStoreContract

pytestmark = pytest.mark.s3


class TestS3(SharedStoreContract):
    @pytest.fixture
    def store(self, s3_store_uri: str) -> Store:
        return open_store(s3_store_uri)


def test_a_paginated_listing_is_complete(s3_store_uri: str) -> None:
    store = open_store(s3_store_uri)
    keys = [f"ledger/{n:04}.json" for n in range(1010)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"1"), keys))
    assert store.list("ledger/") == keys


def test_prefixes_of_one_bucket_are_separate(s3_store_uri: str) -> None:
    one, other = open_store(f"{s3_store_uri}/one"), open_store(f"{s3_store_uri}/other/")
    one.put("a.json", b"1")
    assert other.list("") == []
    assert open_store(s3_store_uri).list("") == ["one/a.json"]


def test_objects_are_visible_to_any_s3_client(s3_store_uri: str, s3_server: S3Server) -> None:
    open_store(s3_store_uri).put("a/b.json", b"1")
    client = boto3.client("s3", region_name="us-east-1")
    prefix = s3_store_uri.removeprefix(f"s3://{s3_server.bucket}/")
    assert client.get_object(Bucket=s3_server.bucket, Key=f"{prefix}/a/b.json")["Body"].read() == b"1"


def test_endpoint_and_keys_may_come_from_a_profile(
    s3_store_uri: str, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    config = tmp_path / "config"
    config.write_text(
        f"[profile site]\nregion = eu-central-1\nendpoint_url = {s3_server.endpoint}\n"
        f"aws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "site")
    open_store(s3_store_uri).check()


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
def test_wrong_credentials_are_refused_with_the_variables_to_check(
    s3_store_uri: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(s3_store_uri).put("a.json", b"1")
    monkeypatch.setenv(name, "wrong")
    store = open_store(s3_store_uri)
    for attempt in (
        store.check,
        lambda: store.get("a.json"),
        lambda: store.put("a.json", b"2"),
        lambda: store.create("b.json", b"2"),
        lambda: store.list(""),
        lambda: store.exists("a.json"),
        lambda: store.delete("a.json"),
    ):
        with pytest.raises(AccessDenied, match=r"refuses access .* check AWS_ACCESS_KEY_ID"):
            attempt()


def test_missing_credentials_are_reported(s3_store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="no credentials found; check AWS_ACCESS_KEY_ID"):
        open_store(s3_store_uri)


@pytest.mark.parametrize(
    ("name", "value"), [("AWS_PROFILE", "nobody"), ("AWS_ENDPOINT_URL_S3", "nonsense")], ids=["profile", "endpoint"]
)
def test_an_unusable_aws_configuration_is_quoted(
    s3_store_uri: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=rf"(AWS configuration cannot be used: |is not http).*{value}"):
        open_store(s3_store_uri)


def test_a_missing_bucket_is_reported_by_name(s3_store_uri: str) -> None:
    store = open_store("s3://no-such-bucket/study")
    for attempt in (store.check, lambda: store.get("a.json"), lambda: store.put("a.json", b"1")):
        with pytest.raises(AccessDenied, match=r"s3://no-such-bucket/study: .* has no such bucket; create it"):
            attempt()


def test_an_endpoint_where_nothing_listens_is_reported_at_once(
    s3_store_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: connections are refused
        endpoint = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        store = open_store(s3_store_uri)
        started = time.monotonic()
        with pytest.raises(StoreUnreachable, match=f"no answer from {endpoint}"):
            store.check()
    assert time.monotonic() - started < 15


@pytest.mark.slow
def test_an_endpoint_that_never_answers_times_out(s3_store_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{mute.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(StoreUnreachable, match="no answer"):
            open_store(s3_store_uri).check()
        assert time.monotonic() - started < 20
