"""What every stored document shares: it is frozen, knows no unknown fields, and has one canonical form to hash.

Enters: Python values. Leaves: validated documents, their canonical JSON and its digest.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
"""A name that a person gives: lower case, fit for an object key, a file name and a Kubernetes label."""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
"""First 16 hexadecimal digits of a sha256: names immutable things in keys."""

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A whole sha256: proves that bytes are the ones that were meant."""

StudyId = Annotated[str, StringConstraints(pattern=r"^sub-[A-Za-z0-9]+(_ses-[A-Za-z0-9]+)?$")]
"""One study in BIDS entities: `sub-012_ses-01`, or `sub-012` where the dataset has no sessions."""


class Document(BaseModel):
    """A value that lies in the store as JSON, or is part of one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def canonical_json(self) -> str:
        """The one text of this document: keys sorted, no spaces, so that equal documents are equal bytes."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> Digest:
        """Digest of the canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


class Pointer(Document):
    """A small movable object (`current.json`, `champion.json`) that names an immutable one."""

    target: Digest


def canonical_json(value: Any) -> str:
    """The one JSON text of plain values (dict, list, str, number, bool, None)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: Any) -> Digest:
    """First 16 hexadecimal digits of the sha256 of the canonical JSON of plain values."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]
