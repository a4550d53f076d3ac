"""A cross-site experiment from simulated scanners to the matrix, and what of it may leave."""

from __future__ import annotations

import csv
from io import StringIO
from pathlib import Path

import pytest
import yaml

from lesionlab.experiments.publishing import study_rows
from lesionlab.experiments.stored_plans import current_plan
from lesionlab.store.objects import open_store
from tests.jobs.conftest import TINY, Lesionlab

SITES = ("hdxt", "mr750", "skyra")
ROWS = (*SITES, "all-sites", "other-sites")


@pytest.mark.slow
def test_three_simulated_scanners_are_trained_and_tested_against_each_other(
    lesionlab: Lesionlab, file_store_uri: str, tmp_path: Path
) -> None:
    spec = yaml.safe_load(TINY.read_text())
    cohort = {"simulate": {"pathology": "ms", "studies": 6, "seed": 1, "spacing_mm": 4.0, "sites": list(SITES)}}
    spec |= {"name": "sites", "cohorts": {"tiny-ms": cohort}, "sources": [], "training_sizes": [1]}
    spec["target"] = {"cohort": "tiny-ms", "design": "cross-site", "sites": list(SITES), "subsets": 2}
    path = tmp_path / "sites.yaml"
    path.write_text(yaml.safe_dump(spec))

    planned = lesionlab("plan", path)
    assert "11 trainings" in planned.output
    assert "on all but the tested site: 9–11" in planned.output
    done = lesionlab("run", path, "--plain", "--work", tmp_path / "work")
    assert done.exit_code == 0, done.output
    store = open_store(file_store_uri)
    plan = current_plan(store, "sites")
    tested = {row: [one for one in study_rows(store, plan) if one.train_site == row] for row in ROWS}
    studies = sorted({entry.study for run in plan.runs for entry in run.test})
    assert {row: sorted(one.study for one in own) for row, own in tested.items()} == dict.fromkeys(ROWS, studies)

    report = {key.rpartition("/")[2]: key for key in store.list("reports/sites/")}
    matrix = list(csv.DictReader(StringIO(store.get(report["cross-site-sensitivity.csv"]).decode())))
    assert [line["Trained on"] for line in matrix] == [*SITES, "all sites", "all but the tested site"]
    assert {line[f"Tested on: {site}"] for line in matrix for site in SITES} == {"–"}  # 2 patients each
    assert {float(line["everywhere_n"]) for line in matrix} == {6}
    assert "cross-site-de-novo-1-study.svg" in report

    few = lesionlab("analyse", "sites", "--share", "public", "--out", tmp_path / "few", "--null-repetitions", 0)
    assert few.exit_code != 0
    options = ("--share", "public", "--smallest-count", 6, "--out", tmp_path / "public", "--null-repetitions", 0)
    shared = lesionlab("analyse", "sites", *options)
    assert shared.exit_code == 0, shared.output
    for file in (tmp_path / "public").rglob("*.*"):
        assert not [name for name in (*studies, *SITES) if name.encode() in file.read_bytes()], file
