"""Write named arrays and attributes as one Zarr v3 group that is either complete or absent; read them back.

A group is built in memory, copied object by object, read back and compared. Its own `zarr.json` is written last, and
only then the group exists. It holds a sha256 of every other object and of the attributes, which every reading checks.
Every array is one shard and therefore one object with one writer. The same arrays give the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import obstore
import zarr
from numpy.typing import NDArray
from obstore.store import MemoryStore
from pydantic import JsonValue
from pydantic_core import from_json
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.storage import ObjectStore

from lesionlab.errors import DamagedObject, MissingObject, StoreError
from lesionlab.store.base import Store
from storage_schemas.base import canonical_json
from storage_schemas.ome import dimension_names
from storage_schemas.volumes import INNER_CHUNK_VOXELS

_ROOT = "zarr.json"
_COMPRESSION_LEVEL = 5
CHECKSUMS = "checksums"
"""Attribute of the group: `objects`, the sha256 of each other object by its name in the group, and `sha256`, that of
the canonical JSON of the other attributes and of `objects`."""


def write_group(
    store: Store, key: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, JsonValue]
) -> None:
    """Write the group under this key; if the identical group is already there, write nothing.

    A writer that dies leaves no group: `group_exists` stays False, and writing again repairs it. Concurrent writers of
    the identical group do not interfere. Raises StoreError if the store returns other bytes than were written.
    """
    objects = _laid_out(arrays, attributes)
    root = objects.pop(_ROOT)
    stored = _read_if_there(store, f"{key}/{_ROOT}")
    if stored is None or not _holds(store, key, objects):
        store.delete(f"{key}/{_ROOT}")
        for stale in _names(store, key) - set(objects):
            store.delete(f"{key}/{stale}")
        for name, data in objects.items():
            store.put(f"{key}/{name}", data)
        if not _holds(store, key, objects):
            raise StoreError(
                f"{store.uri}: {key}: wanted the bytes that were written, found others; check the storage and try again"
            )
    elif stored == root:
        return
    store.put(f"{key}/{_ROOT}", root)


def group_exists(store: Store, key: str) -> bool:
    """Whether a complete group is stored under this key."""
    return store.exists(f"{key}/{_ROOT}")


def copy_group(store: Store, key: str, to: str) -> None:
    """Copy a whole group; the copy exists once all of it is there.

    Raises MissingObject if there is no group, DamagedObject if it is not what was written.
    """
    if not group_exists(store, key):
        raise MissingObject(f"{store.uri}: {key}: no such group; preprocess the study again")
    if damage := damage_of(store, key):
        raise DamagedObject(f"{store.uri}: {key}", "; ".join(damage))
    for name in sorted(_names(store, key), key=lambda name: name == _ROOT):
        store.put(f"{to}/{name}", store.get(f"{key}/{name}"))


def delete_group(store: Store, key: str) -> None:
    """Remove a group, its own metadata first: at no time it looks complete without being so."""
    store.delete(f"{key}/{_ROOT}")
    store.delete_prefix(f"{key}/")


def read_attributes(store: Store, key: str) -> dict[str, JsonValue]:
    """Attributes of the group. Raises MissingObject if there is no complete group, DamagedObject if it was altered."""
    return _read_root(store, key)[0]


def read_array(store: Store, key: str, name: str) -> NDArray[Any]:
    """One full array of the group.

    Raises MissingObject if there is no complete group or it has no such array, DamagedObject if the array was altered.
    """
    _, sums = _read_root(store, key)
    names = [object_ for object_ in sums if object_.startswith(f"{name}/")]
    if f"{name}/{_ROOT}" not in names:
        found = ", ".join(sorted({object_.partition("/")[0] for object_ in sums})) or "none"
        raise MissingObject(f"{store.uri}: {key}: wanted array {name!r}, found {found}; check the key")
    memory = MemoryStore()
    for object_ in names:
        obstore.put(memory, object_, _read_checked(store, key, object_, sums[object_]))
    try:
        return np.asarray(zarr.open_array(ObjectStore(memory, read_only=True), path=name, mode="r", zarr_format=3)[...])
    except Exception as error:  # of any decoder; only a group without checksums comes here
        raise DamagedObject(f"{store.uri}: {key}/{name}", f"it cannot be decoded ({error})") from error


def damage_of(store: Store, key: str) -> list[str]:
    """One sentence for each object of a complete group that is missing or altered."""
    try:
        _, sums = _read_root(store, key)
    except DamagedObject as error:
        return [str(error)]
    faults = []
    for name, sum_ in sums.items():
        try:
            _read_checked(store, key, name, sum_)
        except StoreError as error:
            if not isinstance(error, MissingObject | DamagedObject):
                raise
            faults.append(str(error))
    return faults


def _read_root(store: Store, key: str) -> tuple[dict[str, JsonValue], dict[str, str | None]]:
    """The attributes of the group and the sha256 of each of its other objects; None for one of an earlier version."""
    place = f"{key}/{_ROOT}"
    data = _read_if_there(store, place)
    if data is None:
        raise MissingObject(f"{store.uri}: wanted a complete Zarr group under {key}, found none; write it again")
    try:
        attributes = from_json(data)["attributes"]
        if CHECKSUMS not in attributes:
            return attributes, {name: None for name in _names(store, key) - {_ROOT}}
        sums = attributes.pop(CHECKSUMS)
        if sums["sha256"] != _sum_of(attributes, sums["objects"]):
            raise ValueError("its attributes are not those that were written")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedObject(f"{store.uri}: {place}", str(error)) from error
    return attributes, sums["objects"]


def _read_checked(store: Store, key: str, name: str, sum_: str | None) -> bytes:
    data = store.get(f"{key}/{name}")
    if sum_ is not None and hashlib.sha256(data).hexdigest() != sum_:
        raise DamagedObject(f"{store.uri}: {key}/{name}", f"its {len(data)} bytes are not those that were written")
    return data


def _read_if_there(store: Store, key: str) -> bytes | None:
    try:
        return store.get(key)
    except MissingObject:
        return None


def _sum_of(attributes: Mapping[str, JsonValue], objects: Mapping[str, str]) -> str:
    return hashlib.sha256(canonical_json([dict(attributes), dict(objects)]).encode()).hexdigest()


def _names(store: Store, key: str) -> set[str]:
    """Names, relative to the group, of all objects stored below its key."""
    return {listed.removeprefix(f"{key}/") for listed in store.list(f"{key}/")}


def _holds(store: Store, key: str, objects: Mapping[str, bytes]) -> bool:
    """Whether the store contains exactly these objects under the key, apart from the group's own metadata."""
    return _names(store, key) - {_ROOT} == set(objects) - {_ROOT} and all(
        store.get(f"{key}/{name}") == data for name, data in objects.items()
    )


def _laid_out(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, JsonValue]) -> dict[str, bytes]:
    """All objects of the group by their names relative to it."""
    memory = MemoryStore()
    names = dimension_names({name: array.ndim for name, array in arrays.items()})
    group = zarr.create_group(ObjectStore(memory), zarr_format=3, attributes=dict(attributes))
    for name, array in arrays.items():
        chunk = _inner_chunk(array.shape)
        group.create_array(
            name,
            shape=array.shape,
            dtype=array.dtype,
            chunks=chunk,
            shards=tuple(-(-n // c) * c for n, c in zip(array.shape, chunk, strict=True)),
            compressors=_compressor(array.dtype),
            dimension_names=names[name],
            # An empty mask is also written as an object, so a missing object always means that it was never written.
            config={"write_empty_chunks": True},
        )[...] = array
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in _objects(memory).items() if name != _ROOT}
    checksums: dict[str, JsonValue] = {"objects": dict(sums), "sha256": _sum_of(attributes, sums)}
    group.update_attributes({CHECKSUMS: checksums})
    return _objects(memory)


def _objects(memory: MemoryStore) -> dict[str, bytes]:
    """Everything in it, by name, sorted."""
    names = sorted(meta["path"] for batch in obstore.list(memory) for meta in batch)
    return {name: obstore.get(memory, name).bytes().to_bytes() for name in names}


def _inner_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Cubes over the last three axes, size 1 along leading (channel) axes: channels can be read separately."""
    leading = max(len(shape) - 3, 0)
    return (1,) * leading + tuple(min(n, INNER_CHUNK_VOXELS) for n in shape[leading:])


def _compressor(dtype: np.dtype[Any]) -> BloscCodec | ZstdCodec:
    """zstd, with byte shuffling for multi-byte types, which shrinks float16 heads by another 10 %."""
    if dtype.itemsize == 1:
        return ZstdCodec(level=_COMPRESSION_LEVEL)
    return BloscCodec(cname="zstd", clevel=_COMPRESSION_LEVEL, shuffle="shuffle", typesize=dtype.itemsize)
