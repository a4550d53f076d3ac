"""Read and write documents (the pydantic models of storage_schemas) as canonical JSON; read and move pointers."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from lesionlab.errors import Conflict, MissingObject, ObjectExists, StoreError
from lesionlab.store.arrays import read_attributes
from lesionlab.store.base import Store
from storage_schemas.base import Digest, Document, Named, Pointer, SchemaError, canonical_json

D = TypeVar("D", bound=Document)


def read_document(store: Store, key: str, model: type[D]) -> D:
    """Read the document under this key. Raises MissingObject, and StoreError if it is not valid for this model."""
    return parse_document(store, key, model, store.get(key))


def write_document(store: Store, key: str, document: Document) -> None:
    """Write the document's canonical JSON; replace any existing object."""
    store.put(key, document_bytes(document))


def create_document(store: Store, key: str, document: Document) -> bool:
    """Write the document once: True if written, False if an equal one exists. Raises ObjectExists if another does."""
    try:
        store.create(key, document_bytes(document))
    except ObjectExists:
        if store.get(key) == document_bytes(document):
            return False
        raise
    return True


def read_pointer(store: Store, key: str) -> Digest | None:
    """Target of the pointer under this key, or None if there is no pointer yet."""
    try:
        return read_document(store, key, Pointer).target
    except MissingObject:
        return None


def move_pointer(store: Store, key: str, target: Digest) -> None:
    """Move the pointer to this target. Raises Conflict if another writer moved it at the same time."""
    moved = document_bytes(Pointer(target=target))
    try:
        before = store.get_tagged(key)
    except MissingObject:
        try:
            store.create(key, moved)
        except ObjectExists as error:
            raise Conflict(f"{store.uri}: {key} was created by another writer meanwhile; read it again") from error
        return
    store.replace(key, moved, before.tag)


def create_named(store: Store, key: str, document: Named) -> bool:
    """Write a document under its own name once: True if written, False if one of this name exists.

    An existing document stays: a newer version may serialise it differently, but its name says that it is the same.
    """
    try:
        store.create(key, document_bytes(document))
    except ObjectExists:
        return False
    return True


def read_card(store: Store, key: str, attribute: str, model: type[D]) -> D:
    """Read the document in this attribute of a Zarr group.

    Raises MissingObject if there is no group, and StoreError if it has no valid document of this model.
    """
    attributes = read_attributes(store, key)
    if attribute not in attributes:
        raise StoreError(f"{store.uri}: {key}: wanted the attribute {attribute}, found none; write the group again")
    return parse_document(store, f"{key} ({attribute})", model, attributes[attribute])


def document_bytes(document: Document) -> bytes:
    """The bytes under which a document is stored: canonical JSON."""
    return canonical_json(document.stored_form()).encode()


def parse_document(store: Store, key: str, model: type[D], form: Any) -> D:
    """The document of these bytes, or of this parsed JSON, from this key. Raises StoreError if it is not valid."""
    try:
        return model.from_stored(from_json(form) if isinstance(form, bytes) else form)
    except SchemaError as error:
        raise StoreError(f"{store.uri}: {key}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors())
        raise StoreError(
            f"{store.uri}: {key} is not a valid {model.__name__}: {faults}; it was changed by hand; write it again"
        ) from error
    except ValueError as error:
        raise StoreError(f"{store.uri}: {key} is not JSON ({error}); it was changed by hand; write it again") from error
