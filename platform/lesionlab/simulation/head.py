"""One anatomy with its lesions and a scanner's grid in; what each voxel holds, as fractions, out.

Each voxel is the mean over sub-points about 1 mm apart (partial volume; thick slices hold several). N voxels of the
head, flat indices into the grid i × j × k.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlab.simulation.anatomy import Map, Template
from lesionlab.simulation.shapes import LesionMaps
from lesionlab.simulation.subject import LOW_MM, SHAPE, STEP_MM, Subject

SCALP_MM = 15.0
"""From the brain's envelope to the skin."""
Pose = NDArray[np.float64]
"""4 × 4 rigid matrix, world mm of the scanner to head mm of the patient."""


@dataclass(frozen=True)
class Head:
    """What the voxels of one visit's grid hold. `inside` are flat indices of N voxels; each part has shape N.

    `parts`: csf, grey, white and the layers outside add up to 1 (or less at the skin); texture is a signed addition in
    units of the grey to white difference; rim is nearness to the ventricles' wall; lesion, excess, enhancing, fluid as
    in LesionMaps; vessels is what takes up contrast in health.
    """

    shape: tuple[int, int, int]
    inside: NDArray[np.int64]
    parts: Mapping[str, Map]
    lesion_ids: NDArray[np.int16]

    def dense(self, values: NDArray[np.float32 | np.uint8]) -> NDArray[np.float32 | np.uint8]:
        """The values of the N voxels on the whole grid, i × j × k, 0 elsewhere."""
        grid = np.zeros(self.shape, dtype=values.dtype)
        grid.reshape(-1)[self.inside] = values
        return grid


def sample_head(
    template: Template,
    subject: Subject,
    maps: LesionMaps,
    shape: tuple[int, int, int],
    affine: NDArray[np.float64],
    pose: Pose,
    *,
    skull_stripped: bool,
    with_vessels: bool,
) -> Head:
    """Fractions in every voxel of the grid that the head reaches; one interpolation from the template."""
    to_head = pose @ affine
    outermost_mm = 1.0 if skull_stripped else SCALP_MM + 1
    inside, at_head = _reached(template, subject, shape, to_head, outermost_mm)
    steps = np.maximum(1, np.round(np.linalg.norm(affine[:3, :3], axis=0))).astype(int)
    offsets = list(product(*((np.arange(n) + 0.5) / n - 0.5 for n in steps)))
    total: dict[str, Map] = {}
    ids = np.zeros(inside.size, dtype=np.int16)
    for offset in offsets:
        at = subject.to_template_voxel(at_head + (to_head[:3, :3] @ offset)[:, None].astype(np.float32))
        parts = _tissues(template, subject, at, with_vessels=with_vessels, whole=not skull_stripped)
        found = _add_lesions(parts, maps, at)
        np.maximum(ids, found, out=ids)
        for name, values in parts.items():
            total[name] = total.get(name, np.float32(0)) + values / np.float32(len(offsets))
    return Head(shape, inside, total, ids)


def _reached(
    template: Template, subject: Subject, shape: tuple[int, int, int], to_head: Pose, outermost_mm: float
) -> tuple[NDArray[np.int64], Map]:
    """Flat indices of the voxels in reach of the head, and their head mm, 3 × N."""
    coarse_mm = (np.indices(SHAPE) * STEP_MM + LOW_MM[:, None, None, None]).reshape(3, -1)
    depth_mm = ndimage.map_coordinates(
        template.depth_mm, subject.to_template_voxel(coarse_mm), order=1, mode="nearest"
    ).reshape(SHAPE)
    near = depth_mm < outermost_mm + 2 * STEP_MM
    i, j, k = np.ogrid[tuple(slice(size) for size in shape)]
    head_mm = [(row[0] * i + row[1] * j + row[2] * k + row[3]).astype(np.float32) for row in to_head[:3]]
    nearest = [
        np.clip(np.rint((part - LOW_MM[n]) / STEP_MM), 0, SHAPE[n] - 1).astype(np.int16)
        for n, part in enumerate(head_mm)
    ]
    inside = np.flatnonzero(near[tuple(nearest)])
    return inside, np.stack([part.reshape(-1)[inside] for part in head_mm])


def _tissues(template: Template, subject: Subject, at: Map, *, with_vessels: bool, whole: bool) -> dict[str, Map]:
    """Fractions at template voxel coordinates 3 × N, with borders as sharp as one person's, not as the average's."""
    grey, white, depth_mm = (_sampled(values, at) for values in (template.grey, template.white, template.depth_mm))
    within = _ramp(-depth_mm + 0.5, 1.0)
    tissue = grey + white
    csf = _sigmoid((0.62 - 0.3 * subject.sulcal_width) - (1 - tissue), 0.07)
    brain = csf * within
    share = _sigmoid(white / np.maximum(tissue, 0.05) - 0.5, 0.12)
    parts = {
        "grey": brain * (1 - share),
        "white": brain * share,
        "csf": (1 - csf) * within,
        "texture": _sampled(template.texture, at) * brain,
        "rim": _sampled(template.rim, at) * brain,
    }
    if with_vessels:
        parts["vessels"] = _sampled(template.vessels, at)
    if whole:
        parts |= _layers(depth_mm, 1 - within)
    return parts


def _layers(depth_mm: Map, outside: Map) -> dict[str, Map]:
    """Layers outside the brain's envelope: fluid, bone with marrow, fat, skin."""
    borders_mm = {
        "csf_outer": (0.0, 2.0),
        "bone": (2.0, 8.0),
        "marrow": (3.8, 6.2),
        "fat": (8.0, SCALP_MM - 2),
        "skin": (SCALP_MM - 2, SCALP_MM),
    }
    bands = {name: _ramp(depth_mm - low, 1.0) * _ramp(high - depth_mm, 1.0) for name, (low, high) in borders_mm.items()}
    return {name: band * outside for name, band in bands.items()}


def _add_lesions(parts: dict[str, Map], maps: LesionMaps, at: Map) -> NDArray[np.int16]:
    """Adds the lesions at these points, as far as there is tissue, to the parts; returns their ids, 0 for none."""
    near = np.flatnonzero(ndimage.map_coordinates(maps.touched, at, order=0, mode="nearest"))
    there, tissue = at[:, near], (parts["grey"] + parts["white"])[near]
    for name in ("fraction", "excess", "enhancing", "fluid"):
        parts[name] = np.zeros(at.shape[1], dtype=np.float32)
        parts[name][near] = _sampled(getattr(maps, name), there) * tissue
    ids = np.zeros(at.shape[1], dtype=np.int16)
    ids[near] = ndimage.map_coordinates(maps.ids, there, order=0, mode="nearest")
    return ids


def _sampled(values: Map, at: Map) -> Map:
    return ndimage.map_coordinates(values, at, order=1, mode="nearest", output=np.float32)


def _ramp(distance_mm: Map, width_mm: float) -> Map:
    return np.clip(0.5 + distance_mm / width_mm, 0, 1)


def _sigmoid(values: Map, width: float) -> Map:
    return 1 / (1 + np.exp(-values / width))
