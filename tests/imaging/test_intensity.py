"""Hand-drawn heads are segmented and normalised."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlab.errors import ImageError
from lesionlab.imaging.intensity import MOST_SDS, head_mask, z_score

SHAPE = (60, 72, 54)


def ball(radius: float, centre: tuple[float, float, float] = (30, 36, 27)) -> np.ndarray:
    grid_IJK = np.indices(SHAPE).transpose(1, 2, 3, 0)
    return np.linalg.norm(grid_IJK - np.array(centre), axis=-1) < radius


def drawn_head(*, noise: float, air: float, rng: np.random.Generator) -> np.ndarray:
    """Tissue of 100 around dark fluid, in air; magnitude of a noisy complex signal, as from a scanner."""
    signal_IJK = np.where(ball(24), 100.0, air)
    signal_IJK[ball(6)] = 4.0
    noisy_IJK = signal_IJK + rng.normal(0, noise, SHAPE) + 1j * rng.normal(0, noise, SHAPE)
    return (np.abs(noisy_IJK) if noise else signal_IJK).astype(np.float32)


@pytest.mark.parametrize(
    ("noise", "air"), [(3.0, 0.0), (0.0, 0.0), (0.0, -5.0)], ids=["in noise", "stripped", "stripped, air below zero"]
)
def test_the_head_mask_includes_dark_fluid_and_excludes_air(noise, air):
    head_IJK = head_mask(drawn_head(noise=noise, air=air, rng=np.random.default_rng(0)))
    assert head_IJK[ball(6)].all()
    dice = 2 * (head_IJK & ball(24)).sum() / (head_IJK.sum() + ball(24).sum())
    assert dice > 0.99


def test_a_bright_spot_in_the_air_is_not_head():
    voxels_IJK = drawn_head(noise=0, air=0, rng=np.random.default_rng(0))
    spot_IJK = ball(2, (3, 3, 3))
    voxels_IJK[spot_IJK] = 300
    assert not head_mask(voxels_IJK)[spot_IJK].any()


@pytest.mark.parametrize("axis", [0, 1, 2], ids=["left-right", "front-back", "up-down"])
def test_flipping_the_image_flips_the_head_mask(axis):
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    assert np.array_equal(np.flip(head_mask(voxels_IJK), axis), head_mask(np.flip(voxels_IJK, axis)))


def test_the_head_has_zero_mean_and_unit_sd_and_air_is_below():
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    head_IJK = head_mask(voxels_IJK)
    scaled = z_score(voxels_IJK, head_IJK)
    assert scaled.voxels_IJK[head_IJK].mean(dtype=np.float64) == pytest.approx(0, abs=1e-5)
    assert scaled.voxels_IJK[head_IJK].std(dtype=np.float64) == pytest.approx(1, abs=1e-5)
    assert scaled.voxels_IJK[~head_IJK].max() < 0
    assert np.allclose(scaled.voxels_IJK * scaled.sd + scaled.mean, voxels_IJK, atol=1e-3)


@settings(max_examples=10)
@given(gain=st.floats(0.01, 1000))
def test_the_gain_of_the_scanner_does_not_matter(gain):
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    louder_IJK = (voxels_IJK * np.float32(gain)).astype(np.float32)
    assert (head_mask(voxels_IJK) != head_mask(louder_IJK)).sum() <= 1e-4 * voxels_IJK.size
    ours = z_score(voxels_IJK, ball(24)).voxels_IJK
    theirs = z_score(louder_IJK, ball(24)).voxels_IJK
    assert np.allclose(ours, theirs, atol=1e-3)


@pytest.mark.parametrize("value", [0.0, -3.0, 100.1])
def test_an_image_of_one_value_has_no_head(value):
    with pytest.raises(ImageError, match="found no voxel above the value of air") as refusal:
        head_mask(np.full(SHAPE, value, dtype=np.float32))
    assert refusal.value.code == "no-contrast"


@pytest.mark.parametrize("value", [7.0, 100.1])
def test_a_head_of_one_value_has_no_contrast(value):
    with pytest.raises(ImageError, match="found the same value everywhere"):
        z_score(np.full(SHAPE, value, dtype=np.float32), ball(24))


@pytest.mark.parametrize("value", [1e9, -1e9, 3e38])
def test_an_implausibly_extreme_voxel_is_refused_anywhere_in_the_image(value):
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    head_IJK = head_mask(voxels_IJK)
    voxels_IJK[1, 1, 1] = value
    with pytest.raises(ImageError, match="within 10000 SD") as refusal:
        z_score(voxels_IJK, head_IJK)
    assert refusal.value.code == "implausible-values"


def test_an_extreme_voxel_is_refused_also_beside_missing_data():
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    head_IJK = head_mask(voxels_IJK)
    voxels_IJK[1, 1, 1:3] = np.nan, 1e9
    with pytest.raises(ImageError, match="within 10000 SD"):
        z_score(voxels_IJK, head_IJK)


def test_an_empty_head_mask_has_no_contrast():
    with pytest.raises(ImageError, match="wanted contrast inside the head"):
        z_score(np.ones(SHAPE, dtype=np.float32), np.zeros(SHAPE, dtype=bool))


def test_accepted_values_and_their_differences_stay_finite_in_float16():
    voxels_IJK = drawn_head(noise=3, air=0, rng=np.random.default_rng(0))
    head_IJK = head_mask(voxels_IJK)
    mean, sd = voxels_IJK[head_IJK].mean(), voxels_IJK[head_IJK].std()
    voxels_IJK[1, 1, 1] = mean + sd * MOST_SDS * 0.999
    voxels_IJK[2, 2, 2] = mean - sd * MOST_SDS * 0.999
    scaled_IJK = z_score(voxels_IJK, head_IJK).voxels_IJK
    assert np.isfinite(scaled_IJK.astype(np.float16)).all()
    assert np.isfinite((scaled_IJK - scaled_IJK[::-1, ::-1, ::-1]).astype(np.float16)).all()
