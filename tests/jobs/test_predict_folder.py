"""`lesionlab predict` on a folder: every scan into one BIDS-derivatives dataset, resumable, whatever one scan does."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from tests.jobs.bids_validator import bids_errors
from tests.jobs.conftest import Lesionlab
from tests.jobs.test_predict import VERSION, register_untrained
from tests.preprocessing.drawn import OBLIQUE, draw_dataset, head, image_path, save

STUDIES = ("sub-01_ses-a", "sub-02_ses-a")


@pytest.fixture
def dataset(tmp_path: Path, file_store_uri: str) -> Path:
    """A dataset of two studies; the store has a model for them."""
    register_untrained(file_store_uri, "flair-single")
    return draw_dataset(tmp_path / "ms", *STUDIES)


def predict(lesionlab: Lesionlab, folder: Path, *options: object) -> Any:
    return lesionlab("predict", folder, "--model", "untrained", "--out", folder.parent / "out", *options)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def mask_path(out: Path, study: str, end: str = "mask.nii.gz") -> Path:
    return out / study.replace("_", "/") / "anat" / f"{study}_label-lesion_desc-untrained_{end}"


def written(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_bids_dataset_becomes_a_valid_derivatives_dataset(lesionlab: Lesionlab, dataset: Path) -> None:
    result = predict(lesionlab, dataset, "--probability")
    assert result.exit_code == 0, result.output
    out = dataset.parent / "out"
    assert f"{out}: 2 scans predicted by untrained@{VERSION}, 0 done before, 0 failed" in result.output
    assert bids_errors(out) == []
    description = json.loads((out / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"][0]["Name"] == "lesionlab"
    assert description["DatasetLinks"] == {"source": "../ms"}
    for study in STUDIES:
        sidecar = json.loads(mask_path(out, study, "mask.json").read_text())
        assert sidecar["Sources"] == [f"bids:source:{study.replace('_', '/')}/anat/{study}_FLAIR.nii.gz"]
        assert sidecar["Maker"] == {"model": "untrained", "version": VERSION}
        mask, probability = (nib.load(mask_path(out, study, f"{kind}.nii.gz")) for kind in ("mask", "probseg"))
        assert np.allclose(mask.affine, OBLIQUE)
        assert np.array_equal(mask.get_fdata() > 0, probability.get_fdata() >= np.float32(sidecar["Threshold"]))
        assert (out / "qc" / f"{study}_desc-untrained.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "descriptions.tsv").read_text() == f"desc_id\tdescription\ndesc-untrained\tuntrained@{VERSION}\n"


def test_the_masks_are_those_of_single_images_and_the_tables_count_their_lesions(
    lesionlab: Lesionlab, dataset: Path, tmp_path: Path
) -> None:
    assert predict(lesionlab, dataset).exit_code == 0
    out = tmp_path / "out"
    scans, lesions = table(out / "scans.csv"), table(out / "lesions.csv")
    assert [scan["study"] for scan in scans] == [*STUDIES]
    for scan in scans:
        alone = tmp_path / f"{scan['study']}.nii.gz"
        result = lesionlab(
            "predict", image_path(dataset, scan["study"]), "--model", "untrained", "--out", alone, "--probability"
        )
        assert (out / scan["mask"]).read_bytes() == alone.read_bytes()
        own = [lesion for lesion in lesions if lesion["study"] == scan["study"]]
        assert len(own) == int(scan["lesions"]) > 0
        assert f"{len(own)} lesions, {float(scan['volume_ml']):.2f} ml" in result.output
        assert sum(float(lesion["volume_mm3"]) for lesion in own) / 1000 == pytest.approx(float(scan["volume_ml"]))
        peak = nib.load(tmp_path / f"{scan['study']}_probability.nii.gz").get_fdata().max()
        assert max(float(lesion["peak"]) for lesion in own) == pytest.approx(peak, abs=1e-4)
        assert {(lesion["model"], lesion["version"]) for lesion in own} == {("untrained", VERSION)}


def test_one_bad_scan_does_not_stop_the_others_and_is_named_with_exit_code_1(
    lesionlab: Lesionlab, dataset: Path, tmp_path: Path
) -> None:
    bad = image_path(dataset, STUDIES[0])
    good = bad.read_bytes()
    bad.write_bytes(good[: len(good) // 2])
    result = predict(lesionlab, dataset)
    assert result.exit_code == 1
    assert f"error: {STUDIES[0]}: " in result.output
    assert "1 scans predicted" in result.output
    out = tmp_path / "out"
    assert [scan["study"] for scan in table(out / "scans.csv")] == [STUDIES[1]]
    before = mask_path(out, STUDIES[1]).stat().st_mtime_ns
    bad.write_bytes(good)
    again = predict(lesionlab, dataset)
    assert again.exit_code == 0, again.output
    assert "1 scans predicted by" in again.output
    assert "1 done before, 0 failed" in again.output
    assert mask_path(out, STUDIES[1]).stat().st_mtime_ns == before
    assert [scan["study"] for scan in table(out / "scans.csv")] == [*STUDIES]


def test_a_session_that_lacks_an_image_is_named(lesionlab: Lesionlab, dataset: Path) -> None:
    image_path(dataset, STUDIES[0]).rename(image_path(dataset, STUDIES[0]).with_name("sub-01_ses-a_run-1_FLAIR.nii.gz"))
    save(image_path(dataset, STUDIES[0]).with_name("sub-01_ses-a_run-2_FLAIR.nii.gz"), head(5))
    result = predict(lesionlab, dataset)
    assert result.exit_code == 1
    assert f"{STUDIES[0]}: FLAIR: wanted one file, found sub-01_ses-a_run-1_FLAIR.nii.gz, sub-01" in result.output
    assert "1 scans predicted" in result.output


def test_done_scans_are_skipped_and_a_resumed_folder_equals_an_undisturbed_one(
    lesionlab: Lesionlab, dataset: Path, tmp_path: Path
) -> None:
    assert predict(lesionlab, dataset).exit_code == 0
    undisturbed = written(tmp_path / "out")
    # As after a kill between the mask and its sidecar, and before the tables.
    mask_path(tmp_path / "out", STUDIES[1], "mask.json").unlink()
    (tmp_path / "out" / "lesions.csv").unlink()
    result = predict(lesionlab, dataset)
    assert "1 scans predicted by" in result.output
    assert "1 done before" in result.output
    assert written(tmp_path / "out") == undisturbed


def test_another_threshold_wants_force(lesionlab: Lesionlab, dataset: Path, tmp_path: Path) -> None:
    assert predict(lesionlab, dataset).exit_code == 0
    before = written(tmp_path / "out")
    refused = predict(lesionlab, dataset, "--threshold", 0.9)
    assert refused.exit_code == 1
    assert f"{STUDIES[0]}: predicted before with threshold 0.01; choose another folder" in refused.output
    assert written(tmp_path / "out") == before
    assert predict(lesionlab, dataset, "--threshold", 0.9, "--force").exit_code == 0
    assert {scan["threshold"] for scan in table(tmp_path / "out" / "scans.csv")} == {"0.9"}
    assert {scan["lesions"] for scan in table(tmp_path / "out" / "scans.csv")} == {"0"}


def test_an_image_that_changed_is_predicted_again(lesionlab: Lesionlab, dataset: Path) -> None:
    assert predict(lesionlab, dataset).exit_code == 0
    save(image_path(dataset, STUDIES[0]), head(9))
    result = predict(lesionlab, dataset)
    assert "1 scans predicted by" in result.output


def test_maps_that_are_asked_for_later_are_added(lesionlab: Lesionlab, dataset: Path, tmp_path: Path) -> None:
    assert predict(lesionlab, dataset).exit_code == 0
    assert not mask_path(tmp_path / "out", STUDIES[0], "probseg.nii.gz").exists()
    assert "2 scans predicted" in predict(lesionlab, dataset, "--probability").output
    assert "2 done before" in predict(lesionlab, dataset, "--probability").output
    assert mask_path(tmp_path / "out", STUDIES[0], "probseg.nii.gz").exists()


def test_the_output_may_be_a_derivative_inside_the_dataset(lesionlab: Lesionlab, dataset: Path) -> None:
    out = dataset / "derivatives" / "lesionlab"
    for done in ("2 scans predicted", "2 done before"):
        result = lesionlab("predict", dataset, "--model", "untrained", "--out", out)
        assert result.exit_code == 0, result.output
        assert done in result.output


def test_files_of_any_name_in_any_folder_are_predicted(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path
) -> None:
    register_untrained(file_store_uri, "flair-single")
    folder = tmp_path / "scans"
    for number, name in enumerate(("case_7.nii", "deep/er/case-7.nii.gz", "sub-3_ses-1_FLAIR.nii.gz")):
        save(folder / name, head(number))
    save(folder / "sub-3_ses-1_T1w.nii.gz", head(3))
    save(folder / "other.nii", head(4)).rename(folder / os.fsdecode(b"M\xfcller.NII"))  # Latin-1, as old disks have it
    for done in ("4 scans predicted", "4 done before"):
        result = lesionlab("predict", folder, "--model", "untrained", "--out", folder / "out")
        assert result.exit_code == 0, result.output
        assert done in result.output
        assert "1 files of another contrast are left out" in result.output
    studies = [scan["study"] for scan in table(folder / "out" / "scans.csv")]
    assert [study.rstrip("0123456789abcdef") for study in studies] == [
        "sub-3_ses-",
        "sub-Mller",
        "sub-cas",
        "sub-deepercas",
    ]
    assert bids_errors(folder / "out") == []


def test_files_that_would_share_a_name_are_refused_before_any_work(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path
) -> None:
    register_untrained(file_store_uri, "flair-single")
    for number, name in enumerate(("case_7.nii", "case-7.nii")):
        save(tmp_path / "scans" / name, head(number))
    result = predict(lesionlab, tmp_path / "scans")
    assert result.exit_code == 1
    assert "sub-case7: wanted another name for each file, found case-7.nii, case_7.nii for it" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", ["notes.txt", "dataset_description.json"])
def test_a_folder_with_anything_else_is_not_written_to(
    lesionlab: Lesionlab, dataset: Path, tmp_path: Path, there: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / there).write_text('{"Name": "precious", "BIDSVersion": "1.10.0"}')
    result = predict(lesionlab, dataset)
    assert result.exit_code == 1
    assert "wanted a new folder, or one with earlier predictions" in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == [there]


def test_the_dataset_itself_is_no_place_for_predictions(lesionlab: Lesionlab, dataset: Path) -> None:
    before = written(dataset)
    assert lesionlab("predict", dataset, "--model", "untrained", "--out", dataset).exit_code == 1
    assert written(dataset) == before


def test_a_folder_beside_other_arguments_is_refused(lesionlab: Lesionlab, dataset: Path) -> None:
    result = lesionlab("predict", dataset, dataset, "--model", "untrained", "--out", dataset.parent / "out")
    assert result.exit_code == 1
    assert "wanted one folder, or the images of one study; found 2" in result.output
