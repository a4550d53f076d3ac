"""Studies with faults in; all of the faults at once, out."""

from pathlib import Path

import numpy as np
import pytest

from lesionlab.errors import DatasetError
from lesionlab.preprocessing.bids import find_studies
from lesionlab.preprocessing.integrity import Scans, read_scans
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import OBLIQUE, SHAPE, draw_dataset, head, image_path, lesions, mask_path, save

TASK = TASKS["flair-single"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return draw_dataset(tmp_path / "bids", "sub-01")


def read(root: Path) -> Scans:
    return read_scans(find_studies(root, TASK).studies[0], TASK)


def faults(root: Path) -> tuple[str, ...]:
    with pytest.raises(DatasetError) as refusal:
        read(root)
    return refusal.value.args


def test_a_sound_study_is_read_as_it_was_drawn(root):
    scans = read(root)
    assert np.array_equal(scans.images[0].voxels, head(0))
    assert np.array_equal(scans.reference.voxels, lesions())


def test_a_study_without_any_lesion_is_sound(root):
    save(mask_path(root, "sub-01"), np.zeros(SHAPE, dtype=np.uint8))
    assert not read(root).reference.voxels.any()


def test_headers_that_differ_by_rounding_are_sound(root):
    save(mask_path(root, "sub-01"), lesions(), OBLIQUE + np.float32(1e-4))
    assert read(root).reference.voxels.any()


def test_another_spacing_is_told_with_both_spacings_and_what_to_do(root):
    save(mask_path(root, "sub-01"), lesions(), OBLIQUE @ np.diag([1, 1, 0.75, 1]))
    assert faults(root) == (
        "FLAIR: spacing (2, 2, 4) mm but mask (2, 2, 3) mm; resample the mask onto the FLAIR or exclude the study",
    )


def test_another_shape_is_told_with_both_shapes(root):
    save(mask_path(root, "sub-01"), lesions()[:, :, :-1])
    assert faults(root)[0].startswith("FLAIR: shape (24, 28, 12) but mask (24, 28, 11);")


@pytest.mark.parametrize("change", ["moved", "flipped"])
def test_another_place_is_told_by_how_far(root, change):
    affine = OBLIQUE.copy()
    affine[:3, 3] += 3.0 if change == "moved" else OBLIQUE[:3, 0] * 23
    affine[:3, 0] *= 1 if change == "moved" else -1
    save(mask_path(root, "sub-01"), lesions(), affine)
    distance = "5.2" if change == "moved" else "46.0"
    assert faults(root)[0].startswith(f"FLAIR: its corners lie up to {distance} mm from those of the mask;")


def test_a_mask_in_the_air_is_refused(root):
    mask_ijk = np.zeros(SHAPE, dtype=np.uint8)
    mask_ijk[:2, :2, :2] = 1
    save(mask_path(root, "sub-01"), mask_ijk)
    assert faults(root) == ("mask: all lesions lie outside the head; check that mask and image belong together",)


def test_all_faults_of_a_study_are_told_at_once_and_none_tells_where_the_files_lie(root):
    save(image_path(root, "sub-01"), np.full(SHAPE, 7, dtype=np.int16))
    save(mask_path(root, "sub-01"), lesions() * 3)
    flat, labels = faults(root)
    assert flat.startswith("FLAIR: wanted contrast inside the head, found the same value everywhere (7)")
    assert labels.startswith("mask: wanted a mask of 0 and 1, found the values 0, 3")
    image_path(root, "sub-01").write_bytes(image_path(root, "sub-01").read_bytes()[:-40])
    broken, labels = faults(root)
    assert broken.startswith("FLAIR: damaged or truncated")
    assert str(root) not in broken + labels
