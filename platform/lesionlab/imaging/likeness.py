"""Describe images and a mask so that copies are recognised: reoriented, rescaled, mirrored, cropped or retouched.

i j k native voxel axes; I J K the same voxels with axes nearest to R A S; a b c cells of the fingerprint's lattice.
"""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any, Literal, NamedTuple

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.intensity import HeadMask
from lesionlab.imaging.volume import Matrix, Volume
from storage_schemas.base import Sha256
from storage_schemas.manifests import Likeness

EDGE = 21
"""Cells along each edge of the lattice; odd, so that every other cell (as on a chessboard) stays so when flipped."""
REACH = 1.8
"""Distance from the head's centre to the end of the lattice along each axis, in RMS distances of the head's voxels from
its centre; a uniform ellipsoid ends at 2.24. Less is less sensitive to what a crop removes."""
FINE, COARSE = 0.5, 1.0
"""SD of the two Gaussians, in cells, whose difference is the detail at a cell: 4 to 15 mm in the head of an adult."""
FEWEST_TEXTURED = 0.5
"""Minimum fraction of cells with any detail; a head of one grey value has no fingerprint."""
NO_DETAIL = 1e-6
"""Detail below this fraction of the head's range of intensities is rounding error."""
COPY_AGREEMENT = 0.9
"""Minimum fraction of equal signs of two fingerprints of one image.

Copies have at least 0.94: one voxel or one 4 mm slice cropped, one voxel replaced, mirrored, stored as uint8, noise
with an SD of 10 % of the bright tissue's. Different patients have at most 0.71 (FLAIR and T1 of 8 real patients) and at
most 0.80 (52 simulated patients of one template, 1,326 pairs). Two visits of one real patient have 0.86 and 0.93.
"""
LEAST_MASK_VOXELS = 100
"""A smaller mask may equal another patient's by chance, after both are moved to the same place."""
BLOCK = 512
"""Studies compared with all others at once: 10,000 studies then need 200 MB."""

Signs = NDArray[np.float32]
CopyOf = Literal["image", "mask"]
FLIPS = tuple(product((1, -1), repeat=3))


class Copy(NamedTuple):
    """Two studies of which one is likely a copy of the other."""

    first: int
    second: int
    of: CopyOf


def describe(images: Mapping[str, Volume], heads: Mapping[str, HeadMask], reference: Volume) -> Likeness:
    """Describe one study's images, sorted by role, and its reference mask."""
    images = dict(sorted(images.items()))
    prints = [fingerprint(image, heads[role]) for role, image in images.items()]
    return Likeness(
        canonical_sha256=tuple(canonical_sha256(image) for image in images.values()),
        mask_sha256=mask_sha256(reference),
        fingerprints=tuple(text for text in prints if text),
    )


def canonical_sha256(image: Volume) -> Sha256:
    """Digest of shape and ranked intensities: the same for every storage order of the voxels, every mirror image, every
    data type and every strictly increasing map of the intensities (scale, offset, gamma) that merges no two of them.

    Rounding may merge neighbouring values of an interpolated float image; its rescaled copy is then a likely one.
    """
    voxels_IJK = _canonical(image.voxels, image.affine)
    ranks_IJK = np.searchsorted(np.unique(voxels_IJK), voxels_IJK).astype("<u4")
    return _mirrorless_sha256(ranks_IJK)


def mask_sha256(mask: Volume) -> Sha256 | None:
    """Digest of the mask inside its bounding box, as `canonical_sha256`; None if it has few voxels."""
    if np.count_nonzero(mask.voxels) < LEAST_MASK_VOXELS:
        return None
    mask_IJK = _canonical(mask.voxels, mask.affine)
    sides = [np.flatnonzero(mask_IJK.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return _mirrorless_sha256(mask_IJK[tuple(slice(side[0], side[-1] + 1) for side in sides)])


def fingerprint(image: Volume, head_ijk: HeadMask) -> str:
    """Base64 of one bit per lattice cell: is the head brighter there than in the neighbourhood? Empty without texture.

    The lattice is fixed to the head's centre and scaled by its RMS extent along each axis, so a crop or shift hardly
    moves it. Intensities are clipped to the head's 1st and 99th percentile, so a damaged voxel hardly counts.
    """
    voxels_IJK, head_IJK = (_canonical(array, image.affine).astype(np.float64) for array in (image.voxels, head_ijk))
    dark, bright = np.percentile(voxels_IJK[head_IJK > 0], (1, 99))
    if bright <= dark:
        return ""
    inside_IJK = np.clip((voxels_IJK - dark) / (bright - dark), 0, 1) * head_IJK
    fine, coarse = (_cell_weights(head_IJK, sd) for sd in (FINE, COARSE))
    detail_abc = _mean_inside(inside_IJK, head_IJK, fine) - _mean_inside(inside_IJK, head_IJK, coarse)
    detail = detail_abc[_lattice()]
    if np.mean(np.abs(detail) > NO_DETAIL) < FEWEST_TEXTURED:
        return ""
    return base64.b64encode(np.packbits(detail > 0).tobytes()).decode()


def find_copies(first: Sequence[Likeness], second: Sequence[Likeness]) -> list[Copy]:
    """Pairs of one study of `first` and one of `second`, by position, that have a likely copy of an image or a mask.

    Images are compared in all eight mirror images, by matrix products of all fingerprints.
    """
    masks: defaultdict[Sha256 | None, list[int]] = defaultdict(list)
    for there, other in enumerate(second):
        masks[other.mask_sha256].append(there)
    found = {
        Copy(here, there, "mask")
        for here, one in enumerate(first)
        if one.mask_sha256 is not None
        for there in masks.get(one.mask_sha256, ())
    }
    (mine, owners), (theirs, others) = _signs(first), _signs(second)
    for start, stop in _blocks(len(mine)):
        for flip in _flips():
            agreement = (mine[start:stop, flip] @ theirs.T / len(flip) + 1) / 2
            for row, column in np.argwhere(agreement >= COPY_AGREEMENT):
                found.add(Copy(owners[start + row], others[column], "image"))
    return sorted(found)


def _blocks(count: int) -> Iterator[tuple[int, int]]:
    for start in range(0, count, BLOCK):
        yield start, min(start + BLOCK, count)


def _signs(studies: Sequence[Likeness]) -> tuple[Signs, list[int]]:
    """Every fingerprint as a row of -1 and 1, and the position of the study that has it."""
    owners = [place for place, study in enumerate(studies) for _ in study.fingerprints]
    cells = int(_lattice().sum())
    packed = [np.frombuffer(base64.b64decode(text), np.uint8) for study in studies for text in study.fingerprints]
    bits = np.unpackbits(np.array(packed, np.uint8).reshape(len(packed), -(-cells // 8)), axis=1, count=cells)
    return bits.astype(np.float32) * 2 - 1, owners


@cache
def _lattice() -> NDArray[np.bool_]:
    """Cells of the fingerprint: every other cell of the ball that fits into the cube."""
    steps = np.indices((EDGE, EDGE, EDGE)) - EDGE // 2
    in_ball, every_other = ((steps / (EDGE / 2)) ** 2).sum(axis=0) <= 1, steps.sum(axis=0) % 2 == 0
    return np.asarray(in_ball & every_other, dtype=np.bool_)


@cache
def _flips() -> tuple[NDArray[np.intp], ...]:
    """For each mirror image of the lattice, the order of its cells."""
    lattice = _lattice()
    places_abc = np.zeros(lattice.shape, dtype=np.intp)
    places_abc[lattice] = np.arange(lattice.sum())
    return tuple(places_abc[tuple(slice(None, None, step) for step in flip)][lattice] for flip in FLIPS)


def _canonical(voxels_ijk: NDArray[Any], affine: Matrix) -> NDArray[Any]:
    """The voxels with axes nearest to R A S."""
    return np.asarray(nib.orientations.apply_orientation(voxels_ijk, nib.io_orientation(affine)))


def _mirrorless_sha256(values_IJK: NDArray[Any]) -> Sha256:
    """The same digest for all mirror images: each axis runs in the direction in which the sums of its planes come first
    in order."""
    for axis in range(3):
        sums = values_IJK.sum(axis=tuple({0, 1, 2} - {axis}), dtype=np.int64).tolist()
        if sums[::-1] < sums:
            values_IJK = np.flip(values_IJK, axis)
    sha = hashlib.sha256(repr(values_IJK.shape).encode())
    sha.update(np.ascontiguousarray(values_IJK).data)
    return sha.hexdigest()


def _cell_weights(head_IJK: Matrix, sd_cells: float) -> list[Matrix]:
    """For each axis, the Gaussian weight of each voxel in each cell, (EDGE, voxels)."""
    weights = []
    for axis in range(3):
        profile = head_IJK.sum(axis=tuple({0, 1, 2} - {axis}))
        places = np.arange(profile.size)
        centre = np.average(places, weights=profile)
        reach = REACH * max(np.sqrt(np.average((places - centre) ** 2, weights=profile)), 0.5)
        cells = centre + reach * ((np.arange(EDGE) + 0.5) / EDGE * 2 - 1)
        # Below a third of a voxel no voxel would be near some cells.
        sd = max(sd_cells * 2 * reach / EDGE, 0.35)
        weights.append(np.exp(-0.5 * ((places - cells[:, None]) / sd) ** 2))
    return weights


def _mean_inside(inside_IJK: Matrix, head_IJK: Matrix, weights: Sequence[Matrix]) -> Matrix:
    """Weighted mean over the head's voxels around each cell, (EDGE, EDGE, EDGE); near 0 far from the head."""
    total_abc, weight_abc = (
        np.einsum("ijk,ai,bj,ck->abc", values, *weights, optimize=["einsum_path", (0, 1), (0, 2), (0, 1)])
        for values in (inside_IJK, head_IJK)
    )
    return np.asarray(total_abc / (weight_abc + 1e-3))
