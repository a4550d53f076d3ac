"""Describe which version of a model is in use, and the decision that put it there.

A version that is registered is a candidate. The champion is what a name without a version means. Each decision names
the one before it, so the decisions of a name are a chain: one that is changed or missing is found.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from storage_schemas.base import Digest, Named, Pointer, Sha256, Slug
from storage_schemas.rules import GateOutcome

DecisionKind = Literal["promotion", "rollback"]


class Champion(Pointer):
    """The pointer of a model's name: the version in use, and the decision that made it so."""

    decision: Digest | None = None
    """None: an earlier version of lesionlab moved the pointer by itself, and left no decision."""


class Decision(Named):
    """Why a version of a model is in use from now on; written once, and never changed."""

    model: Slug
    number: Annotated[int, Field(ge=1)]
    """From 1, without a gap."""
    before: Digest | None
    """The decision before; None: this is the first."""
    kind: DecisionKind
    champion: Digest
    """The version that is in use from now on."""
    weights_sha256: Sha256
    """Of this version, from its card."""
    replaced: Digest | None
    """The version that was in use before; None: none was."""
    reason: Annotated[str, Field(min_length=1)]
    gate: GateOutcome | None = None
    """What the look found by which it was promoted; None: by hand, as the first version, without a rule, or back."""
    by: str
    """`user@host` of who decided."""
    at: str
    """By that host's clock, ISO 8601 in UTC; the order of decisions is that of their numbers."""
