"""Masks drawn in another space keep their lesions on the native grid."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.affines import apply_affine
from scipy import ndimage

from lesionlab.errors import ImageError
from lesionlab.imaging.antspy import load_ants
from lesionlab.imaging.itk import placement
from lesionlab.imaging.lesions import label_lesions
from lesionlab.imaging.volume import Volume, grid_of, matrix_of, read_mask, read_volume
from lesionlab.preprocessing.reference import bring_to_native
from tests.imaging.heads import SLICES, THREE_MM, places
from tests.preprocessing.pairs import NEW_MM, spots

ITK = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"


def itk_file(path: Path, matrix: np.ndarray) -> Path:
    """The affine (RAS+ mm) as ITK text, about the centre (3, -7, 11)."""
    lps = np.diag([-1, -1, 1, 1]) @ matrix @ np.diag([-1, -1, 1, 1])
    centre_mm = np.array([3.0, -7.0, 11.0])
    shift_mm = lps[:3, 3] - centre_mm + lps[:3, :3] @ centre_mm
    numbers = " ".join(f"{number:.12g}" for number in [*lps[:3, :3].ravel(), *shift_mm])
    path.write_text(f"{ITK}Parameters: {numbers}\nFixedParameters: 3 -7 11\n")
    return path


def affine(degrees: tuple[float, ...], shift_mm: tuple[float, ...]) -> np.ndarray:
    return nib.affines.from_matvec(nib.eulerangles.euler2mat(*np.deg2rad(degrees)) * 1.02, shift_mm)


def test_a_mask_moved_by_ants_is_brought_back(tmp_path):
    ants = load_ants()
    transform = itk_file(tmp_path / "to-midway.txt", affine((6, -4, 5), (5, -9, 3)))
    drawn = Volume(spots(places(SLICES), NEW_MM).astype(np.uint8), matrix_of(SLICES))
    native, midway = (
        ants.from_numpy(np.zeros(grid.shape, np.float32), *placement(grid)) for grid in (SLICES, THREE_MM)
    )
    there = ants.apply_transforms(
        midway, native.new_image_like(drawn.voxels.astype(np.float32)), [str(transform)], "nearestNeighbor"
    )
    back = bring_to_native(Volume(there.numpy().astype(np.uint8), matrix_of(THREE_MM)), transform, SLICES)
    assert back.grid == SLICES
    assert label_lesions(back.voxels).count == len(NEW_MM)
    assert 2 * (back.voxels & drawn.voxels).sum() / int(back.voxels.sum() + drawn.voxels.sum()) > 0.8


@given(
    st.tuples(*[st.floats(-20, 20)] * 3),
    st.tuples(*[st.floats(-6, 6)] * 3),
    st.lists(st.tuples(*[st.integers(3, 8)] * 3), min_size=1, max_size=5, unique=True),
)
def test_no_lesion_down_to_one_voxel_is_lost(tmp_path_factory, degrees, shift_mm, places_ijk):
    """Each voxel of the mask keeps a native voxel close to where the transform moves it."""
    native = grid_of((40, 40, 12), nib.affines.from_matvec(np.diag([-1.0, 1.0, 4.0]), [20.0, -20.0, -24.0]))
    mask_ijk = np.zeros((12, 12, 12), dtype=np.uint8)
    mask_ijk[tuple(np.array(places_ijk).T)] = 1
    mask = Volume(mask_ijk, nib.affines.from_matvec(np.eye(3), [-5.5] * 3))
    matrix = affine(degrees, shift_mm)
    back = bring_to_native(mask, itk_file(tmp_path_factory.mktemp("itk") / "a.txt", matrix), native)
    kept_mm = apply_affine(back.affine, np.argwhere(back.voxels))
    lesions = label_lesions(mask_ijk)
    for lesion in range(1, lesions.count + 1):
        lesion_mm = apply_affine(matrix @ mask.affine, np.argwhere(lesions.ids_IJK == lesion))
        assert np.linalg.norm(kept_mm[:, None] - lesion_mm, axis=-1).min() < 2.5  # half a native voxel's diagonal


def test_the_identity_transform_leaves_the_mask_unchanged(tmp_path):
    drawn = Volume(spots(places(SLICES), NEW_MM).astype(np.uint8), matrix_of(SLICES))
    back = bring_to_native(drawn, itk_file(tmp_path / "a.txt", np.eye(4)), SLICES)
    assert np.array_equal(back.voxels, drawn.voxels)


def test_a_file_that_is_not_an_affine_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text(f"{ITK}Parameters: 1 2 3\nFixedParameters: 0 0 0\n")
    with pytest.raises(ImageError, match="wanted 12 numbers"):
        bring_to_native(Volume(np.ones((3, 3, 3), np.uint8), np.eye(4)), tmp_path / "a.txt", SLICES)


@pytest.mark.parametrize(("patient", "label"), [("long01", "newlesion"), ("long01", "brain"), ("long12", "resolved")])
def test_published_masks_in_the_halfway_space_match_their_authors_native_masks(real_data, patient, label):
    visit = real_data / "ms-longitudinal" / f"sub-{patient}" / "ses-01" / "anat"
    drawn = real_data / "ms-longitudinal" / "derivatives" / "manual" / f"sub-{patient}" / "ses-02" / "anat"
    native = read_volume(visit / f"sub-{patient}_ses-01_FLAIR.nii.gz").grid
    midway = read_mask(drawn / f"sub-{patient}_ses-02_space-midway_label-{label}_mask.nii.gz")
    theirs = read_mask(drawn / f"sub-{patient}_ses-02_space-ses01_label-{label}_mask.nii.gz")
    ours = bring_to_native(midway, drawn / f"sub-{patient}_from-ses01_to-midway_mode-image_xfm.txt", native)
    dice = 2 * (ours.voxels & theirs.voxels).sum() / (int(ours.voxels.sum()) + int(theirs.voxels.sum()))
    assert dice > (0.99 if label == "brain" else 0.75)  # theirs is nearest-neighbour: single voxels differ
    ids_ijk, near_ijk = label_lesions(theirs.voxels).ids_IJK, ndimage.binary_dilation(ours.voxels)
    assert np.setdiff1d(ids_ijk, ids_ijk[near_ijk]).size == 0
    assert label_lesions(ours.voxels).count >= label_lesions(theirs.voxels).count
