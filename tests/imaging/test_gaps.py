"""Voxels without a value are filled in the air, and refused inside the head."""

import numpy as np
import pytest

from lesionlab.errors import ImageError
from lesionlab.imaging.gaps import fill_air
from lesionlab.imaging.intensity import head_mask
from lesionlab.imaging.volume import examine_image, examine_mask, read_map
from tests.imaging.files import ramp, save
from tests.imaging.heads import THREE_MM, head

IMAGE = head(THREE_MM).voxels
HEAD = head_mask(IMAGE)
MIDDLE = tuple(int(np.mean(axis)) for axis in np.nonzero(HEAD))


def without(*places: object, image: np.ndarray = IMAGE, value: float = np.nan) -> np.ndarray:
    changed = image.copy()
    for place in places:
        changed[place] = value
    return changed


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_gap_in_the_air_is_set_to_the_value_of_air_and_reported(value):
    filled, (finding,) = fill_air(without((0, 0, slice(3)), value=value), "FLAIR")
    assert (finding.code, finding.repaired) == ("not-finite", True)
    assert "3 NaN or infinite voxels outside the head" in finding.what
    assert np.array_equal(filled[1:], IMAGE[1:])
    assert filled[0, 0, 0] == pytest.approx(np.median(IMAGE[~HEAD]), rel=0.01)


def test_a_masked_background_is_set_to_zero():
    filled, (finding,) = fill_air(without(~HEAD), "FLAIR")
    assert finding.repaired
    assert np.array_equal(filled, np.where(HEAD, IMAGE, 0))


HOLE = tuple(slice(at - 3, at + 3) for at in MIDDLE)
SLICES = np.s_[:, :, MIDDLE[2] : MIDDLE[2] + 2]
LESIONS = np.zeros((9, 9, 9), dtype=np.float32)
LESIONS[4:6, 4:6, 4:6] = 1


@pytest.mark.parametrize(
    ("gaps", "read"),
    [
        (LESIONS == 0, True),
        (np.indices(LESIONS.shape)[0] < 2, True),
        (np.indices(LESIONS.shape)[0] < 4, False),
        (np.indices(LESIONS.shape).sum(axis=0) == 5, False),
        (np.indices(LESIONS.shape).sum(axis=0) == 13, False),
        (np.ones(LESIONS.shape, bool), False),
    ],
    ids=["in place of 0", "out of view", "beside a lesion", "a sheet inside", "in the lesion", "everywhere"],
)
def test_nan_in_a_mask_is_read_as_0_only_where_it_can_hide_no_lesion(tmp_path, gaps, read):
    path = save(tmp_path / "mask.nii.gz", np.where(gaps, np.nan, LESIONS).astype(np.float32))
    examined = examine_mask(path, "mask")
    assert [finding.repaired for finding in examined.findings] == [read]
    if read:
        assert np.array_equal(examined.volume.voxels, LESIONS)
    else:
        assert "save the file with 0 there if that is meant" in examined.findings[0].what


INSIDE = {
    "one voxel": without(MIDDLE),
    "one voxel, infinite": without(MIDDLE, value=np.inf),
    "a hole": without(HOLE),
    "a notch from the top": without((*HOLE[:2], slice(None))),
    "slices": without(SLICES),
    "slices of a masked head": without(~HEAD, SLICES),
    "a hole in a masked head": without(~HEAD, MIDDLE),
    "everything": np.full_like(IMAGE, np.nan),
}


@pytest.mark.parametrize("image", INSIDE.values(), ids=INSIDE)
def test_a_gap_inside_the_head_is_refused(image):
    filled, (finding,) = fill_air(image, "FLAIR")
    assert filled is None
    assert (finding.code, finding.repaired) == ("not-finite", False)


def test_an_image_with_all_its_values_is_left_alone():
    assert fill_air(IMAGE, "FLAIR") == (IMAGE, ())


def test_a_file_with_a_gap_in_the_air_is_read_as_an_image_but_not_as_a_mask_or_a_map(tmp_path):
    path = save(tmp_path / "a.nii.gz", without((0, 0, 0)))
    assert np.isfinite(examine_image(path, "FLAIR").volume.voxels).all()
    assert examine_mask(path, "mask").volume is None
    with pytest.raises(ImageError, match="found 1 NaN, infinite"):
        read_map(path)
    assert examine_image(save(tmp_path / "b.nii.gz", ramp(4, 4, 4)), "FLAIR").findings == ()
