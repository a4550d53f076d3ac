"""Surface distances equal those found by comparing every surface voxel with every other, on any grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lesionlab.evaluation.lesionwise import score
from lesionlab.evaluation.surface import surface_distance
from storage_schemas.definitions import DEFINITIONS

MM = np.eye(4)
THICK = np.diag([0.5, 0.9, 4.0, 1.0])
"""Voxels of 0.5 × 0.9 × 4 mm."""


def box(shape: tuple[int, int, int], *corners: tuple[slice, slice, slice]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for corner in corners:
        mask[corner] = 1
    return mask


def by_brute_force(one: np.ndarray, other: np.ndarray, affine: np.ndarray) -> tuple[float, float]:
    """ASSD and HD95, voxel by voxel."""
    surfaces = []
    for mask in (one, other):
        padded = np.pad(mask > 0, 1)
        places = [
            place
            for place in np.argwhere(padded)
            if not all(padded[tuple(place + step)] for step in np.vstack([np.eye(3, dtype=int), -np.eye(3, dtype=int)]))
        ]
        surfaces.append([affine[:3, :3] @ (place - 1) + affine[:3, 3] for place in places])
    there, back = (
        [min(np.linalg.norm(place - target) for target in targets) for place in places]
        for places, targets in (surfaces, surfaces[::-1])
    )
    return float(np.mean(there + back)), float(max(np.percentile(there, 95), np.percentile(back, 95)))


def test_two_voxels_three_slices_of_4_mm_apart_have_12_mm_between_them():
    one, other = box((5, 5, 5), np.s_[2:3, 2:3, 0:1]), box((5, 5, 5), np.s_[2:3, 2:3, 3:4])
    found = surface_distance(one, other, THICK)
    assert (found.average_mm, found.hausdorff95_mm) == (12.0, 12.0)


def test_a_lesion_shifted_by_a_voxel_along_the_first_axis_is_at_most_its_spacing_away():
    one, other = box((12, 8, 5), np.s_[2:6, 2:6, 1:4]), box((12, 8, 5), np.s_[3:7, 2:6, 1:4])
    found = surface_distance(one, other, THICK)
    assert found.hausdorff95_mm == 0.5
    assert 0 < found.average_mm < 0.5


def test_equal_masks_have_no_distance_and_the_inside_of_a_lesion_is_no_surface():
    solid = box((9, 9, 9), np.s_[2:7, 2:7, 2:7])
    hollow = solid.copy()
    hollow[3:6, 3:6, 3:6] = 0
    assert surface_distance(solid, solid, THICK).average_mm == 0.0
    # The outer surface is the same; only the hollow adds an inner one.
    found = surface_distance(solid, hollow, MM)
    assert found == surface_distance(hollow, solid, MM)
    assert surface_distance(solid, solid.astype(bool), MM).hausdorff95_mm == 0.0


def test_the_edge_of_the_image_is_a_surface():
    whole = np.ones((3, 3, 3), np.uint8)
    centre = box((3, 3, 3), np.s_[1:2, 1:2, 1:2])
    assert surface_distance(whole, centre, MM).average_mm == pytest.approx(by_brute_force(whole, centre, MM)[0])


@pytest.mark.parametrize("empty", ["reference", "prediction", "both"])
def test_there_is_no_distance_to_an_empty_mask(empty):
    lesion, nothing = box((4, 4, 4), np.s_[1:3, 1:3, 1:3]), np.zeros((4, 4, 4), np.uint8)
    masks = {"reference": (nothing, lesion), "prediction": (lesion, nothing), "both": (nothing, nothing)}[empty]
    assert surface_distance(*masks, MM) is None
    assert score(*masks, MM, DEFINITIONS["paper"]).surface is None


OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]] @ THICK[:3, :3]
SHEARED = THICK.copy()
SHEARED[0, 2] = 1.5
GRIDS = {"1 mm": MM, "thick slices": THICK, "oblique": OBLIQUE, "sheared": SHEARED}


@pytest.mark.parametrize("affine", GRIDS.values(), ids=GRIDS)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_distances_equal_those_by_brute_force(affine, data):
    masks = arrays(np.uint8, (5, 6, 4), elements=st.sampled_from([0, 0, 0, 1])).filter(lambda mask: bool(mask.any()))
    one, other = data.draw(masks), data.draw(masks)
    found = surface_distance(one, other, affine)
    assert (found.average_mm, found.hausdorff95_mm) == pytest.approx(by_brute_force(one, other, affine))
    assert found == surface_distance(other, one, affine) or found.average_mm == pytest.approx(
        surface_distance(other, one, affine).average_mm
    )


def test_small_lesions_that_a_definition_drops_count_for_the_surface():
    reference = box((20, 20, 20), np.s_[2:6, 2:6, 2:6])
    with_spot = reference.copy()
    with_spot[15, 15, 15] = 1
    result = score(reference, with_spot, MM, DEFINITIONS["msseg-2"])
    assert result.false_positives == 0
    assert result.surface.average_mm > 0
