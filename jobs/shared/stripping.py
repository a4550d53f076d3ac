"""The choice between whole heads, `--strip` and `--stripped`."""

from __future__ import annotations

from lesionlab.errors import InputError
from lesionlab.imaging.deepbet import require_deepbet
from storage_schemas.cohorts import Stripper, Stripping
from storage_schemas.models import ModelCard


def chosen_stripping(*, strip: bool, stripped: bool) -> Stripping | None:
    """How images become skull-stripped. Raises InputError if both are given, or the stripper is not installed."""
    if strip and stripped:
        raise InputError(
            "--strip, --stripped: wanted images that the skull is removed from, or that come without; found both"
        )
    if strip:
        require_deepbet()
        return "deepbet"
    return "already" if stripped else None


def stripper_for(card: ModelCard, chosen: bool | None) -> Stripper | None:
    """What removes the skull before a model predicts: as chosen, or as was done with its training images.

    Raises InputError if the stripper is not installed.
    """
    if not (card.strip == "deepbet" if chosen is None else chosen):
        return None
    require_deepbet()
    return "deepbet"
