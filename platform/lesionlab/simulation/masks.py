"""Lesion fractions of voxels in; fractions that show each lesion once and apart, and the masks made from them, out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.imaging.lesions import label_lesions
from lesionlab.simulation.anatomy import Map
from lesionlab.simulation.head import Head

FAINT = np.float32(0.45)
"""Fraction left where a voxel gives way: just not lesion."""
LEAST = np.float32(0.6)
"""Fraction given to the best voxel of a lesion that would fall below a half everywhere."""
USUAL_BRIGHTNESS = np.float32(0.7)


def settle(head: Head) -> Head:
    """The head with lesion fractions such that `fraction >= 0.5` shows each lesion once and apart from all others.

    A voxel between two lesions, or in a splinter of one, gives way; the best voxel of a lesion lost that way is raised.
    Signal and mask are made from the same fractions, so that they agree.
    """
    ids, fraction = head.lesion_ids, head.parts["fraction"]
    ids_ijk = _largest_parts(_apart(head.dense(np.where(fraction >= 0.5, ids, 0).astype(np.int16))))
    settled = np.where((fraction >= 0.5) & (_at(head, ids_ijk) == 0), FAINT, fraction)
    for lesion in np.setdiff1d(ids, np.append(ids_ijk, 0)):
        crowded = _at(head, ndimage.maximum_filter(ids_ijk, size=3)) > 0
        candidates = np.flatnonzero(ids == lesion)
        best = candidates[(fraction[candidates] - 2 * crowded[candidates]).argmax()]
        settled[best] = LEAST
        ids_ijk.reshape(-1)[head.inside[best]] = lesion
    return replace(head, parts={**head.parts, **_rescaled(head, settled.astype(np.float32))})


def mask(head: Head, part: str) -> NDArray[np.uint8]:
    """1 where the part fills at least half of the voxel, i × j × k."""
    return head.dense((head.parts[part] >= 0.5).astype(np.uint8))


def _rescaled(head: Head, settled: Map) -> dict[str, Map]:
    """What lesions consist of, changed with their fraction; every enhancing one keeps an enhancing voxel."""
    before = head.parts["fraction"]
    some = before > 1e-3
    factor = np.where(some, settled / np.where(some, before, 1), 1).astype(np.float32)
    parts = {name: head.parts[name] * factor for name in ("excess", "enhancing", "fluid")}
    parts["excess"] = np.where(some, parts["excess"], settled * USUAL_BRIGHTNESS)
    enhancing = np.where(settled >= 0.5, parts["enhancing"], np.minimum(parts["enhancing"], FAINT))
    for lesion in np.unique(head.lesion_ids[parts["enhancing"] > 0.02]):
        shown = np.flatnonzero((head.lesion_ids == lesion) & (settled >= 0.5))
        if shown.size and (enhancing[shown] < 0.5).all():
            enhancing[shown[enhancing[shown].argmax()]] = LEAST
    return {"fraction": settled, **parts, "enhancing": enhancing}


def _at(head: Head, grid_ijk: NDArray[np.int16]) -> NDArray[np.int16]:
    return grid_ijk.reshape(-1)[head.inside]


def _largest_parts(ids_ijk: NDArray[np.int16]) -> NDArray[np.int16]:
    """Only the largest component of each lesion."""
    kept = np.zeros_like(ids_ijk)
    for lesion, box in enumerate(ndimage.find_objects(ids_ijk), start=1):
        if box is None:
            continue
        components = label_lesions(ids_ijk[box] == lesion).ids_IJK
        largest = np.bincount(components[components > 0]).argmax()
        kept[box][components == largest] = lesion
    return kept


def _apart(ids_ijk: NDArray[np.int16]) -> NDArray[np.int16]:
    """Without the voxels that touch a lesion of a higher number (26-neighbourhood)."""
    return np.where(ndimage.maximum_filter(ids_ijk, size=3) > ids_ijk, np.int16(0), ids_ijk)
