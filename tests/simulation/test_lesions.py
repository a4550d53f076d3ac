"""Hand-drawn lesions appear as expected in the mask and in the image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lesionlab.simulation.frames import Grid, View
from lesionlab.simulation.lesions import Findings, Spot, paint
from lesionlab.simulation.subject import Tissues
from tests.simulation.images import count_lesions

SHAPE = (40, 40, 40)


def ball(radius_mm: float, centre_S_mm: tuple[float, float, float] = (0.3, -0.2, 0.1)) -> Spot:
    return Spot(
        centre_S_mm=np.array(centre_S_mm, dtype=np.float32),
        axes=np.eye(3, dtype=np.float32),
        radii_mm=np.full(3, radius_mm, dtype=np.float32),
        bumps=np.zeros((3, 4), dtype=np.float32),
        flair_gain=0.5,
        t1_loss=0.2,
    )


def white_matter(shape: tuple[int, int, int] = SHAPE) -> Tissues:
    zeros = np.zeros(shape, dtype=np.float32)
    return Tissues(
        grey=zeros,
        white=zeros + 1,
        csf=zeros,
        detail=zeros,
        ventricle_mm=zeros + 30,
        outside_mm=zeros - 30,
        stripped=zeros == 0,
        points_T_mm=np.zeros((3, *shape), dtype=np.float32),
    )


def view_along(signs: tuple[int, int, int]) -> View:
    affine = np.diag([*signs, 1.0])
    affine[:3, 3] = -np.array(signs) * (np.array(SHAPE) - 1) / 2
    return View(Grid(SHAPE, affine), np.eye(4))


def test_a_ball_has_the_volume_of_a_ball() -> None:
    painted = paint(Findings((ball(6.0),)), white_matter(), view_along((1, 1, 1)), (1, 1, 1))
    assert painted.lesion_IJK.sum() == pytest.approx(4 / 3 * np.pi * 6.0**3, rel=0.03)


def test_a_lesion_smaller_than_a_voxel_fills_one_voxel() -> None:
    painted = paint(Findings((ball(0.4),)), white_matter(), view_along((1, 1, 1)), (1, 1, 1))
    assert painted.lesion_IJK.sum() == 1


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["left-right", "front-back", "up-down"])
def test_flipping_a_voxel_axis_flips_the_mask(axis: int) -> None:
    spot = replace(ball(1.0, (7.3, -4.2, 3.1)), radii_mm=np.array([6, 3, 2], dtype=np.float32))
    signs = [1, 1, 1]
    signs[axis] = -1
    straight = paint(Findings((spot,)), white_matter(), view_along((1, 1, 1)), (1, 1, 1)).lesion_IJK
    turned = paint(Findings((spot,)), white_matter(), view_along((signs[0], signs[1], signs[2])), (1, 1, 1)).lesion_IJK
    np.testing.assert_array_equal(np.flip(turned, axis), straight)


def test_two_separate_balls_are_two_lesions() -> None:
    spots = (ball(4.0, (-8.0, 0.0, 0.0)), ball(4.0, (8.0, 0.0, 0.0)))
    assert count_lesions(paint(Findings(spots), white_matter(), view_along((1, 1, 1)), (1, 1, 1)).lesion_IJK) == 2


def test_a_lesion_outside_the_image_changes_nothing() -> None:
    painted = paint(Findings((ball(4.0, (90.0, 0.0, 0.0)),)), white_matter(), view_along((1, 1, 1)), (1, 1, 1))
    assert not painted.lesion_IJK.any()
    assert not painted.flair_gain_ijk.any()


def test_a_voxel_is_lesion_if_at_least_half_of_its_thick_slice_is() -> None:
    # Slices 4 mm thick; the flat lesion fills `height` of one of them.
    factors = (1, 1, 4)
    grid = Grid((20, 20, 5), np.array([[1.0, 0, 0, -10], [0, 1, 0, -10], [0, 0, 4, -8], [0, 0, 0, 1]]))
    view = View(grid.finer(factors), np.eye(4))
    for height_mm, slices in [(3.0, 1), (6.6, 1), (9.4, 3)]:
        flat = replace(ball(1.0, (0, 0, 0)), radii_mm=np.array([60, 60, height_mm / 2], dtype=np.float32))
        painted = paint(Findings((flat,)), white_matter(view.grid.shape), view, factors)
        assert painted.lesion_IJK[10, 10].sum() == slices


def test_only_active_lesions_enhance() -> None:
    spots = (ball(3.0, (-9, 0, 0)), replace(ball(3.0, (9, 0, 0)), enhancing=0.8))
    painted = paint(Findings(spots), white_matter(), view_along((1, 1, 1)), (1, 1, 1))
    assert painted.enhancing_IJK[20:].sum() > 50
    assert not painted.enhancing_IJK[:20].any()
    assert painted.enhancement_ijk.max() == pytest.approx(0.8)


def test_a_ring_enhances_at_its_rim_only() -> None:
    spot = replace(ball(8.0, (0.0, 0.0, 0.0)), enhancing=1.0, ring=True)
    painted = paint(Findings((spot,)), white_matter(), view_along((1, 1, 1)), (1, 1, 1))
    assert painted.enhancement_ijk[20, 20, 20] == 0
    assert painted.enhancement_ijk[20, 20, 26] == 1
    assert painted.enhancing_IJK[20, 20, 20]  # the label covers the whole lesion, as a rater outlines it
