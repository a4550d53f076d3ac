"""The file store fulfils the contract, and its folder is readable by people."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import zarr

from lesionlab.errors import Conflict, ObjectExists, StoreError
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store, open_store
from tests.store.contract import GROUP, SharedStoreContract, brain


class TestFiles(SharedStoreContract):
    @pytest.fixture
    def store(self, file_store_uri: str) -> Store:
        return open_store(file_store_uri)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "store"


def test_objects_are_files_of_the_same_name_readable_by_others(file_store_uri: str, folder: Path) -> None:
    open_store(file_store_uri).put("a/b.json", b"1")
    mask = os.umask(0)
    os.umask(mask)
    assert (folder / "a/b.json").read_bytes() == b"1"
    assert stat.S_IMODE((folder / "a/b.json").stat().st_mode) == 0o666 & ~mask


def test_only_the_object_and_the_lock_are_left(file_store_uri: str, folder: Path) -> None:
    store = open_store(file_store_uri)
    store.put("a/b.json", b"1")
    with pytest.raises(ObjectExists):
        store.create("a/b.json", b"2")
    with pytest.raises(Conflict):
        store.replace("a/b.json", b"2", "another tag")
    store.check()
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == ["b.json", "lock#0"]
    assert store.list("") == ["a/b.json"]


def test_a_draft_of_a_killed_writer_is_not_listed(file_store_uri: str, folder: Path) -> None:
    store = open_store(file_store_uri)
    store.put("a/b.json", b"1")
    (folder / "a" / "b.json#123456789012").write_bytes(b"half")
    assert store.list("") == ["a/b.json"]


def test_a_folder_with_spaces_and_special_characters_is_opened_by_its_uri(tmp_path: Path) -> None:
    folder = tmp_path / "my store #1 (100 %) µ"
    open_store(folder.as_uri()).put("a.json", b"1")
    assert (folder / "a.json").read_bytes() == b"1"
    assert open_store(folder.as_uri()).list("") == ["a.json"]


def test_plain_zarr_opens_the_folder(file_store_uri: str, folder: Path) -> None:
    write_group(open_store(file_store_uri), GROUP, brain(), {"axes": "CIJK"})
    group = zarr.open_group(folder / GROUP, mode="r")
    np.testing.assert_array_equal(group["image"][...], brain()["image"])
    assert group["image"].chunks == (1, 64, 33, 64)
    assert group["image"].shards == (2, 128, 33, 128)


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    for uri in (f"file://{tmp_path}/taken", f"file://{tmp_path}/taken/below"):
        with pytest.raises(StoreError, match=r"cannot be created or opened"):
            open_store(uri)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_fails_its_check(file_store_uri: str, folder: Path) -> None:
    store = open_store(file_store_uri)
    folder.chmod(0o555)
    with pytest.raises(StoreError, match="Permission denied"):
        store.check()


@pytest.mark.skipif(not Path("/proc/tty").is_dir(), reason="wants a folder that refuses files even to root")
def test_a_folder_that_cannot_be_written_is_reported() -> None:
    store = open_store("file:///proc/tty")
    with pytest.raises(StoreError, match=r"file:///proc/tty: .* cannot be written"):
        store.check()
    with pytest.raises(StoreError, match=r"a\.json cannot be written"):
        store.put("a.json", b"1")
    store.check_readable()
    assert "drivers" in store.list("")


@pytest.mark.parametrize(
    "uri",
    [
        *("", "store", "./store", "/data/store", "file://store", "file://host/store", "http://host/bucket"),
        *("s3://", "s3:///prefix", "s3://Bucket", "s3://b/../c", "S3://bucket/x", "memory://name", "gs://bucket"),
    ],
)
def test_an_invalid_store_uri_is_refused_with_the_three_valid_kinds(uri: str) -> None:
    with pytest.raises(StoreError, match="wanted file:///absolute/folder, s3://bucket/prefix or memory://"):
        open_store(uri)
