"""Documents (the pydantic models of storage_schemas) in; canonical JSON objects out, and back, and pointers to them."""

from __future__ import annotations

from typing import TypeVar

from pydantic import ValidationError

from lesionlab.errors import Conflict, MissingObject, ObjectExists, StoreError
from lesionlab.store.base import Store
from storage_schemas.base import Digest, Document, Pointer

D = TypeVar("D", bound=Document)


def read_document(store: Store, key: str, model: type[D]) -> D:
    """The document under this key. Raises MissingObject, and StoreError where it is not a valid one of this model."""
    return _parsed(store, key, model, store.get(key))


def write_document(store: Store, key: str, document: Document) -> None:
    """Write the document's canonical JSON, whatever was there."""
    store.put(key, _bytes(document))


def create_document(store: Store, key: str, document: Document) -> bool:
    """Write the document once: True if written, False if the equal one was there. Raises ObjectExists on another."""
    try:
        store.create(key, _bytes(document))
    except ObjectExists:
        if store.get(key) == _bytes(document):
            return False
        raise
    return True


def read_pointer(store: Store, key: str) -> Digest | None:
    """What the pointer under this key names, or None where there is no pointer yet."""
    try:
        return read_document(store, key, Pointer).target
    except MissingObject:
        return None


def move_pointer(store: Store, key: str, target: Digest) -> None:
    """Let the pointer name this target. Raises Conflict where somebody else moved it at the same time."""
    moved = _bytes(Pointer(target=target))
    try:
        before = store.get_tagged(key)
    except MissingObject:
        try:
            store.create(key, moved)
        except ObjectExists as error:
            raise Conflict(f"{store.uri}: {key} was made by somebody else at the same time; read it again") from error
        return
    store.replace(key, moved, before.tag)


def _bytes(document: Document) -> bytes:
    return document.canonical_json().encode()


def _parsed(store: Store, key: str, model: type[D], data: bytes) -> D:
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors())
        raise StoreError(
            f"{store.uri}: {key} is not a valid {model.__name__}: {faults}; "
            "it was changed by hand or written by another version"
        ) from error
