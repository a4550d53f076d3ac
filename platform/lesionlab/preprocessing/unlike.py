"""Note what suggests that an image is not of the kind that a task reads: by its name, its values and its extent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from lesionlab.imaging.intensity import few_values
from lesionlab.imaging.tissue import LEAST_SPREAD, Look, look_of
from lesionlab.imaging.volume import Volume
from storage_schemas.cohorts import Stripping
from storage_schemas.tasks import ScanInput

LEAST_EXTENT_MM = 60.0
"""A head measures more along each axis; one slice, or a slab through the lesions, does not."""

T1_FROM = 0.03
"""`white_over_grey` from which a scan is a T1: in the middle between real FLAIR (up to 0.020) and T1 (from 0.041)."""

_CONTRASTS = {
    "FLAIR": r"flair|t2f",
    "T1w": r"t1w?|t1n|mprage|mp2rage|t1ce|t1c|t1gd|ce",
    "T2w": r"t2w?",
    "PDw": r"pdw?",
    "dwi": r"dwi|adc|trace",
    "bold": r"bold",
}
_NO_SCAN = r"mask|seg|dseg|label|lesions?|probseg|gt"
_WORD = re.compile(r"[a-z0-9]+")


def unlike_notes(
    name: str, image: Volume, scan: ScanInput, strip: Stripping | None = None, *, stripping: bool = False
) -> Iterator[str]:
    """What to tell the user of an image, by the name of its file, its values and its extent; nothing if all fits.

    `strip`: how the model's training images became skull-stripped; `stripping`: the skull will be removed.
    """
    words = _WORD.findall(re.sub(r"\.nii(\.gz)?$", "", name.lower()))
    # `flair_space-T1w` and `T2_FLAIR` name two contrasts; one that fits is enough.
    named = [kind for word in words for kind, known in _CONTRASTS.items() if re.fullmatch(known, word)]
    if scan.suffix in _CONTRASTS and named and scan.suffix not in named:
        yield f"its name says {named[-1]}, but the model was trained on {scan.suffix}"
    values = few_values(image.voxels)
    if values:
        yield f"it has {values} different values, as a mask or a label map; the model was trained on scans"
    elif words and re.fullmatch(_NO_SCAN, words[-1]):
        yield f"its name says {words[-1]}; the model was trained on scans"
    extent_mm = [count * mm for count, mm in zip(image.voxels.shape, image.spacing_mm, strict=True)]
    if min(extent_mm) < LEAST_EXTENT_MM:
        slices = image.voxels.shape[int(np.argmin(extent_mm))]
        yield (
            f"it is {min(extent_mm):.0f} mm thick ({slices} slice{'s' * (slices != 1)}); the model was trained on "
            "whole heads"
        )
    elif not values and (look := look_of(image)):
        yield from _notes_of_look(look, scan, strip, stripping=stripping)


def _notes_of_look(look: Look, scan: ScanInput, strip: Stripping | None, *, stripping: bool) -> Iterator[str]:
    """What the grey values show that the training images did not."""
    if look.spread < LEAST_SPREAD:
        yield "its soft tissue has almost one value, as in a CT; the model was trained on MR scans"
        return
    if strip == "already" and look.skull and not stripping:
        yield "it shows a skull; the model was trained on scans without one: remove it first, or by --strip"
    if look.white_over_grey is None:
        return
    is_t1 = look.white_over_grey >= T1_FROM
    if scan.suffix == "FLAIR" and is_t1:
        yield "its white matter is brighter than its grey matter, as in a T1; the model was trained on FLAIR"
    elif scan.suffix == "T1w" and not is_t1:
        yield "its white matter is not brighter than its grey matter, as it is in the T1 that the model was trained on"
