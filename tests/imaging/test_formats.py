"""A file of another format is named, with what to do about it."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lesionlab.imaging.volume import examine_image, read_volume
from lesionlab.preprocessing.layouts.bids import find_studies
from storage_schemas.tasks import TASKS
from tests.imaging.files import OBLIQUE, ramp, save, set_fields
from tests.preprocessing.drawn import draw_dataset, image_path

VOXELS = ramp(9, 9, 9)


def plain(path: Path) -> bytes:
    return save(path.with_name("plain.nii"), VOXELS).read_bytes()


def pair(path: Path) -> bytes:
    return set_fields(save(path.with_name("plain.nii"), VOXELS), magic=b"ni1").read_bytes()


def analyze(path: Path) -> bytes:
    return set_fields(save(path.with_name("plain.nii"), VOXELS), magic=b"").read_bytes()


def mgz(path: Path) -> bytes:
    nib.save(nib.MGHImage(VOXELS, OBLIQUE), path.with_name("a.mgz"))
    return path.with_name("a.mgz").read_bytes()


def archive(path: Path) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        entry = tarfile.TarInfo("a.nii")
        entry.size = len(plain(path))
        tar.addfile(entry, io.BytesIO(plain(path)))
    return packed.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 123\n"
PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Please log in</body></html>"
DICOM = bytes(128) + b"DICM" + bytes(300)
MINC2 = b"\x89HDF\r\n\x1a\n" + bytes(900)
CONTENTS = [
    ("a.nii.gz", b"", "an empty file; copy or export"),
    ("a.nii", b"", "an empty file; copy or export"),
    ("a.nii.gz", plain, "a file that is not gzip; name it .nii"),
    ("a.nii", lambda path: gzip.compress(plain(path)), "a gzip file; name it .nii.gz"),
    ("a.nii.gz", lambda path: gzip.compress(gzip.compress(plain(path))), "compressed twice; unpack it once"),
    ("a.nii.gz", LFS, r"a Git LFS pointer .*; fetch its content \(git lfs pull\)"),
    ("a.nii", LFS, r"a Git LFS pointer .*; fetch its content \(git lfs pull\)"),
    ("a.nii", b"/annex/objects/MD5E-s12--abc.nii\n", r"a git-annex pointer .*\(datalad get\)"),
    ("a.nii.gz", PAGE, "a web page, so the download failed"),
    ("a.nii.gz", gzip.compress(PAGE), "a web page, so the download failed"),
    ("a.nii.gz", DICOM, "DICOM; convert it with dcm2niix"),
    ("a.dcm", DICOM, "DICOM; convert it with dcm2niix"),
    ("IM0001", DICOM, "DICOM; convert it with dcm2niix"),
    ("a.nii.gz", mgz, "MGH format; convert it with mri_convert"),
    ("a.mgz", mgz, "MGH format; convert it with mri_convert"),
    ("a.nrrd", b"NRRD0005\ntype: short\n", "NRRD; convert it with"),
    ("a.nii", b"NRRD0005\ntype: short\n", "NRRD; convert it with"),
    ("a.mnc", MINC2, "mnc2nii"),
    ("a.nii.gz", b"CDF\x01" + bytes(400), "MINC; convert it with mnc2nii"),
    ("a.nii.gz", pair, "one of a pair of files"),
    ("a.nii", analyze, "Analyze 7.5, which does not say where left and right are"),
    ("a.nii.gz", b"\x08\0\x05\0CS\x0a\0ISO_IR 100" + bytes(90), "DICOM; convert it with dcm2niix"),
    ("a.nii.gz", b"\x02\0\0\0UL\x04\0" + bytes(90), "DICOM; convert it with dcm2niix"),
    ("a.nii.gz", b"\x08\0\x16\0\x1a\0\0\0001.2.840" + bytes(90), "DICOM; convert it with dcm2niix"),
    ("a.nii.gz", b"<!-- login -->\n<HTML><body>", "a web page, so the download failed"),
    ("a.nii.gz", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a text file, such as the answer"),
    ("a.nii", b'{"message": "Not Found"}', "a text file, such as the answer to a failed download"),
    ("a.nii.gz", gzip.compress(b""), "a gzip file without content; copy or export"),
    ("a.nii.gz", lambda path: gzip.compress(archive(path)), "a tar archive; unpack it"),
    ("a.nii.gz", b"\x1f", "a file that is not gzip; copy or export"),
    (
        "a.nii.gz",
        lambda path: gzip.compress(b"\1" + plain(path)[1:]),
        "a file that does not begin as NIfTI does",
    ),
    ("a.nii", lambda path: b"\1" + plain(path)[1:], "a file that does not begin as NIfTI does"),
    ("a.nii.gz", b"PK\x03\x04rest", "a ZIP archive; unpack it"),
    ("a.nii.gz", b"BZh91AY", r"compressed with bzip2; unpack it \(bunzip2\)"),
]


@pytest.mark.parametrize(("name", "content", "what"), CONTENTS, ids=range(len(CONTENTS)))
def test_a_file_of_another_format_is_named_and_not_called_unreadable(tmp_path, name, content, what):
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / name
    path.write_bytes(content if isinstance(content, bytes) else content(path))
    (finding,) = examine_image(path, "FLAIR").findings
    assert finding.code == "unreadable"
    assert re.search(f"wanted a NIfTI file.*, found .*{what}", finding.what), finding.what


@pytest.mark.parametrize("ending", [".NII", ".NII.GZ", ".nii.GZ"])
def test_an_upper_case_ending_is_read(tmp_path, ending):
    path = save(tmp_path / f"a{ending.lower()}", VOXELS)
    path = path.rename(tmp_path / f"B{ending}")
    assert np.array_equal(read_volume(path).voxels, VOXELS)


@pytest.mark.parametrize(
    ("ending", "found"),
    [
        (".NII.GZ", "found no file that ends in .nii or .nii.gz but .NII.GZ; write the ending in lower case"),
        (".mgz", "found no NIfTI file but a .mgz file (FreeSurfer's MGH format; convert it with mri_convert)"),
        (".dcm", "found no NIfTI file but a .dcm file (DICOM; convert it with dcm2niix)"),
        (".nii.bz2", "found no NIfTI file but a .nii.bz2 file (compressed by another program"),
        (".json", "found no NIfTI file; add it"),
        (".NII.GZ", "rename it: capital letters count"),
    ],
)
def test_a_dataset_with_other_endings_says_what_it_has(tmp_path, ending, found):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image = image_path(root, "sub-01")
    image.rename(image.with_name(f"sub-01_FLAIR{ending}"))
    (exclusion,) = find_studies(root, TASKS["flair-single"]).faulty
    assert found in exclusion.faults[0]
