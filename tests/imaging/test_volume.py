"""NIfTI files, sound and broken, in; volumes, or one message that says what is wrong, out."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lesionlab.errors import ImageError
from lesionlab.imaging.volume import Volume, read_mask, read_volume, write_volume

OBLIQUE = nib.affines.from_matvec(
    nib.eulerangles.euler2mat(0.1, -0.2, 0.3) @ np.diag([-0.9, 0.9, 4.0]), [80.5, -100.25, -60]
)


def ramp(*shape: int) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def save(path: Path, voxels: np.ndarray, affine: np.ndarray = OBLIQUE) -> Path:
    nib.save(nib.Nifti1Image(voxels, affine), path)
    return path


def test_what_is_written_is_read_again(tmp_path):
    written = Volume(ramp(5, 6, 7), OBLIQUE)
    write_volume(tmp_path / "a.nii.gz", written)
    read = read_volume(tmp_path / "a.nii.gz")
    assert np.array_equal(read.voxels, written.voxels)
    assert read.voxels.dtype == np.float32
    assert np.allclose(read.affine, OBLIQUE, atol=1e-5)
    assert read.grid.shape == (5, 6, 7)
    assert read.spacing_mm == pytest.approx((0.9, 0.9, 4.0))


def test_a_mask_stays_a_mask_of_one_byte_a_voxel(tmp_path):
    mask_ijk = (ramp(4, 4, 4) > 30).astype(np.uint8)
    write_volume(tmp_path / "mask.nii.gz", Volume(mask_ijk, OBLIQUE))
    assert nib.load(tmp_path / "mask.nii.gz").get_data_dtype() == np.uint8
    read = read_mask(tmp_path / "mask.nii.gz")
    assert read.voxels.dtype == np.uint8
    assert np.array_equal(read.voxels, mask_ijk)


def test_viewers_that_trust_the_qform_and_viewers_that_trust_the_sform_see_the_same_place(tmp_path):
    write_volume(tmp_path / "a.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    image = nib.load(tmp_path / "a.nii.gz")
    assert np.allclose(image.get_qform(coded=True)[0], OBLIQUE, atol=1e-4)
    assert np.allclose(image.get_sform(coded=True)[0], OBLIQUE, atol=1e-4)
    assert image.header.get_xyzt_units()[0] == "mm"


def test_a_sheared_grid_has_no_qform_as_that_would_place_it_wrongly(tmp_path):
    sheared = np.eye(4)
    sheared[1, 2] = 0.4  # gantry tilt
    write_volume(tmp_path / "a.nii", Volume(ramp(3, 3, 3), sheared))
    image = nib.load(tmp_path / "a.nii")
    assert int(image.header["qform_code"]) == 0
    assert np.allclose(image.affine, sheared)


def test_a_file_that_has_only_a_qform_is_placed_by_it(tmp_path):
    image = nib.Nifti1Image(ramp(3, 3, 3), None)
    image.set_sform(None, code=0)
    image.set_qform(OBLIQUE, code=1)
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.allclose(read_volume(tmp_path / "a.nii.gz").affine, OBLIQUE, atol=1e-4)


def test_stored_integers_are_read_through_their_slope(tmp_path):
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
        assert written[4:8] == bytes(4)  # no time of writing in the gzip header


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    (tmp_path / "taken.nii.gz").mkdir()
    with pytest.raises(ImageError, match="cannot be written"):
        write_volume(tmp_path / "taken.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    with pytest.raises(ImageError, match="cannot be written"):
        write_volume(tmp_path / "nowhere" / "a.nii.gz", Volume(ramp(3, 3, 3), OBLIQUE))
    with pytest.raises(ImageError, match=r"wanted a NIfTI file"):
        write_volume(tmp_path / "a.png", Volume(ramp(3, 3, 3), OBLIQUE))
    assert [path.name for path in tmp_path.iterdir()] == ["taken.nii.gz"]


def nowhere(path: Path) -> None:
    """No file at all."""


def text(path: Path) -> None:
    path.write_text("FLAIR")


def folder(path: Path) -> None:
    path.mkdir()


def truncated(path: Path) -> None:
    rng = np.random.default_rng(0)
    save(path, rng.normal(size=(20, 20, 20)).astype(np.float32))
    path.write_bytes(path.read_bytes()[:-5000])


def one_byte_changed(path: Path) -> None:
    rng = np.random.default_rng(0)
    save(path, rng.normal(size=(20, 20, 20)).astype(np.float32))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def series(path: Path) -> None:
    save(path, ramp(4, 4, 4, 2))


def slice_only(path: Path) -> None:
    save(path, ramp(4, 4))


def colours(path: Path) -> None:
    save(path, np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def complex_numbers(path: Path) -> None:
    save(path, ramp(4, 4, 4).astype(np.complex64))


def not_a_number(path: Path) -> None:
    voxels = ramp(4, 4, 4)
    voxels[1, 2, 3] = np.nan
    save(path, voxels)


def beyond_float32(path: Path) -> None:
    save(path, np.full((4, 4, 4), 1e300))


def flat_voxels(path: Path) -> None:
    save(path, ramp(4, 4, 4), np.array([[1, 1, 0, 0], [0, 0.01, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))


def in_metres(path: Path) -> None:
    save(path, ramp(4, 4, 4), np.diag([0.001, 0.001, 0.001, 1]))


def in_micrometres(path: Path) -> None:
    save(path, ramp(4, 4, 4), np.diag([1000.0, 1000, 1000, 1]))


def affine_of_nan(path: Path) -> None:
    affine = np.eye(4)
    affine[0, 3] = np.nan
    save(path, ramp(4, 4, 4), affine)


def claims(path: Path, shape: tuple[int, int, int], held: int) -> None:
    """A file whose header claims this shape, with `held` bytes of zeros after it."""
    header = nib.Nifti1Header()
    header.set_data_shape(shape)
    header.set_data_dtype(np.float32)
    header.set_sform(OBLIQUE, code=1)
    header["magic"] = b"n+1"
    header["vox_offset"] = 352
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4 + held)))


def more_than_it_holds(path: Path) -> None:
    claims(path, (600, 600, 600), 10_000)


def a_very_long_axis(path: Path) -> None:
    claims(path, (4, 4, 20_000), 4 * 4 * 20_000 * 4)


def a_very_large_head(path: Path) -> None:
    claims(path, (1024, 1024, 1024), 10_000)


BROKEN = {
    nowhere: "no such file",
    text: "cannot be read as NIfTI",
    folder: "no such file",
    truncated: "damaged or truncated",
    one_byte_changed: "damaged or truncated",
    series: r"wanted one 3-D image, found shape \(4, 4, 4, 2\)",
    slice_only: "wanted one 3-D image",
    colours: "wanted one number per voxel",
    complex_numbers: "wanted one number per voxel",
    not_a_number: "wanted finite voxels, found 1 ",
    beyond_float32: "wanted finite voxels, found 64 ",
    flat_voxels: "in one plane",
    in_metres: "wanted a spacing from 0.1 to 10.0 mm, found 0.001",
    in_micrometres: "wanted a spacing from 0.1 to 10.0 mm, found 1000",
    affine_of_nan: "the affine holds NaN",
    more_than_it_holds: "claims 864000352 bytes",
    a_very_long_axis: "at most 1024 voxels along an axis",
    a_very_large_head: "in all",
}


@pytest.mark.parametrize("make", BROKEN, ids=lambda make: make.__name__)
@pytest.mark.parametrize("read", [read_volume, read_mask])
@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_what_is_not_a_head_is_refused_in_one_message(tmp_path, make, read):
    path = tmp_path / "sub-01_FLAIR.nii.gz"
    make(path)
    wanted = BROKEN[make]
    if read is read_mask and make in (not_a_number, beyond_float32):
        wanted = "wanted a mask of 0 and 1"
    with pytest.raises(ImageError, match=wanted) as refusal:
        read(path)
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_plain_file_that_ends_too_early_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", ramp(9, 9, 9))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match="header claims 3268 bytes"):
        read_volume(path)


def test_other_formats_are_refused_by_name(tmp_path):
    with pytest.raises(ImageError, match=r"wanted a NIfTI file \(\.nii or \.nii\.gz\)"):
        read_volume(tmp_path / "IM0001.dcm")


def test_a_boastful_header_is_refused_before_memory_is_taken(tmp_path):
    more_than_it_holds(tmp_path / "bomb.nii.gz")
    tracemalloc.start()
    try:
        with pytest.raises(ImageError):
            read_volume(tmp_path / "bomb.nii.gz")
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_zeros_and_ones_are_a_mask_whatever_their_type(tmp_path, dtype):
    mask_ijk = ramp(3, 3, 3) > 12
    save(tmp_path / "mask.nii.gz", mask_ijk.astype(dtype))
    assert np.array_equal(read_mask(tmp_path / "mask.nii.gz").voxels, mask_ijk)


@pytest.mark.parametrize(
    ("values", "found"),
    [([0, 255], "0, 255"), ([0, 1, 2], "0, 1, 2"), ([0, 0.5, 1], "0, 0.5, 1"), (range(9), "0, 1, 2, 3, 4, 5, …")],
    ids=["bytes", "labels", "probabilities", "many"],
)
def test_any_other_value_is_no_mask(tmp_path, values, found):
    voxels = np.resize(np.array(values, dtype=np.float32), (3, 3, 3))
    with pytest.raises(ImageError, match=f"found the values {found}; save it as a binary mask"):
        read_mask(save(tmp_path / "mask.nii.gz", voxels))


@given(st.binary(max_size=600))
def test_no_bytes_whatever_are_read_as_a_head_or_raise_anything_else(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "a.nii.gz"
    path.write_bytes(data)
    with pytest.raises(ImageError):
        read_volume(path)
