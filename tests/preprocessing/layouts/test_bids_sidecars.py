"""JSON files apply to images by the BIDS inheritance principle; the closest file takes precedence."""

import json
from pathlib import Path

import pytest

from lesionlab.preprocessing.layouts.bids import find_studies
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import draw_dataset, image_path

TASK = TASKS["flair-single"]


def put(path: Path, **content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def sidecars(root: Path) -> dict[str, dict[str, object]]:
    return {files.study: dict(files.sidecars["flair"]) for files in find_studies(root, TASK).studies}


def test_a_closer_file_takes_precedence(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01_ses-1", "sub-01_ses-2", "sub-02")
    put(root / "FLAIR.json", EchoTime=0.1, Manufacturer="A", MagneticFieldStrength=3)
    put(root / "sub-01" / "sub-01_FLAIR.json", EchoTime=0.2, Manufacturer="B")
    put(root / "sub-01" / "ses-1" / "anat" / "sub-01_ses-1_FLAIR.json", EchoTime=0.3)
    assert sidecars(root) == {
        "sub-01_ses-1": {"EchoTime": 0.3, "Manufacturer": "B", "MagneticFieldStrength": 3},
        "sub-01_ses-2": {"EchoTime": 0.2, "Manufacturer": "B", "MagneticFieldStrength": 3},
        "sub-02": {"EchoTime": 0.1, "Manufacturer": "A", "MagneticFieldStrength": 3},
    }


def test_a_file_applies_only_to_images_with_its_suffix_and_all_its_entities(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image = image_path(root, "sub-01").rename(image_path(root, "sub-01").with_name("sub-01_acq-3d_FLAIR.nii.gz"))
    put(root / "T1w.json", Mistake="suffix")
    put(root / "acq-2d_FLAIR.json", Mistake="entity")
    put(root / "sub-02_FLAIR.json", Mistake="patient")
    put(root / "acq-3d_FLAIR.json", MRAcquisitionType="3D", EchoTime=1)
    put(root / "FLAIR.json", EchoTime=2)
    put(image.with_name("sub-01_run-1_FLAIR.json"), Mistake="run")
    assert sidecars(root) == {"sub-01": {"MRAcquisitionType": "3D", "EchoTime": 1}}


def test_an_image_without_any_sidecar_has_an_empty_one(tmp_path):
    assert sidecars(draw_dataset(tmp_path / "bids", "sub-01")) == {"sub-01": {}}


def broken(path: Path, outside: Path) -> None:
    path.write_text('{"EchoTime": ')


def listed(path: Path, outside: Path) -> None:
    path.write_text("[1, 2]")


def deep(path: Path, outside: Path) -> None:
    path.write_text("[" * 100_000)


def latin(path: Path, outside: Path) -> None:
    path.write_bytes('{"Manufacturer": "Zürich"}'.encode("latin-1"))


def linked(path: Path, outside: Path) -> None:
    put(outside, Secret="of another dataset")
    path.symlink_to(outside)


@pytest.mark.parametrize("spoil", [broken, listed, deep, latin, linked], ids=lambda spoil: spoil.__name__)
def test_an_unusable_sidecar_makes_its_study_faulty(tmp_path, spoil):
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    spoil(image_path(root, "sub-02").with_name("sub-02_FLAIR.json"), tmp_path / "outside.json")
    found = find_studies(root, TASK)
    assert [files.study for files in found.studies] == ["sub-01"]
    (fault,) = found.faulty
    assert [(finding.code, finding.place) for finding in fault.findings] == [("unreadable", "FLAIR")]
    assert fault.faults[0].startswith("FLAIR: its sub-02_FLAIR.json ")


def test_each_study_has_its_patients_row_of_the_table(tmp_path):
    root = draw_dataset(tmp_path / "bids", "sub-01_ses-1", "sub-01_ses-2", "sub-02")
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t34 \tn/a\nsub-03\t50\tF\n")
    rows = [dict(files.participant) for files in find_studies(root, TASK).studies]
    assert rows == [{"participant_id": "sub-01", "age": "34", "sex": "n/a"}] * 2 + [{}]
