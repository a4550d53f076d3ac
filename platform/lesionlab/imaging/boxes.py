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
    if inside_IJK.dtype.kind not in "biu":
        inside_IJK = inside_IJK != 0
    # Merging whole planes is one pass through memory; what is left to look at is small.
    planes = np.bitwise_or.reduce(inside_IJK, axis=0)
    rest = [
        _extent(planes.any(axis=tuple(other for other in range(planes.ndim) if other != axis)))
        for axis in range(planes.ndim)
    ]
    if all(side is not None for side in rest):
        along_I = inside_IJK[:, *rest].any(axis=tuple(range(1, inside_IJK.ndim)))
        extents = [cast(slice, _extent(along_I)), *cast(list[slice], rest)]
    else:
        extents = [slice(0, 1)] * inside_IJK.ndim
    wider = zip(extents, inside_IJK.shape, strict=True)
    return cast(Box, tuple(slice(max(s.start - margin, 0), min(s.stop + margin, n)) for s, n in wider))


def _extent(found: NDArray[np.bool_] | np.bool_) -> slice | None:
    """From the first to the last place where something was found; None if nothing was."""
    (places,) = np.nonzero(np.asarray(found))
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else None


def around_both(one: Box, other: Box) -> Box:
    """The smallest box that holds both."""
    sides = zip(one, other, strict=True)
    return cast(Box, tuple(slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in sides))


def grid_within(grid: Grid, box: Box) -> Grid:
    """The grid of a box of another grid: the same voxels at the same world positions."""
    affine = matrix_of(grid)
    affine[:3, 3] += affine[:3, :3] @ [side.start for side in box]
    return grid_of(tuple(side.stop - side.start for side in box), affine)
