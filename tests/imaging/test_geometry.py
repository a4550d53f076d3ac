"""From native space to the model grid and back, scans of any geometry keep position, lesions and volumes.

On real scans the voxels are compared with those of nibabel and ANTs.
"""

from pathlib import Path

import nibabel as nib
import nibabel.processing
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from lesionlab.imaging.antspy import load_ants
from lesionlab.imaging.itk import placement
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.resample import model_grid, resample_linear, resample_mask
from lesionlab.imaging.volume import (
    Volume,
    examine_mask,
    grid_of,
    matrix_of,
    read_mask,
    read_volume,
    spacing_of,
    write_volume,
)
from storage_schemas.volumes import Grid
from tests.imaging.grids import STUDY_MM, TILTED, UPRIGHT, ball, grids, places, within

SEEDS = st.integers(0, 2**32 - 1)


def blobs(grid: Grid, seed: int) -> np.ndarray:
    """Lesions of any shape and of all sizes down to one voxel; uint8."""
    rng = np.random.default_rng(seed)
    smooth_ijk = ndimage.gaussian_filter(rng.normal(size=grid.shape), rng.uniform(0, 1.5))
    return (smooth_ijk > np.quantile(smooth_ijk, rng.uniform(0.7, 0.99))).astype(np.uint8)


def diagonal_mm(grid: Grid) -> float:
    """Longest diagonal of a voxel."""
    corners = np.array([(1, a, b) for a in (-1, 1) for b in (-1, 1)])
    return float(np.linalg.norm(corners @ matrix_of(grid)[:3, :3].T, axis=1).max())


def farthest_mm(grid: Grid, of_ijk: np.ndarray, from_ijk: np.ndarray) -> float:
    """Maximum distance of these voxels from the nearest voxel of the other mask, in mm."""
    return float(cdist(places(grid)[of_ijk], places(grid)[from_ijk]).min(axis=1).max())


@given(grids(tilts=TILTED), STUDY_MM)
def test_with_gantry_tilt_a_voxel_keeps_its_world_position_on_the_round_trip(native, spacing_mm):
    study = model_grid(native, spacing_mm)
    assert nib.aff2axcodes(matrix_of(study)) == ("R", "A", "S")
    assert spacing_of(matrix_of(study)) == pytest.approx([spacing_mm] * 3)
    assert within(study, places(native), reach=0.5).all()
    for axis in range(3):
        # Each voxel's value is its own coordinate: linear resampling must give the coordinate of the new position.
        native_mm, study_mm = places(native)[..., axis], places(study)[..., axis]
        there_mm = resample_linear(native_mm.astype(np.float32), native, study)
        inner = within(native, places(study), reach=0)
        assert np.allclose(there_mm[inner], study_mm[inner], atol=1e-3)
        back_mm = resample_linear(study_mm.astype(np.float32), study, native)
        inner = within(study, places(native), reach=0)
        assert np.allclose(back_mm[inner], native_mm[inner], atol=1e-3)


@given(grids(tilts=TILTED), STUDY_MM, SEEDS)
def test_on_the_round_trip_a_mask_grows_by_at_most_one_voxel_of_each_grid(native, spacing_mm, seed):
    drawn_ijk = blobs(native, seed)
    study = model_grid(native, spacing_mm)
    back_ijk = resample_mask(resample_mask(drawn_ijk, native, study), study, native)
    assert farthest_mm(native, back_ijk > 0, drawn_ijk > 0) <= diagonal_mm(native) + diagonal_mm(study)


@given(grids(tilts=TILTED), STUDY_MM, SEEDS)
def test_on_the_round_trip_no_lesion_is_lost_down_to_one_voxel(native, spacing_mm, seed):
    lesions = label_lesions(blobs(native, seed))
    study = model_grid(native, spacing_mm)
    for lesion in range(1, min(lesions.count, 6) + 1):
        drawn_ijk = (lesions.ids_IJK == lesion).astype(np.uint8)
        back_ijk = resample_mask(resample_mask(drawn_ijk, native, study), study, native)
        assert back_ijk.any()
        assert farthest_mm(native, back_ijk > 0, drawn_ijk > 0) <= diagonal_mm(native) + diagonal_mm(study)


@pytest.mark.parametrize(
    ("shape", "columns"),
    [
        ((3, 5, 8), [[-0.9, 0, 0], [0, -0.9, -0.92], [0, 0, -4]]),
        ((5, 3, 3), [[0, 0, -6], [-0.5, 0, 0], [0, -0.5, -0.61]]),
    ],
)
def test_a_lesion_at_the_border_of_a_tilted_scan_is_kept_though_its_model_grid_voxel_is_half_outside(shape, columns):
    native = grid_of(shape, nib.affines.from_matvec(np.array(columns)))
    study = model_grid(native, 2.0)
    for voxel in np.ndindex(shape):
        drawn_ijk = np.zeros(shape, dtype=np.uint8)
        drawn_ijk[voxel] = 1
        assert resample_mask(resample_mask(drawn_ijk, native, study), study, native).any(), voxel


@given(grids(side=st.integers(8, 14), tilts=TILTED), SEEDS)
def test_on_the_round_trip_the_interior_of_a_lesion_stays_lesion(native, seed):
    drawn_ijk = blobs(native, seed)
    study = model_grid(native, 1.0)
    back_ijk = resample_mask(resample_mask(drawn_ijk, native, study), study, native)
    outside_mm = places(native)[drawn_ijk == 0]
    inside_mm = places(native)[drawn_ijk > 0]
    deep = cdist(inside_mm, outside_mm).min(axis=1) > diagonal_mm(native) + diagonal_mm(study)
    assert back_ijk[drawn_ijk > 0][deep].all()


@pytest.mark.parametrize(("radius_mm", "bound"), [(5.0, 0.15), (15.0, 0.03)])
@settings(max_examples=25)
@given(origin=grids(side=st.just(1), tilts=TILTED))
def test_with_gantry_tilt_a_lesion_keeps_its_volume_on_the_round_trip(origin, radius_mm, bound):
    spacing_mm = np.array(spacing_of(matrix_of(origin)))
    native = grid_of(tuple(int(side) for side in np.ceil((2 * radius_mm + 14) / spacing_mm)), matrix_of(origin))
    drawn_ijk = ball(native, radius_mm)
    study = model_grid(native, 1.0)
    there_IJK = resample_mask(drawn_ijk, native, study)
    drawn_mm3 = int(drawn_ijk.sum()) * abs(np.linalg.det(matrix_of(native)[:3, :3]))
    assert int(there_IJK.sum()) == pytest.approx(drawn_mm3, rel=bound)
    assert int(resample_mask(there_IJK, study, native).sum()) == pytest.approx(int(drawn_ijk.sum()), rel=bound)


@given(grids(tilts=st.one_of(UPRIGHT, TILTED)), STUDY_MM, SEEDS)
def test_a_prediction_on_the_native_grid_keeps_its_position_in_a_file(tmp_path_factory, native, spacing_mm, seed):
    study = model_grid(native, spacing_mm)
    probability_IJK = np.random.default_rng(seed).random(study.shape, dtype=np.float32)
    mask_ijk = (resample_linear(probability_IJK, study, native) >= 0.5).astype(np.uint8)
    assert mask_ijk.shape == native.shape
    path = tmp_path_factory.mktemp("prediction") / "mask.nii.gz"
    write_volume(path, Volume(mask_ijk, matrix_of(native)))
    written = nib.load(path)
    assert written.shape == native.shape
    assert np.array_equal(written.affine, matrix_of(native).astype(np.float32))  # NIfTI affines are float32
    assert nib.aff2axcodes(written.affine) == nib.aff2axcodes(matrix_of(native))
    read = examine_mask(path, "mask")
    assert read.findings == ()
    assert np.array_equal(read.volume.voxels, mask_ijk)
    assert np.allclose(places(read.grid), places(native), atol=1e-3)


REAL = {
    "oblique slices of 4 mm": "ms-longitudinal/sub-long01/ses-01/anat/sub-long01_ses-01_FLAIR.nii.gz",
    "slices of 3 mm": "ms-longitudinal/sub-long12/ses-02/anat/sub-long12_ses-02_FLAIR.nii.gz",
    "1 mm, qform only": "ms-crosssectional/sub-cs07/ses-01/anat/sub-cs07_ses-01_FLAIR.nii.gz",
    "1 mm, LPS": "glioma-brats2021/sub-brats01476/ses-01/anat/sub-brats01476_ses-01_FLAIR.nii.gz",
}
SAME = 1e-4
"""Tolerance against nibabel and ANTs as a fraction of the image's range: all compute in float32."""


@pytest.fixture(params=REAL.values(), ids=REAL)
def scan(request: pytest.FixtureRequest, real_data: Path) -> Path:
    return real_data / request.param


def test_a_real_scan_is_resampled_to_its_model_grid_as_by_nibabel(scan):
    image = read_volume(scan)
    study = model_grid(image.grid, 2.0)
    ours_IJK = resample_linear(image.voxels, image.grid, study)
    file = nib.load(scan)
    in_float32 = nib.Nifti1Image(
        file.get_fdata(dtype=np.float32), file.affine
    )  # nibabel rounds to the type of the file
    theirs = nibabel.processing.resample_from_to(in_float32, (study.shape, matrix_of(study)), order=1)
    inner = within(image.grid, places(study), reach=-1e-3)
    assert inner.mean() > 0.9
    assert np.abs(ours_IJK - theirs.get_fdata())[inner].max() < SAME * image.voxels.max()


def test_a_real_scan_is_resampled_to_its_model_grid_as_by_ants_from_the_file(scan, tmp_path):
    ants = load_ants()
    image = read_volume(scan)
    study = model_grid(image.grid, 2.0)
    ours_IJK = resample_linear(image.voxels, image.grid, study)
    write_volume(tmp_path / "grid.nii", Volume(np.zeros(study.shape, dtype=np.float32), matrix_of(study)))
    target = ants.image_read(str(tmp_path / "grid.nii"))
    theirs_IJK = ants.resample_image_to_target(ants.image_read(str(scan)), target, interp_type="linear").numpy()
    apart_IJK = np.abs(ours_IJK - theirs_IJK)
    assert apart_IJK[within(image.grid, places(study), reach=0.49)].max() < SAME * image.voxels.max()


def test_ants_reads_a_written_file_at_the_same_world_position(scan, tmp_path):
    ants = load_ants()
    image = read_volume(scan)
    write_volume(tmp_path / "copy.nii", image)
    theirs = ants.image_read(str(tmp_path / "copy.nii"))
    ours = placement(image.grid)
    assert theirs.shape == image.grid.shape
    assert np.allclose(theirs.spacing, ours.spacing_mm, atol=1e-5)
    assert np.allclose(theirs.origin, ours.origin_mm, atol=1e-3)
    assert np.allclose(theirs.direction, ours.direction, atol=1e-5)
    assert np.array_equal(theirs.numpy(), image.voxels)


@pytest.mark.parametrize("patient", ["long01", "long12"])
@pytest.mark.parametrize("label", ["newlesion", "change"])
def test_real_lesions_in_thick_slices_survive_the_round_trip_with_bounded_volume_change(real_data, patient, label):
    folder = real_data / "ms-longitudinal" / "derivatives" / "manual" / f"sub-{patient}" / "ses-02" / "anat"
    mask = read_mask(folder / f"sub-{patient}_ses-02_space-ses01_label-{label}_mask.nii.gz")
    study = model_grid(mask.grid, 1.0)
    study_IJK = resample_mask(mask.voxels, mask.grid, study)
    back_ijk = resample_mask(study_IJK, study, mask.grid)
    lesions = label_lesions(mask.voxels)
    assert np.setdiff1d(np.arange(1, lesions.count + 1), lesions.ids_IJK[back_ijk > 0]).size == 0
    # Linear interpolation with threshold 0.5 cuts the corners of small lesions; the effect shows if all are small.
    drawn_mm3 = int(mask.voxels.sum()) * abs(np.linalg.det(mask.affine[:3, :3]))
    assert int(study_IJK.sum()) == pytest.approx(drawn_mm3, rel=0.13)
    assert int(back_ijk.sum()) == pytest.approx(int(mask.voxels.sum()), rel=0.07)


def test_real_masks_at_one_millimetre_are_unchanged_by_the_round_trip(real_data):
    for path in sorted((real_data / "ms-lesion-shapes").glob("sub-*/anat/*_mask.nii.gz"))[:2]:
        mask = read_mask(path)
        study = model_grid(mask.grid, 1.0)
        back_ijk = resample_mask(resample_mask(mask.voxels, mask.grid, study), study, mask.grid)
        assert np.array_equal(back_ijk, mask.voxels)
