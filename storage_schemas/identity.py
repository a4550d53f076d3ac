"""Compute an identity: the canonical JSON of the values that determine a result, and its digest.

Runs, study volumes and deformed copies are named by the digest of an identity, so equal names mean equal results. The
declaration of each field says whether it is part of the identity:

* a plain field is always included, even with its default value, because a changed default changes the result;
* `Annotated[T, Aside()]` is never included: names, labels for people, workers, devices;
* `Annotated[T, Neutral(value)]` is included only if the field has another value.

To add a field to a document that is part of an identity, choose as default the value that leaves results unchanged, and
mark the field `Neutral` with that value. Existing ids then stay the same. Mark a field that does not affect results
`Aside`. Never remove or rename a field of an identity, and never change the value of a `Neutral`: either renames every
existing result. A change of behaviour without a change of fields needs a new result version of the stage that behaves
differently (see `storage_schemas.versions`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from storage_schemas.base import Digest, canonical_json, digest_of


@dataclass(frozen=True)
class Aside:
    """Mark a field that does not affect results."""


@dataclass(frozen=True)
class Neutral:
    """Mark a field that was added later: it is left out of the identity if it has this (JSON) value."""

    value: Any = None


def identity(value: Any) -> Any:
    """The part of a value that determines a result, as plain JSON values.

    Fields that their declarations exclude are removed from documents at any depth. Lists and mappings keep their order
    and keys; all other values must be plain. Raises TypeError for a value without a JSON form.
    """
    if isinstance(value, BaseModel):
        return _of_document(value)
    if isinstance(value, Mapping):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"identity: wanted documents and plain values; found {type(value).__name__}")


def identity_json(value: Any) -> str:
    """Canonical JSON of an identity: the input of the digest. Compare it to find out why two ids differ."""
    return canonical_json(identity(value))


def identity_digest(value: Any) -> Digest:
    """Digest of the identity."""
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
