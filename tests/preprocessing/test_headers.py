"""Text in NIfTI headers that could identify a patient is found; texts of known programs pass."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lesionlab.preprocessing.headers import HEAD_BYTES, header_signs

NAME = "ZZYZXKOWALSKI"
AFNI = """<?xml version='1.0' ?>
<AFNI_attributes self_idcode="XYZ_HnYjzFizWLDcx5IdwlHp5g" NIfTI_nums="240,240,155,1,1,4" ni_form="ni_group" >
<AFNI_atr ni_type="String" ni_dimen="1" atr_name="{name}" >
 "{text}"
</AFNI_atr>
<AFNI_atr ni_type="String" ni_dimen="1" atr_name="IDCODE_DATE" >
 "Wed May  3 18:17:06 2017"
</AFNI_atr>
<AFNI_atr ni_type="int" ni_dimen="1" atr_name="BRICK_TYPES" >
 1
</AFNI_atr>
</AFNI_attributes>
"""


def write(path: Path, kind=nib.Nifti1Image, extension: tuple[int, bytes] | None = None, **fields: str) -> Path:
    image = kind(np.zeros((4, 4, 4), dtype=np.int16), np.eye(4))
    for name, text in fields.items():
        image.header[name] = text.encode()
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension(*extension))
    path.write_bytes(gzip.compress(image.to_bytes(), mtime=0) if path.suffix == ".gz" else image.to_bytes())
    return path


def places(path: Path) -> list[str]:
    signs = header_signs(path)
    assert not any(NAME in sign.what + sign.place for sign in signs)
    return [sign.place for sign in signs]


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("field", ["descrip", "aux_file", "intent_name", "db_name", "data_type"])
def test_a_name_in_any_text_field_is_found(tmp_path, field, ending):
    assert places(write(tmp_path / f"image{ending}", **{field: NAME[:10]})) == [f"header field {field}"]


@pytest.mark.parametrize("field", ["descrip", "aux_file", "intent_name", "unused_str"])
def test_a_name_in_any_text_field_of_nifti_2_is_found(tmp_path, field):
    assert places(write(tmp_path / "image.nii.gz", nib.Nifti2Image, **{field: NAME})) == [f"header field {field}"]


def test_a_name_after_the_terminating_nul_is_found(tmp_path):
    assert places(write(tmp_path / "image.nii.gz", descrip=f"FSL5.0\0{NAME}")) == ["header field descrip"]


def test_a_name_in_the_other_byte_order_is_found(tmp_path):
    image = nib.Nifti1Image(np.zeros((4, 4, 4), dtype=">i2"), np.eye(4), nib.Nifti1Header(endianness=">"))
    image.header["descrip"] = NAME.encode()
    (tmp_path / "image.nii").write_bytes(image.to_bytes())
    assert places(tmp_path / "image.nii") == ["header field descrip"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "FSL5.0",
        "6.0.5:ad5bd5d4",
        "5.0.10",
        "TE=92;Time=140512.348;phase=1;mb=3",
        "TE=2.3;Time=0.000",
        "SPM compatible",
        "spm - 3D normalized",
        "FreeSurfer Jul 17 2013",
        "mrtrix version: 3.0.4",
        "MNI152 T1 1mm brain",
        "spm - algebra",
        "SPM12 - contrast",
        "MRIcron",
        "c3d",
        "Convert3D",
        "MIPAV 11.0.3",
        "dicom2nifti",
        "created by ITK-SNAP",
        "nnUNet v2.5",
        "MRtrix version: 3.0.4-28-g1234abcd",
        "dcm2niix v1.0.20230411",
        "?TR:2000.000 TE:98",
    ],
)
def test_texts_of_known_programs_pass(tmp_path, text):
    assert places(write(tmp_path / "image.nii.gz", descrip=text)) == []


@pytest.mark.parametrize(
    "text", ["1984-05-12", "482913", "FSL5.0 Kowalski", "Łukasz", "MRN 482", "Date=20210304", "x-12-gKowalski"]
)
def test_free_texts_are_found(tmp_path, text):
    assert places(write(tmp_path / "image.nii.gz", descrip=text)) == ["header field descrip"]


@pytest.mark.parametrize(
    ("code", "content"),
    [
        (2, f"0010,0010 PN {NAME}".encode()),
        (6, f"scanned for {NAME}".encode()),
        (8, f"<subject>{NAME}</subject>".encode()),
        (12, NAME.encode()),
        (16, NAME.encode()),
        (44, f'{{"PatientName": "{NAME}"}}'.encode()),
        (0, NAME.encode("utf-16-le")),
        (4, AFNI.format(name="LABEL_1", text=NAME).encode()),
        (4, AFNI.format(name="HISTORY_NOTE", text="3dcalc -a born_1984-05-12.nii").encode()),
        (4, f"<broken {NAME}".encode()),
        (4, f"<!DOCTYPE a [<!ENTITY b '{NAME}'>]><a>&b;</a>".encode()),
    ],
)
def test_extensions_with_text_are_found(tmp_path, code, content):
    found = places(write(tmp_path / "image.nii.gz", extension=(code, content)))
    assert len(found) == 1
    assert found[0].startswith(f"header extension {code}")
    assert not header_signs(tmp_path / "image.nii.gz")[0].harmless


@pytest.mark.parametrize(
    ("code", "content"),
    [
        (6, b""),
        (6, b"FSL5.0"),
        (20, np.float32(1000).tobytes()),
        (4, AFNI.format(name="LABEL_1", text="zyxt").encode()),
        (4, AFNI.format(name="TYPESTRING", text="3DIM_HEAD_ANAT").encode()),
    ],
)
def test_extensions_with_numbers_or_program_texts_pass(tmp_path, code, content):
    assert places(write(tmp_path / "image.nii.gz", extension=(code, content))) == []


def test_a_processing_history_is_reported_as_harmless(tmp_path):
    text = f"[{NAME}@host: Wed May  3 18:17:06 2017] 3dcalc -a /home/{NAME}/a.nii"
    path = write(tmp_path / "image.nii.gz", extension=(4, AFNI.format(name="HISTORY_NOTE", text=text).encode()))
    assert places(path) == ["header extension 4 (AFNI) history"]
    assert header_signs(path)[0].harmless


@pytest.mark.parametrize(
    "text",
    ["2203.11-dirty 2023-08-23T14:21:21+01:00", "6.0.7.4 2023-08-23T14:21:21Z", "FSL 2203.11 2023-08-23T14:21:21"],
)
def test_the_build_date_of_a_program_is_reported_as_harmless(tmp_path, text):
    path = write(tmp_path / "image.nii.gz", descrip=text)
    assert places(path) == ["header field descrip"]
    assert header_signs(path)[0].harmless


@pytest.mark.parametrize(
    "text",
    ["2023-08-23T14:21:21", "acquired 2023-08-23T14:21:21", "2203.11 2023-08-23T14:21:21 ZZYZX", "1.2 2023-08-23"],
)
def test_any_other_date_is_not_a_build_date(tmp_path, text):
    path = write(tmp_path / "image.nii.gz", descrip=text)
    assert [sign.harmless for sign in header_signs(path)] == [False]


def test_a_history_of_freesurfer_is_reported_as_harmless(tmp_path):
    history = (
        b"\1\0\0\0\3mri_convert a.mgz b.nii.gz ProgramVersion: freesurfer-linux-ubuntu22_x86_64-8.0.0-20250210-"
        b"8f21b9f TimeStamp: 2025/02/11-09:12:33-GMT BuildTime: Feb 10 2025 21:04:11 User: someone Machine: host"
    )
    path = write(tmp_path / "image.nii.gz", extension=(14, history))
    assert places(path) == ["header extension 14 (FreeSurfer) history"]
    assert header_signs(path)[0].harmless


def test_an_identifier_in_a_history_of_freesurfer_is_found(tmp_path):
    path = write(tmp_path / "image.nii.gz", extension=(14, b"\1\0mri_convert Smith^John_1984-05-12.mgz"))
    assert [sign.harmless for sign in header_signs(path)] == [False]


def test_a_date_in_the_gzip_file_name_is_found(tmp_path):
    path = write(tmp_path / "image.nii")
    with (
        (tmp_path / "image.nii.gz").open("wb") as raw,
        gzip.GzipFile("SMITH_20210304.nii", "wb", fileobj=raw) as packed,
    ):
        packed.write(path.read_bytes())
    assert places(tmp_path / "image.nii.gz") == ["name in the gzip header"]


def test_extensions_beyond_the_size_limit_are_refused_unread(tmp_path):
    path = write(tmp_path / "image.nii.gz", extension=(6, b"FSL5.0 " * HEAD_BYTES))
    assert "header extensions" in places(path)


@pytest.mark.parametrize(
    "content",
    [b"", b"no image", gzip.compress(b"short"), gzip.compress(b"x" * 4000)[:50]],
    ids=["empty", "text", "a short file", "cut off"],
)
def test_a_file_that_is_not_an_image_has_no_header_findings(tmp_path, content):
    (tmp_path / "image.nii.gz").write_bytes(content)
    assert header_signs(tmp_path / "image.nii.gz") == []
