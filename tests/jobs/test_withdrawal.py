"""A study that was trained on and tested is withdrawn: nothing of it is left in any version of any object."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import boto3
import numpy as np
import pandas as pd
import pytest

from lesionlab.experiments.ledger import ledger_entries
from lesionlab.experiments.lineage import withdrawn_studies
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.parts import current_part
from lesionlab.experiments.registry import find_model, register, register_ensemble
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.experiments.upkeep.fsck import check_store
from lesionlab.experiments.withdrawal import execute
from lesionlab.store.conformance import conformance
from lesionlab.store.documents import write_document
from lesionlab.store.objects import open_store
from lesionlab.training.augmented import copies_of
from storage_schemas import keys
from storage_schemas.parts import Withdrawal
from tests.experiments.finished import finish_experiment
from tests.jobs.conftest import Lesionlab
from tests.preprocessing.drawn import draw_dataset, head, image_path, save
from tests.s3_server import S3Server

BUCKET = "versioned"
COHORT = "cohort: ms\nsites: [north, south]\ntask: flair-single\nspacing_mm: 4.0\nrating: two raters\n"
SPEC = """
name: pooled
title: two hospitals
task: flair-single
spacing_mm: 4.0
cohorts: {ms: {}}
target: {cohort: ms, subsets: 2, subset_size: 2}
training_sizes: [2]
architecture: {depth: 1, base_channels: 2}
training: {patch_voxels: 16, patches_per_study: 2, augmentations: 1, epochs: 1, batch_size: 2}
inference: {step_voxels: 16}
"""


def test_models_trained_on_a_withdrawn_study_say_so_and_the_steward_can_be_stopped(
    file_store_uri: str, lesionlab: Lesionlab
) -> None:
    store = open_store(file_store_uri)
    plan = finish_experiment(store)
    gone, *_ = plan.runs[0].train
    trained = [run for run in plan.runs if gone in run.train]
    tested = [run for run in plan.runs if gone in run.test]
    model = register(store, trained[0].run_id, "trained-on-it")
    register(store, tested[0].run_id, "only-tested-with-it")
    ensemble = register_ensemble(store, [run.run_id for run in plan.runs if run.cell.training_size == 2], "all-folds")
    withdrawn = [Withdrawal(site=gone.site, study=gone.study, volumes=(gone.volume,), at="2026-11-28")]
    write_document(store, keys.WITHDRAWAL.build(site=gone.site, study=gone.study), withdrawn[0])
    first = execute(store, withdrawn)
    assert set(first.runs) == {run.run_id for run in (*trained, *tested)}
    assert set(first.models) == {model.full_name, ensemble.full_name}
    # A call that was stopped before the old versions were deleted is called again, and finds the same places.
    assert execute(store, withdrawn) == first
    assert withdrawn_studies(store, model) == (gone.study,)
    lines = {line["model"]: line["withdrawn"] for line in json.loads(lesionlab("models", "--json").stdout)}
    assert lines == {"trained-on-it": gone.study, "all-folds": gone.study, "only-tested-with-it": ""}
    assert f"{gone.study} withdrawn since" in lesionlab("lineage", model.full_name).output
    assert "withdrawn since" in lesionlab("models").output
    used = lesionlab("predict", "none.nii.gz", "--model", model.full_name, "--out", "mask.nii.gz")
    assert used.exit_code == 1  # there is no such scan; what the command says of the model is shown on S3 below


def test_gc_removes_a_nodes_copies_of_withdrawn_studies_at_once_whatever_was_planned(
    file_store_uri: str, lesionlab: Lesionlab, tmp_path: Path
) -> None:
    store = open_store(file_store_uri)
    run, *_ = finish_experiment(store).runs
    store.delete(keys.LEDGER.build(run_id=run.run_id))  # it is not complete, so it needs its copies
    gone, kept = run.train[:2]
    write_document(
        store,
        keys.WITHDRAWAL.build(site=gone.site, study=gone.study),
        Withdrawal(site=gone.site, study=gone.study, volumes=(gone.volume,), at="2026-11-28"),
    )
    alone = run.changed(seed=run.seed + 1)  # in no plan, as a retraining
    write_document(store, keys.RUN_SPEC.build(run_id=alone.run_id), alone)
    deformed = {kept: copies_of(run.model_copy(update={"train": (kept,)}))}
    deformed[gone] = set().union(*(copies_of(one.model_copy(update={"train": (gone,)})) for one in (run, alone)))
    assert len(deformed[gone]) == 2 * len(deformed[kept])
    folders = {
        entry: [tmp_path / "cache" / "volumes" / entry.volume]
        + [tmp_path / "cache" / "augmented" / name for name in deformed[entry]]
        for entry in (gone, kept)
    }
    for folder in (*folders[gone], *folders[kept]):
        folder.mkdir(parents=True)
    listed = lesionlab("gc").output
    assert listed.count("copy of a withdrawn study") == len(folders[gone])
    assert all(folder.exists() for folder in folders[gone])
    lesionlab("gc", "--delete")
    assert not [folder for folder in folders[gone] if folder.exists()]
    assert all(folder.exists() for folder in folders[kept])


@pytest.fixture
def versioned(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """A store in a bucket that keeps every version of every object."""
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket=BUCKET)
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    uri = f"s3://{BUCKET}/lesionlab"
    monkeypatch.setenv("LESIONLAB_STORE", uri)
    return uri


def versions() -> Iterator[tuple[str, bytes]]:
    """Key and bytes of every version of every object."""
    client = boto3.client("s3", region_name="us-east-1")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=BUCKET):
        for found in page.get("Versions", ()):
            body = client.get_object(Bucket=BUCKET, Key=found["Key"], VersionId=found["VersionId"])["Body"]
            yield found["Key"].removeprefix("lesionlab/"), body.read()


def of(study: str, site: str) -> list[str]:
    """Keys of the objects of which some version holds voxels or rows of a study."""
    found = []
    for key, data in versions():
        if key.endswith(".parquet"):
            rows = pd.read_parquet(BytesIO(data))
            held = "study" in rows and rows["study"].isin([study, f"{site}/{study}"]).any()
        else:
            held = f"/{study}/" in key or f"/{study}.zarr/" in key or key.startswith("reports/")
        found += [key] if held else []
    return found


@pytest.mark.s3
@pytest.mark.slow
def test_of_a_withdrawn_study_no_version_of_any_volume_prediction_row_or_report_is_left(
    versioned: str, lesionlab: Lesionlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESIONLAB_STORE", versioned)
    store = open_store(versioned)
    assert [found for found in conformance(store) if not found.holds] == []
    pool(lesionlab, tmp_path)
    study = current_part(store, "north", "ms").studies[0].study
    plan = current_plan(store, "pooled")
    (run,) = [run for run in plan.runs if run.cell and f"north/{study}" in {entry.study for entry in run.train}]
    model = register(store, run.run_id, "pooled-ms").full_name
    kinds = {key.partition("/")[0] for key in of(study, "north")}
    assert kinds == {"sites", "runs", "results", "reports"}

    assert lesionlab("withdraw", study, "--site", "north").exit_code == 0
    done = lesionlab("withdraw", "--steward")
    assert done.exit_code == 0, done.output
    assert f"model {model} was trained on a withdrawn study" in done.output
    assert of(study, "north") == []
    assert len(current_manifest(store, "ms").studies) == 3
    entries = ledger_entries(open_store(versioned), [run.run_id for run in plan.runs])
    assert {entry.withdrawn for entry in entries.values()} == {(f"north/{study}",)}
    others = current_part(store, "south", "ms").studies[0].study
    assert {key.partition("/")[0] for key in of(others, "south")} == {"sites", "runs", "results"}
    assert check_store(store, lambda data: True).damage == ()
    assert "0 old versions deleted" in lesionlab("withdraw", "--steward").output
    scan = save(tmp_path / "scan.nii.gz", head(9).astype(np.float32))
    used = lesionlab("predict", scan, "--model", model, "--out", tmp_path / "mask.nii.gz")
    assert f"was trained on north/{study}, withdrawn since" in used.output
    assert withdrawn_studies(store, find_model(store, model)) == (f"north/{study}",)


def pool(lesionlab: Lesionlab, folder: Path) -> None:
    """Two hospitals contribute two patients each; two networks are trained and tested, and reported."""
    (folder / "ms.yaml").write_text(COHORT)
    (folder / "pooled.yaml").write_text(SPEC)
    commands: list[tuple[object, ...]] = [("declare", folder / "ms.yaml")]
    for number, site in enumerate(("north", "south")):
        root = draw_dataset(folder / site, "sub-01", "sub-02")
        for place, study in enumerate(("sub-01", "sub-02")):
            save(image_path(root, study), head(10 * number + place))
        (folder / f"{site}.salt").write_text(site * 16)
        own = ("--cohort", "ms", "--site", site, "--salt-file", folder / f"{site}.salt", "--plain")
        commands.append(("contribute", root, *own))
    commands += [("sweep", folder / "pooled.yaml", "--plain"), ("analyse", "pooled", "--null-repetitions", "0")]
    for command in commands:
        done = lesionlab(*command)
        assert done.exit_code == 0, done.output
