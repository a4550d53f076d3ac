"""Damaged, inconsistent and non-scan files are reported by code; whatever is valid in them is kept."""

import gzip
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lesionlab.errors import ImageError
from lesionlab.imaging.header import BLOCK_BYTES, Header, read_header
from lesionlab.imaging.volume import examine_image, read_mask, read_volume
from tests.imaging.files import OBLIQUE, ramp, save, set_fields

NOISE = np.random.default_rng(0).normal(size=(20, 20, 20)).astype(np.float32)


def nowhere(path: Path) -> None:
    """Write no file."""


def folder(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("FLAIR")


def zipped_text(path: Path) -> None:
    path.write_bytes(gzip.compress(b"FLAIR"))


def header_of_a_pair(path: Path) -> None:
    set_fields(save(path, NOISE), magic=b"ni1")


def unknown_numbers(path: Path) -> None:
    set_fields(save(path, NOISE), datatype=77)


def truncated(path: Path) -> None:
    save(path, NOISE)
    path.write_bytes(path.read_bytes()[:-5000])


def truncated_in_the_header(path: Path) -> None:
    save(path, NOISE)
    path.write_bytes(path.read_bytes()[:40])


def one_byte_changed(path: Path) -> None:
    save(path, NOISE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def rubbish_at_the_end(path: Path) -> None:
    save(path, NOISE)
    path.write_bytes(path.read_bytes() + b"rubbish")


def series(path: Path) -> None:
    save(path, ramp(4, 4, 4, 2))


def vectors(path: Path) -> None:
    save(path, ramp(4, 4, 4, 1, 3))


def slice_only(path: Path) -> None:
    save(path, ramp(4, 4))


def colours(path: Path) -> None:
    save(path, np.zeros((4, 4, 4), dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")]))


def complex_numbers(path: Path) -> None:
    save(path, ramp(4, 4, 4).astype(np.complex64))


def more_than_it_holds(path: Path) -> None:
    set_fields(save(path, NOISE), dim=[3, 600, 600, 600])


def a_hundred_gigabytes(path: Path) -> None:
    set_fields(save(path, NOISE), dim=[3, 2930, 2930, 2930])


def a_very_long_axis(path: Path) -> None:
    save(path, np.zeros((4, 4, 20_000), dtype=np.uint8))


def a_very_large_head(path: Path) -> None:
    set_fields(save(path, NOISE), dim=[3, 1024, 1024, 1024])


def no_voxels(path: Path) -> None:
    set_fields(save(path, NOISE), dim=[3, 20, 20, 0])


def voxels_in_the_header(path: Path) -> None:
    set_fields(save(path, NOISE), vox_offset=16)


def voxels_far_away(path: Path) -> None:
    set_fields(save(path, NOISE), vox_offset=3e9)


def voxels_nowhere(path: Path) -> None:
    set_fields(save(path, NOISE), vox_offset=np.nan)


def much_more_than_it_claims(path: Path) -> None:
    save(path, NOISE)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2 * BLOCK_BYTES)))


def slope_without_intercept(path: Path) -> None:
    set_fields(save(path, NOISE), scl_slope=2, scl_inter=np.nan)


def intercept_without_slope(path: Path) -> None:
    set_fields(save(path, NOISE), scl_slope=np.nan, scl_inter=-1024)


FAULTS = {
    nowhere: ("missing-file", "wanted a file, found none"),
    folder: ("missing-file", "wanted a file, found none"),
    text: ("unreadable", "found a text file, such as the answer to a failed download"),
    zipped_text: ("unreadable", "found a text file, such as the answer to a failed download"),
    header_of_a_pair: ("unreadable", "found one of a pair of files"),
    unknown_numbers: ("unreadable", "found the code 77"),
    truncated: ("truncated", r"damaged or truncated \(EOFError\)"),
    truncated_in_the_header: ("truncated", r"damaged or truncated \(EOFError\)"),
    one_byte_changed: ("truncated", "damaged or truncated"),
    rubbish_at_the_end: ("truncated", "damaged or truncated"),
    series: ("not-3d", r"wanted one 3-D image, found shape \(4, 4, 4, 2\)"),
    vectors: ("not-3d", r"wanted one 3-D image, found shape \(4, 4, 4, 1, 3\)"),
    slice_only: ("not-3d", "wanted one 3-D image"),
    colours: ("not-grey", "wanted one number per voxel, found 3 colours"),
    complex_numbers: ("not-grey", "wanted one number per voxel, found complex64"),
    more_than_it_holds: ("truncated", "864000352 bytes.*found 32352"),
    a_hundred_gigabytes: ("implausible-size", "1024 voxels.*2930, 2930, 2930"),
    a_very_long_axis: ("implausible-size", "1024 voxels.*20000"),
    a_very_large_head: ("implausible-size", "268435456.*1024, 1024, 1024"),
    no_voxels: ("implausible-size", r"found \(20, 20, 0\)"),
    voxels_in_the_header: ("implausible-size", "first voxel at byte 16"),
    voxels_far_away: ("implausible-size", r"first voxel at byte 3e\+09"),
    voxels_nowhere: ("implausible-size", "first voxel at byte nan"),
    much_more_than_it_claims: ("implausible-size", "32352 bytes.*found more"),
    slope_without_intercept: ("bad-scaling", "found slope 2 and intercept nan"),
    intercept_without_slope: ("bad-scaling", "found slope nan and intercept -1024"),
}


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
@pytest.mark.parametrize("read", [read_volume, read_mask])
def test_a_file_that_is_no_head_image_is_refused_with_its_code(tmp_path, make, read):
    path = tmp_path / "sub-01_FLAIR.nii.gz"
    make(path)
    code, what = FAULTS[make]
    with pytest.raises(ImageError, match=what) as refusal:
        read(path)
    assert refusal.value.code == code
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.parametrize("make", FAULTS, ids=lambda make: make.__name__)
def test_a_finding_names_neither_the_file_nor_its_folder(tmp_path, make):
    path = tmp_path / "sub-JohnDoe_FLAIR.nii.gz"
    make(path)
    examined = examine_image(path, "flair")
    assert examined.volume is None
    (finding,) = examined.findings
    assert (finding.place, finding.repaired) == ("flair", False)
    assert "JohnDoe" not in finding.text()
    assert str(tmp_path) not in finding.text()


def read(path: Path) -> Header:
    return read_header(path, "flair")


def codes(header: Header) -> list[str]:
    return [finding.code for finding in header.findings]


def test_all_faults_of_a_header_are_found_at_once(tmp_path):
    path = save(tmp_path / "a.nii.gz", ramp(4, 4, 4, 2), np.diag([40, 1, 1, 1]))
    header = read(set_fields(path, scl_slope=2, scl_inter=np.inf, dim=[4, 4, 4, 4, 9]))
    assert codes(header) == ["not-3d", "implausible-spacing", "bad-scaling"]
    assert header.layout is None
    assert header.shape == (4, 4, 4)  # still comparable with the mask's shape


def test_shape_and_affine_are_known_though_the_voxels_are_damaged(tmp_path):
    truncated(tmp_path / "a.nii.gz")
    examined = examine_image(tmp_path / "a.nii.gz", "flair")
    assert examined.grid.shape == (20, 20, 20)
    assert np.allclose(examined.grid.affine, OBLIQUE, atol=1e-5)


def test_trailing_axes_of_length_one_are_dropped_and_reported(tmp_path):
    examined = examine_image(save(tmp_path / "a.nii.gz", ramp(4, 5, 6, 1, 1)), "flair")
    assert np.array_equal(examined.volume.voxels, ramp(4, 5, 6))
    (finding,) = examined.findings
    assert (finding.code, finding.repaired) == ("not-3d", True)
    assert "(4, 5, 6, 1, 1)" in finding.what


def test_a_fourth_axis_of_length_zero_counts_as_one(tmp_path):
    path = set_fields(save(tmp_path / "a.nii.gz", ramp(4, 5, 6)), dim=[4, 4, 5, 6, 0])
    examined = examine_image(path, "flair")
    assert np.array_equal(examined.volume.voxels, ramp(4, 5, 6))
    assert [(finding.code, finding.repaired) for finding in examined.findings] == [("not-3d", True)]


@pytest.mark.parametrize(("dtype", "slope"), [(np.float32, 0), (np.int16, 0), (np.float32, -0.0)])
def test_a_slope_of_zero_leaves_values_as_stored(tmp_path, dtype, slope):
    path = set_fields(save(tmp_path / "a.nii.gz", ramp(3, 3, 3).astype(dtype)), scl_slope=slope, scl_inter=np.nan)
    examined = examine_image(path, "flair")
    assert examined.findings == ()
    assert np.array_equal(examined.volume.voxels, ramp(3, 3, 3))


@pytest.mark.parametrize("slope", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("intercept", [0, np.nan])
def test_a_slope_that_is_not_finite_is_read_as_by_nibabel_and_reported(tmp_path, slope, intercept):
    path = set_fields(save(tmp_path / "a.nii.gz", ramp(3, 3, 3)), scl_slope=slope, scl_inter=intercept)
    examined = examine_image(path, "flair")
    assert np.array_equal(examined.volume.voxels, nib.load(path).get_fdata())
    assert [(finding.code, finding.repaired) for finding in examined.findings] == [("bad-scaling", True)]


@pytest.mark.parametrize("slope", [0.5, -1, 1e-3])
def test_stored_integers_are_scaled_as_by_nibabel(tmp_path, slope):
    path = set_fields(save(tmp_path / "a.nii.gz", ramp(3, 3, 3).astype(np.int16)), scl_slope=slope, scl_inter=-2)
    assert np.array_equal(read_volume(path).voxels, nib.load(path).get_fdata(dtype=np.float32))


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_nifti_versions_and_byte_orders_are_read_as_by_nibabel(tmp_path, kind, order):
    blank = kind.header_class(endianness=order)
    nib.save(kind(ramp(4, 5, 6), OBLIQUE, blank), tmp_path / "a.nii.gz")
    read = read_volume(tmp_path / "a.nii.gz")
    peer = nib.load(tmp_path / "a.nii.gz")
    assert peer.header.endianness == order
    assert np.array_equal(read.voxels, peer.get_fdata())
    assert np.array_equal(read.affine, peer.affine)


def test_some_padding_after_the_last_voxel_is_accepted(tmp_path):
    path = save(tmp_path / "a.nii", NOISE)
    path.write_bytes(path.read_bytes() + bytes(512))
    assert np.array_equal(read_volume(path).voxels, NOISE)


def test_header_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(NOISE, OBLIQUE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"x" * 5000))
    nib.save(image, tmp_path / "a.nii.gz")
    assert np.array_equal(read_volume(tmp_path / "a.nii.gz").voxels, NOISE)


def test_a_truncated_uncompressed_file_is_refused(tmp_path):
    path = save(tmp_path / "a.nii", ramp(9, 9, 9))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match=r"3268 bytes.*found 3168") as refusal:
        read_volume(path)
    assert refusal.value.code == "truncated"


def test_other_formats_are_refused_by_file_name(tmp_path):
    with pytest.raises(ImageError, match=r"wanted a NIfTI file \(\.nii or \.nii\.gz\)"):
        read_volume(tmp_path / "IM0001.dcm")


def ten_gigabytes_of_zeros(path: Path) -> None:
    """A valid small image, followed by gzip members that decompress from 10 MB to 10 GiB."""
    save(path, NOISE)
    path.write_bytes(path.read_bytes() + gzip.compress(bytes(2**20)) * 10 * 2**10)


def an_endless_extension(path: Path) -> None:
    """A header extension that claims to be 2 GB long, before correctly placed voxels."""
    save(path, NOISE)
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[348:352] = b"\1\0\0\0"
    extension = np.array([2_000_000_000, 6], dtype="<i4").tobytes() + bytes(8)
    path.write_bytes(gzip.compress(bytes(data[:352]) + extension + bytes(data[352:])))
    set_fields(path, vox_offset=368)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (a_hundred_gigabytes, "implausible-size"),
        (more_than_it_holds, "truncated"),
        (voxels_far_away, "implausible-size"),
        (ten_gigabytes_of_zeros, "implausible-size"),
        (an_endless_extension, None),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_no_header_claim_is_trusted_for_memory_before_it_is_checked(tmp_path, make, code):
    path = tmp_path / "bomb.nii.gz"
    make(path)
    tracemalloc.start()
    try:
        examined = examine_image(path, "flair")
        assert [finding.code for finding in examined.findings] == ([code] if code else [])
        assert tracemalloc.get_traced_memory()[1] < 8 * BLOCK_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"dim": [0, 4, 4, 4, 1, 1, 1, 1]}, "wanted 1 to 7 axes in the header, found 0"),
        ({"dim": [2, 4, 4, 1, 1, 1, 1, 1]}, "found shape (4, 4); join the slices to one image"),
        ({"datatype": 1}, "wanted 8 to 64 bits per voxel, found the data type binary"),
        ({"datatype": 1536}, "wanted 8 to 64 bits per voxel, found the data type float128"),
        ({"datatype": 999}, "wanted a data type of the NIfTI standard, found the code 999"),
    ],
)
def test_what_no_reader_understands_is_named(tmp_path, fields, reason):
    path = set_fields(save(tmp_path / "a.nii", ramp(4, 4, 4)), **fields)
    assert [finding.what for finding in read(path).findings if reason in finding.what]
