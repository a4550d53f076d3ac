"""A node copies a study volume once for all its processes; an incomplete copy is replaced."""

from __future__ import annotations

import multiprocessing
import stat
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import DamagedObject, MissingObject, StoreError
from lesionlab.experiments.caches.volumes import CachedVolume, open_cached
from lesionlab.store.arrays import write_group
from lesionlab.store.objects import Store, open_store
from storage_schemas.manifests import ManifestEntry
from storage_schemas.tasks import TASKS
from storage_schemas.volumes import ATTRIBUTE, Grid, Normalisation, StudyVolumeCard
from tests.experiments.asking import ask

IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))
ENTRY = ManifestEntry(
    study="sub-1",
    patient="1",
    site="a",
    volume="0123456789abcdef",
    image_sha256="0" * 64,
    lesions=1,
    lesion_volume_ml=0.008,
)
KEY = ENTRY.volume_key
CARD = StudyVolumeCard(
    study="sub-1",
    patient="1",
    site="a",
    task=TASKS["flair-single"],
    channels=("flair",),
    spacing_mm=1.0,
    model_grid=Grid(shape=(12, 10, 8), affine=IDENTITY),
    native_grid=Grid(shape=(12, 10, 2), affine=IDENTITY),
    normalisation=(Normalisation(image="flair", mean=0.0, sd=1.0),),
    sources=(),
    version=1,
)


def arrays() -> dict[str, np.ndarray]:
    """A noise image with one lesion of 2 × 2 × 2 voxels, and its mask on a native grid of thick slices."""
    label_IJK = np.zeros((12, 10, 8), np.uint8)
    label_IJK[4:6, 4:6, 4:6] = 1
    image_CIJK = np.random.default_rng(0).normal(size=(1, 12, 10, 8)).astype(np.float16)
    return {"image": image_CIJK, "label": label_IJK, "native_label": np.ascontiguousarray(label_IJK[:, :, ::4])}


@pytest.fixture
def store(file_store_uri: str) -> Store:
    """A store with one study volume."""
    store = open_store(file_store_uri)
    write_group(store, KEY, arrays(), {ATTRIBUTE: CARD.stored_form()})
    return store


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def folder(cache: Path) -> Path:
    return cache / "volumes" / ENTRY.volume


def assert_complete(volume: CachedVolume) -> None:
    assert volume.card == CARD
    np.testing.assert_array_equal(volume.image_CIJK, arrays()["image"])
    np.testing.assert_array_equal(volume.label_IJK, arrays()["label"])
    np.testing.assert_array_equal(volume.native_label_ijk, arrays()["native_label"])


def test_a_volume_is_mapped_read_only_as_it_was_stored(store: Store, cache: Path, folder: Path) -> None:
    volume = open_cached(store, ENTRY, cache)
    assert_complete(volume)
    assert (volume.image_CIJK.dtype, volume.label_IJK.dtype) == (np.float16, np.uint8)
    for array in (volume.image_CIJK, volume.label_IJK, volume.native_label_ijk):
        assert isinstance(array, np.memmap)
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert {path.name for path in folder.iterdir()} == {
        *("SHA256SUMS", "card.json", "image.npy", "label.npy", "native_label.npy")
    }


def test_after_the_copy_the_store_is_not_read_again(store: Store, cache: Path) -> None:
    open_cached(store, ENTRY, cache)
    store.delete_prefix("sites/")
    assert_complete(open_cached(store, ENTRY, cache))


def test_several_processes_make_one_copy(store: Store, cache: Path, folder: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        opened = [pool.submit(ask, store.uri, ENTRY.model_dump_json(), str(cache), name, 4) for name in range(4)]
        inodes = {process.result() for process in opened}
    # All processes mapped the same file: none replaced it while another used it.
    assert inodes == {(folder / "image.npy").stat().st_ino}
    assert_complete(open_cached(store, ENTRY, cache))


@pytest.mark.parametrize("name", ["card.json", "image.npy", "label.npy", "native_label.npy"])
@pytest.mark.parametrize("left", [None, 0, 64, -1], ids=["gone", "empty", "header cut", "one byte short"])
def test_a_missing_or_truncated_file_is_copied_again(
    store: Store, cache: Path, folder: Path, name: str, left: int | None
) -> None:
    open_cached(store, ENTRY, cache)
    path = folder / name
    data = path.read_bytes()
    path.unlink()
    if left is not None:
        path.write_bytes(data[:left])
    assert_complete(open_cached(store, ENTRY, cache))
    assert path.read_bytes() == data


@pytest.mark.parametrize("name", ["card.json", "image.npy", "label.npy", "native_label.npy", "SHA256SUMS"])
def test_a_file_with_one_changed_bit_is_copied_again_and_named(
    store: Store, cache: Path, folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    open_cached(store, ENTRY, cache)
    path = folder / name
    data = path.read_bytes()
    for byte in (0, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:byte] + bytes([data[byte] ^ 1]) + data[byte + 1 :])
        assert_complete(open_cached(store, ENTRY, cache))
        assert path.read_bytes() == data
    assert f"{folder} is damaged and is made again" in caplog.text


@pytest.mark.parametrize("name", ["image", "label", "native_label"])
def test_damage_in_the_store_is_never_copied(store: Store, cache: Path, folder: Path, name: str) -> None:
    (shard,) = (key for key in store.list(f"{KEY}/{name}/c/"))
    data = store.get(shard)
    store.put(shard, data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    with pytest.raises(DamagedObject, match=shard):
        open_cached(store, ENTRY, cache)
    assert not folder.exists()


def test_only_the_owner_may_read_the_cache(store: Store, cache: Path, folder: Path) -> None:
    open_cached(store, ENTRY, cache)
    assert stat.S_IMODE(folder.parent.stat().st_mode) == 0o700


def test_an_array_of_another_shape_or_type_is_copied_again(store: Store, cache: Path, folder: Path) -> None:
    for wrong in (np.zeros((12, 10, 9), np.uint8), np.zeros((12, 10, 8), np.int32)):
        open_cached(store, ENTRY, cache)
        np.save(folder / "label.npy", wrong)
        assert_complete(open_cached(store, ENTRY, cache))


def test_stale_files_of_a_killed_process_are_ignored(store: Store, cache: Path, folder: Path) -> None:
    draft = folder.with_suffix(".draft")
    draft.mkdir(parents=True)
    (draft / "image.npy").write_bytes(b"half")
    assert_complete(open_cached(store, ENTRY, cache))
    assert not draft.exists()


def test_a_volume_missing_from_the_store_is_named(store: Store, cache: Path, folder: Path) -> None:
    with pytest.raises(MissingObject, match=r"sites/a/volumes/sub-2/0123456789abcdef\.zarr"):
        open_cached(store, ENTRY.model_copy(update={"study": "sub-2"}), cache)
    assert not folder.exists()


@pytest.mark.parametrize("field", ["study", "patient", "site"])
def test_a_volume_of_another_study_is_refused(store: Store, cache: Path, field: str) -> None:
    open_cached(store, ENTRY, cache)
    other = ENTRY.model_copy(update={field: "sub-9" if field == "study" else "9"})
    with pytest.raises(StoreError, match="preprocess the cohort again"):
        open_cached(store, other, cache)


def test_arrays_that_do_not_fit_their_card_are_refused(store: Store, cache: Path) -> None:
    small = {**arrays(), "label": np.zeros((2, 2, 2), np.uint8)}
    write_group(store, KEY, small, {ATTRIBUTE: CARD.stored_form()})
    with pytest.raises(StoreError, match=r"sub-1: .*0123456789abcdef"):
        open_cached(store, ENTRY, cache)


@pytest.mark.parametrize(
    "attributes", [{}, {ATTRIBUTE: {"schema": 1, "study": "sub-1"}}], ids=["no card", "half a card"]
)
def test_a_volume_without_a_valid_card_is_refused(store: Store, cache: Path, attributes: dict[str, object]) -> None:
    write_group(store, KEY, arrays(), attributes)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"the attribute study_volume, found none|is not a valid StudyVolumeCard"):
        open_cached(store, ENTRY, cache)


def test_a_cache_that_cannot_be_written_is_named(store: Store, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("not a folder")
    with pytest.raises(StoreError, match=r"sub-1: .*taken.*volumes"):
        open_cached(store, ENTRY, tmp_path / "taken")


@pytest.mark.s3
def test_a_volume_in_a_bucket_is_cached_as_well(s3_store_uri: str, cache: Path) -> None:
    store = open_store(s3_store_uri)
    write_group(store, KEY, arrays(), {ATTRIBUTE: CARD.stored_form()})
    assert_complete(open_cached(store, ENTRY, cache))
