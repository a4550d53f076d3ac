"""Define the operations of every store on top of obstore: bytes under keys."""

from __future__ import annotations

import math
import re
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.store import ObjectStore

from lesionlab.errors import AccessDenied, Conflict, MissingObject, ObjectExists, StoreError
from lesionlab.store.faults import translated
from lesionlab.store.patience import QUIET_S, Patience, declared_patience
from storage_schemas.keys import CLOCK

if TYPE_CHECKING:
    from obstore import PutMode

T = TypeVar("T")

_SEGMENT = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_KEY = re.compile(rf"{_SEGMENT}(/{_SEGMENT})*")


@dataclass(frozen=True)
class Tagged:
    """An object's bytes and the tag that a conditional `replace` must present."""

    data: bytes
    tag: str
    modified: datetime
    """When it was written, by the store's clock."""


@dataclass(frozen=True)
class Listed:
    """An object in a listing."""

    key: str
    size: int
    """In bytes."""
    modified: datetime
    """When it was written, by the store's clock."""


class Store:
    """Objects by key. Keys come from `storage_schemas.keys`; an absolute key or one with `..` raises ValueError.

    A request that is not answered is repeated (see `Patience`), a conditional write too: it has succeeded if the object
    then holds what was to be written. Every method raises StoreUnreachable if the endpoint does not answer until then,
    AccessDenied if it refuses access, and StoreError for any other failure.
    """

    def __init__(self, uri: str, objects: ObjectStore) -> None:
        self.uri = uri
        """URI with which `open_store` opens this store in any process."""
        self.objects = objects
        """The obstore handle, for libraries that read objects themselves (zarr)."""
        self.patience: Patience = declared_patience()
        self.outage_ended = -math.inf
        """When the storage last answered again after it had not for more than QUIET_S, by `time.monotonic`."""

    def check(self, folder: str = "") -> None:
        """Raise unless the store can be used below this folder. Jobs that write call this before they start."""
        self.check_readable(folder)

    def check_readable(self, folder: str = "") -> None:
        """Raise unless the store answers and allows a listing of this folder; empty: of all of it.

        A role that may use one folder only is refused everywhere else.
        """
        probe(self.uri, self.objects, folder)

    def get(self, key: str) -> bytes:
        """The object's bytes. Raises MissingObject."""
        return self.get_tagged(key).data

    def get_tagged(self, key: str) -> Tagged:
        """The object's bytes and tag from one request. Raises MissingObject."""

        def ask(again: bool) -> Tagged:
            found = obstore.get(self.objects, plain(key))
            return Tagged(found.bytes().to_bytes(), found.meta["e_tag"] or "", found.meta["last_modified"])

        return self._answered(key, ask)

    def now(self) -> datetime:
        """The store's clock, to compare with `Tagged.modified`: when an object that is written now is written."""
        key = CLOCK.build(name=secrets.token_hex(8))
        self.put(key, b"")
        try:
            return self.get_tagged(key).modified
        finally:
            self.delete(key)

    def now_for_readers(self) -> datetime:
        """The store's clock; this machine's, if the store may only be read: asking for its clock writes an object."""
        try:
            return self.now()
        except StoreError:
            return datetime.now(UTC)

    def put(self, key: str, data: bytes) -> None:
        """Write the object atomically; replace any existing one."""
        self._answered(plain(key), lambda again: obstore.put(self.objects, key, data))

    def create(self, key: str, data: bytes) -> str:
        """Write the object if there is none; its tag. Raises ObjectExists; one of several writers succeeds."""
        return self._written_if("create", plain(key), data)

    def replace(self, key: str, data: bytes, tag: str) -> str:
        """Write the object if it still has this tag; its new tag. Raises Conflict."""
        return self._written_if({"e_tag": tag}, plain(key), data)

    def exists(self, key: str) -> bool:
        """Whether an object (not merely a prefix) is stored under this key."""
        try:
            self._answered(plain(key), lambda again: obstore.head(self.objects, key))
        except MissingObject:
            return False
        return True

    def folders(self, prefix: str) -> list[str]:
        """The folders directly below this one, each with a slash at its end, sorted; an empty prefix is the root."""

        def ask(again: bool) -> list[str]:
            found = obstore.list_with_delimiter(self.objects, prefix.rstrip("/") or None)
            return sorted(f"{folder.rstrip('/')}/" for folder in found["common_prefixes"])

        return self._answered(prefix, ask)

    def list(self, prefix: str) -> list[str]:
        """All keys that start with this text, sorted."""
        return [found.key for found in self.listed(prefix)]

    def listed(self, prefix: str) -> Sequence[Listed]:
        """All objects whose keys start with this text, sorted by key."""
        # obstore lists only whole path segments; a prefix may end within one (`…/part-`).
        folder, _, _ = prefix.rpartition("/")
        if folder:
            plain(folder)

        def ask(again: bool) -> Sequence[Listed]:
            return [
                Listed(meta["path"], meta["size"], meta["last_modified"])
                for batch in obstore.list(self.objects, folder or None)
                for meta in batch
                if meta["path"].startswith(prefix)
            ]

        return sorted(self._answered(prefix, ask), key=lambda found: found.key)

    def delete(self, key: str) -> None:
        """Remove the object if there is one."""
        self._remove(plain(key))

    def delete_prefix(self, prefix: str) -> None:
        """Remove every object whose key starts with this text."""
        for key in self.list(prefix):
            self._remove(key)  # keys may not be plain, because Ray also writes into the store

    def _remove(self, key: str) -> None:
        with suppress(MissingObject):
            self._answered(key, lambda again: obstore.delete(self.objects, key))

    def _written_if(self, condition: PutMode, key: str, data: bytes) -> str:
        """Write the object on this condition; its tag. Raises ObjectExists or Conflict."""

        def ask(again: bool) -> str:
            try:
                with translated(self.uri, key):
                    return obstore.put(self.objects, key, data, mode=condition)["e_tag"] or ""
            except (ObjectExists, Conflict):
                # The answer to an earlier request was lost, and that request may have been the one that wrote it.
                if again and (found := self.get_tagged(key)).data == data:
                    return found.tag
                raise

        return self._answered(key, ask)

    def _answered(self, key: str, ask: Callable[[bool], T]) -> T:
        """The answer to a request about this key, which is repeated while there is none; see `Patience.insist`."""

        began = time.monotonic()

        def asked(again: bool) -> T:
            with translated(self.uri, key):
                answer = ask(again)
            if again and time.monotonic() - began > QUIET_S:
                self.outage_ended = time.monotonic()
            return answer

        connection = self.objects
        try:
            return self.patience.insist(asked)
        except AccessDenied:
            if not self._renew_access(connection):
                raise
            return self.patience.insist(asked)

    def _renew_access(self, refused: ObjectStore) -> bool:
        """Connect with new credentials, if there are other ones than those of the connection that was refused."""
        return False


def probe(uri: str, objects: ObjectStore, folder: str = "") -> None:
    """Request one listing. Raises StoreUnreachable or AccessDenied."""
    with translated(uri, folder):
        next(iter(obstore.list(objects, folder.rstrip("/") or None)), None)


def plain(key: str) -> str:
    """Return the key. Raises ValueError if it is empty, absolute, has `..` or has characters that keys may not have."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"key {key!r}: wanted plain names joined by '/', as built by storage_schemas.keys")
    return key
