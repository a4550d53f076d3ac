"""Find the box around what matters in a volume, and the grid of that box.

I J K voxels of any grid. A box is one slice per axis.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lesionlab.imaging.volume import grid_of, matrix_of
from storage_schemas.volumes import Grid

Box = tuple[slice, slice, slice]


def bounding_box(inside_IJK: NDArray[Any], margin: int = 0) -> Box:
    """The smallest box with all nonzero voxels and `margin` voxels around them, as far as the volume reaches.

    A volume without any has a box of its first voxel.
    """
    extents: list[slice] = []
    for axis in range(inside_IJK.ndim):
        found_IJK = inside_IJK[tuple(extents)]  # the axes before are cut already
        (places,) = np.nonzero(found_IJK.any(axis=tuple(other for other in range(inside_IJK.ndim) if other != axis)))
        if not places.size:
            extents = [slice(0, 1)] * inside_IJK.ndim
            break
        extents.append(slice(int(places[0]), int(places[-1]) + 1))
    wider = zip(extents, inside_IJK.shape, strict=True)
    return cast(Box, tuple(slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in wider))


def grid_within(grid: Grid, box: Box) -> Grid:
    """The grid of a box of another grid: the same voxels at the same world positions."""
    affine = matrix_of(grid)
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return grid_of(tuple(side.stop - side.start for side in box), affine)
