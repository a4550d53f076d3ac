"""`lesionlab compare` scores anybody's masks by the experiment's definition and reports them beside its arms."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from jobs.cli import app
from jobs.shared.comparing import compared_table, found_masks, of_experiment
from jobs.shared.predicted_masks import ModelFolder, find_masks
from lesionlab.analysis.experiment_analysis import analyse
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.endpoints import Declared
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.words import pages as words
from lesionlab.experiments.stored_plans import store_plan
from lesionlab.imaging.volume import Volume, matrix_of, write_volume
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.experiments import Plan
from storage_schemas.manifests import Manifest
from tests.analysis.conftest import NATIVE, NATIVE_SHAPE
from tests.parts import contribute

Compare = Callable[..., Result]


@pytest.fixture(scope="module")
def finished(
    draw_store: Callable[..., Store], plan: Plan, manifest: Manifest, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    store = draw_store(tmp_path_factory.mktemp("store").as_uri())
    store_plan(store, plan)
    contribute(store, manifest)
    return store


@pytest.fixture
def compare(finished: Store, monkeypatch: pytest.MonkeyPatch) -> Compare:
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: object) -> Result:
        every = ["compare", "--store", finished.uri, *map(str, arguments)]
        return CliRunner().invoke(app, every, catch_exceptions=False)

    return call


@pytest.fixture
def perfect(manifest: Manifest, tmp_path: Path) -> Path:
    """The drawn lesion of every study, named as nnU-Net writes: `case_012.nii.gz`."""
    folder = tmp_path / "perfect"
    folder.mkdir()
    for entry in manifest.studies:
        save(folder / f"case_{entry.patient}.nii.gz", drawn())
    return folder


def test_what_is_shared_has_no_study_and_no_number_of_few_and_is_all_that_a_policy_may_allow(
    compare: Compare, perfect: Path, manifest: Manifest, finished: Store, tmp_path: Path
) -> None:
    half = tmp_path / "half"
    shutil.copytree(perfect, half)
    save(half / "case_001.nii.gz", np.zeros(NATIVE_SHAPE, np.uint8))
    own = ("--cohort", manifest.cohort, "--masks", f"nnU-Net={perfect}", "--masks", f"LST-AI={half}")
    shared = (*own, "--share", "public", "--out", tmp_path / "out")
    assert "at least 13 patients, found 12 at most" in compare(*shared, "--smallest-count", 13).output
    finished.put(keys.POLICY.build(site="north"), b"site: north\nleaves: aggregates\nsmallest_count: 12\n")
    try:
        refused = compare(*own)
        assert refused.exit_code == 1
        assert "its policy lets aggregates leave, and this shows rows of single studies" in refused.output
        assert "--share consortium --out DIR" in refused.output
        done = compare(*shared, "--smallest-count", 6)
        assert done.exit_code == 0, done.output
        assert "no number describes fewer than 12 patients" in (tmp_path / "out" / "report.html").read_text()
        files = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*.*")}
        told = b"".join([*files.values(), done.stdout.encode()])  # progress on stderr names the study it is at
        assert not [entry.study for entry in manifest.studies if entry.study.encode() in told]
        assert b"north" not in told
        assert "prints rows of studies" in compare(*shared, "--json").output
    finally:
        finished.delete(keys.POLICY.build(site="north"))


def test_a_site_that_was_trained_on_has_its_say_in_what_is_shared_and_simulated_studies_are_called_so(
    compare: Compare, perfect: Path, plan: Plan, finished: Store, tmp_path: Path
) -> None:
    elsewhere = plan.runs[-1].changed(
        train=tuple(entry.model_copy(update={"site": "west"}) for entry in plan.runs[-1].train)
    )
    store_plan(finished, plan.changed(runs=(*plan.runs[:-1], elsewhere)))
    own = ("--experiment", plan.spec.name, "--masks", f"nnU-Net={perfect}", "--share", "consortium")
    shared = (*own, "--smallest-count", 6, "--out", tmp_path / "out")
    try:
        done = compare(*shared)
        assert done.exit_code == 0, done.output
        page = (tmp_path / "out" / "report.html").read_text()
        assert words.SIMULATED in page
        assert words.HIT in page
        finished.put(keys.POLICY.build(site="west"), b"site: west\nleaves: aggregates\nsmallest_count: 13\n")
        assert "at least 13 patients, found 12 at most" in compare(*shared).output
    finally:
        finished.delete(keys.POLICY.build(site="west"))
        store_plan(finished, plan)


def drawn() -> np.ndarray:
    mask = np.zeros(NATIVE_SHAPE, dtype=np.uint8)
    mask[4, 8, 3] = 1
    mask[3:5, 7:9, 4] = 1
    return mask


def save(path: Path, mask: np.ndarray, affine: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, Volume(mask, matrix_of(NATIVE) if affine is None else affine))


def test_beside_an_experiment_each_model_is_an_arm_of_its_report(
    compare: Compare, perfect: Path, manifest: Manifest, plan: Plan, tmp_path: Path
) -> None:
    """The second model, in BIDS-derivatives, finds nothing."""
    for entry in manifest.studies:
        name = f"{entry.study}_label-lesion_mask.nii.gz"
        save(tmp_path / "bids" / entry.study / "anat" / name, np.zeros(NATIVE_SHAPE, np.uint8))
        save(tmp_path / "bids" / entry.study / "anat" / name.replace("mask", "probseg"), drawn())
    masks = ("--masks", f"nnU-Net={perfect}", "--masks", f"LST-AI={tmp_path / 'bids'}")
    declared = ("--trained-on", "nnU-Net=the MSLesSeg training set")
    out = tmp_path / "out"
    result = compare("--experiment", plan.spec.name, *masks, *declared, "--out", out)
    assert result.exit_code == 0, result.output
    assert "nnU-Net was trained on: the MSLesSeg training set" in result.output
    assert "What LST-AI was trained on is not declared" in result.output
    page = (out / "report.html").read_text()
    assert "p nnU-Net" in page
    assert "any shared voxel" in page
    means = {
        line.split(",")[1]: line for line in (out / "tables" / "summary.csv").read_text().splitlines() if "sens" in line
    }
    assert (",1.0,0.0,12,0" in means["nnU-Net"], ",0.0,0.0,12,0" in means["LST-AI"]) == (True, True)
    effects = (out / "tables" / "effects.csv").read_text()
    assert "fine-tuned from drawn-glioma versus nnU-Net" in effects
    assert "LST-AI versus nnU-Net" in effects


def test_beside_an_experiment_its_endpoints_are_judged_as_in_its_own_report(
    finished: Store, perfect: Path, plan: Plan
) -> None:
    spec = plan.spec.model_copy(update={"primary_endpoint": "sensitivity", "margin": 0.1})
    store_plan(finished, changed := plan.changed(spec=spec))
    try:
        setting = of_experiment(finished, spec.name)
        masks = found_masks([ModelFolder("nnU-Net", perfect)], setting.studies)
        rows = compared_table(finished, setting, masks).rows
        found = statistics(rows, setting.planned(rows), setting.unit, setting.options)
        own = analyse(finished, changed, null_repetitions=0)
        assert found.endpoints == own.endpoints
        assert found.endpoints.declared is Declared.BEFOREHAND
        assert found.endpoints.primary is not None
        assert found.endpoints.primary.metric == "sensitivity"
        assert found.supplementary.options.margin == 0.1
    finally:
        store_plan(finished, plan)


def test_the_saved_rows_give_the_same_statistics_again(
    compare: Compare, perfect: Path, plan: Plan, tmp_path: Path
) -> None:
    compare("--experiment", plan.spec.name, "--masks", f"nnU-Net={perfect}", "--out", tmp_path / "out")
    saved = tmp_path / "out" / "tables" / "studies.csv"
    again = CliRunner().invoke(
        app,
        ["analyse", "--rows", str(saved), "--out", str(tmp_path / "again"), "--null-repetitions", "0"],
        catch_exceptions=False,
    )
    assert again.exit_code == 0, again.output
    for name in ("summary.csv", "performance.csv", "effects.csv"):
        assert (tmp_path / "again" / "tables" / name).read_bytes() == (tmp_path / "out" / "tables" / name).read_bytes()
    assert {
        row.source for row in read_table(tmp_path / "out" / "tables" / "studies.csv").rows if row.arm == "other"
    } == {"nnU-Net"}


def test_one_model_alone_on_a_cohort_and_as_json(compare: Compare, perfect: Path, plan: Plan) -> None:
    result = compare("--cohort", plan.spec.target.cohort, "--masks", f"reader 2={perfect}", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert len(found["rows"]) == 12
    assert {(row["source"], row["sensitivity"], row["ppv"]) for row in found["rows"]} == {("reader 2", 1.0, 1.0)}
    assert found["definition"]["label"].startswith("paper@")


def test_missing_masks_are_refused_all_at_once_or_counted_as_nothing_found(
    compare: Compare, perfect: Path, plan: Plan, tmp_path: Path
) -> None:
    for patient in ("003", "007"):
        (perfect / f"case_{patient}.nii.gz").unlink()
    masks = ("--cohort", plan.spec.target.cohort, "--masks", f"nnU-Net={perfect}")
    refused = compare(*masks, "--out", tmp_path / "out")
    assert refused.exit_code == 1
    assert "sub-003: no mask" in refused.output
    assert "sub-007: no mask" in refused.output
    assert not (tmp_path / "out").exists()
    counted = compare(*masks, "--missing", "empty", "--json")
    rows = {row["study"]: row for row in json.loads(counted.stdout)["rows"]}
    assert [(rows[study]["sensitivity"], rows[study]["ppv"]) for study in ("sub-002", "sub-003")] == [(1, 1), (0, None)]


def test_masks_on_other_grids_or_with_other_values_are_refused_all_at_once(
    compare: Compare, perfect: Path, plan: Plan
) -> None:
    moved = matrix_of(NATIVE)
    moved[0, 3] += 2
    save(perfect / "case_002.nii.gz", drawn(), moved)
    save(perfect / "case_005.nii.gz", drawn()[:-1])
    save(perfect / "case_009.nii.gz", drawn() * 3 + 1)
    result = compare("--cohort", plan.spec.target.cohort, "--masks", f"nnU-Net={perfect}")
    assert result.exit_code == 1
    said = [line for line in result.output.splitlines() if line.startswith("error")]
    assert len(said) == 3
    assert "sub-002" in said[0]
    assert "in another place, with corners up to 2 mm away" in said[0]
    assert "13 × 16 × 6 voxels" in said[1]
    assert "sub-009" in said[2]
    assert "found the values 1, 4" in said[2]


def test_two_files_of_one_study_and_faulty_options_are_refused(compare: Compare, perfect: Path, plan: Plan) -> None:
    save(perfect / "other_004.nii.gz", drawn())
    cohort = ("--cohort", plan.spec.target.cohort)
    two = compare(*cohort, "--masks", f"nnU-Net={perfect}")
    assert two.exit_code == 1
    assert "sub-004: wanted one mask" in two.output
    faulty = compare(
        *cohort, "--masks", "nnU-Net", "--masks", "a=/nowhere", "--masks", f"b={perfect}", "--masks", "b=."
    )
    assert [line.split(":")[1] for line in faulty.output.splitlines()] == [
        " --masks nnU-Net",
        " --masks a=/nowhere",
        " --masks b=.",
    ]
    undeclared = compare(*cohort, "--masks", f"b={perfect}", "--trained-on", "c=x")
    assert "there are b" in undeclared.output


def test_a_dry_run_lists_the_files_and_scores_nothing(compare: Compare, perfect: Path, plan: Plan) -> None:
    (perfect / "case_003.nii.gz").write_bytes(b"not read")
    (perfect / "case_004.nii.gz").unlink()
    masks = ("--cohort", plan.spec.target.cohort, "--masks", f"nnU-Net={perfect}", "--dry-run")
    result = compare(*masks)
    assert result.exit_code == 0
    assert "nnU-Net: 11 of 12 studies have a mask" in result.output
    assert json.loads(compare(*masks, "--json").stdout)["nnU-Net"]["missing"] == ["sub-004"]


def test_hidden_files_are_no_masks_and_endings_in_upper_case_are_read(perfect: Path, manifest: Manifest) -> None:
    model, studies = ModelFolder("nnU-Net", perfect), manifest.studies
    plain = find_masks(model, studies)
    for path in sorted(perfect.iterdir()):
        (perfect / f"._{path.name}").touch()  # as macOS leaves it beside each file of a foreign disk
        path.rename(path.with_name(path.name.upper()))
    found = find_masks(model, studies)
    assert not found.missing
    assert found.files.keys() == plain.files.keys()


def test_what_is_shared_names_no_study_in_a_dry_run_or_a_refusal(
    compare: Compare, perfect: Path, plan: Plan, manifest: Manifest, tmp_path: Path
) -> None:
    (perfect / "case_004.nii.gz").unlink()
    masks = ("--cohort", plan.spec.target.cohort, "--masks", f"nnU-Net={perfect}")
    shared = (*masks, "--share", "consortium", "--out", tmp_path / "out")
    listed, refused = compare(*shared, "--dry-run"), compare(*shared)
    assert "nnU-Net: 11 of 12 studies have a mask" in listed.output
    assert (refused.exit_code, "nnU-Net: 1 studies have no mask in" in refused.output) == (1, True), refused.output
    told = listed.output + refused.output
    assert not [name for entry in manifest.studies for name in (entry.study, f"case_{entry.patient}") if name in told]
    assert not (tmp_path / "out").exists()
