"""From nothing to the report by the commands that users type; other tools can open everything that is written."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pyarrow.parquet
import pytest
import zarr

from lesionlab.evaluation.derivatives import bids_label
from lesionlab.evaluation.rescoring import Scoring, own_rows, rescored_rows
from lesionlab.evaluation.study import read_prediction
from lesionlab.experiments.ledger import attempt_of
from lesionlab.experiments.publishing import lesion_rows, operating_rows
from lesionlab.experiments.registry import find_model, models, source_model
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.arrays import write_group
from lesionlab.store.documents import read_document, write_document
from lesionlab.store.objects import Store, open_store
from storage_schemas import keys
from storage_schemas.definitions import MetricDefinition
from storage_schemas.results import LedgerEntry, StudyRow
from storage_schemas.volumes import PREDICTION_ATTRIBUTE
from tests.jobs.bids_validator import bids_errors
from tests.jobs.conftest import Lesionlab

TINY = Path(__file__).with_name("tiny.yaml")


def rows_without_clock(store: Store) -> list[dict[str, object]]:
    """Every study row of the store as pyarrow reads it, without the column of wall times."""
    tables = [pyarrow.parquet.read_table(io.BytesIO(store.get(key))) for key in store.list("results/tiny/studies/")]
    return [row for table in tables for row in table.drop_columns("inference_s").to_pylist()]


def run_tiny(lesionlab: Lesionlab, folder: Path, *options: str) -> str:
    result = lesionlab("run", TINY, "--work", folder / "work", *options)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def finished(finished_tiny: Path) -> Path:
    """A folder in which the tiny experiment has run, in one plain process."""
    return finished_tiny


@pytest.fixture(scope="module")
def store(finished: Path) -> Store:
    return open_store((finished / ".lesionlab" / "store").as_uri())


def test_every_cell_is_in_the_ledger_and_every_study_has_one_row_per_model(store: Store) -> None:
    plan = current_plan(store, "tiny")
    assert all(store.exists(keys.LEDGER.build(run_id=run.run_id)) for run in plan.runs)
    rows = rows_without_clock(store)
    assert len(rows) == sum(len(run.test) for run in plan.runs) == 10
    assert {row["arm"] for row in rows} == {"default", "de-novo", "fine-tuned"}


@pytest.mark.parametrize(("arm", "origin"), [("fine-tuned", "source"), ("default", "source"), ("de-novo", "random")])
def test_every_network_has_a_weight_transfer_report(store: Store, arm: str, origin: str) -> None:
    run = next(run for run in current_plan(store, "tiny").runs if run.cell and run.cell.arm == arm)
    key = keys.RUN_TRANSFER.of(attempt_of(store, run.run_id)).build(run_id=run.run_id)
    transfers = pyarrow.parquet.read_table(io.BytesIO(store.get(key)))
    assert set(transfers["origin"].to_pylist()) == {origin}


def test_a_fine_tuned_model_names_its_parent(store: Store) -> None:
    run = next(run for run in current_plan(store, "tiny").runs if run.cell and run.cell.arm == "fine-tuned")
    card = json.loads(store.get(keys.RUN_CARD.of(attempt_of(store, run.run_id)).build(run_id=run.run_id)))
    assert run.parent is not None
    assert card["parent"]["version"] == run.parent.model.version


def test_plain_zarr_opens_a_study_volume(finished: Path, store: Store) -> None:
    entry = current_plan(store, "tiny").runs[0].test[0]
    key = entry.volume_key
    group = zarr.open_group(finished / ".lesionlab" / "store" / key, mode="r")
    card = group.attrs["study_volume"]
    assert group["image"].shape == (1, *card["model_grid"]["shape"])
    assert group["native_label"].shape == tuple(card["native_grid"]["shape"])


def test_predictions_are_on_the_native_grid_of_their_flair(finished: Path, store: Store) -> None:
    (dataset,) = (finished / ".lesionlab" / "bids").glob("tiny-ms-*")
    run = current_plan(store, "tiny").runs[-1]
    assert run.cell is not None
    for entry in run.test:
        (path,) = (finished / "masks").glob(f"sub-*/**/{entry.study}_*_desc-{bids_label(run.cell.title())}_mask.nii.gz")
        mask = nib.load(path)
        flair = nib.load(next(dataset.glob(f"sub-*/**/{entry.study}_FLAIR.nii.gz")))
        assert mask.shape == flair.shape
        np.testing.assert_allclose(mask.affine, flair.affine, atol=1e-4)


def test_exported_predictions_are_a_valid_dataset_that_says_arm_size_and_fold(finished: Path, store: Store) -> None:
    assert bids_errors(finished / "masks") == []
    with (finished / "masks" / "scans.csv").open(newline="") as file:
        scans = list(csv.DictReader(file))
    rows = rows_without_clock(store)
    names = ("study", "arm", "source", "training_size", "fold", "run_id")
    assert sorted([scan[name] for name in names] for scan in scans) == sorted(
        ["" if row[name] is None else str(row[name]) for name in names] for row in rows
    )
    counts = {(row["run_id"], row["study"]): row["predicted_lesions"] for row in rows}
    assert all(int(scan["lesions"]) == counts[scan["run_id"], scan["study"]] for scan in scans)
    described = (finished / "masks" / "descriptions.tsv").read_text()
    assert "desc-deNovo2StudiesDepth1Fold2\tde novo, 2 studies, depth 1, fold 2\n" in described


def test_the_folds_of_a_fine_tuned_cell_are_registered_together_with_their_ancestry(
    lesionlab: Lesionlab, finished: Path, store: Store, tmp_path: Path
) -> None:
    shutil.copytree(finished / ".lesionlab" / "store", tmp_path / "copy")
    copy = open_store((tmp_path / "copy").as_uri())
    result = lesionlab("register", "tiny", "--arm", "fine-tuned", "--size", 2, "--ensemble", "--store", copy.uri)
    assert result.exit_code == 0, result.output
    (card,) = (card for card in models(copy) if card.members)
    assert f"{card.full_name}: 2 networks fine-tuned from tiny-glioma@" in result.output
    ancestors = source_model(copy, card).made_by
    assert [len(run.train) for run in ancestors] == [2, 2, 2]
    assert ancestors[-1].cohort == "tiny-glioma"
    arguments = ("evaluate", "tiny-ms", "--model", card.full_name, "--store", copy.uri)
    refused = lesionlab(*arguments)
    assert refused.exit_code == 1
    assert "4 of 4 studies were trained on" in refused.output, "each fold's network saw the other fold's studies"
    assert lesionlab(*arguments, "--allow-seen").exit_code == 0


def test_the_report_is_one_self_contained_file(finished: Path) -> None:
    page = (finished / ".lesionlab" / "reports" / "tiny" / "report.html").read_text()
    assert "<svg" in page
    assert 'src="http' not in page
    assert "simulated" in page


def test_a_second_run_computes_nothing_and_changes_nothing(finished: Path, store: Store) -> None:
    before = {key: store.get(key) for key in store.list("")}
    again = subprocess.run(
        [sys.executable, "-m", "jobs.run", str(TINY), "--plain"],
        cwd=finished,
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(finished / "cache")},
    )
    assert "cells: 5 in all, 5 done before, 0 to do" in again.stderr
    assert {key: store.get(key) for key in store.list("")} == before


@pytest.mark.parametrize("command", [("plan",), ("run", "--dry-run"), ("sweep", "--dry-run")], ids=" ".join)
def test_a_dry_run_plans_and_writes_nothing(
    lesionlab: Lesionlab, finished: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    shutil.copytree(finished / ".lesionlab" / "store", tmp_path / "unplanned")
    unplanned = open_store((tmp_path / "unplanned").as_uri())
    for planned in (keys.MANIFEST.prefix(cohort="tiny-ms"), keys.SPLIT.prefix(cohort="tiny-ms"), "plans/"):
        unplanned.delete_prefix(planned)
    before = {key: unplanned.get(key) for key in unplanned.list("")}
    name, *options = command
    result = lesionlab(name, TINY, *options, "--store", unplanned.uri)
    assert result.exit_code == 0, result.output
    assert {key: unplanned.get(key) for key in unplanned.list("")} == before


def test_a_registered_model_segments_an_image_outside_any_experiment(
    lesionlab: Lesionlab, finished: Path, store: Store, tmp_path: Path
) -> None:
    flair = next((finished / ".lesionlab" / "bids").glob("tiny-ms-*/sub-*/**/*_FLAIR.nii.gz"))
    out = tmp_path / "mask.nii.gz"
    result = lesionlab("predict", flair, "--model", "tiny-glioma", "--out", out, "--store", store.uri)
    assert result.exit_code == 0, result.output
    assert f"tiny-glioma is {find_model(store, 'tiny-glioma').full_name}, a candidate" in result.output
    assert nib.load(out).shape == nib.load(flair).shape
    assert set(np.unique(nib.load(out).dataobj)) <= {0, 1}


def test_a_registered_model_is_tested_on_a_whole_cohort(lesionlab: Lesionlab, store: Store, tmp_path: Path) -> None:
    arguments = ("evaluate", "tiny-ms", "--model", "tiny-glioma", "--store", store.uri)
    result = lesionlab(*arguments)
    assert result.exit_code == 0, result.output
    assert result.output.count("sub-") == 4
    rows = json.loads(lesionlab(*arguments, "--json", "--csv", tmp_path / "rows.csv").stdout)
    with (tmp_path / "rows.csv").open(newline="") as file:
        saved = list(csv.DictReader(file))
    assert [row["study"] for row in rows] == [row["study"] for row in saved]
    assert saved[0].keys() == {*StudyRow.model_fields, "seen_in_training"} == rows[0].keys()
    assert {row["seen_in_training"] for row in rows} == {"no"}


def test_a_model_is_not_tested_on_its_training_studies_unless_every_row_says_so(
    lesionlab: Lesionlab, store: Store
) -> None:
    arguments = ("evaluate", "tiny-glioma", "--model", "tiny-glioma", "--store", store.uri)
    refused = lesionlab(*arguments)
    assert refused.exit_code == 1
    assert "2 of 2 studies were trained on" in refused.output
    assert not store.list("results/evaluate-tiny-glioma/studies/")[1:], "nothing was tested"
    shown = lesionlab(*arguments, "--allow-seen").stdout
    assert shown.count("same image as sub-") == 2
    rows = json.loads(lesionlab(*arguments, "--allow-seen", "--json", "--definition", "msseg-2").stdout)
    assert [row["seen_in_training"] for row in rows] == [
        f"same image as {row['study']} in cohort tiny-glioma" for row in rows
    ]
    assert {row["definition"].partition("@")[0] for row in rows} == {"msseg-2"}


def test_stored_predictions_are_scored_by_other_definitions_and_the_original_rows_are_kept(
    lesionlab: Lesionlab, store: Store, tmp_path: Path
) -> None:
    before = {key: store.get(key) for key in store.list("")}
    renamed = tmp_path / "renamed.yaml"
    renamed.write_text("name: renamed\nconnectivity: 26\n")
    options = ("--definition", renamed, "--definition", "isbi-2015", "--store", store.uri, "--out", tmp_path / "out")
    result = lesionlab("rescore", "tiny", *options)
    assert result.exit_code == 0, result.output
    comparisons, conclusions, *_ = (line for line in result.output.splitlines() if line.startswith("0 of "))
    assert "comparisons" in comparisons
    assert "conclusions" in conclusions
    left = {path.name.partition("-")[2] for path in (tmp_path / "out").glob("renamed@*.csv")}
    assert left == {"comparisons.csv", "conclusions.csv", "volumes.csv"}
    assert "ISBI 2015 score" in result.output
    assert {key: store.get(key) for key in before} == before
    # The paper's definition under another name gives the counts of the runs themselves.
    again = MetricDefinition(name="renamed")
    runs = [run for run in current_plan(store, "tiny").runs if run.cell]
    rescored = rescored_rows(store, runs, Scoring(again))
    own = [row.model_copy(update={"definition": again.label()}) for row in own_rows(store, runs)]
    assert rescored == own
    lesions = {key for key in store.list("rescored/tiny/") if keys.RESCORED_LESION_ROWS.parse(key)}
    assert len(lesions) == 2 * len(runs)


def test_predictions_are_scored_again_at_other_thresholds(lesionlab: Lesionlab, store: Store) -> None:
    result = lesionlab("rescore", "tiny", "--threshold", "0.5", "--threshold", "0.2", "--store", store.uri)
    assert result.exit_code == 0, result.output
    assert "paper at 0.2" in result.output
    plan = current_plan(store, "tiny")
    runs = [run for run in plan.runs if run.cell]
    own, points = own_rows(store, runs), operating_rows(store, plan)
    counts = ("predicted_lesions", "true_positives", "false_positives", "sensitivity", "ppv", "dice")
    at_own = rescored_rows(store, runs, Scoring(plan.spec.metric, 0.5))
    assert [[getattr(row, name) for name in counts] for row in at_own] == [
        [getattr(row, name) for name in counts] for row in own
    ], "0.5 gives exactly the masks that were scored"
    lower = rescored_rows(store, runs, Scoring(plan.spec.metric, 0.2))
    assert {row.definition for row in lower} == {f"{plan.spec.metric.label()} at 0.2"}
    by_test = {(row.run_id, row.study, row.threshold): row.predicted_lesions for row in points}
    assert [by_test[row.run_id, row.study, 0.2] for row in lower] == [row.predicted_lesions for row in lower]
    assert [by_test[row.run_id, row.study, 0.5] for row in own] == [row.predicted_lesions for row in own]
    peaks = [lesion.peak for lesion in lesion_rows(store, plan) if lesion.side == "prediction"]
    assert all(peak is not None and peak >= 0.5 for peak in peaks)


def test_a_prediction_of_a_mask_alone_is_refused_at_another_threshold(lesionlab: Lesionlab, store: Store) -> None:
    """As earlier versions stored it: still read, and scored by other definitions."""
    run = next(run for run in current_plan(store, "tiny").runs if run.cell)
    key = keys.PREDICTION.of(attempt_of(store, run.run_id)).build(run_id=run.run_id, study=run.test[0].study)
    before = {name: store.get(name) for name in store.list(f"{key}/")}
    prediction = read_prediction(store, run.run_id, run.test[0].study)
    card = {"schema": 1} | prediction.card.model_dump(mode="json", exclude={"scale"})
    write_group(store, key, {"mask": prediction.mask_ijk}, {PREDICTION_ATTRIBUTE: card})
    try:
        assert read_prediction(store, run.run_id, run.test[0].study).levels_ijk is None
        refused = lesionlab("rescore", "tiny", "--threshold", "0.4", "--store", store.uri)
        assert refused.exit_code == 1
        assert "without probabilities" in refused.output
        assert lesionlab("rescore", "tiny", "--definition", "one-to-one-dice", "--store", store.uri).exit_code == 0
    finally:
        for name in set(store.list(f"{key}/")) - set(before):
            store.delete(name)
        for name, data in before.items():
            store.put(name, data)


def test_a_rescored_experiment_is_read_not_scored_again(lesionlab: Lesionlab, store: Store) -> None:
    options = ("--definition", "msseg-2", "--store", store.uri)
    first = lesionlab("rescore", "tiny", *options).stdout
    predictions = {key: store.get(key) for key in store.list("runs/") if "/predictions/" in key}
    try:
        for key in predictions:
            store.delete(key)
        assert lesionlab("rescore", "tiny", *options).stdout == first
        missing = lesionlab("rescore", "tiny", "--definition", "one-to-one-iou", "--store", store.uri)
        assert missing.exit_code == 1
        assert "stored no prediction" in missing.output
    finally:
        for key, data in predictions.items():
            store.put(key, data)


def runs_of(lesionlab: Lesionlab, store: Store) -> list[dict[str, Any]]:
    result = lesionlab("runs", "tiny", "--json", "--store", store.uri)
    assert result.exit_code == 0, result.output
    return list(json.loads(result.stdout))


@pytest.fixture
def altered(finished: Path, store: Store, tmp_path: Path) -> Store:
    """A copy of the store: other code, another torch and a GPU made the second run; the last run is not finished."""
    shutil.copytree(finished / ".lesionlab" / "store", tmp_path / "altered")
    copy = open_store((tmp_path / "altered").as_uri())
    _, second, *_, last = (keys.LEDGER.build(run_id=run.run_id) for run in current_plan(store, "tiny").runs)
    entry = read_document(copy, second, LedgerEntry)
    made_by = {"code": "0" * 16, "device": "NVIDIA H100", "libraries": entry.libraries | {"torch": "1.0.0"}}
    write_document(copy, second, entry.model_copy(update=made_by))
    copy.delete(last)
    return copy


def test_the_run_table_lists_every_run_with_its_ledger_entry(lesionlab: Lesionlab, store: Store) -> None:
    plan = current_plan(store, "tiny")
    lines = runs_of(lesionlab, store)
    assert [line["run_id"] for line in lines] == [run.run_id for run in plan.runs]
    for line, run in zip(lines, plan.runs, strict=True):
        entry = read_document(store, keys.LEDGER.build(run_id=run.run_id), LedgerEntry)
        assert run.cell is not None
        assert (line["cell"], line["state"], line["executed_for"]) == (run.cell.title(), "done", "tiny")
        assert {name: line[name] for name in entry.model_dump() if name != "experiment"} == entry.model_dump(
            mode="json", exclude={"experiment"}
        )


def test_runs_made_alike_are_reported_without_a_difference(lesionlab: Lesionlab, store: Store) -> None:
    result = lesionlab("runs", "tiny", "--store", store.uri)
    assert result.exit_code == 0, result.output
    *table, total, made = result.output.splitlines()
    assert total.startswith("5 of 5 runs done, ")
    assert made.startswith("all made by lesionlab ")
    assert sum(" done " in line and " cpu " in line for line in table) == 5


def test_other_code_another_library_and_another_device_are_reported(lesionlab: Lesionlab, altered: Store) -> None:
    first, second, *_ = runs_of(lesionlab, altered)
    output = lesionlab("runs", "tiny", "--store", altered.uri).output
    reported = [line for line in output.splitlines() if "different" in line]
    assert reported == [
        f"made by different {what}: {usual} in 3 runs, {other} in 1 run"
        for what, usual, other in (
            ("code", f"{first['lesionlab']} ({first['code']})", f"{second['lesionlab']} ({'0' * 16})"),
            ("device", "cpu", "NVIDIA H100"),
            ("torch", first["libraries"]["torch"], "1.0.0"),
        )
    ]


def test_an_unfinished_run_is_to_do_with_empty_columns(lesionlab: Lesionlab, altered: Store, tmp_path: Path) -> None:
    *_, last = runs_of(lesionlab, altered)
    assert {name: value for name, value in last.items() if value is not None} == {
        "run_id": last["run_id"],
        "cell": last["cell"],
        "state": "to do",
    }
    output = lesionlab("runs", "tiny", "--csv", tmp_path / "runs.csv", "--store", altered.uri).output
    assert "4 of 5 runs done, " in output
    with (tmp_path / "runs.csv").open(newline="") as file:
        *done, unfinished = csv.DictReader(file)
    assert set(unfinished) == set(last)
    assert {name for name, text in unfinished.items() if text} == {"run_id", "cell", "state"}
    assert {line["state"] for line in done} == {"done"}
    assert [json.loads(line["libraries"])["torch"] for line in done][1] == "1.0.0"


def test_altered_weights_stop_the_prediction(
    lesionlab: Lesionlab, finished: Path, tmp_path: Path, store: Store
) -> None:
    altered = open_store((tmp_path / "store").as_uri())
    for key in store.list("models/"):
        data = store.get(key)
        altered.put(key, data[:-1] + bytes([data[-1] ^ 1]) if key.endswith(".safetensors") else data)
    flair = next((finished / ".lesionlab" / "bids").glob("tiny-ms-*/sub-*/**/*_FLAIR.nii.gz"))
    out = tmp_path / "mask.nii.gz"
    result = lesionlab("predict", flair, "--model", "tiny-glioma", "--out", out, "--store", altered.uri)
    assert result.exit_code == 1
    assert "altered" in result.output
    assert not out.exists()


@pytest.mark.slow
@pytest.mark.s3
def test_the_same_experiment_under_ray_on_s3_gives_the_same_rows(
    lesionlab: Lesionlab, s3_store_uri: str, tmp_path: Path, store: Store
) -> None:
    output = run_tiny(lesionlab, tmp_path, "--store", s3_store_uri)
    assert "report:" in output
    on_s3 = rows_without_clock(open_store(s3_store_uri))
    # Two workers trained the default model there and one here, so fine-tuned rows differ by rounding.
    de_novo = [row for row in on_s3 if row["arm"] == "de-novo"]
    assert len(on_s3) == 10
    assert de_novo == [row for row in rows_without_clock(store) if row["arm"] == "de-novo"]


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_rows(tmp_path: Path, store: Store) -> None:
    command = [sys.executable, "-m", "jobs.run", str(TINY), "--plain"]
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment)
    uri = (tmp_path / ".lesionlab" / "store").as_uri()
    deadline = time.monotonic() + 300
    while len(open_store(uri).list("ledger/")) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert rows_without_clock(open_store(uri)) == rows_without_clock(store)
