"""Metadata of OME-Zarr 0.5 beside our own, so that other viewers open a study volume or a prediction.

OME-Zarr knows a scale and a translation for each axis and no rotation: a viewer shows a volume along its own axes, as
if it were not oblique. Our own card holds the whole affine. https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

from pydantic import JsonValue

from storage_schemas.volumes import Affine, Grid

OME_ATTRIBUTE = "ome"
"""Group attribute that OME-Zarr prescribes."""

VOXEL_AXES = ("x", "y", "z")
CHANNEL_AXES = ("c", *VOXEL_AXES)


def dimension_names(arrays: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Names of the axes of each array, from its number of axes: three of voxels, or four of which the first is one of
    channels or of the components of a displacement."""
    return {name: CHANNEL_AXES if axes == 4 else VOXEL_AXES for name, axes in arrays.items()}


def ome_image(name: str, array: str, axes: Literal[3, 4], grid: Grid) -> dict[str, JsonValue]:
    """The attribute of a group whose image is this one array on this grid, in one resolution."""
    names = CHANNEL_AXES if axes == 4 else VOXEL_AXES
    leading = [1.0] * (axes - 3)
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [
                    {"name": axis, "type": "channel"}
                    if axis == "c"
                    else {"name": axis, "type": "space", "unit": "millimeter"}
                    for axis in names
                ],
                "datasets": [
                    {
                        "path": array,
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [*leading, *spacing_mm(grid.affine)]},
                            {"type": "translation", "translation": [*(0.0 for _ in leading), *_origin(grid.affine)]},
                        ],
                    }
                ],
            }
        ],
    }


def spacing_mm(affine: Affine) -> tuple[float, ...]:
    """Distance between voxel centres along each voxel axis."""
    return tuple(math.sqrt(sum(affine[row][axis] ** 2 for row in range(3))) for axis in range(3))


def _origin(affine: Affine) -> tuple[float, ...]:
    """World position of the first voxel's centre, mm."""
    return tuple(affine[row][3] for row in range(3))
