"""How an identity is made: the canonical JSON of what decides a result, and nothing else.

A run, a study volume and a deformed copy are each named by an identity, so that equal names mean equal results. What
a document's identity holds is declared where its fields are declared:

* a plain field is always written, also where it has its default: a changed default is another result;
* `Annotated[T, Aside()]` is never written: names, labels for people, workers, devices;
* `Annotated[T, Neutral(value)]` is left out while the field has this value, and written otherwise.

To add a field to a document that is part of an identity: give it the value under which it changes nothing as its
default, and mark it `Neutral` with that value. Ids made before the field existed then stay what they were. A field that
decides no result is marked `Aside`. Never remove or rename a field of an identity, and never change what `Neutral`
holds: that renames every result that was paid for. A change of behaviour without a change of fields is a new result
version of the room that behaves differently (see `storage_schemas.versions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from storage_schemas.base import Digest, canonical_json, digest_of


@dataclass(frozen=True)
class Aside:
    """Marks a field that decides no result."""


@dataclass(frozen=True)
class Neutral:
    """Marks a field that was added later: it is left out while it has this value, as JSON would hold it."""

    value: Any = None


def identity(value: Any) -> Any:
    """What of a value decides a result, as plain JSON values.

    Documents lose the fields that their declarations leave out, at any depth; lists and mappings keep their order and
    keys; whatever else must be plain already. Raises TypeError for a value that has no JSON form.
    """
    if isinstance(value, BaseModel):
        return _of_document(value)
    if isinstance(value, Mapping):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"an identity holds documents and plain values; found {type(value).__name__}")


def identity_json(value: Any) -> str:
    """The one text of an identity: what the digest is taken of, and what to compare where two ids differ."""
    return canonical_json(identity(value))


def identity_digest(value: Any) -> Digest:
    """The name that follows from the identity."""
    return digest_of(identity(value))


def _of_document(document: BaseModel) -> dict[str, Any]:
    plain = {}
    for name, field in type(document).model_fields.items():
        if any(isinstance(mark, Aside) for mark in field.metadata):
            continue
        value = identity(getattr(document, name))
        if any(isinstance(mark, Neutral) and mark.value == value for mark in field.metadata):
            continue
        plain[name] = value
    return plain
