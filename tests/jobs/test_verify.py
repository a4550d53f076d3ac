"""`lesionlab verify` prints a readable table, writes machine-readable files and touches no store."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from lesionlab.store.objects import open_store
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import SHAPE, draw_dataset, image_path, lesions, mask_path, save
from tests.preprocessing.layouts.drawn_layouts import draw_pairs


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """One valid study, one with two faults, one without a mask."""
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02", "sub-03")
    save(image_path(root, "sub-02"), np.zeros(SHAPE, dtype=np.int16))
    save(mask_path(root, "sub-02"), lesions()[::2])
    mask_path(root, "sub-03").unlink()
    return root


def test_valid_studies_pass_with_exit_code_0(lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str) -> None:
    result = lesionlab("verify", draw_dataset(tmp_path / "bids", "sub-01", "sub-02"))
    assert result.exit_code == 0
    assert "2 passed, 0 repaired, 0 quarantined" in result.output
    assert open_store(file_store_uri).list("") == []


@pytest.mark.parametrize(("task", "said"), [("flair-new", True), ("flair-single", False)])
def test_verify_says_that_registration_was_not_tried(
    lesionlab: Lesionlab, tmp_path: Path, task: str, said: bool
) -> None:
    root = draw_pairs(draw_dataset(tmp_path / "bids", "sub-09"), "sub-01")
    output = lesionlab("verify", root, "--task", task).output
    assert ("registration was not tried; to try it too: --registration" in output) == said


def test_every_fault_of_every_study_is_printed_with_its_code_and_exit_code_3(
    lesionlab: Lesionlab, dataset: Path, file_store_uri: str
) -> None:
    result = lesionlab("verify", dataset)
    assert result.exit_code == 3
    for words in ("no-contrast", "grid-mismatch", "missing-file", "1 passed, 0 repaired, 2 quarantined"):
        assert words in result.output
    assert open_store(file_store_uri).list("") == []


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal_without_losing_a_word(
    lesionlab: Lesionlab, dataset: Path, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = [line for line in lesionlab("verify", dataset).output.splitlines() if not line.startswith("verifying")]
    assert max(map(len, lines)) <= columns
    shown = "".join("".join(lines).split())
    assert "orexcludethestudy" in shown
    assert "…" not in shown


def test_json_and_csv_contain_the_verdicts_of_the_table(lesionlab: Lesionlab, dataset: Path, tmp_path: Path) -> None:
    lesionlab("verify", dataset, "--json", tmp_path / "v.json", "--csv", tmp_path / "v.csv")
    verdicts = json.loads((tmp_path / "v.json").read_text())
    assert [(verdict["study"], verdict["verdict"]) for verdict in verdicts] == [
        ("sub-01", "pass"),
        ("sub-02", "quarantined"),
        ("sub-03", "quarantined"),
    ]
    with (tmp_path / "v.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 1 + sum(len(verdict["findings"]) for verdict in verdicts)
    assert {row["verdict"] for row in rows if row["study"] == "sub-02"} == {"quarantined"}


def test_the_same_image_of_two_patients_is_detected_without_a_store(lesionlab: Lesionlab, tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    image_path(root, "sub-02").write_bytes(image_path(root, "sub-01").read_bytes())
    result = lesionlab("verify", root)
    assert result.exit_code == 3
    assert result.output.count("duplicate-image") == 2


def test_a_patient_without_a_row_is_noted_on_standard_error(lesionlab: Lesionlab, tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    (root / "participants.tsv").write_text("participant_id\tsite\nsub-01\tNorth\nsub-77\tSouth\n")
    result = lesionlab("verify", root, "--spacing", 4, "--plain")
    assert "1 row matches no subject (sub-77); not used" in result.stderr
    assert "1 subject has no row (sub-02); counted at site-1, without age and sex; add the rows" in result.stderr


def test_a_mask_on_the_qform_grid_passes_once_its_study_is_accepted(lesionlab: Lesionlab, tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    scan = nib.load(image_path(root, "sub-01"))
    affine = scan.affine.copy()
    scan.set_qform(affine, code=1)
    scan.set_sform(nib.affines.from_matvec(np.eye(3), [10, -5, 3]) @ affine, code=2)
    nib.save(nib.Nifti1Image(np.asarray(scan.dataobj), None, scan.header), image_path(root, "sub-01"))
    said = "".join(lesionlab("verify", root, "--plain").output.split())
    assert "acceptthestudywith--acceptSTUDY" in said
    assert "resamplethemaskonto" not in said
    accepted = lesionlab("verify", root, "--plain", "--accept", "sub-01")
    assert accepted.exit_code == 0, accepted.output
    assert "0 passed, 1 repaired, 0 quarantined" in accepted.output
    stored = ("preprocess", root, "--cohort", "drawn", "--spacing", 4, "--plain")
    assert lesionlab(*stored).exit_code == 1
    assert lesionlab(*stored, "--accept", "sub-01").exit_code == 0
    assert lesionlab(*stored).exit_code == 1
    assert "--accept sub-07: wanted a study" in lesionlab("verify", root, "--accept", "sub-07").output


def test_faults_of_the_dataset_and_of_its_studies_are_told_at_once(lesionlab: Lesionlab, dataset: Path) -> None:
    (dataset / "participants.tsv").write_text("participant_id\tdate_of_birth\nsub-1\t1984-05-12\n")
    output = lesionlab("verify", dataset, "--accept", "sub-77").output
    for words in ("no-contrast", "missing-file", "date_of_birth", "write sub-01 for sub-1", "--accept sub-77: wanted"):
        assert words in output
    assert "1984" not in output
    assert lesionlab("verify", dataset, "--scrub").exit_code == 1


def test_faults_of_the_dataset_alone_end_with_exit_code_1(lesionlab: Lesionlab, tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / "participants.tsv").write_text("participant_id\nsub-1\n")
    result = lesionlab("verify", root)
    assert result.exit_code == 1
    assert "1 passed, 0 repaired, 0 quarantined" in result.output
    assert "error: " in result.output


@pytest.mark.parametrize(("column", "noted"), [("north", True), ("n/a", False)])
def test_a_site_that_no_study_needs_is_noted(lesionlab: Lesionlab, tmp_path: Path, column: str, noted: bool) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    (root / "participants.tsv").write_text(f"participant_id\tsite\nsub-01\t{column}\n")
    assert ("--site south: no study needs it" in lesionlab("verify", root, "--site", "south").output) == noted
