"""Write named arrays and attributes as one Zarr v3 group that is either complete or absent; read them back.

A group is built in memory, copied object by object, read back and compared. Its own `zarr.json` is written last, and
only then the group exists. Every array is one shard and therefore one object with one writer. The same arrays give the
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
from storage_schemas.ome import dimension_names
from storage_schemas.volumes import INNER_CHUNK_VOXELS

_ROOT = "zarr.json"
_COMPRESSION_LEVEL = 5
_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


def write_group(
    store: Store, key: str, arrays: Mapping[str, NDArray[Any]], attributes: Mapping[str, JsonValue]
) -> None:
    """Write the group under this key; if the identical group is already there, write nothing.

    A writer that dies leaves no group: `group_exists` stays False, and writing again repairs it. Concurrent writers of
    the identical group do not interfere. Raises StoreError if the store returns other bytes than were written.
    """
    objects = _laid_out(arrays, attributes)
    if group_exists(store, key):
        if _holds(store, key, objects):
            return
        store.delete(f"{key}/{_ROOT}")
    for stale in _names(store, key) - set(objects):
        store.delete(f"{key}/{stale}")
    root = objects.pop(_ROOT)
    for name, data in objects.items():
        store.put(f"{key}/{name}", data)
    if not _holds(store, key, objects):
        raise StoreError(
            f"{store.uri}: {key}: wanted the bytes that were written, found others; check the storage and try again"
        )
    store.put(f"{key}/{_ROOT}", root)


def group_exists(store: Store, key: str) -> bool:
    """Whether a complete group is stored under this key."""
    return store.exists(f"{key}/{_ROOT}")


def read_attributes(store: Store, key: str) -> dict[str, JsonValue]:
    """Attributes of the group. Raises MissingObject if there is no complete group."""
    return {name: _JSON.validate_python(value) for name, value in _opened(store, key).attrs.asdict().items()}


def read_array(store: Store, key: str, name: str) -> NDArray[Any]:
    """One full array of the group. Raises MissingObject if there is no complete group or it has no such array."""
    group = _opened(store, key)
    with translated(store.uri, f"{key}/{name}"):
        try:
            array = group[name]
            if not isinstance(array, zarr.Array):
                raise KeyError(name)
            return np.asarray(array[...])
        except KeyError as error:
            found = ", ".join(sorted(group.array_keys())) or "none"
            raise MissingObject(f"{store.uri}: {key}: wanted array {name!r}, found {found}; check the key") from error
        except (BaseZarrError, ValueError, RuntimeError) as error:
            raise StoreError(f"{store.uri}: {key}/{name} cannot be decoded ({error}); write it again") from error


def _opened(store: Store, key: str) -> zarr.Group:
    if not group_exists(store, key):
        raise MissingObject(f"{store.uri}: wanted a complete Zarr group under {key}, found none; write it again")
    with translated(store.uri, key):
        return zarr.open_group(ObjectStore(store.objects, read_only=True), path=key, mode="r", zarr_format=3)


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
    return {
        meta["path"]: obstore.get(memory, meta["path"]).bytes().to_bytes()
        for batch in obstore.list(memory)
        for meta in batch
    }


def _inner_chunk(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Cubes over the last three axes, size 1 along leading (channel) axes: channels can be read separately."""
    leading = max(len(shape) - 3, 0)
    return (1,) * leading + tuple(min(n, INNER_CHUNK_VOXELS) for n in shape[leading:])


def _compressor(dtype: np.dtype[Any]) -> BloscCodec | ZstdCodec:
    """zstd, with byte shuffling for multi-byte types, which shrinks float16 heads by another 10 %."""
    if dtype.itemsize == 1:
        return ZstdCodec(level=_COMPRESSION_LEVEL)
    return BloscCodec(cname="zstd", clevel=_COMPRESSION_LEVEL, shuffle="shuffle", typesize=dtype.itemsize)
