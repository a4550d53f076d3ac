"""Note what suggests that an image is not of the kind that a task reads: by its name, its values and its extent."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from lesionlab.imaging.volume import Volume
from storage_schemas.tasks import ScanInput

FEWEST_VALUES = 16
"""A scan has hundreds of grey values; a mask two, and segmentations of tissue or tumour up to a dozen."""
LEAST_EXTENT_MM = 60.0
"""A head measures more along each axis; one slice, or a slab through the lesions, does not."""

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


def unlike_notes(name: str, image: Volume, scan: ScanInput) -> Iterator[str]:
    """What to tell the user of an image, by the name of its file, its values and its extent; nothing if all fits."""
    words = _WORD.findall(re.sub(r"\.nii(\.gz)?$", "", name.lower()))
    # `flair_space-T1w` and `T2_FLAIR` name two contrasts; one that fits is enough.
    named = [kind for word in words for kind, known in _CONTRASTS.items() if re.fullmatch(known, word)]
    if scan.suffix in _CONTRASTS and named and scan.suffix not in named:
        yield f"its name says {named[-1]}, but the model was trained on {scan.suffix}"
    values = np.unique(image.voxels[np.isfinite(image.voxels)])
    if values.size < FEWEST_VALUES:
        yield f"it has {values.size} different values, as a mask or a label map; the model was trained on scans"
    elif words and re.fullmatch(_NO_SCAN, words[-1]):
        yield f"its name says {words[-1]}; the model was trained on scans"
    extent_mm = [count * mm for count, mm in zip(image.voxels.shape, image.spacing_mm, strict=True)]
    if min(extent_mm) < LEAST_EXTENT_MM:
        slices = image.voxels.shape[int(np.argmin(extent_mm))]
        yield (
            f"it is {min(extent_mm):.0f} mm thick ({slices} slice{'s' * (slices != 1)}); the model was trained on "
            "whole heads"
        )
