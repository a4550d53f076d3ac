"""Remove the skull: find the brain in a study's native image, and check that no lesion is lost with the rest.

i j k native voxels, I J K voxels of the model grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from lesionlab.errors import ImageError, StudyRefused
from lesionlab.imaging.deepbet import deepbet_mask
from lesionlab.imaging.intensity import HeadMask, head_mask
from lesionlab.imaging.resample import resample_linear
from lesionlab.imaging.volume import Mask, Volume
from storage_schemas.cohorts import Stripper
from storage_schemas.verdicts import Finding
from storage_schemas.volumes import Grid

FindBrain = Callable[[Volume], Mask]
"""Find the brain in an image of a head: a mask (0 and 1) on its grid. Raises ImageError if there is none."""

STRIPPERS: Mapping[Stripper, FindBrain] = {"deepbet": deepbet_mask}

LEAST_SHARE = 0.15
"""Minimum volume of the brain as a fraction of the head, which may include neck: it is 0.6 in two raw FLAIR scans, and
near 1 in stripped ones."""
MOST_LOST = 0.05
"""Maximum fraction of lesion voxels outside the brain. Lesions touch the brain's border, so a few may lie outside."""


def brain_of(image: Volume, find_brain: FindBrain, place: str) -> Mask:
    """The brain in an image, on its grid. Raises StudyRefused if there is none, or it is too small for the head."""
    try:
        brain_ijk, head_ijk = find_brain(image), head_mask(image.voxels)
    except ImageError as error:
        raise StudyRefused([Finding(code=error.code, place=place, what=str(error))]) from error
    share = int(np.count_nonzero(brain_ijk)) / int(np.count_nonzero(head_ijk))
    if share < LEAST_SHARE:
        what = (
            f"wanted a brain of at least {LEAST_SHARE:.0%} of the head, found {share:.0%}; the skull could not be "
            "removed: check the image's orientation, strip it with another program, or exclude the study"
        )
        raise StudyRefused([Finding(code="strip-failed", place=place, what=what)])
    return brain_ijk


def brain_on(grid: Grid, brain_ijk: Mask, native: Grid) -> HeadMask:
    """The brain on the model grid, I J K: what is at least half brain."""
    return np.asarray(resample_linear(brain_ijk.astype(np.float32), native, grid, outside=0.0) >= 0.5)


def lost_lesions(brain_ijk: Mask, reference_ijk: Mask, *, accepted: bool) -> tuple[Finding, ...]:
    """A finding if lesion voxels lie outside the brain; it refuses the study if many do and nobody accepted that."""
    lesion = int(np.count_nonzero(reference_ijk))
    lost = int(np.count_nonzero((reference_ijk > 0) & (brain_ijk == 0)))
    if not lost:
        return ()
    found = f"found {lost} of {lesion} lesion voxels outside the brain"
    if lost <= MOST_LOST * lesion or accepted:
        what = f"{found} after the skull was removed; look at its picture"
        return (Finding(code="strip-doubtful", place="mask", what=what, repaired=True),)
    what = (
        f"wanted the lesions in the brain, {found}; the skull was not removed correctly: if its picture shows that it "
        "was, accept the study with --accept STUDY"
    )
    return (Finding(code="strip-failed", place="mask", what=what),)
