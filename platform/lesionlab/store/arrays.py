"""Named arrays and attributes in; one Zarr v3 group out, which either is complete or is not there, and back.

A group is laid out in memory, copied object by object, read back and compared; its own `zarr.json` is written last
and is what makes it exist. Every array is one shard, so one object, so it has one writer. The same arrays give the
same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import obstore
import zarr
from numpy.typing import NDArray
from obstore.store import MemoryStore
from pydantic import JsonValue, TypeAdapter
from zarr.codecs import BloscCodec, ZstdCodec
from zarr.errors import BaseZarrError
from zarr.storage import ObjectStore

from lesionlab.errors import MissingObject, StoreError
from lesionlab.store.base import Store
from lesionlab.store.faults import translated
from storage_schemas.volumes import INNER_CHUNK_VOXELS

_ROOT = "zarr.json"
_COMPRESSION_LEVEL = 5
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


def write_group(
    store: Store, key: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, JsonValue]
) -> None:
    """Write the group under this key; where the very same one is there already, nothing is written.

    A writer that dies leaves no group: `group_exists` stays False, and writing again repairs it. Writers of the very
    same group do not disturb each other. Raises StoreError where the store gives back other bytes than it was given.
    """
    objects = _laid_out(arrays, attributes)
    if group_exists(store, key):
        if _holds(store, key, objects):
            return
        store.delete(f"{key}/{_ROOT}")
    for stranger in _names(store, key) - set(objects):
        store.delete(f"{key}/{stranger}")
    root = objects.pop(_ROOT)
    for name, data in objects.items():
        store.put(f"{key}/{name}", data)
    if not _holds(store, key, objects):
        raise StoreError(
            f"{store.uri}: {key} reads back otherwise than it was written; check the storage and try again"
        )
    store.put(f"{key}/{_ROOT}", root)


def group_exists(store: Store, key: str) -> bool:
    """Whether a completely written group lies under this key."""
    return store.exists(f"{key}/{_ROOT}")


def read_attributes(store: Store, key: str) -> dict[str, JsonValue]:
    """The group's attributes. Raises MissingObject where there is no complete group."""
    return {name: _JSON.validate_python(value) for name, value in _opened(store, key).attrs.asdict().items()}


def read_array(store: Store, key: str, name: str) -> NDArray[Any]:
    """One whole array of the group. Raises MissingObject where there is no complete group, or no such array in it."""
    group = _opened(store, key)
    with translated(store.uri, f"{key}/{name}"):
        try:
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise KeyError(name)
            return np.asarray(array[...])
        except KeyError as error:
            found = ", ".join(sorted(group.array_keys())) or "none"
            raise MissingObject(f"{store.uri}: {key} has no array {name!r}; it has {found}") from error
        except (BaseZarrError, ValueError, RuntimeError) as error:
            raise StoreError(f"{store.uri}: {key}/{name} cannot be decoded ({error}); write it again") from error


def _opened(store: Store, key: str) -> zarr.Group:
    if not group_exists(store, key):
        raise MissingObject(f"{store.uri}: no complete Zarr group under {key}")
    with translated(store.uri, key):
        return zarr.open_group(ObjectStore(store.objects, read_only=True), path=key, mode="r", zarr_format=3)


def _names(store: Store, key: str) -> set[str]:
    """Names within the group of every object that is stored below its key."""
    return {listed.removeprefix(f"{key}/") for listed in store.list(f"{key}/")}


def _holds(store: Store, key: str, objects: Mapping[str, bytes]) -> bool:
    """Whether the store holds these objects under the key, and no others but the group's own metadata."""
    return _names(store, key) - {_ROOT} == set(objects) - {_ROOT} and all(
        store.get(f"{key}/{name}") == data for name, data in objects.items()
    )


def _laid_out(arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, JsonValue]) -> dict[str, bytes]:
    """Every object of the group by its name within the group."""
    memory = MemoryStore()
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
            # An empty mask is an object as well: what is not there was never written.
            config={"write_empty_chunks": True},
        )[...] = array
    return {
        meta["path"]: obstore.get(memory, meta["path"]).bytes().to_bytes()
        for batch in obstore.list(memory)
        for meta in batch
    }


def _inner_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Cubes over the last three axes; leading (channel) axes one by one, so that one contrast is read alone."""
    leading = max(len(shape) - 3, 0)
    return (1,) * leading + tuple(min(n, INNER_CHUNK_VOXELS) for n in shape[leading:])


def _compressor(dtype: np.dtype[Any]) -> BloscCodec | ZstdCodec:
    """zstd; with the bytes of wider numbers sorted by place, which shrinks float16 heads by another tenth."""
    if dtype.itemsize == 1:
        return ZstdCodec(level=_COMPRESSION_LEVEL)
    return BloscCodec(cname="zstd", clevel=_COMPRESSION_LEVEL, shuffle="shuffle", typesize=dtype.itemsize)
