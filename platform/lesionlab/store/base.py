"""Define the operations of every store on top of obstore: bytes under keys."""

from __future__ import annotations

import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

import obstore
from obstore.store import ObjectStore

from lesionlab.errors import MissingObject
from lesionlab.store.faults import translated
from storage_schemas.keys import CLOCK

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")


@dataclass(frozen=True)
class Tagged:
    """An object's bytes and the tag that a conditional `replace` must present."""

    data: bytes
    tag: str
    modified: datetime
    """When it was written, by the store's clock."""


class Store:
    """Objects by key. Keys come from `storage_schemas.keys`; an absolute key or one with `..` raises ValueError.

    Every method raises StoreUnreachable if the endpoint does not answer, AccessDenied if it refuses access, and
    StoreError for any other failure.
    """

    def __init__(self, uri: str, objects: ObjectStore) -> None:
        self.uri = uri
        """URI with which `open_store` opens this store in any process."""
        self.objects = objects
        """The obstore handle, for libraries that read objects themselves (zarr)."""

    def check(self) -> None:
        """Raise unless the store can be used. Jobs that write call this before they start."""
        self.check_readable()

    def check_readable(self) -> None:
        """Raise unless the store answers and allows a listing."""
        probe(self.uri, self.objects)

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises MissingObject."""
        return self.get_tagged(key).data

    def get_tagged(self, key: str) -> Tagged:
        """The object's bytes and tag from one request. Raises MissingObject."""
        with translated(self.uri, plain(key)):
            found = obstore.get(self.objects, key)
            return Tagged(found.bytes().to_bytes(), found.meta["e_tag"] or "", found.meta["last_modified"])

    def now(self) -> datetime:
        """The store's clock, to compare with `Tagged.modified`: when an object that is written now is written."""
        key = CLOCK.build(name=secrets.token_hex(8))
        self.put(key, b"")
        try:
            return self.get_tagged(key).modified
        finally:
            self.delete(key)

    def put(self, key: str, data: bytes) -> None:
        """Write the object atomically; replace any existing one."""
        with translated(self.uri, plain(key)):
            obstore.put(self.objects, key, data)

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; its tag. Raises ObjectExists; one of several writers succeeds."""
        with translated(self.uri, plain(key)):
            return obstore.put(self.objects, key, data, mode="create")["e_tag"] or ""

    def replace(self, key: str, data: bytes, tag: str) -> str:
        """Write the object if it still has this tag; its new tag. Raises Conflict."""
        with translated(self.uri, plain(key)):
            return obstore.put(self.objects, key, data, mode={"e_tag": tag})["e_tag"] or ""

    def exists(self, key: str) -> bool:
        """Whether an object (not merely a prefix) is stored under this key."""
        try:
            with translated(self.uri, plain(key)):
                obstore.head(self.objects, key)
        except MissingObject:
            return False
        return True

    def list(self, prefix: str) -> list[str]:
        """All keys that start with this text, sorted."""
        # obstore lists only whole path segments; a prefix may end within one (`…/part-`).
        folder, _, _ = prefix.rpartition("/")
        if folder:
            plain(folder)
        with translated(self.uri, prefix):
            found = [meta["path"] for batch in obstore.list(self.objects, folder or None) for meta in batch]
        return sorted(key for key in found if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """Remove the object if there is one."""
        self._remove(plain(key))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose key starts with this text."""
        for key in self.list(prefix):
            self._remove(key)  # keys may not be plain, because Ray also writes into the store

    def _remove(self, key: str) -> None:
        with suppress(MissingObject), translated(self.uri, key):
            obstore.delete(self.objects, key)


def probe(uri: str, objects: ObjectStore) -> None:
    """Request one listing. Raises StoreUnreachable or AccessDenied."""
    with translated(uri, ""):
        next(iter(obstore.list(objects)), None)


def plain(key: str) -> str:
    """Return the key. Raises ValueError if it is empty, absolute, has `..` or has characters that keys may not have."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"key {key!r}: wanted plain names joined by '/', as built by storage_schemas.keys")
    return key
