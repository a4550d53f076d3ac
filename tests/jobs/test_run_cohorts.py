"""`run` takes a cohort from its dataset, screened as asked, or from the store if it was preprocessed before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import jobs.run
from jobs.shared.cohorts import open_for, preprocess_dataset, refuse_too_few
from jobs.shared.dataset_screening import Screening
from jobs.shared.experiment_files import load_spec
from lesionlab.errors import DatasetError
from lesionlab.experiments.manifests import current_manifest
from lesionlab.store.objects import open_store
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, image_path

SPEC = """
name: own
title: two studies
task: flair-single
spacing_mm: 4.0
cohorts: {ms: {}, glioma: {}}
target: {cohort: ms, subsets: 2, subset_size: 1}
sources: [{model: glioma, cohort: glioma}]
training_sizes: [1]
architecture: {depth: 1}
training: {patch_voxels: 16, warmup_steps: 1}
inference: {step_voxels: 16}
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command asks the stages for, which are not run."""
    options: dict[str, Any] = {}
    monkeypatch.setattr(jobs.run, "run_experiment", lambda *_, **given: options.update(given))
    return options


def preprocessed(lesionlab: Lesionlab, folder: Path, cohort: str, spacing: str = "4") -> None:
    dataset = draw_dataset(folder / cohort, "sub-01", "sub-02")
    arguments = ("--cohort", cohort, "--spacing", spacing, "--plain")
    assert lesionlab("preprocess", dataset, *arguments).exit_code == 0


def test_a_cohort_in_the_store_needs_no_dataset(
    lesionlab: Lesionlab, own: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    preprocessed(lesionlab, tmp_path, "ms")
    glioma = draw_dataset(tmp_path / "glioma", "sub-03")
    result = lesionlab("run", own, "--bids", f"glioma={glioma}", "--plain", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "cohort ms: 2 studies, preprocessed before" in result.output
    assert asked["origins"] == {"glioma": glioma}


def test_a_dataset_that_is_given_goes_before_the_store(
    lesionlab: Lesionlab, own: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    preprocessed(lesionlab, tmp_path, "ms", spacing="2")
    preprocessed(lesionlab, tmp_path, "glioma")
    result = lesionlab("run", own, "--bids", f"ms={tmp_path / 'ms'}", "--plain", "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert asked["origins"] == {"ms": tmp_path / "ms"}


def test_a_cohort_at_another_spacing_is_refused_with_both_remedies(
    lesionlab: Lesionlab, own: Path, tmp_path: Path
) -> None:
    preprocessed(lesionlab, tmp_path, "ms", spacing="2")
    result = lesionlab("run", own, "--bids", f"glioma={tmp_path}", "--dry-run")
    assert result.exit_code == 1
    assert "at 4.0 mm, but the cohort was preprocessed for flair-single at 2.0 mm; preprocess it again" in result.output
    assert "or give --bids ms=PATH" in result.output


def test_a_cohort_that_is_nowhere_is_named(lesionlab: Lesionlab, own: Path) -> None:
    result = lesionlab("run", own, "--dry-run")
    assert result.exit_code == 1
    for name in ("ms", "glioma"):
        assert f"give --bids {name}=PATH, or preprocess it before" in result.output


def test_screening_options_reach_the_datasets_that_are_given(
    lesionlab: Lesionlab, own: Path, asked: dict[str, Any], tmp_path: Path
) -> None:
    bids = [part for name in ("ms", "glioma") for part in ("--bids", f"{name}={tmp_path}")]
    options = ("--scrub", "--hash-ids", "--site", "north", "--plain", "--device", "cpu")
    assert lesionlab("run", own, *bids, *options).exit_code == 0
    assert asked["screening"] == Screening(scrub=True, hash_ids=True, site="north")


def test_a_study_with_an_identifier_enters_only_scrubbed(own: Path, tmp_path: Path, file_store_uri: str) -> None:
    dataset, store = draw_dataset(tmp_path / "ms", "sub-01", "sub-02"), open_store(file_store_uri)
    sidecar = Path(str(image_path(dataset, "sub-02")).removesuffix(".nii.gz") + ".json")
    sidecar.write_text(json.dumps({"PatientName": "Somebody"}))
    entered = []
    for screening, second in ((Screening(), "refuse"), (Screening(scrub=True, site="north"), "replace")):
        opened = open_for(load_spec(str(own)), "ms", dataset, screening)
        preprocess_dataset(store, *opened, "ms", exclude_faulty=True, plain=True, second=second)
        entered.append([(entry.patient, entry.site) for entry in current_manifest(store, "ms").studies])
    assert [len(studies) for studies in entered] == [1, 2]
    assert {site for _, site in entered[1]} == {"north"}


def test_too_few_studies_for_the_design_are_refused_before_a_volume_is_computed(
    lesionlab: Lesionlab, own: Path, tmp_path: Path, file_store_uri: str
) -> None:
    ms, glioma = draw_dataset(tmp_path / "ms", "sub-01", "sub-02"), draw_dataset(tmp_path / "glioma", "sub-03")
    image_path(ms, "sub-02").unlink()
    arguments = ("--bids", f"glioma={glioma}", "--bids", f"ms={ms}", "--plain", "--device", "cpu")
    result = lesionlab("run", own, *arguments, "--store", file_store_uri)
    assert result.exit_code == 1
    assert "cohort ms: wanted 2 studies (2 subsets of 1), found 1" in result.output
    assert "sub-02" in result.output
    assert not open_store(file_store_uri).list("sites/")


def test_studies_in_the_store_count_unless_the_dataset_replaces_them(
    lesionlab: Lesionlab, own: Path, tmp_path: Path, file_store_uri: str
) -> None:
    first, more = draw_dataset(tmp_path / "first", "sub-01"), draw_dataset(tmp_path / "more", "sub-02")
    arguments = ("--cohort", "ms", "--spacing", "4", "--plain", "--store", file_store_uri)
    assert lesionlab("preprocess", first, *arguments).exit_code == 0
    spec, store = load_spec(str(own)), open_store(file_store_uri)
    dataset, _ = open_for(spec, "ms", more)
    refuse_too_few(spec, store, dataset, "add")
    for lacking, second in ((dataset, "replace"), (None, "refuse")):
        with pytest.raises(DatasetError, match="found 1"):
            refuse_too_few(spec, store, lacking, second)
