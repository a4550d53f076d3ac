"""A simulated cohort is valid BIDS, byte-identical for the same plan, and written completely or not at all."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from lesionlab.errors import DatasetError, SpecError
from lesionlab.simulation import CohortPlan, simulate_cohort
from tests.simulation.images import tree, voxels

TINY = CohortPlan(pathology=("ms", "glioma"), studies=2, seed=3, spacing_mm=2.0, sites=("premier", "ingenia"))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The two patients of TINY."""
    out = tmp_path_factory.mktemp("tiny") / "two"
    simulate_cohort(TINY, out)
    return out


@pytest.mark.parametrize("part", [".", "derivatives/manual"], ids=["raw", "masks"])
@pytest.mark.parametrize("cohort", [pytest.param("five_diseases", marks=pytest.mark.slow), "follow_up"])
def test_the_official_validator_finds_no_error(cohort: str, part: str, request: pytest.FixtureRequest) -> None:
    validator = shutil.which(
        "bids-validator-deno", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    )
    if validator is None:
        pytest.skip("bids-validator-deno is not installed")
    root: Path = request.getfixturevalue(cohort)
    done = subprocess.run([validator, "--json", str(root / part)], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert done.returncode == 0


def test_the_same_plan_gives_the_same_bytes_with_any_number_of_workers(two: Path, tmp_path: Path) -> None:
    simulate_cohort(TINY, tmp_path / "by two", workers=2)
    assert tree(two) == tree(tmp_path / "by two")


def test_a_patient_in_an_empty_folder_does_not_depend_on_the_number_of_patients(two: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    simulate_cohort(TINY.model_copy(update={"studies": 1}), tmp_path / "one")
    assert tree(tmp_path / "one" / "sub-0001") == tree(two / "sub-0001")


def test_another_seed_gives_other_patients(two: Path, tmp_path: Path) -> None:
    simulate_cohort(TINY.model_copy(update={"seed": 4, "studies": 1}), tmp_path / "b")
    flair = "sub-0001/ses-01/anat/sub-0001_ses-01_FLAIR.nii.gz"
    assert not np.array_equal(voxels(two / flair), voxels(tmp_path / "b" / flair))


def test_a_folder_with_files_is_refused_and_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(DatasetError, match="new or empty folder"):
        simulate_cohort(TINY, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_run_leaves_no_files(tmp_path: Path) -> None:
    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_cohort(TINY, tmp_path / "out", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_site_is_reported_with_the_valid_names(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere.*skyra"):
        simulate_cohort(TINY.model_copy(update={"sites": ("nowhere",)}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_plan_rejects_unknown_fields() -> None:
    with pytest.raises(ValidationError, match="spacing"):
        CohortPlan.model_validate({"pathology": "ms", "studies": 1, "seed": 0, "spacing": 2.0})


def test_progress_reports_each_patient_in_order(tmp_path: Path) -> None:
    calls: list[tuple[int, int, str]] = []
    simulate_cohort(TINY, tmp_path / "out", lambda done, total, name: calls.append((done, total, name)))
    assert calls == [(1, 2, "sub-0001"), (2, 2, "sub-0002")]


def test_only_the_requested_contrasts_are_written(tmp_path: Path) -> None:
    simulate_cohort(TINY.model_copy(update={"contrasts": ("T1w", "ce-gadolinium_T1w")}), tmp_path / "out")
    images = {p.name.split("_", 2)[2] for p in (tmp_path / "out").rglob("*.nii.gz")}
    assert images == {"T1w.nii.gz", "ce-gadolinium_T1w.nii.gz", "label-enhancing_mask.nii.gz"}


def test_every_mask_is_binary_not_empty_and_on_the_grid_of_its_image(five_diseases: Path) -> None:
    masks = sorted((five_diseases / "derivatives").rglob("*label-lesion_mask.nii.gz"))
    assert len(masks) == 5
    for path in masks:
        inside = path.relative_to(five_diseases / "derivatives" / "manual")
        flair = five_diseases / inside.parent / inside.name.replace("label-lesion_mask", "FLAIR")
        mask, image = nib.load(path), nib.load(flair)
        assert set(np.unique(np.asarray(mask.dataobj))) == {0, 1}
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)


def test_diseases_and_sites_rotate_over_the_patients(five_diseases: Path) -> None:
    with (five_diseases / "participants.tsv").open() as table:
        rows = list(csv.DictReader(table, delimiter="\t"))
    assert [row["pathology"] for row in rows] == ["ms", "glioma", "leukodystrophy", "small-vessel", "metastases"]
    assert len({row["site"] for row in rows}) == 5
    described = json.loads((five_diseases / "participants.json").read_text())
    assert set(described) == set(rows[0]) - {"participant_id"}
