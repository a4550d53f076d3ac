"""`lesionlab cohort` tabulates the patients and scanners of a simulated cohort as the simulation wrote them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from jobs.shared.experiment_files import load_spec
from lesionlab.experiments.manifests import current_manifest
from lesionlab.experiments.splits import stored_split
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.objects import open_store
from storage_schemas import keys
from storage_schemas.cohorts import CohortPlan
from tests.jobs.conftest import Lesionlab

PLAN = CohortPlan(pathology="ms", studies=4, seed=5, spacing_mm=4, sites=("skyra", "hdxt"))
SPEC = """
name: drawn
title: Two subsets of two
task: flair-single
spacing_mm: 4.0
cohorts: {sim: {}}
target: {cohort: sim, subsets: 2, subset_size: 2}
training_sizes: [2]
training: {patch_voxels: 16}
inference: {step_voxels: 8}
"""


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("simulated") / "bids"
    simulate_cohort(PLAN, root)
    return root


def read_table(folder: Path, table: str) -> dict[tuple[str, str], dict[str, str]]:
    with (folder / f"{table}.csv").open() as file:
        return {(row.pop("Characteristic"), row.pop("Value")): row for row in csv.DictReader(file)}


def test_the_tables_agree_with_sidecars_and_participants(
    lesionlab: Lesionlab, bids: Path, tmp_path: Path, file_store_uri: str
) -> None:
    assert lesionlab("preprocess", bids, "--cohort", "sim", "--spacing", 4, "--plain").exit_code == 0
    result = lesionlab("cohort", "sim", "--out", tmp_path / "tables")
    assert result.exit_code == 0, result.output
    facts = json.loads(lesionlab("cohort", "sim", "--json", "--csv", tmp_path / "facts.csv").stdout)
    with (tmp_path / "facts.csv").open() as file:
        assert [row["study"] for row in csv.DictReader(file)] == [one["study"] for one in facts]
    assert {one["field_strength_t"] for one in facts} == {1.5, 3.0}
    table = read_table(tmp_path / "tables", "characteristics-by-site")
    with (bids / "participants.tsv").open() as file:
        participants = list(csv.DictReader(file, delimiter="\t"))
    women = sum(row["sex"] == "F" for row in participants)
    assert table["Studies", ""] == {"all": "4", "hdxt": "2", "skyra": "2"}
    assert table["Sex", "female"]["all"].split()[0] == str(women)
    ages = sorted(int(row["age"]) for row in participants)
    assert table["Age (years)", ""]["all"].endswith(f"({ages[0]}–{ages[-1]})")
    assert table["Field strength", "1.5 T"] == {"all": "2 (50%)", "hdxt": "2 (100%)", "skyra": "0"}
    echoes_ms = sorted(1000 * json.loads(path.read_text())["EchoTime"] for path in bids.glob("sub-*/*/*/*_FLAIR.json"))
    assert table["TE (ms)", ""]["all"].endswith(f"({echoes_ms[0]:.0f}–{echoes_ms[-1]:.0f})")
    assert not any(level == "not known" for _, level in table)
    scanners = read_table(tmp_path / "tables", "scanners-by-site")
    assert scanners["GE", "Signa HDxt"]["hdxt"] == scanners["Siemens", "Skyra"]["skyra"] == "2 (100%)"
    for name in ("characteristics-by-site", "scanners-by-site"):
        assert (tmp_path / "tables" / f"{name}.md").read_text() in result.output
        assert (tmp_path / "tables" / f"{name}.html").read_text().count("<table>") == 1
    open_store(file_store_uri).put(keys.POLICY.build(site="hdxt"), b"site: hdxt\nleaves: aggregates\n")
    refused = lesionlab("cohort", "sim", "--csv", tmp_path / "more.csv")
    assert refused.exit_code == 1
    assert "site hdxt: 2 studies in cohort, but its policy lets aggregates leave, and this shows rows" in refused.output
    assert "--share consortium" in refused.output
    assert not (tmp_path / "more.csv").exists()


def test_the_subsets_of_an_experiment_are_columns_once_they_are_drawn(
    lesionlab: Lesionlab, bids: Path, tmp_path: Path, file_store_uri: str
) -> None:
    (tmp_path / "drawn.yaml").write_text(SPEC)
    lesionlab("preprocess", bids, "--cohort", "sim", "--spacing", 4, "--plain")
    early = lesionlab("cohort", "sim", "--spec", tmp_path / "drawn.yaml")
    assert early.exit_code == 1
    assert "has no subsets yet" in early.output
    store = open_store(file_store_uri)
    split = stored_split(store, current_manifest(store, "sim"), load_spec(str(tmp_path / "drawn.yaml")).target)
    result = lesionlab("cohort", "sim", "--spec", tmp_path / "drawn.yaml", "--out", tmp_path / "tables")
    assert result.exit_code == 0, result.output
    assert [len(subset) for subset in split.subsets] == [2, 2]
    assert read_table(tmp_path / "tables", "characteristics-train-test")["Studies", ""] == {
        "all": "4",
        "training": "2",
        "testing (subset 1)": "2",
    }
    assert read_table(tmp_path / "tables", "scanners-by-subset")["GE", "Signa HDxt"]["all"] == "2 (50%)"


def test_a_missing_cohort_is_named(lesionlab: Lesionlab) -> None:
    result = lesionlab("cohort", "nobody")
    assert result.exit_code == 1
    assert "cohort nobody: not in" in result.output


def test_an_experiment_on_another_cohort_is_refused(lesionlab: Lesionlab, bids: Path) -> None:
    lesionlab("preprocess", bids, "--cohort", "sim", "--spacing", 4, "--plain")
    result = lesionlab("cohort", "sim", "--spec", "demo")
    assert result.exit_code == 1
    assert "its target is cohort demo-ms, not sim" in result.output
