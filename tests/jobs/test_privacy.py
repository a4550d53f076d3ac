"""Identifiers planted in every place of a dataset never reach the store, the output or the logs."""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from lesionlab.store.arrays import read_array, read_attributes
from lesionlab.store.objects import Store, open_store
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, image_path, mask_path

NAME = "ZZYZXKOWALSKI"
SALT = "a salt that nobody guesses"
AFNI = (
    '<AFNI_attributes ni_form="ni_group"><AFNI_atr ni_type="String" atr_name="HISTORY_NOTE">'
    f'"[{NAME}@host: Wed May  3 18:17:06 2017] 3dcalc -a /home/{NAME}/a.nii"</AFNI_atr></AFNI_attributes>'
)
REFUSED = {
    "sub-02": "FLAIR header field descrip",
    "sub-03": "mask header field aux_file",
    "sub-04": "FLAIR header extension 6",
    "sub-05": "FLAIR sidecar key PatientName",
    "sub-06": "FLAIR sidecar key global.const.ImageComments",
}
"""Where each refused study has its identifier; sub-01 has unrecognisable ones, sub-07 a harmless one."""


def plant(root: Path) -> Path:
    """A dataset with the name in every place except the columns of participants.tsv."""
    draw_dataset(root, "sub-01", *REFUSED, "sub-07", "sub-08", f"sub-{NAME}")
    unrecognisable = {"Note": NAME, "Manufacturer": NAME, "ManufacturersModelName": NAME, "MRAcquisitionType": NAME}
    write_sidecar(root, "sub-01", unrecognisable)
    rewrite(image_path(root, "sub-01"), gzip_name=f"{NAME}.nii")
    rewrite(image_path(root, "sub-02"), descrip=NAME)
    rewrite(mask_path(root, "sub-03"), aux_file=NAME)
    rewrite(image_path(root, "sub-04"), extension=(6, NAME))
    write_sidecar(root, "sub-05", {"PatientName": NAME})
    write_sidecar(root, "sub-06", {"global": {"const": {"ImageComments": NAME}}})
    rewrite(image_path(root, "sub-07"), extension=(4, AFNI))
    image_path(root, "sub-08").write_bytes(b"\x1f\x8b" + NAME.encode())
    (root / "README").write_text(NAME)
    rows = [f"{study}\t{NAME}\t{NAME}" for study in ("sub-01", "sub-07", f"sub-{NAME}")]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tsex\tage", *rows]))
    return root


def rewrite(path: Path, gzip_name: str = "", extension: tuple[int, str] | None = None, **fields: str) -> None:
    image = nib.load(path)
    changed = nib.Nifti1Image(np.asarray(image.dataobj), image.affine, image.header)
    for field, text in fields.items():
        changed.header[field] = text.encode()
    if extension:
        changed.header.extensions.append(nib.nifti1.Nifti1Extension(extension[0], extension[1].encode()))
    with path.open("wb") as raw, gzip.GzipFile(gzip_name, "wb", fileobj=raw) as packed:
        packed.write(changed.to_bytes())


def write_sidecar(root: Path, study: str, content: dict[str, object]) -> None:
    image_path(root, study).with_name(f"{study}_FLAIR.json").write_text(json.dumps(content))


def everything_in(store: Store) -> bytes:
    """Every key and every object, raw and decoded."""
    parts = []
    for key in store.list(""):
        data = store.get(key)
        parts += [key.encode(), data]
        if key.endswith(".parquet"):
            table = pq.read_table(BufferReader(data))
            parts += [repr(table.to_pylist()).encode(), repr(table.schema.metadata).encode()]
        if key.endswith("/zarr.json"):
            group, _, name = key.removesuffix("/zarr.json").partition(".zarr")
            parts.append(repr(read_attributes(store, f"{group}.zarr")).encode())
            parts.append(read_array(store, f"{group}.zarr", name[1:]).tobytes() if name else b"")
    return b"\n".join(parts)


def is_nowhere(word: str, store_uri: str, printed: str, logged: str) -> bool:
    stored = everything_in(open_store(store_uri)).upper()
    return word.upper().encode() not in stored and word.upper() not in (printed + logged).upper()


def test_recognised_identifiers_are_refused_with_their_place_and_leave_no_trace(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = plant(tmp_path / "bids")
    result = lesionlab("preprocess", root, "--cohort", "ms", "--spacing", 4, "--plain", "--exclude-faulty")
    assert result.exit_code == 0, result.output
    assert "2 studies, 7 excluded" in result.output
    for study, place in REFUSED.items():
        assert f"excluded {study}: {place}: " in result.output
    assert "sub-xxxxxxxxxxxxx: subject label: looks like a name" in result.output
    assert is_nowhere(NAME, file_store_uri, result.output, caplog.text)
    assert is_nowhere(str(root), file_store_uri, result.output, caplog.text)


def test_scrub_accepts_the_studies_and_drops_the_identifiers(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = plant(tmp_path / "bids")
    header, *rows = (root / "participants.tsv").read_text().splitlines()
    named = [f"{header}\tname", *(f"{row}\tn/a" for row in rows), f"sub-02\tF\t40\t{NAME}"]
    (root / "participants.tsv").write_text("\n".join(named))
    refused = lesionlab("preprocess", root, "--cohort", "ms", "--spacing", 4, "--plain", "--exclude-faulty")
    assert refused.exit_code == 1
    assert "participants.tsv column name: " in refused.output
    assert open_store(file_store_uri).list("") == []
    options = ("--cohort", "ms", "--spacing", 4, "--plain", "--exclude-faulty", "--scrub")
    scrubbed = lesionlab("preprocess", root, *options)
    assert scrubbed.exit_code == 0, scrubbed.output
    assert "7 studies, 2 excluded" in scrubbed.output
    assert "6 repaired" in scrubbed.output
    assert is_nowhere(NAME, file_store_uri, refused.output + scrubbed.output, caplog.text)


def test_hashed_names_replace_labels_everywhere(
    lesionlab: Lesionlab,
    tmp_path: Path,
    file_store_uri: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    studies = (f"sub-{NAME}_ses-19840512", f"sub-{NAME}_ses-20210304", "sub-damaged", "sub-maskless", "sub-copied")
    root = draw_dataset(tmp_path / "bids", *studies)
    image_path(root, "sub-damaged").write_bytes(image_path(root, "sub-damaged").read_bytes()[:900])
    mask_path(root, "sub-maskless").unlink()
    image_path(root, "sub-copied").write_bytes(image_path(root, studies[0]).read_bytes())
    options = ("--cohort", "ms", "--spacing", 4, "--plain", "--exclude-faulty", "--hash-ids")
    unsalted = lesionlab("preprocess", root, *options)
    assert unsalted.exit_code == 1
    assert "LESIONLAB_ID_SALT" in unsalted.output
    monkeypatch.setenv("LESIONLAB_ID_SALT", SALT)
    result = lesionlab("preprocess", root, *options)
    assert result.exit_code == 0, result.output
    assert "1 studies, 4 excluded" in result.output
    for word in (NAME, "19840512", "20210304", "damaged_", "maskless", "copied", SALT):
        assert is_nowhere(word, file_store_uri, result.output, caplog.text), word


def test_file_names_in_a_table_are_never_stored_or_printed(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    root = draw_dataset(tmp_path / "data", "sub-01", "sub-02", "sub-03")
    for study in ("sub-01", "sub-02", "sub-03"):
        image_path(root, study).rename(root / f"{NAME}_{study}.nii.gz")
        mask_path(root, study).rename(root / f"{NAME}_{study}_mask.nii.gz")
    (root / f"{NAME}_xfm.txt").write_text("no transform")
    (root / f"{NAME}_sub-02.nii.gz").write_bytes(b"no image")
    rows = [f"sub-0{n},0{n},{NAME}_sub-0{n}.nii.gz,{NAME}_sub-0{n}_mask.nii.gz," for n in (1, 2, 3)]
    table = ["study,patient,flair,mask,mask_transform", rows[0], rows[1], f"{rows[2]}{NAME}_xfm.txt"]
    (root / "studies.csv").write_text("\n".join(table))
    arguments = ("--cohort", "ms", "--spacing", 4, "--plain", "--exclude-faulty")
    result = lesionlab("preprocess", root / "studies.csv", *arguments)
    assert result.exit_code == 0, result.output
    assert "1 studies, 2 excluded" in result.output
    assert is_nowhere(NAME, file_store_uri, result.output, caplog.text)


def test_verify_prints_no_identifier(lesionlab: Lesionlab, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = plant(tmp_path / "bids")
    result = lesionlab("verify", root, "--plain", "--json", tmp_path / "v.json", "--csv", tmp_path / "v.csv")
    assert result.exit_code == 3
    printed = result.output + caplog.text + (tmp_path / "v.json").read_text() + (tmp_path / "v.csv").read_text()
    assert "PatientName" in printed
    assert NAME.lower() not in printed.lower()
