"""Render the lesions of one visit on a view: lesion fraction of each voxel, brightness changes and reference masks.

Frames: S subject mm, W scanner mm. Array axes: i j k finer grid, for composing; I J K written grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.frames import Floats, View, block_mean
from lesionlab.simulation.subject import Tissues

Mask = NDArray[np.bool_]
NEIGHBOURS_26 = np.ones((3, 3, 3), dtype=bool)


@dataclass(frozen=True)
class Spot:
    """A focal lesion: an ellipsoid with a bumpy surface."""

    centre_S_mm: Floats
    axes: Floats
    """Unit vectors of the three semi-axes, one per row."""
    radii_mm: Floats
    bumps: Floats
    """Wave vectors that make the surface bumpy, shape (3, n)."""
    flair_gain: float
    """FLAIR hyperintensity as a fraction of the white-matter signal."""
    t1_loss: float
    enhancing: float = 0.0
    """Enhancement after gadolinium as a fraction of the white-matter signal; 0: does not enhance."""
    ring: bool = False

    @property
    def reach_mm(self) -> float:
        """Bounding radius: no voxel farther than this from the centre belongs to the lesion."""
        return float(self.radii_mm.max()) * 1.3


@dataclass(frozen=True)
class Patch:
    """A large lesion of irregular shape: wherever `level_mm` (subject lattice) is above 0."""

    level_mm: Floats
    tone: Floats
    """Brightness texture on the lattice, SD 1."""
    grey_share: float
    """How strongly cortex and deep grey matter are affected relative to white matter, 0–1."""
    flair_gain: float
    t1_loss: float
    edge_mm: float
    solid: bool = False
    """Replaces all tissue in its place, including fluid."""
    rim_mm: float = 0.0
    """Thickness of the enhancing rim under the surface, around a necrotic core. 0: does not enhance."""
    enhancing: float = 0.0


@dataclass(frozen=True)
class Findings:
    """All lesions of one visit."""

    spots: tuple[Spot, ...] = ()
    patches: tuple[Patch, ...] = ()


@dataclass
class Painting:
    """Rendered lesions of a view: brightness changes on the finer grid, reference masks on the written grid."""

    flair_gain_ijk: Floats
    t1_loss_ijk: Floats
    enhancement_ijk: Floats
    lesion_IJK: Mask
    enhancing_IJK: Mask


def paint(findings: Findings, tissues: Tissues, view: View, factors: tuple[int, int, int]) -> Painting:
    """Render all lesions on a view whose grid splits each written voxel into `factors`.

    A written voxel is lesion if at least half of its volume is lesion. Each spot keeps only its largest connected
    component (26-connectivity), or, if it fills no voxel by half, the voxel with the largest lesion fraction. So every
    spot is exactly one lesion of the mask.
    """
    zeros = np.zeros(view.grid.shape, dtype=np.float32)
    written = tuple(n // f for n, f in zip(view.grid.shape, factors, strict=True))
    painting = Painting(zeros, zeros.copy(), zeros.copy(), np.zeros(written, dtype=bool), np.zeros(written, dtype=bool))
    for patch in findings.patches:
        _paint_patch(patch, tissues, view, factors, painting)
    for spot in findings.spots:
        _paint_spot(spot, tissues, view, factors, painting)
    return painting


def replace_solid(findings: Findings, tissues: Tissues, view: View) -> Tissues:
    """Replace grey matter and fluid by white matter inside solid patches."""
    for patch in findings.patches:
        if patch.solid:
            extent = _extent(patch, view) * np.clip(-tissues.outside_mm, 0, 1)
            grown = (tissues.grey + tissues.csf) * extent
            rest = 1 - extent
            tissues = replace(
                tissues, white=tissues.white + grown, grey=tissues.grey * rest, csf=tissues.csf * rest,
                detail=tissues.detail * rest,
            )  # fmt: skip
    return tissues


def _extent(patch: Patch, view: View) -> Floats:
    extent: Floats = np.clip(0.5 + view.field(patch.level_mm) / patch.edge_mm, 0, 1)
    return extent


def _paint_patch(patch: Patch, tissues: Tissues, view: View, factors: tuple[int, int, int], out: Painting) -> None:
    extent = _extent(patch, view) * (tissues.white + patch.grey_share * tissues.grey)
    tone = 0.2 * view.field(patch.tone)
    gain = patch.flair_gain * extent * (1 + tone)
    if patch.rim_mm:
        # Depth in rim thicknesses: 0 at the surface, 1 where the rim ends. The rim varies far more in thickness than in
        # brightness.
        depth = view.field(patch.level_mm) / (patch.rim_mm * np.clip(1 + 3 * tone, 0.3, 2.0))
        rim = np.clip(2 * depth, 0, 1) * np.clip(3 - 2 * depth, 0, 1)
        gain *= 1 - 0.75 * np.clip(depth - 1, 0, 1)
        np.maximum(out.enhancement_ijk, patch.enhancing * rim * (1 + tone), out=out.enhancement_ijk)
        out.enhancing_IJK |= _majority(rim.astype(np.float32), factors)
    covers = (extent > 0.5) if patch.solid else np.zeros_like(extent, dtype=bool)
    out.flair_gain_ijk = np.where(covers, gain, np.maximum(out.flair_gain_ijk, gain))
    np.maximum(out.t1_loss_ijk, patch.t1_loss * extent, out=out.t1_loss_ijk)
    out.lesion_IJK |= _majority(extent, factors)


def _majority(fraction_ijk: Floats, factors: tuple[int, int, int]) -> Mask:
    """Voxels that are at least half lesion, without tiny components that no reader could tell from normal tissue."""
    mask = block_mean(fraction_ijk, factors) >= 0.5
    labels, count = ndimage.label(mask, NEIGHBOURS_26)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0
    return (sizes >= max(4, 0.01 * sizes.max()))[labels]  # type: ignore[no-any-return]


def _paint_spot(spot: Spot, tissues: Tissues, view: View, factors: tuple[int, int, int], out: Painting) -> None:
    window = _window(spot, view, factors)
    if window is None:
        return
    profile = _profile(spot, view, window)
    share = np.minimum(tissues.white[window] + 0.9 * tissues.grey[window], 1)
    fraction = profile.fraction * share
    for total, amount in (
        (out.flair_gain_ijk, spot.flair_gain * profile.brightness * share),
        (out.t1_loss_ijk, spot.t1_loss * profile.brightness * share),
        (out.enhancement_ijk, spot.enhancing * share * (profile.ring if spot.ring else profile.brightness)),
    ):
        np.maximum(total[window], amount, out=total[window])
    coarse = tuple(slice(s.start // f, s.stop // f) for s, f in zip(window, factors, strict=True))
    own = _own_voxels(block_mean(fraction, factors))
    out.lesion_IJK[coarse] |= own
    if spot.enhancing:
        out.enhancing_IJK[coarse] |= own


def _own_voxels(fraction_IJK: Floats) -> Mask:
    """Largest connected component of the voxels that are at least half lesion; never less than the fullest voxel."""
    mask: Mask = (fraction_IJK > 0) & (fraction_IJK >= min(0.5, float(fraction_IJK.max())))
    labels, count = ndimage.label(mask, NEIGHBOURS_26)
    if count <= 1:
        return mask
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax()  # type: ignore[no-any-return]


def _window(spot: Spot, view: View, factors: tuple[int, int, int]) -> tuple[slice, slice, slice] | None:
    """Bounding box of the spot on the grid, aligned to written voxels; None if the spot is outside the image."""
    centre = np.linalg.solve(view.affine_IJK_to_S, [*spot.centre_S_mm, 1.0])[:3]
    slices = []
    for c, h, n, f in zip(centre, view.grid.spacing_mm, view.grid.shape, factors, strict=True):
        reach = spot.reach_mm / h + 1
        start = max(0, int((c - reach) // f) * f)
        stop = min(n, (int((c + reach) // f) + 1) * f)
        if stop <= start:
            return None
        slices.append(slice(start, stop))
    return slices[0], slices[1], slices[2]


@dataclass(frozen=True)
class _Profile:
    """Per voxel of a window, each 0–1: fraction inside the spot, fraction inside its outer rim, and brightness."""

    fraction: Floats
    ring: Floats
    brightness: Floats


def _profile(spot: Spot, view: View, window: tuple[slice, slice, slice]) -> _Profile:
    """Sample the spot at 3×3×3 points per voxel."""
    step = np.array([-1 / 3, 0, 1 / 3])
    axes = [(np.arange(s.start, s.stop)[:, None] + step).ravel() for s in window]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij")).astype(np.float32)
    affine = view.affine_IJK_to_S.astype(np.float32)
    to_spot = (affine[:3, 3] - spot.centre_S_mm)[:, None, None, None]
    offset = np.einsum("xi,iabc->xabc", affine[:3, :3], voxels) + to_spot
    local = np.einsum("rx,xabc->rabc", spot.axes / spot.radii_mm[:, None], offset)
    reach = np.sqrt((local**2).sum(axis=0)) + 1e-6
    surface = 1 + 0.12 * np.sin(np.einsum("rn,rabc->nabc", spot.bumps, local / reach)).sum(axis=0)
    depth = reach / np.clip(surface, 0.75, 1.25)
    inside, rim = depth <= 1, (depth <= 1) & (depth > 0.6)
    # Brightest at the centre, half as bright at the outline, zero slightly beyond it.
    glow = np.clip(1.6 - 1.1 * depth, 0, 1)
    fraction, ring, brightness = (block_mean(a.astype(np.float32), (3, 3, 3)) for a in (inside, rim, glow))
    return _Profile(fraction, ring, brightness)
