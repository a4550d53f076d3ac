"""Self-grading on the command line, with networks and heads of the tiny experiment: alone, and as part of a rule."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from lesionlab.experiments.audit import chain
from lesionlab.experiments.champions import decision_in_force
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.registry import find_model, register
from lesionlab.model.unet import LESION, UNet, build_unet
from lesionlab.store.documents import document_bytes, read_document, write_document
from lesionlab.store.objects import Store, open_store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.grading import CONTRASTS, DIAMETERS_MM, InsertedLesion
from storage_schemas.parts import DeclaredCohort
from storage_schemas.runs import RunSpec
from storage_schemas.sites import SmallestCounts
from tests.experiments.finished import finish
from tests.jobs.conftest import Lesionlab

PATIENTS = 4
RULE = """
model: tiny-glioma
benchmark: held-out
conditions:
  - {kind: non-inferior, metric: dice, margin: 0.9}
  - {kind: detects, diameter_mm: 8, contrast: 2, least: 0.1}
alpha: 0.2
looks: 1
"""


@pytest.fixture(scope="module")
def store(finished_tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("grade") / "store"
    shutil.copytree(finished_tiny / ".lesionlab" / "store", folder)
    return open_store(folder.as_uri())


def test_a_model_is_graded_on_scans_it_has_not_seen_and_the_report_shows_it(
    lesionlab: Lesionlab, store: Store, tmp_path: Path
) -> None:
    command = ("self-grade", "tiny-glioma", "--cohort", "tiny-ms", "--store", store.uri)
    result = lesionlab(*command, "--csv", tmp_path / "grades.csv")
    assert result.exit_code == 0, result.output
    assert "on inserted lesions in tiny-ms" in result.output
    told = json.loads(lesionlab(*command, "--json").stdout)
    cells = [line for line in told if line["by"] == "size and contrast"]
    assert len(cells) == len(DIAMETERS_MM) * len(CONTRASTS)
    assert len((tmp_path / "grades.csv").read_text().splitlines()) == 1 + len(told)
    card = find_model(store, "tiny-glioma")
    (key,) = store.list(keys.SELF_GRADE.prefix(name=card.name, version=card.version))
    rows = list(read_rows(store, [key], InsertedLesion))
    assert {row.patient for row in rows} == {f"{number:04d}" for number in range(1, PATIENTS + 1)}
    assert sum(line["lesions"] or 0 for line in cells) == sum(not row.marked_before for row in rows)


def agree_on(store: Store, patients: int) -> None:
    store.put(keys.SMALLEST_COUNTS.build(), document_bytes(SmallestCounts(consortium="pool", smallest_count=patients)))


def test_a_consortium_of_which_too_few_patients_are_graded_is_told_no_fraction(
    lesionlab: Lesionlab, store: Store, tmp_path: Path
) -> None:
    command = ("self-grade", "tiny-glioma", "--cohort", "tiny-ms", "--store", store.uri)
    before = {line["detected"] for line in json.loads(lesionlab(*command, "--json").stdout)}
    assert before != {None}
    agree_on(store, PATIENTS + 1)
    try:
        told = json.loads(lesionlab(*command, "--json").stdout)
        assert {line[name] for line in told for name in ("lesions", "patients", "detected", "low")} == {None}
        assert f"it would tell of fewer than {PATIENTS + 1} patients" in lesionlab(*command).output
        agree_on(store, PATIENTS)
        told = json.loads(lesionlab(*command, "--json").stdout)
        assert {line["patients"] for line in told} <= {None, PATIENTS}
    finally:
        store.delete(keys.SMALLEST_COUNTS.build())


def test_scans_it_was_trained_on_are_refused(lesionlab: Lesionlab, store: Store) -> None:
    result = lesionlab("self-grade", "tiny-glioma", "--cohort", "tiny-glioma", "--store", store.uri)
    assert (result.exit_code, "it was trained on: same image as" in result.output) == (1, True), result.output


def test_sites_that_forbid_it_are_left_out_and_the_audit_says_whose_scans_were_read(
    lesionlab: Lesionlab, finished_tiny: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished_tiny / ".lesionlab" / "store", tmp_path / "store")
    store = open_store((tmp_path / "store").as_uri())
    manifest = current_manifest(store, "tiny-ms")
    write_document(
        store,
        keys.COHORT.build(cohort="tiny-ms"),
        DeclaredCohort(
            cohort="tiny-ms", sites=tuple(manifest.parts), task=manifest.task, spacing_mm=4.0, rating="simulated"
        ),
    )
    forbidding, *others = sorted(manifest.parts)
    for site in manifest.parts:
        tasks = "[enhancing]" if site == forbidding else "[flair-single]"
        text = f"site: {site}\ntasks: {tasks}\nleaves: {'nothing' if site == others[0] else 'aggregates'}\n"
        store.put(keys.POLICY.build(site=site), text.encode())
    command = ("self-grade", "tiny-glioma", "--cohort", "tiny-ms", "--store", store.uri)
    result = lesionlab(*command)
    assert result.exit_code == 0, result.output
    assert f"{forbidding} left out: its policy allows the tasks enhancing" in result.output
    assert f"{others[0]} left out: its policy lets nothing leave" in result.output
    begun, done = chain(store, "trainer").entries
    assert (begun.command, begun.outcome, done.outcome) == ("self_grade", "begun", "done")
    assert {one.site for one in begun.studies} == {*others[1:]}
    promoted = lesionlab("promote", find_model(store, "tiny-glioma").full_name, "--reason", "x", "--store", store.uri)
    assert promoted.exit_code == 0, promoted.output
    assert lesionlab("benchmark", "held-out", "tiny-ms", "--store", store.uri).exit_code == 0
    (tmp_path / "rule.yaml").write_text(RULE)
    assert lesionlab("rule", "declare", tmp_path / "rule.yaml", "--store", store.uri).exit_code == 0
    checked = lesionlab("rule", "check", "tiny-glioma", "--store", store.uri)
    assert checked.exit_code == 1
    assert f"site {forbidding}: " in checked.output
    assert store.list("benchmarks/results/") == []


def brighter(run: RunSpec) -> UNet:
    """A network that marks what is much brighter than the rest of its patch: centre taps alone, and a threshold."""
    network = build_unet(run.architecture, channels=1, seed=0)
    with torch.no_grad():
        for name, tensor in network.named_parameters():
            tensor.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
            if name.startswith(("entry.conv", "merge.0.conv")):
                tensor[0, 0, 1, 1, 1] = 1.0
        network.head.weight[LESION, 0] = 20.0
        network.head.bias[LESION] = -20.0 * 3.0
    return network


def test_a_rule_asks_for_inserted_lesions_and_promotes_the_candidate_that_detects_them(
    lesionlab: Lesionlab, store: Store, tmp_path: Path
) -> None:
    def call(*arguments: object) -> str:
        result = lesionlab(*arguments, "--store", store.uri)
        assert result.exit_code == 0, result.output
        return result.output

    first = find_model(store, "tiny-glioma")
    run = read_document(store, keys.RUN_SPEC.build(run_id=first.version), RunSpec).changed(seed=11)
    finish(store, run, brighter(run))
    second = register(store, run.run_id, "tiny-glioma")
    call("promote", first.full_name, "--reason", "the first one")
    call("benchmark", "held-out", "tiny-ms")
    (tmp_path / "rule.yaml").write_text(RULE)
    call("rule", "declare", tmp_path / "rule.yaml")
    told = call("rule", "check", "tiny-glioma")
    assert re.search(r"detects 10% of inserted lesions from 8 mm and contrast 2 SD .* 0\.00", told), told
    agree_on(store, PATIENTS + 1)
    few = lesionlab("rule", "check", "tiny-glioma", "--store", store.uri)
    store.delete(keys.SMALLEST_COUNTS.build())
    assert (few.exit_code, "dice, inserted lesions: of fewer than 5 patients" in few.output) == (1, True), few.output
    assert "chance" not in few.output
    told = call("promote", second.full_name, "--reason", "by rule")
    assert "pass  detects 10% of inserted lesions from 8 mm and contrast 2 SD" in told
    decision = decision_in_force(store, "tiny-glioma")
    assert decision is not None
    assert decision.gate is not None
    assert decision.gate.candidate_grades is not None
    call("lineage", "tiny-glioma", "--verify")
