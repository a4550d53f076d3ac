"""Studies with several faults of different kinds in; all of them are told at once, whatever refuses the study."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lesionlab.preprocessing.cohort import judge, preprocess_cohort
from lesionlab.preprocessing.files import Dataset
from lesionlab.preprocessing.ingest import Recipe, StudyOutcome, check_study
from lesionlab.preprocessing.layouts.recognise import open_dataset
from lesionlab.preprocessing.privacy import refuse_identifying_names
from lesionlab.store.objects import open_store
from storage_schemas.tasks import TASKS
from tests.preprocessing.drawn import SHAPE, draw_dataset, image_path, lesions, mask_path, save

RECIPE = Recipe(TASKS["flair-single"], 2.0)
EMPTY = np.zeros(SHAPE, dtype=np.int16)


def judged(dataset: Dataset, recipe: Recipe = RECIPE) -> dict[str, StudyOutcome]:
    outcomes = judge(dataset, lambda files: check_study(files, recipe, registration=False), map, lambda *_: None)
    return {outcome.verdict.study: outcome for outcome in outcomes}


def told(outcome: StudyOutcome) -> list[tuple[str, str]]:
    return [(finding.code, finding.place) for finding in outcome.verdict.findings]


def without_mask(root: Path) -> Path:
    mask_path(root, "sub-01").unlink()
    return root


def as_table(root: Path) -> Path:
    """The same dataset as a table of paths whose row has no patient."""
    table = root / "paths.csv"
    with table.open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["study", "patient", "flair", "mask"])
        image, mask = (path.relative_to(root) for path in (image_path(root, "sub-01"), mask_path(root, "sub-01")))
        lines.writerow(["sub-01", "", image, mask])
    return table


@pytest.mark.parametrize(
    ("prepared", "own"),
    [(without_mask, ("missing-file", "mask")), (as_table, ("bad-name", "patient"))],
    ids=["bids", "table"],
)
def test_a_study_that_its_layout_refuses_shows_its_bad_image_and_identifiers_too(
    tmp_path: Path, prepared: Callable[[Path], Path], own: tuple[str, str]
) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    save(image_path(root, "sub-01"), EMPTY)
    image_path(root, "sub-01").with_name("sub-01_FLAIR.json").write_text(json.dumps({"PatientName": "Smith^John"}))
    (outcome,) = judged(open_dataset(prepared(root), RECIPE.task)).values()
    assert told(outcome) == [own, ("identifier", "FLAIR sidecar key PatientName"), ("no-contrast", "FLAIR")]
    assert "Smith" not in str(outcome)


def test_a_study_without_its_image_shows_its_bad_mask_too(tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01")
    image_path(root, "sub-01").unlink()
    save(mask_path(root, "sub-01"), lesions().astype(np.float32) * np.nan)
    (outcome,) = judged(open_dataset(root, RECIPE.task)).values()
    assert told(outcome)[0] == ("missing-file", "FLAIR")
    assert told(outcome)[1] == ("not-finite", "mask")


def test_a_study_that_is_refused_for_its_name_shows_its_bad_image_too_without_the_name(tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-JohnSmith19840512")
    save(image_path(root, "sub-JohnSmith19840512"), EMPTY)
    named = refuse_identifying_names(open_dataset(root, RECIPE.task), RECIPE.task)
    (outcome,) = judged(named).values()
    assert [code for code, _ in told(outcome)] == ["identifier", "no-contrast"]
    assert "Smith" not in str(outcome.verdict)


def test_preprocessing_tells_the_same_and_stores_nothing_of_it(tmp_path: Path) -> None:
    root = draw_dataset(tmp_path / "bids", "sub-01", "sub-02")
    save(image_path(root, "sub-01"), EMPTY)
    dataset = open_dataset(without_mask(root), RECIPE.task)
    store = open_store((tmp_path / "store").as_uri())
    ingested = preprocess_cohort(store, dataset, RECIPE, cohort="ms", exclude_faulty=True)
    (excluded,) = ingested.manifest.excluded
    assert [(finding.code, finding.place) for finding in excluded.findings] == told(judged(dataset)["sub-01"])
    assert {finding.code for finding in excluded.findings} == {"missing-file", "no-contrast"}
    assert not any("sub-01" in key for key in store.list(""))


def test_what_lies_in_an_incomplete_study_is_sound_and_only_the_missing_file_is_told(tmp_path: Path) -> None:
    dataset = open_dataset(without_mask(draw_dataset(tmp_path / "bids", "sub-01", "sub-02")), RECIPE.task)
    outcomes = judged(dataset)
    assert told(outcomes["sub-01"]) == [("missing-file", "mask")]
    assert told(outcomes["sub-02"]) == []
    assert outcomes["sub-01"].verdict.site == outcomes["sub-02"].verdict.site
