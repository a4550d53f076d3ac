"""Read and write documents (the pydantic models of storage_schemas) as canonical JSON; read and move pointers.

A stored document carries the sha256 of the rest of it, and one that is named by its content is compared with its name.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from lesionlab.errors import Conflict, DamagedObject, MissingObject, ObjectExists, StoreError
from lesionlab.store.arrays import read_attributes
from lesionlab.store.base import Store
from storage_schemas.base import CHECKSUM, Digest, Document, Named, Pointer, SchemaError, canonical_json, digest_of

D = TypeVar("D", bound=Document)


def read_document(store: Store, key: str, model: type[D]) -> D:
    """Read the document under this key.

    Raises MissingObject, DamagedObject if it is not what was written, StoreError if another version wrote it.
    """
    return parse_document(store, key, model, store.get(key))


def is_sound(store: Store, key: str, model: type[Document]) -> bool:
    """Whether a document is stored under this key and is what was written."""
    try:
        read_document(store, key, model)
    except (MissingObject, DamagedObject):
        return False
    return True


def write_document(store: Store, key: str, document: Document) -> None:
    """Write the document's canonical JSON; replace any existing object."""
    store.put(key, document_bytes(document))


def create_document(store: Store, key: str, document: Document) -> bool:
    """Write the document once: True if written, False if an equal one exists. Raises ObjectExists if another does.

    A damaged one is replaced.
    """
    found = _create_or_read(store, key, document)
    if found is not None and found.written() != document.written():
        raise ObjectExists(f"{store.uri}: {key} is write-once and already exists; choose another key")
    return found is None


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


def swap_pointer(store: Store, key: str, was: Digest | None, target: Digest) -> None:
    """Move the pointer to this target if it still points to `was` (None: is not there). Raises Conflict."""
    moved = document_bytes(Pointer(target=target))
    changed = Conflict(f"{store.uri}: {key} was changed by another writer since it was read; read it again")
    if was is None:
        try:
            store.create(key, moved)
        except ObjectExists as error:
            raise changed from error
        return
    before = store.get_tagged(key)
    if parse_document(store, key, Pointer, before.data).target != was:
        raise changed
    store.replace(key, moved, before.tag)


def create_named(store: Store, key: str, document: Named) -> bool:
    """Write a document under its own name once: True if written, False if one of this name exists.

    An existing document stays: a newer version may serialise it differently, but its name says that it is the same. A
    damaged one is replaced.
    """
    return _create_or_read(store, key, document) is None


def _create_or_read(store: Store, key: str, document: D) -> D | None:
    """Write the document if there is none or a damaged one; else return the stored one."""
    data = document_bytes(document)
    try:
        store.create(key, data)
    except ObjectExists:
        found = store.get_tagged(key)
        try:
            return parse_document(store, key, type(document), found.data)
        except DamagedObject:
            store.replace(key, data, found.tag)
    return None


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
    form = document.stored_form()
    return canonical_json(form | {CHECKSUM: _sum_of(form)}).encode()


def by_another_version(error: Exception) -> bool:
    """Whether a document could not be read because another version of lesionlab wrote it: trying again is of no use."""
    return isinstance(error.__cause__, SchemaError)


def parse_document(store: Store, key: str, model: type[D], form: Any) -> D:
    """The document of these bytes, or of this parsed JSON, from this key.

    Raises DamagedObject if it is not what was written, StoreError if another version wrote it.
    """
    place, sealed = f"{store.uri}: {key}", False
    try:
        form = from_json(form) if isinstance(form, bytes) else form
        if sealed := isinstance(form, dict) and CHECKSUM in form:
            form = dict(form)
            if form.pop(CHECKSUM) != _sum_of(form):
                raise DamagedObject(place, "its content does not match its checksum")
        document = model.from_stored(form)
    except SchemaError as error:
        if "schema" in form and not sealed:  # every version that could be newer writes checksums
            raise DamagedObject(place, f"it has no checksum, and would be a {error}") from error
        raise StoreError(f"{place}: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'document'}: {e['msg']}" for e in error.errors())
        raise DamagedObject(place, f"it is not a valid {model.__name__}: {faults}") from error
    except ValueError as error:
        raise DamagedObject(place, f"it is not JSON ({error})") from error
    if isinstance(document, Named) and not _keeps_its_name(key, document, form):
        raise DamagedObject(place, f"its content is not that of {document.id}")
    return document


def _keeps_its_name(key: str, document: Named, form: dict[str, Any]) -> bool:
    """Whether a document lies under its name, and has the content of that name if that is the digest of its form."""
    if document.id not in re.split(r"[/.]", key):
        return False
    kind = type(document)
    if kind.name_digest is not Named.name_digest or kind.stored_form is not Document.stored_form:
        return True
    return digest_of(kind.named_form(form)) == document.id


def _sum_of(form: dict[str, Any]) -> str:
    return hashlib.sha256(canonical_json(form).encode()).hexdigest()
