"""One changed bit in any kind of stored object is named; nothing else is read in its place."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from lesionlab.errors import DamagedObject
from lesionlab.store.arrays import damage_of, read_array, read_attributes, write_group
from lesionlab.store.documents import create_named, parse_document, read_document, read_pointer, write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import is_altered, read_rows, write_rows
from storage_schemas.base import Document, Pointer, canonical_json
from storage_schemas.manifests import Manifest
from storage_schemas.models import ModelName, TensorTransfer
from storage_schemas.tasks import TASKS
from tests.store.contract import GROUP, brain

FLIPS = 200
MANIFEST = Manifest.named(cohort="ms", task=TASKS["flair-single"], spacing_mm=1.0, studies=())
PLACE = f"manifests/ms/{MANIFEST.id}.json"
ROWS = [TensorTransfer(tensor=f"t{n}", shape="3x3", origin="source", how="copied") for n in range(5)]


def flipped(data: bytes, bit: int) -> bytes:
    """The bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def some_bits(data: bytes) -> list[int]:
    """Bits to change, the same each time."""
    return random.Random(0).sample(range(8 * len(data)), min(FLIPS, 8 * len(data)))


@pytest.fixture
def store() -> Store:
    return open_store("memory://")


KINDS: dict[str, tuple[str, Callable[[Store], object], Callable[[Store], object]]] = {
    "document": (
        "models/a.json",
        lambda store: write_document(store, "models/a.json", ModelName(name="glioma", version="0" * 16)),
        lambda store: read_document(store, "models/a.json", ModelName),
    ),
    "document under its name": (
        PLACE,
        lambda store: create_named(store, PLACE, MANIFEST),
        lambda store: read_document(store, PLACE, Manifest),
    ),
    "pointer": (
        "current.json",
        lambda store: write_document(store, "current.json", Pointer(target="0" * 16)),
        lambda store: read_pointer(store, "current.json"),
    ),
    "table": (
        "part.parquet",
        lambda store: write_rows(store, "part.parquet", ROWS, TensorTransfer),
        lambda store: read_rows(store, ["part.parquet"], TensorTransfer),
    ),
    **{
        f"{what} of a group": (
            f"{GROUP}/{name}",
            lambda store: write_group(store, GROUP, brain(), {"card": {"lesions": 3}}),
            lambda store: (read_attributes(store, GROUP)["card"], read_array(store, GROUP, "image").tobytes()),
        )
        for what, name in {"shard": "image/c/0/0/0/0", "array": "image/zarr.json", "attributes": "zarr.json"}.items()
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_bit_is_named_or_changes_nothing_that_is_read(store: Store, kind: str) -> None:
    key, write, read = KINDS[kind]
    write(store)
    data, sound = store.get(key), read(store)
    unnoticed = 0
    for bit in some_bits(data):
        store.put(key, flipped(data, bit))
        try:
            found = read(store)
        except DamagedObject as error:
            named = str(error)
        else:
            assert found == sound
            unnoticed += 1
            continue
        assert f"{key} is damaged" in named
        assert "lesionlab fsck --repair" in named
    assert unnoticed <= FLIPS // 20  # in a field of Zarr's that nobody reads, or the checksum's own name


@pytest.mark.parametrize("kind", ["document", "document under its name", "attributes of a group"])
def test_an_edit_by_hand_is_named(store: Store, kind: str) -> None:
    key, write, read = KINDS[kind]
    write(store)
    data = store.get(key)
    edits = {b"glioma": b"gliosa", b'"spacing_mm":1.0': b'"spacing_mm":2.0', b'"lesions": 3': b'"lesions": 4'}
    (old,) = (old for old in edits if old in data)
    store.put(key, data.replace(old, edits[old]))
    with pytest.raises(DamagedObject, match=r"checksum|not those that were written"):
        read(store)


def test_a_document_under_another_ones_name_is_named(store: Store) -> None:
    write_document(store, PLACE, MANIFEST.model_copy(update={"cohort": "another"}))
    with pytest.raises(DamagedObject, match=f"not that of {MANIFEST.id}"):
        read_document(store, PLACE, Manifest)
    write_document(store, f"manifests/ms/{'0' * 16}.json", MANIFEST)
    with pytest.raises(DamagedObject):
        read_document(store, f"manifests/ms/{'0' * 16}.json", Manifest)


def test_a_damaged_document_is_replaced_by_writing_it_again(store: Store) -> None:
    for data in (b"", b"{", canonical_json(MANIFEST.stored_form() | {"spacing_mm": 2.0}).encode()):
        store.put(PLACE, data)
        assert create_named(store, PLACE, MANIFEST)
        assert read_document(store, PLACE, Manifest) == MANIFEST
    assert not create_named(store, PLACE, MANIFEST)


@pytest.mark.parametrize("name", ["zarr.json", "image/zarr.json", "image/c/0/0/0/0"])
def test_a_damaged_group_is_repaired_by_writing_it_again(store: Store, name: str) -> None:
    write_group(store, GROUP, brain(), {"card": 1})
    key = f"{GROUP}/{name}"
    data = store.get(key)
    store.put(key, flipped(data, 8 * (len(data) // 2)))
    assert damage_of(store, GROUP)
    write_group(store, GROUP, brain(), {"card": 1})
    assert damage_of(store, GROUP) == []
    assert store.get(key) == data


def test_a_missing_object_of_a_group_is_damage(store: Store) -> None:
    write_group(store, GROUP, brain(), {})
    store.delete(f"{GROUP}/label/c/0/0/0")
    (fault,) = damage_of(store, GROUP)
    assert "label/c/0/0/0" in fault


def test_what_earlier_versions_wrote_without_checksums_is_read(store: Store) -> None:
    def unsealed(document: Document) -> dict[str, Any]:
        return document.stored_form()

    assert parse_document(store, PLACE, Manifest, canonical_json(unsealed(MANIFEST)).encode()) == MANIFEST
    assert not is_altered(b"PAR1 of an earlier version PAR1")
