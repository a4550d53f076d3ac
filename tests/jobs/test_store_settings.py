"""Every malformed setting of a store ends in one line that says what to change, and repeats no secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from lesionlab.store.objects import open_store
from tests.jobs.conftest import Lesionlab
from tests.s3_server import S3Server

MOST_S = 15
KEYS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": "s3cret-value"}
ENDPOINT, LOCAL = "AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9"
URI = "s3://bucket/prefix"


def refused(lesionlab: Lesionlab, uri: str, capfd: pytest.CaptureFixture[str]) -> str:
    """The one line with which `models` ends."""
    started = time.monotonic()
    result = lesionlab("models", "--store", uri)
    assert time.monotonic() - started < MOST_S
    assert result.exit_code != 0
    assert capfd.readouterr() == ("", "")  # no panic of Rust, which writes past Python
    (line,) = result.output.splitlines()
    assert line.startswith("error: ")
    assert "s3cret" not in line
    return line


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({ENDPOINT: "http://127.0.0.1:9\n"}, "holds a space, a line break"),
        ({ENDPOINT: "http://a b:9"}, "holds a space, a line break"),
        ({ENDPOINT: "http://me:s3cret@127.0.0.1:9"}, "holds a user name or password"),
        ({"AWS_ENDPOINT_URL": "http://me:s3cret@127.0.0.1:9"}, "holds a user name or password"),
        ({ENDPOINT: "me:s3cret@127.0.0.1:9"}, "is not http:// or https:// with a host"),
        ({ENDPOINT: "htp://127.0.0.1:9?key=s3cret"}, "is not http:// or https:// with a host"),
        ({ENDPOINT: "127.0.0.1:9"}, "is not http:// or https:// with a host"),
        ({ENDPOINT: "ftp://127.0.0.1:9"}, "is not http:// or https:// with a host"),
        ({ENDPOINT: "http://"}, "is not http:// or https:// with a host"),
        ({ENDPOINT: "http://127.0.0.1:99999"}, "has no valid host and port"),
        ({ENDPOINT: "http://127.0.0.1:port"}, "has no valid host and port"),
        ({ENDPOINT: "http://[::1"}, "has no valid host and port"),
        ({ENDPOINT: "http://127.0.0.1:9/?s3cret=1"}, "has a query or a fragment"),
        ({ENDPOINT: LOCAL, "AWS_ACCESS_KEY_ID": "someone\n"}, "access key (found by boto3 in env) must not hold"),
        ({ENDPOINT: LOCAL, "AWS_SECRET_ACCESS_KEY": "s3cret\n"}, "secret key (found by boto3 in env) must not hold"),
        ({ENDPOINT: LOCAL, "AWS_SESSION_TOKEN": "s3cret\r\n"}, "session token (found by boto3 in env) must not hold"),
        ({ENDPOINT: LOCAL, "AWS_ACCESS_KEY_ID": "clé"}, "access key (found by boto3 in env) must not hold"),
        ({ENDPOINT: LOCAL, "AWS_ACCESS_KEY_ID": ""}, "no credentials found"),
        ({ENDPOINT: LOCAL, "AWS_SECRET_ACCESS_KEY": ""}, "the AWS configuration cannot be used"),
        ({ENDPOINT: LOCAL, "AWS_REGION": "us east\n", "AWS_DEFAULT_REGION": "us east\n"}, "the AWS configuration"),
        ({ENDPOINT: LOCAL, "AWS_PROFILE": "nobody"}, "the AWS configuration cannot be used"),
        ({ENDPOINT: LOCAL}, "no answer from http://127.0.0.1:9"),
        ({ENDPOINT: "HTTP://127.0.0.1:9"}, "no answer from http://127.0.0.1:9"),
        ({ENDPOINT: "http://127.0.0.1:9/"}, "no answer from http://127.0.0.1:9"),
        ({ENDPOINT: "http://no-such-host.invalid"}, "no answer from http://no-such-host.invalid"),
        ({ENDPOINT: "", "AWS_ENDPOINT_URL": LOCAL}, "no answer from http://127.0.0.1:9"),
    ],
)
def test_a_malformed_aws_setting_ends_in_one_line(
    lesionlab: Lesionlab,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    settings: dict[str, str],
    words: str,
) -> None:
    for name, value in (KEYS | settings).items():
        monkeypatch.setenv(name, value)
    assert words in refused(lesionlab, URI, capfd)


@pytest.mark.parametrize(
    "uri",
    [
        *("s3://bucket/a//b", "s3://bucket/./a", "s3://bucket/a/..", "s3://bucket//a", "s3://bucket/a//"),
        *("s3://b", "s3://Bucket/a", "s3:///a", "s3://a..b/c", "S3://bucket/a", "s3:/bucket", "s3://bucket/a\n"),
        *("s3://me:s3cret@bucket/a", "s3://bucket/a?b=1", "http://me:s3cret@host/bucket", "file://host/a"),
        *("file:relative", "ftp://bucket/a", "memory:"),
    ],
)
def test_a_malformed_uri_ends_in_one_line(
    lesionlab: Lesionlab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], uri: str
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    assert "wanted file:///absolute/folder, s3://bucket/prefix" in refused(lesionlab, uri, capfd)


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("file:///{file}", "cannot be created or opened"),
        ("file:///tmp/%00", "printable"),
        ("{long}", "cannot be created or opened"),
        ("file:///{file}/below", "no sweep"),
    ],
    ids=["a file", "a zero byte", "a name too long", "below a file"],
)
def test_a_folder_that_cannot_be_one_ends_in_one_line(
    lesionlab: Lesionlab, capfd: pytest.CaptureFixture[str], tmp_path: Path, folder: str, words: str
) -> None:
    (tmp_path / "file").write_text("")
    uri = folder.format(file=tmp_path / "file", long="x" * 300)
    result = lesionlab("runs", "demo", "--store", uri)
    assert (result.exit_code, capfd.readouterr()) == (1, ("", ""))
    (line,) = result.output.splitlines()
    assert words in line


@pytest.mark.skipif(not Path("/proc/tty").is_dir(), reason="wants a folder that refuses files even to root")
def test_a_store_that_nobody_may_write_can_be_read(lesionlab: Lesionlab) -> None:
    assert lesionlab("models", "--store", "file:///proc/tty").exit_code == 0


@pytest.mark.s3
@pytest.mark.parametrize(
    "beside",
    [
        {"AWS_ENDPOINT": "http://127.0.0.1:9"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
        {"AWS_SKIP_SIGNATURE": "true"},
        {"AWS_CHECKSUM_ALGORITHM": "nonsense"},
        {"AWS_SERVER_SIDE_ENCRYPTION": "nonsense"},
        {"AWS_S3_EXPRESS": "true"},
        {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
        {"AWS_REGION": "", "AWS_BUCKET": "another"},
    ],
    ids=lambda beside: ",".join(beside),
)
def test_settings_that_boto3_does_not_know_do_not_matter(
    lesionlab: Lesionlab, s3_store_uri: str, monkeypatch: pytest.MonkeyPatch, beside: dict[str, str]
) -> None:
    for name, value in beside.items():
        monkeypatch.setenv(name, value)
    assert lesionlab("models", "--store", s3_store_uri).exit_code == 0


@pytest.mark.s3
def test_keys_of_a_profile_that_is_named_win_as_with_boto3(
    lesionlab: Lesionlab, s3_server: S3Server, s3_store_uri: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {s3_server.access_key}\naws_secret_access_key = {s3_server.secret_key}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(credentials))
    # A lone AWS_SESSION_TOKEN belongs to no key: boto3 takes the file's keys without it.
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "stale")
    assert lesionlab("models", "--store", s3_store_uri).exit_code == 0


@pytest.mark.parametrize("command", [("models",), ("status", "demo"), ("fsck",), ("sweep", "demo")], ids=lambda c: c[0])
def test_a_store_of_0_1_0_is_refused_in_one_sentence(
    lesionlab: Lesionlab, file_store_uri: str, command: tuple[str, ...]
) -> None:
    open_store(file_store_uri).put("studies/ms/sub-01/0123456789abcdef.zarr/zarr.json", b"{}")
    told = lesionlab(*command)
    assert told.exit_code == 1
    assert told.output.count("error:") == 1
    assert "written by a version before 0.2.0" in told.output
