"""Generate scan grids for property tests (Hypothesis) and the world positions of their voxels."""

import nibabel as nib
import numpy as np
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from lesionlab.imaging.volume import grid_of, matrix_of
from storage_schemas.volumes import Grid

PERMUTATIONS = [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
SPACINGS_MM = st.sampled_from([(1.0, 1.0, 1.0), (0.9, 0.9, 4.0), (0.5, 0.5, 6.0), (0.7, 1.3, 2.1), (2.0, 2.0, 2.0)])
FEW = st.integers(3, 9)
UPRIGHT = st.just(0.0)
TILTED = st.floats(-20, 20)
"""Gantry tilt in degrees: each slice is shifted slightly relative to the one below."""
STUDY_MM = st.sampled_from([1.0, 2.0, 0.8])


@st.composite
def grids(draw: st.DrawFn, spacings=SPACINGS_MM, side=FEW, tilts=UPRIGHT) -> Grid:
    """A grid of any axis order, flip (also left-handed), obliqueness up to 35°, spacing, position and gantry tilt."""
    spacing_mm = draw(spacings)
    columns = np.eye(3)[:, draw(st.sampled_from(PERMUTATIONS))] * draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    axis = np.array(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    angle = np.deg2rad(draw(st.floats(-35, 35)))
    turn = Rotation.from_rotvec(axis / max(np.linalg.norm(axis), 1e-9) * angle).as_matrix()
    shear = np.eye(3)
    shear[1, 2] = np.tan(np.deg2rad(draw(tilts)))
    place_mm = draw(st.tuples(*[st.floats(-150, 150)] * 3))
    shape = draw(st.tuples(side, side, side))
    return grid_of(shape, nib.affines.from_matvec(turn @ columns @ shear * np.array(spacing_mm), place_mm))


def places(grid: Grid) -> np.ndarray:
    """World position (mm) of every voxel centre, shape i × j × k × 3."""
    return apply_affine(matrix_of(grid), np.indices(grid.shape).transpose(1, 2, 3, 0))


def within(grid: Grid, points_mm: np.ndarray, reach: float) -> np.ndarray:
    """Which points are at most `reach` voxels beyond the outermost voxel centres of the grid."""
    index = apply_affine(np.linalg.inv(matrix_of(grid)), points_mm)
    return ((index >= -reach) & (index <= np.array(grid.shape) - 1 + reach)).all(axis=-1)


def ball(grid: Grid, radius_mm: float) -> np.ndarray:
    """A ball at the centre of the grid."""
    middle_mm = apply_affine(matrix_of(grid), (np.array(grid.shape) - 1) / 2)
    return (np.linalg.norm(places(grid) - middle_mm, axis=-1) < radius_mm).astype(np.uint8)
