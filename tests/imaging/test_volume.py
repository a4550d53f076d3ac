"""NIfTI files are read as volumes or refused with one message that says what is wrong."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import ImageError
from lesionlab.imaging.volume import Volume, examine_image, examine_mask, read_mask, read_volume, write_volume
from tests.imaging.files import OBLIQUE, ramp, save


def test_a_written_volume_is_read_back(tmp_path):
    written = Volume(ramp(5, 6, 7), OBLIQUE)
    write_volume(tmp_path / "a.nii.gz", written)
    read = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(read.voxels, written.voxels)
    assert read.voxels.dtype == np.float32
    assert np.allclose(read.affine, OBLIQUE, atol=1e-5)
    assert read.grid.shape == (5, 6, 7)
    assert read.spacing_mm == pytest.approx((0.9, 0.9, 4.0))


def test_a_mask_stays_a_mask_of_one_byte_per_voxel(tmp_path):
    mask_ijk = (ramp(4, 4, 4) > 30).astype(np.uint8)
    write_volume(tmp_path / "mask.nii.gz", Volume(mask_ijk, OBLIQUE))
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    read = read_mask(tmp_path / "mask.nii.gz")
    assert read.voxels.dtype == np.uint8
    assert np.array_equal(read.voxels, mask_ijk)


def test_viewers_that_use_the_qform_or_the_sform_show_the_same_position(tmp_path):
    write_volume(tmp_path / "a.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.allclose(image.get_qform(coded=True)[0], OBLIQUE, atol=1e-4)
    assert np.allclose(image.get_sform(coded=True)[0], OBLIQUE, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_sheared_grid_has_no_qform_because_it_would_be_wrong(tmp_path):
    sheared = np.eye(4)
    sheared[1, 2] = 0.4  # gantry tilt
    write_volume(tmp_path / "a.nii", Volume(ramp(3, 3, 3), sheared))
    image = nib.load(tmp_path / "a.nii")
    assert int(image.header["qform_code"]) == 0
    assert np.allclose(image.affine, sheared)


def test_a_file_with_only_a_qform_is_placed_by_it(tmp_path):
    image = nib.Nifti1Image(ramp(3, 3, 3), None)
    image.set_sform(None, code=0)
    image.set_qform(OBLIQUE, code=1)
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").affine, OBLIQUE, atol=1e-4)


def test_stored_integers_are_scaled_by_their_slope(tmp_path):
    image = nib.Nifti1Image(ramp(3, 3, 3).astype(np.int16), OBLIQUE)
    image.header.set_slope_inter(0.5, -2)
    nib.save(image, tmp_path / "a.nii")
    assert np.array_equal(read_volume(tmp_path / "a.nii").voxels, ramp(3, 3, 3) * 0.5 - 2)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_the_same_volume_gives_the_same_bytes(tmp_path, name):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write_volume(tmp_path / folder / name, Volume(ramp(5, 5, 5), OBLIQUE))
    written = (tmp_path / "one" / name).read_bytes()
    assert written == (tmp_path / "two" / name).read_bytes()
    if name.endswith(".gz"):
        assert written[4:8] == bytes(4)  # no timestamp in the gzip header


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken.nii.gz").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        write_volume(tmp_path / "taken.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    with pytest.raises(ImageError, match="cannot be written"):
        write_volume(tmp_path / "nowhere" / "a.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    with pytest.raises(ImageError, match=r"wanted a NIfTI file"):
        write_volume(tmp_path / "a.png", Volume(ramp(3, 3, 3), OBLIQUE))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.nii.gz"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_zeros_and_ones_of_any_type_are_a_mask(tmp_path, dtype):
    mask_ijk = ramp(3, 3, 3) > 12
    save(tmp_path / "mask.nii.gz", mask_ijk.astype(dtype))
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz").voxels, mask_ijk)


def test_a_mask_of_0_and_255_or_with_rounding_errors_is_repaired_and_reported(tmp_path):
    mask_ijk = (ramp(3, 3, 3) > 12).astype(np.float32)
    for odd_ijk, few in [(mask_ijk * 255, "0, 255"), (mask_ijk * 0.99997, "0, 0.99997"), (mask_ijk + 1e-6, "1e-06, 1")]:
        examined = examine_mask(save(tmp_path / "mask.nii.gz", odd_ijk), "mask")
        assert np.array_equal(examined.volume.voxels, mask_ijk)
        (finding,) = examined.findings
        assert (finding.code, finding.repaired) == ("mask-not-binary", True)
        assert finding.text().startswith(f"mask: found the values {few};")


def test_a_mask_of_scaled_integers_is_a_mask(tmp_path):
    image = nib.Nifti1Image((ramp(3, 3, 3) > 12).astype(np.int16) * 32767, OBLIQUE)
    image.header.set_slope_inter(1 / 32767, 0)
    nib.save(image, tmp_path / "mask.nii.gz")
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz").voxels, ramp(3, 3, 3) > 12)


@pytest.mark.parametrize("small", [0.25, 1 / 255, 1e-4])
@pytest.mark.parametrize("empty_ijk", [np.zeros((3, 3, 3)), -np.zeros((3, 3, 3))], ids=["0", "-0"])
def test_rounding_never_erases_the_lesions_of_a_mask(tmp_path, small, empty_ijk):
    assert not read_mask(save(tmp_path / "mask.nii.gz", empty_ijk)).voxels.any()
    drawn_ijk = np.where(ramp(3, 3, 3) > 12, small, empty_ijk)
    with pytest.raises(ImageError, match=f"found the values -?0, {small:g}; save it as a binary mask"):
        read_mask(save(tmp_path / "mask.nii.gz", drawn_ijk))


@pytest.mark.parametrize(
    ("values", "found"),
    [([0, 3], "0, 3"), ([0, 1, 2], "0, 1, 2"), ([0, 0.5, 1], "0, 0.5, 1"), (range(9), "0, 1, 2, 3, 4, 5, …")],
    ids=["another label", "labels", "probabilities", "many"],
)
def test_any_other_value_is_refused_as_a_mask(tmp_path, values, found):
    voxels = np.resize(np.array(values, dtype=np.float32), (3, 3, 3))
    with pytest.raises(ImageError, match=f"found the values {found};") as refusal:
        read_mask(save(tmp_path / "mask.nii.gz", voxels))
    assert refusal.value.code == "mask-not-binary"


def test_the_grid_is_known_though_voxels_are_not_finite(tmp_path):
    voxels = ramp(4, 4, 4)
    voxels[1, 2, 3] = np.nan
    path = save(tmp_path / "a.nii.gz", voxels)
    for examined in (examine_image(path, "flair"), examine_mask(path, "flair")):
        assert examined.volume is None
        assert examined.grid.shape == (4, 4, 4)
        assert [(finding.code, finding.repaired) for finding in examined.findings] == [("not-finite", False)]


@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_only_image_errors(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "a.nii.gz"
    path.write_bytes(data)
    with pytest.raises(ImageError):
        read_volume(path)
