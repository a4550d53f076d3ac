"""Define the base of all stored documents: frozen, without unknown fields, with one canonical JSON form to hash.

Python values are validated into documents; documents give their canonical JSON and its digest.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](\.?[a-z0-9_-])*\.?$", max_length=63)]
"""A name given by a person: lower case, valid in an object key, a file name and a Kubernetes label; no two dots in a
row, which no key may have."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""First 16 hexadecimal digits of a sha256: names immutable objects in keys."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A full sha256: proves the identity of bytes."""

_LABEL = r"sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?"

StudyLabel = Annotated[str, StringConstraints(pattern=rf"^{_LABEL}$")]
"""One study in BIDS entities, as its own site names it: `sub-012_ses-01`, or `sub-012` without sessions."""

StudyId = Annotated[str, StringConstraints(pattern=rf"^([a-z0-9][a-z0-9._-]*/)?{_LABEL}$")]
"""One study of a cohort: its label, qualified by its site in a cohort that is declared for several sites:
`north/sub-012_ses-01`."""

Fraction = Annotated[float, Field(ge=0, le=1)]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""A finite number above 0, as a person writes it into an experiment file."""

ModelSpacing = Annotated[float, Field(ge=0.1, le=20, allow_inf_nan=False)]
"""Spacing of a model grid, in mm."""

Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""A duration; the bound keeps sums of them finite."""

NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]

Seed = Annotated[int, Field(ge=0, lt=2**32)]
"""Seed of a random generator: 32 bits without a sign, which every generator here accepts."""


CHECKSUM = "sha256"
"""Field of every stored document: the sha256 of the canonical JSON of its other fields (`lesionlab.store.documents`).
Documents without it were written by earlier versions."""


class Document(BaseModel):
    """A value that is stored as JSON, or a part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    SCHEMA: ClassVar[int] = 1
    """Written as `schema` into every stored document of this kind, see `stored_form`. It is increased when a reader of
    the old form could not understand the new one; a new field with a default does not increase it."""

    def canonical_json(self) -> str:
        """Unique JSON text of this document: keys sorted, no spaces, so equal documents have equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> Digest:
        """Digest of the canonical JSON."""
        return digest_of(self.model_dump(mode="json"))

    def written(self) -> dict[str, Any]:
        """Fields with which the document was written, without fields that were added later with a default.

        Reports show this form, so the report of an old experiment stays unchanged.
        """
        return self.model_dump(mode="json", exclude_unset=True)

    def stored_form(self) -> dict[str, Any]:
        """The document as stored: its fields and the schema number of its kind."""
        return {"schema": self.SCHEMA} | self.model_dump(mode="json")

    @classmethod
    def from_stored(cls, form: Any) -> Self:
        """Read the result of `stored_form`, also of an earlier schema; a checksum beside it is not compared here.

        Raises SchemaError if it was written by 0.1.0 or by a newer version, ValidationError if it is damaged.
        """
        if not isinstance(form, dict):
            return cls.model_validate(form)
        fields = dict(form)
        schema = fields.pop("schema", None)
        fields.pop(CHECKSUM, None)
        if schema is None:
            raise SchemaError(
                f"{cls.__name__} without a schema number: written by lesionlab 0.1.0, whose stores this version does "
                "not read; preprocess the data again into a new store, or read it with 0.1.0"
            )
        if not isinstance(schema, int) or isinstance(schema, bool) or schema < 1:
            raise SchemaError(f"{cls.__name__}: schema: wanted a whole number from 1, found {schema!r}")
        if schema > cls.SCHEMA:
            raise _from_the_future(cls, f"schema {schema}")
        try:
            return cls.model_validate(fields)
        except ValidationError as error:
            unknown = [".".join(map(str, fault["loc"])) for fault in error.errors() if fault["type"] == _UNKNOWN]
            if unknown:
                raise _from_the_future(cls, f"unknown fields ({', '.join(unknown)})") from error
            raise


class Named(Document):
    """A document named by its content. The name is stored with it and never recomputed on reading, so a field that is
    added later with a default renames no existing document."""

    id: Digest

    @classmethod
    def named(cls, **fields: Any) -> Self:
        """Create a document with the name that follows from its fields. Raises ValidationError."""
        draft = cls(id=_UNNAMED, **fields)
        # Every field counts as written, also those with default values: see `Document.written`.
        return cls.model_validate(draft.model_dump(mode="json") | {"id": draft.name_digest()})

    def changed(self, **fields: Any) -> Self:
        """Copy the document with some fields changed, under its own new name."""
        own = {name: getattr(self, name) for name in type(self).model_fields if name != "id"}
        return self.named(**own | fields)

    def name_digest(self) -> Digest:
        """Name of a new document with these fields: the digest of all of them."""
        return digest_of(self.named_form(self.model_dump(mode="json")))

    @classmethod
    def named_form(cls, form: Mapping[str, Any]) -> dict[str, Any]:
        """What of a stored form the name is the digest of."""
        return {name: value for name, value in form.items() if name not in ("id", "schema")}


class SchemaError(ValueError):
    """A stored document has a version that this code cannot read."""


_UNNAMED = "0" * 16
_UNKNOWN = "extra_forbidden"
"""pydantic's error type for a field that the model does not have."""


def _from_the_future(kind: type[Document], found: str) -> SchemaError:
    return SchemaError(
        f"{kind.__name__} with {found}, this version reads schema {kind.SCHEMA}: written by a newer lesionlab; "
        "upgrade lesionlab"
    )


class OneText(Document, ABC):
    """A small document that also has one text: a column of a table holds the text, and reading gives the document."""

    @abstractmethod
    def text(self) -> str:
        """The one text of this value."""

    @classmethod
    @abstractmethod
    def fields_of(cls, text: str) -> dict[str, Any]:
        """The fields that the text says. Raises ValueError where it is not the text of such a value."""

    @model_validator(mode="before")
    @classmethod
    def _read_text(cls, value: Any) -> Any:
        return cls.fields_of(value) if isinstance(value, str) else value


class Pointer(Document):
    """A small movable object (`current.json`, `champion.json`) that names an immutable one."""

    target: Digest


def label_of(study: StudyId) -> StudyLabel:
    """The label that a study has at its own site."""
    return study.rpartition("/")[2]


def file_stem(study: StudyId) -> str:
    """A study as the name of one file: `north_sub-012_ses-01`; two studies never have the same."""
    return study.replace("/", "_")


def bids_stem(study: StudyId) -> str:
    """A study in BIDS entities, its site in the subject's label: `sub-northX012_ses-01`.

    A site has lower-case letters only, so the capital letters that stand for what BIDS does not allow are unambiguous.
    """
    site, _, label = study.rpartition("/")
    prefix = site.replace("-", "D").replace("_", "U").replace(".", "P")
    return label.replace("sub-", f"sub-{prefix}X", 1) if site else label


def canonical_json(value: Any) -> str:
    """Unique JSON text of plain values (dict, list, str, number, bool, None)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> Digest:
    """First 16 hexadecimal digits of the sha256 of the canonical JSON of plain values."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


def as_columns(row: Document) -> dict[str, Any]:
    """The row as plain values by column: a document that has one text is that text."""
    return {name: value.text() if isinstance(value, OneText) else value for name, value in row}
