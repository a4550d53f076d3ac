"""Keys and bytes in; objects in a store out. What every store can do, over whatever obstore reaches."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

import obstore
from obstore.store import ObjectStore

from lesionlab.errors import MissingObject
from lesionlab.store.faults import translated

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")


@dataclass(frozen=True)
class Tagged:
    """An object's bytes, and the tag that a conditional `replace` must show again."""

    data: bytes
    tag: str


class Store:
    """Objects by key. Keys come from `storage_schemas.keys`; an absolute or climbing one raises ValueError.

    Every method raises StoreUnreachable where the endpoint does not answer, AccessDenied where it refuses, and
    StoreError for whatever else stands in the way.
    """

    def __init__(self, uri: str, objects: ObjectStore) -> None:
        self.uri = uri
        """What `open_store` opens this store by, in any process."""
        self.objects = objects
        """The obstore handle, for libraries that read by themselves (zarr)."""

    def check(self) -> None:
        """Return where the store answers, and a listing is allowed; raise where not. Jobs call this at the door."""
        probe(self.uri, self.objects)

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises MissingObject."""
        return self.get_tagged(key).data

    def get_tagged(self, key: str) -> Tagged:
        """The object's bytes and their tag, from one request. Raises MissingObject."""
        with translated(self.uri, plain(key)):
            found = obstore.get(self.objects, key)
            return Tagged(found.bytes().to_bytes(), found.meta["e_tag"] or "")

    def put(self, key: str, data: bytes) -> None:
        """Write the object whole, or not at all; what was there is replaced."""
        with translated(self.uri, plain(key)):
            obstore.put(self.objects, key, data)

    def create(self, key: str, data: bytes) -> None:
        """Write the object where there is none. Raises ObjectExists; of several writers at once one wins."""
        with translated(self.uri, plain(key)):
            obstore.put(self.objects, key, data, mode="create")

    def replace(self, key: str, data: bytes, tag: str) -> None:
        """Write the object where it is still the one that `get_tagged` returned with this tag. Raises Conflict."""
        with translated(self.uri, plain(key)):
            obstore.put(self.objects, key, data, mode={"e_tag": tag})

    def exists(self, key: str) -> bool:
        """Whether an object (not merely a prefix) is stored under this key."""
        try:
            with translated(self.uri, plain(key)):
                obstore.head(self.objects, key)
        except MissingObject:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """Every key that begins with this text, sorted."""
        # obstore lists whole path segments only; a key pattern may end within one (`…/part-`).
        folder, _, _ = prefix.rpartition("/")
        if folder:
            plain(folder)
        with translated(self.uri, prefix):
            found = [meta["path"] for batch in obstore.list(self.objects, folder or None) for meta in batch]
        return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the object; nothing happens where there is none."""
        self._remove(plain(key))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose key begins with this text."""
        for key in self.list(prefix):
            self._remove(key)  # not only plain keys: Ray, too, writes into the store

    def _remove(self, key: str) -> None:
        with suppress(MissingObject), translated(self.uri, key):
            obstore.delete(self.objects, key)


def probe(uri: str, objects: ObjectStore) -> None:
    """Ask for a listing once. Raises StoreUnreachable or AccessDenied."""
    with translated(uri, ""):
        next(iter(obstore.list(objects)), None)


def plain(key: str) -> str:
    """The key itself. Raises ValueError where it is empty, absolute, climbing, or holds other signs than keys may."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"key {key!r}: wanted plain names joined by '/', as storage_schemas.keys builds them")
    return key
