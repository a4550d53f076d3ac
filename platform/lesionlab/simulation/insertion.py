"""Insert lesions of known size and contrast where an image has none; the simulator's painter draws them.

Array axes: I J K voxels of the model grid (isotropic, RAS up to the scan's obliqueness).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.errors import ImageError
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.volume import Matrix
from lesionlab.simulation.frames import Floats, View
from lesionlab.simulation.frames import Grid as ViewGrid
from lesionlab.simulation.lesions import Findings, Mask, Spot, paint
from lesionlab.simulation.subject import Tissues
from storage_schemas.grading import CONTRASTS, DIAMETERS_MM, Height, Region

DEEP_MM = 12.0
"""Least depth of a lesion's centre under the head's surface: scalp and skull are about that thick."""

GAP_MM = 8.0
"""Least distance between the surfaces of two lesions, inserted or drawn by the reader."""

SMOOTH_MM = 1.5
"""Noise is smoothed by this much before tissue is judged."""

ALIKE = 1.5
"""A place is homogeneous tissue if its mean is within so many robust SDs of the median of all deep voxels, and its own
SD is below as many."""


@dataclass(frozen=True)
class Inserted:
    """One inserted lesion."""

    diameter_mm: float
    contrast: float
    centre_mm: tuple[float, float, float]
    """World space of the model grid, RAS+."""
    height: Height
    region: Region


@dataclass(frozen=True, eq=False)
class Insertion:
    """An image with inserted lesions, and their mask."""

    image_IJK: NDArray[np.float32]
    mask_IJK: Mask
    lesions: tuple[Inserted, ...]
    left_out: int
    """Lesions for which there was no room."""


def insert_lesions(
    image_IJK: NDArray[np.floating], drawn_IJK: NDArray[np.uint8], affine: Matrix, rng: np.random.Generator
) -> Insertion:
    """Insert one lesion of each diameter and contrast, far from each other and from every lesion that was drawn.

    `image_IJK` is z-scored over the head, `drawn_IJK` is the reference mask. Largest lesions are placed first. Places
    depend on image, mask and generator alone, so every model is tested on the same lesions.
    """
    image = np.asarray(image_IJK, dtype=np.float32)
    spacing_mm = float(np.linalg.norm(affine[:3, 0]))
    room = _room(image, drawn_IJK, spacing_mm)
    if room is None:
        return Insertion(image, np.zeros(image.shape, dtype=bool), (), len(DIAMETERS_MM) * len(CONTRASTS))
    spots: list[Spot] = []
    lesions: list[Inserted] = []
    wanted = list(product(DIAMETERS_MM[::-1], CONTRASTS))
    for diameter_mm, contrast in wanted:
        voxel = room.take(diameter_mm, rng)
        if voxel is None:
            continue
        x, y, z = (affine @ [*voxel, 1.0])[:3].tolist()
        spots.append(_spot((x, y, z), diameter_mm, contrast, rng))
        lesions.append(Inserted(diameter_mm, contrast, (x, y, z), room.height(voxel), room.region(voxel)))
    painted = paint(Findings(tuple(spots)), _white(image.shape), _view(image.shape, affine), (1, 1, 1))
    return Insertion(image + painted.flair_gain_ijk, painted.lesion_IJK, tuple(lesions), len(wanted) - len(lesions))


@dataclass
class _Room:
    """Where lesions fit; taking a place closes the places around it."""

    depth_mm: Floats
    clear_mm: Floats
    """Distance to the nearest lesion, drawn or inserted."""
    smooth_IJK: Floats
    spacing_mm: float
    typical: float
    spread: float
    bottom: int
    third: float
    """First plane of the head, and a third of its height, in voxels."""
    alike: dict[int, Mask] = field(default_factory=dict)

    def take(self, diameter_mm: float, rng: np.random.Generator) -> tuple[int, int, int] | None:
        """A random place, or None if there is none."""
        radius_mm = diameter_mm / 2
        gap_mm = max(GAP_MM, 3 * self.spacing_mm)
        free = (self.depth_mm >= DEEP_MM + radius_mm) & (self.clear_mm >= radius_mm + gap_mm)
        free &= self._alike(max(1, round(diameter_mm / self.spacing_mm)) + 2)
        places = np.flatnonzero(free)
        if not places.size:
            return None
        i, j, k = (int(v) for v in np.unravel_index(int(rng.choice(places)), free.shape))
        offsets = np.ogrid[tuple(slice(0, n) for n in free.shape)]
        apart = np.sqrt(sum((axis - at) ** 2 for axis, at in zip(offsets, (i, j, k), strict=True))) * self.spacing_mm
        np.minimum(self.clear_mm, apart - radius_mm, out=self.clear_mm)
        return i, j, k

    def _alike(self, edge: int) -> Mask:
        """Whether the cube of so many voxels around each voxel is homogeneous tissue of the usual brightness."""
        if edge in self.alike:
            return self.alike[edge]
        mean = ndimage.uniform_filter(self.smooth_IJK, edge)
        square = ndimage.uniform_filter(self.smooth_IJK**2, edge)
        near: Mask = np.abs(mean - self.typical) <= ALIKE * self.spread
        self.alike[edge] = near & (square - mean**2 <= (ALIKE * self.spread) ** 2)
        return self.alike[edge]

    def height(self, voxel: tuple[int, int, int]) -> Height:
        heights: tuple[Height, ...] = ("lower", "middle", "upper")
        return heights[min(2, max(0, int((voxel[2] - self.bottom) / self.third)))]

    def region(self, voxel: tuple[int, int, int]) -> Region:
        return "central" if self.depth_mm[voxel] >= self.depth_mm.max() / 2 else "peripheral"


def _room(image: NDArray[np.float32], drawn_IJK: NDArray[np.uint8], spacing_mm: float) -> _Room | None:
    """None if the image has no voxel deep enough under a head's surface."""
    try:
        head = head_mask(image)
    except ImageError:
        return None
    # The stored box ends at the head: beyond it is air too.
    depth_mm = ndimage.distance_transform_edt(np.pad(head, 1))[1:-1, 1:-1, 1:-1].astype(np.float32) * spacing_mm
    deep = depth_mm >= DEEP_MM
    if not deep.any():
        return None
    smooth = ndimage.gaussian_filter(image, SMOOTH_MM / spacing_mm)
    typical = float(np.median(smooth[deep]))
    spread = 1.4826 * float(np.median(np.abs(smooth[deep] - typical)))
    far = np.full(image.shape, np.inf, dtype=np.float32)
    clear = ndimage.distance_transform_edt(drawn_IJK == 0).astype(np.float32) * spacing_mm if drawn_IJK.any() else far
    planes = np.flatnonzero(head.any(axis=(0, 1)))
    height = int(planes[-1] - planes[0] + 1)
    return _Room(depth_mm, clear, smooth, spacing_mm, typical, spread, int(planes[0]), height / 3)


def _spot(centre_mm: Sequence[float], diameter_mm: float, contrast: float, rng: np.random.Generator) -> Spot:
    """A ball with the bumpy surface of the simulator's lesions."""
    return Spot(
        centre_S_mm=np.array(centre_mm, dtype=np.float32),
        axes=np.eye(3, dtype=np.float32),
        radii_mm=np.full(3, diameter_mm / 2, dtype=np.float32),
        bumps=rng.normal(0, 2.5, (3, 3)).astype(np.float32),
        flair_gain=contrast,
        t1_loss=0.0,
    )


def _view(shape: tuple[int, ...], affine: Matrix) -> View:
    i, j, k = shape
    return View(ViewGrid((i, j, k), np.asarray(affine, dtype=np.float64)), np.eye(4))


def _white(shape: tuple[int, ...]) -> Tissues:
    """White matter everywhere: places were chosen in the image itself."""
    ones, none = np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    return Tissues(
        grey=none,
        white=ones,
        csf=none,
        detail=none,
        ventricle_mm=none,
        outside_mm=none,
        stripped=none > 0,
        points_T_mm=np.broadcast_to(none, (3, *shape)),
    )
