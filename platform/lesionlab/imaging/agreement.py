"""Measure the alignment of two images of one head on one grid, independent of their contrasts."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lesionlab.imaging.intensity import HeadMask, head_mask
from lesionlab.imaging.volume import Image

EDGE_MM = 2.0
"""SD of the Gaussian used for edge detection: the same for every spacing, so that correlations are comparable."""


def edge_correlation(one_IJK: Image, other_IJK: Image, inside_IJK: HeadMask, spacing_mm: float) -> float:
    """Pearson correlation of the two images' edge strengths inside the mask, where both have data (not NaN).

    Tissue brightness changes with gadolinium, between scanners and in enhancing tumours, but tissue boundaries are the
    same in both images. On real scans at 1 to 3 mm the correlation is at least 0.87 for two aligned images of one head,
    whatever their contrasts (the correlation of their values can be as low as 0.18), and at most 0.66 for the heads of
    two patients. Voxels without data in either image do not count; `head_overlap` covers them. 0 if no voxel has data
    in both images, or one has no edges.
    """
    one_IJK, other_IJK = edge_strength(one_IJK, spacing_mm), edge_strength(other_IJK, spacing_mm)
    both_IJK = inside_IJK & np.isfinite(one_IJK) & np.isfinite(other_IJK)
    if not both_IJK.any():
        return 0.0
    one, other = (edges_IJK[both_IJK].astype(np.float64) for edges_IJK in (one_IJK, other_IJK))
    one, other = one - one.mean(), other - other.mean()
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale else 0.0


def edge_strength(voxels_IJK: Image, spacing_mm: float) -> Image:
    """Gradient magnitude of the smoothed image; NaN within the reach of the smoothing around missing data."""
    known_IJK = np.isfinite(voxels_IJK)
    edges_IJK: Image = ndimage.gaussian_gradient_magnitude(np.nan_to_num(voxels_IJK), EDGE_MM / spacing_mm)
    if not known_IJK.all():
        reach = math.ceil(3 * EDGE_MM / spacing_mm)
        edges_IJK[~ndimage.binary_erosion(known_IJK, iterations=reach, border_value=1)] = np.nan
    return edges_IJK


def head_overlap(head_IJK: HeadMask, other_IJK: Image, air: float) -> float:
    """Dice of a head mask and the head of another image; 0 if that image has no voxel brighter than `air` on the
    grid."""
    if not (other_IJK > air).any():
        return 0.0
    other_head_IJK = head_mask(other_IJK, air)
    common = int(np.count_nonzero(head_IJK & other_head_IJK))
    return 2 * common / int(np.count_nonzero(head_IJK) + np.count_nonzero(other_head_IJK))
