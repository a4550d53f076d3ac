"""Resampling between grids of any orientation keeps world positions and loses no lesion."""

import nibabel as nib
import nibabel.processing
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.affines import apply_affine

from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.resample import model_grid, reoriented, reoriented_grid, resample_linear, resample_mask
from lesionlab.imaging.volume import Volume, grid_of, matrix_of, spacing_of
from storage_schemas.volumes import Grid
from tests.imaging.grids import STUDY_MM, ball, grids, places, within


@given(grids(), STUDY_MM)
def test_the_model_grid_is_isotropic_and_ras_along_the_native_axes(native, spacing_mm):
    study = matrix_of(model_grid(native, spacing_mm))
    assert spacing_of(study) == pytest.approx([spacing_mm] * 3)
    assert nib.aff2axcodes(study) == ("R", "A", "S")
    native_axes = matrix_of(native)[:3, :3] / spacing_of(matrix_of(native))
    cosines = np.abs(native_axes.T @ study[:3, :3] / spacing_mm)
    assert np.allclose(np.sort(cosines, axis=0), [[0] * 3, [0] * 3, [1] * 3], atol=1e-6)


@given(grids(), STUDY_MM)
def test_the_model_grid_covers_every_native_voxel_with_little_margin(native, spacing_mm):
    study = model_grid(native, spacing_mm)
    boxes = np.stack(np.meshgrid(*[(-0.5, size - 0.5) for size in native.shape]), axis=-1).reshape(-1, 3)
    assert within(study, apply_affine(matrix_of(native), boxes), reach=0.5 + 1e-3).all()
    extent_mm = np.sort(np.array(native.shape) * spacing_of(matrix_of(native)))
    assert (np.sort(study.shape) * spacing_mm < extent_mm + spacing_mm + 1e-3).all()


@given(grids(), STUDY_MM)
def test_a_voxel_keeps_its_world_position_on_the_round_trip(native, spacing_mm):
    study = model_grid(native, spacing_mm)
    for axis in range(3):
        # Each voxel's value is its own coordinate: linear resampling must give the coordinate of the new position.
        native_mm = places(native)[..., axis]
        study_mm = resample_linear(native_mm.astype(np.float32), native, study)
        there = within(native, places(study), reach=0)
        assert np.allclose(study_mm[there], places(study)[there][:, axis], atol=1e-3)
        again_mm = resample_linear(places(study)[..., axis].astype(np.float32), study, native)
        back = within(study, places(native), reach=0)
        assert np.allclose(again_mm[back], native_mm[back], atol=1e-3)


@given(grids(spacings=st.just((1.0, 1.0, 1.0))), st.integers(0, 2**32 - 1))
def test_at_its_own_spacing_a_scan_is_reoriented_to_ras_and_otherwise_unchanged(native, seed):
    rng = np.random.default_rng(seed)
    # Zeros beside a million: even a tiny contribution of a neighbour would show.
    voxels_ijk = (rng.normal(100, 30, native.shape) * rng.choice([0, 1, 1e6], native.shape)).astype(np.float32)
    turned = nib.as_closest_canonical(nib.Nifti1Image(voxels_ijk, matrix_of(native)))
    study = model_grid(native, 1.0)
    assert np.allclose(matrix_of(study), turned.affine, atol=1e-9)
    assert np.array_equal(resample_linear(voxels_ijk, native, study), np.asarray(turned.dataobj))
    mask_ijk = (voxels_ijk > 100).astype(np.uint8)
    assert np.array_equal(resample_mask(resample_mask(mask_ijk, native, study), study, native), mask_ijk)


def test_a_grid_read_from_a_header_of_float32_gets_no_extra_slice():
    affine = np.diag([np.float32(0.71875)] * 2 + [np.float32(3.9999995)] + [1]).astype(np.float64)
    assert model_grid(grid_of((320, 320, 36), affine), 1.0).shape == (230, 230, 144)
    affine[2, 2] = np.float32(4.000001)
    assert model_grid(grid_of((320, 320, 36), affine), 1.0).shape == (230, 230, 144)


@given(grids(), st.integers(0, 2**32 - 1), st.data())
def test_reorienting_keeps_the_value_and_world_position_of_every_voxel(grid, seed, data):
    onto = data.draw(grids())
    volume = Volume(np.random.default_rng(seed).permutation(np.prod(grid.shape)).reshape(grid.shape), matrix_of(grid))
    other = reoriented(volume, onto)
    assert other.grid == reoriented_grid(grid, onto)
    before, after = (
        dict(zip(one.voxels.ravel().tolist(), places(one.grid).reshape(-1, 3), strict=True)) for one in (volume, other)
    )
    assert all(np.allclose(after[value], place_mm, atol=1e-9) for value, place_mm in before.items())
    assert np.array_equal(reoriented(other, grid).voxels, volume.voxels)


@given(st.integers(0, 2**32 - 1))
def test_at_half_the_resolution_each_voxel_is_the_mean_of_the_eight_it_covers(seed):
    native = grid_of((8, 6, 4), np.diag([-1.0, 1, 1, 1]))
    voxels_ijk = np.random.default_rng(seed).normal(size=native.shape).astype(np.float32)
    halved = voxels_ijk[::-1].reshape(4, 2, 3, 2, 2, 2).mean(axis=(1, 3, 5))
    assert np.allclose(resample_linear(voxels_ijk, native, model_grid(native, 2.0)), halved, atol=1e-5)


@given(grids(), grids(), st.integers(0, 2**32 - 1))
def test_between_any_two_grids_values_equal_those_of_nibabel(source, target, seed):
    voxels_ijk = np.random.default_rng(seed).normal(size=source.shape).astype(np.float32)
    ours = resample_linear(voxels_ijk, source, target, outside=-9)
    theirs = nibabel.processing.resample_from_to(
        nib.Nifti1Image(voxels_ijk, matrix_of(source)), (target.shape, matrix_of(target)), order=1, cval=-9
    ).get_fdata()
    inner = within(source, places(target), reach=-1e-3)
    assert np.allclose(ours[inner], theirs[inner], atol=1e-3)
    assert (ours[~within(source, places(target), reach=0.5 + 1e-3)] == -9).all()
    border = within(source, places(target), reach=0.5 - 1e-3) & ~inner
    assert (ours[border] >= voxels_ijk.min() - 1e-6).all()  # border values, not a mixture with the outside value


def test_a_sheared_scan_gets_orthogonal_axes_that_cover_it():
    sheared = np.eye(4)
    sheared[1, 2] = np.tan(np.deg2rad(15))  # gantry tilt
    native = grid_of((10, 12, 8), sheared)
    study = model_grid(native, 1.0)
    axes = matrix_of(study)[:3, :3]
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-9)
    assert within(study, places(native), reach=0.5).all()
    values_IJK = resample_linear(np.ones(native.shape, dtype=np.float32), native, study, outside=-1)
    assert set(np.unique(values_IJK)) == {-1, 1}


def has_a_voxel(lesion_ijk: np.ndarray, native: Grid, kept_IJK: np.ndarray, study: Grid) -> bool:
    """Whether a kept voxel has its centre in a voxel of the lesion or contains the centre of one."""
    lesion_mm, kept_mm = places(native)[lesion_ijk], places(study)[kept_IJK > 0]
    in_native = apply_affine(np.linalg.inv(matrix_of(native)), kept_mm)[:, None] - np.argwhere(lesion_ijk)
    in_study = apply_affine(np.linalg.inv(matrix_of(study)), lesion_mm)[:, None] - np.argwhere(kept_IJK > 0)
    half = 0.5 + 1e-6
    return bool((np.abs(in_native) <= half).all(axis=-1).any() or (np.abs(in_study) <= half).all(axis=-1).any())


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(grids(), STUDY_MM, st.integers(0, 2**32 - 1), st.sampled_from([0.01, 0.05, 0.3]))
def test_every_lesion_down_to_one_voxel_has_a_voxel_on_the_model_grid(native, spacing_mm, seed, share):
    mask_ijk = (np.random.default_rng(seed).random(native.shape) < share).astype(np.uint8)
    study = model_grid(native, spacing_mm)
    kept_IJK = resample_mask(mask_ijk, native, study)
    lesions = label_lesions(mask_ijk)
    for lesion in range(1, lesions.count + 1):
        assert has_a_voxel(lesions.ids_IJK == lesion, native, kept_IJK, study)
    assert kept_IJK.any() == mask_ijk.any()


@given(grids(side=st.integers(9, 14)), STUDY_MM, st.data())
def test_distant_lesions_stay_separate_and_a_lesion_stays_one_on_the_round_trip(native, spacing_mm, data):
    corner = st.tuples(*[st.integers(0, size - 1) for size in native.shape])
    one, other = data.draw(corner), data.draw(corner)
    affine = matrix_of(native)
    gap_mm = np.linalg.norm(apply_affine(affine, one) - apply_affine(affine, other))
    far_mm = 2 * np.linalg.norm(spacing_of(affine)) + 2 * np.sqrt(3) * spacing_mm
    mask_ijk = np.zeros(native.shape, dtype=np.uint8)
    mask_ijk[one] = 1
    study = model_grid(native, spacing_mm)
    assert label_lesions(resample_mask(mask_ijk, native, study)).count == 1
    assert label_lesions(resample_mask(resample_mask(mask_ijk, native, study), study, native)).count == 1
    mask_ijk[other] = 1
    if gap_mm > far_mm:
        assert label_lesions(resample_mask(mask_ijk, native, study)).count == 2


@pytest.mark.parametrize(("radius_mm", "bound"), [(5.0, 0.15), (15.0, 0.03)])
@settings(max_examples=25)
@given(origin=grids(spacings=st.sampled_from([(0.9, 0.9, 4.0), (1.0, 1.0, 1.0), (0.5, 0.5, 6.0)]), side=st.just(1)))
def test_a_lesion_keeps_its_volume_on_the_round_trip_better_the_larger_it_is(origin, radius_mm, bound):
    spacing_mm = np.array(spacing_of(matrix_of(origin)))
    native = grid_of(tuple(int(side) for side in np.ceil((2 * radius_mm + 14) / spacing_mm)), matrix_of(origin))
    drawn_ijk = ball(native, radius_mm)
    study = model_grid(native, 1.0)
    there_IJK = resample_mask(drawn_ijk, native, study)
    drawn_mm3 = float(drawn_ijk.sum() * spacing_mm.prod())
    assert int(there_IJK.sum()) == pytest.approx(drawn_mm3, rel=bound)
    back_ijk = resample_mask(there_IJK, study, native)
    assert int(back_ijk.sum()) == pytest.approx(int(drawn_ijk.sum()), rel=bound)


def test_a_lesion_too_thin_for_the_model_grid_is_kept_at_its_centre():
    native = grid_of((16, 16, 24), np.diag([0.5, 0.5, 0.5, 1]))
    mask_ijk = np.zeros(native.shape, dtype=np.uint8)
    mask_ijk[6, 6, 3:20] = 1
    kept_IJK = resample_mask(mask_ijk, native, model_grid(native, 2.0))
    assert np.argwhere(kept_IJK).tolist() == [[1, 1, 2]]  # native voxel 11 of 3 … 19 is in model-grid voxel 2 of 0 … 5


def test_a_lesion_outside_the_target_grid_is_dropped():
    native, part = grid_of((20, 20, 20), np.eye(4)), grid_of((5, 5, 5), np.eye(4))
    mask_ijk = np.zeros(native.shape, dtype=np.uint8)
    mask_ijk[15, 15, 15] = 1
    assert not resample_mask(mask_ijk, native, part).any()


def test_an_empty_mask_stays_empty():
    native = grid_of((6, 6, 3), np.diag([-0.9, 0.9, 4.0, 1]))
    assert not resample_mask(np.zeros(native.shape, dtype=np.uint8), native, model_grid(native, 1.0)).any()
