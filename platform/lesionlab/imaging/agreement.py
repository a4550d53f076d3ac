"""Two images of one head on one grid in; how well they agree, in numbers that no contrast decides, out."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lesionlab.imaging.intensity import HeadMask, head_mask
from lesionlab.imaging.volume import Image

EDGE_MM = 2.0
"""SD of the Gaussian that edges are looked for with: the same for every spacing, so that numbers can be compared."""


def edge_correlation(one_IJK: Image, other_IJK: Image, inside_IJK: HeadMask, spacing_mm: float) -> float:
    """Pearson's correlation of the two images' edge strengths over the marked voxels, where both have data (not NaN).

    Tissues differ in brightness before and after gadolinium, between scanners, and where a tumour enhances; where they
    end they end in both images. On real scans, at 1 to 3 mm: 0.87 and more where two images of one head lie together,
    whatever their contrasts (their values' correlation goes down to 0.18); 0.66 and less for two patients' heads. What
    one image does not show is not counted here: that is the overlap's business. 0 where nothing can agree.
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
    """Length of the gradient of the smoothed image; NaN as far around missing data as the smoothing reaches."""
    known_IJK = np.isfinite(voxels_IJK)
    edges_IJK: Image = ndimage.gaussian_gradient_magnitude(np.nan_to_num(voxels_IJK), EDGE_MM / spacing_mm)
    if not known_IJK.all():
        reach = math.ceil(3 * EDGE_MM / spacing_mm)
        edges_IJK[~ndimage.binary_erosion(known_IJK, iterations=reach, border_value=1)] = np.nan
    return edges_IJK


def head_overlap(head_IJK: HeadMask, other_IJK: Image) -> float:
    """Dice of a head and that of another image; 0 where nothing of that image is left in the grid."""
    if not (other_IJK > 0).any():
        return 0.0
    other_head_IJK = head_mask(other_IJK)
    common = int(np.count_nonzero(head_IJK & other_head_IJK))
    return 2 * common / int(np.count_nonzero(head_IJK) + np.count_nonzero(other_head_IJK))
