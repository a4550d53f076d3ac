"""Compute distances to the structures that normally enhance with gadolinium: sinuses, deep veins, choroid plexus.

The centre lines were read off the outline of the ICBM152 2009a brain (the sinuses are 2–3 mm outside it); template mm.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from lesionlab.simulation.frames import Floats

_SAGITTAL_SINUS = [
    (0, 67, 30), (0, 52, 49), (0, 35, 62), (0, 18, 71), (0, -1, 76), (0, -18, 79), (0, -37, 79),
    (0, -54, 72), (0, -71, 62), (0, -84, 46), (0, -96, 29), (0, -102, 8), (0, -98, -12),
]  # fmt: skip
_TRANSVERSE_SINUS = [(0, -98, -12), (22, -97, -18), (42, -83, -22), (55, -68, -24), (62, -52, -28), (54, -44, -40)]
_STRAIGHT_SINUS = [(0, -98, -12), (0, -76, 2), (0, -56, 14), (0, -44, 10), (0, -38, 6)]
_INTERNAL_CEREBRAL_VEIN = [(2, -38, 6), (3, -24, 14), (3, -8, 16), (3, 2, 12)]
_CHOROID_PLEXUS = [(29, -30, -8), (25, -40, 3), (22, -37, 11), (15, -26, 17), (8, -12, 19), (4, 0, 15)]


_SINUS_RADIUS_MM, _VEIN_RADIUS_MM = 2.8, 1.0


def vein_surface_mm(points_T_mm: Floats) -> Floats:
    """Signed distance to the wall of the nearest venous sinus or deep vein, negative inside; (N, 3) to (N,)."""
    sinuses = [_line(_SAGITTAL_SINUS), _line(_STRAIGHT_SINUS), _line(_TRANSVERSE_SINUS), _line(_TRANSVERSE_SINUS, -1)]
    veins = [_line(_INTERNAL_CEREBRAL_VEIN, side) for side in (1, -1)]
    to_sinus_mm = _distance_mm(sinuses, points_T_mm) - np.float32(_SINUS_RADIUS_MM)
    to_vein_mm = _distance_mm(veins, points_T_mm) - np.float32(_VEIN_RADIUS_MM)
    nearest: Floats = np.minimum(to_sinus_mm, to_vein_mm)
    return nearest


def plexus_mm(points_T_mm: Floats) -> Floats:
    """Distance to the centre line of the choroid plexus of the lateral ventricles; points (N, 3), result (N,)."""
    return _distance_mm([_line(_CHOROID_PLEXUS, side) for side in (1, -1)], points_T_mm)


def _distance_mm(lines: list[Floats], points_T_mm: Floats) -> Floats:
    far_mm = 12.0
    distance, _ = KDTree(np.concatenate(lines)).query(points_T_mm, distance_upper_bound=far_mm)
    return np.minimum(distance, far_mm).astype(np.float32)


def _line(points: list[tuple[int, int, int]], side: int = 1) -> Floats:
    corners = np.array(points, dtype=np.float32) * np.array([side, 1, 1], dtype=np.float32)
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))])
    steps = np.arange(0, along[-1], 0.5)
    return np.stack([np.interp(steps, along, corners[:, axis]) for axis in range(3)], axis=1).astype(np.float32)
