"""`analyse --share`: a folder is needed, too few patients leave nothing behind, and the folder has what may leave."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from lesionlab.analysis.shared_report import SharedReport
from lesionlab.analysis.statistics.sharing import Share
from lesionlab.errors import InputError
from lesionlab.experiments.sites_file import store_counts
from lesionlab.store.objects import Store, open_store
from storage_schemas.experiments import Plan
from storage_schemas.sites import Consortium
from tests.analysis.drawn_rows import drawn_rows
from tests.experiments.finished import finish_experiment

SITES = {
    "consortium": "pool",
    "store": "s3://pool/lesionlab",
    "smallest_count": 7,
    "sites": {"north": {"title": "North", "contacts": [{"name": "Data office", "email": "data@example.org"}]}},
}
COLUMNS = ("study", "patient", "site", "arm", "training_size", "fold", "position", "sensitivity", "ppv")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "results.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for row in drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10,)):
            writer.writerow([getattr(row, name) for name in COLUMNS])
    return path


@pytest.fixture
def analyse(rows: Path, tmp_path: Path) -> Callable[..., tuple[int, str]]:
    def run(*options: str) -> tuple[int, str]:
        command = ["analyse", "--rows", str(rows), "--null-repetitions", "0", *options]
        done = CliRunner().invoke(app, command, env={"LESIONLAB_STORE": f"file://{tmp_path / 'store'}"})
        return done.exit_code, done.output + (str(done.exception) if done.exception else "")

    return run


def test_a_shared_report_needs_a_folder(analyse):
    code, told = analyse("--share", "public")
    assert code != 0
    assert "--share public: wanted a folder to write the report to, --out DIR" in told


def test_too_few_patients_are_refused_and_no_file_is_written(analyse, tmp_path):
    code, told = analyse("--share", "public", "--smallest-count", "70", "--out", str(tmp_path / "out"))
    assert code != 0
    assert "wanted a model with values of at least 70 patients, found 60 at most" in told
    assert not any((tmp_path / "out").rglob("*.*"))


@pytest.mark.parametrize(
    ("options", "found"), [((), 7), (("--smallest-count", "9"), 9), (("--smallest-count", "6"), 7)]
)
def test_what_the_consortium_agreed_on_is_used_without_being_told(
    file_store_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], found: int
) -> None:
    store = open_store(file_store_uri)
    finish_experiment(store)
    store_counts(store, Consortium.model_validate(SITES))

    def told(store: Store, plan: Plan, share: Share, null_repetitions: int) -> SharedReport:
        raise InputError(f"of {share.smallest} patients")

    monkeypatch.setattr("jobs.analyse.publish_missing", lambda store, runs: None)
    monkeypatch.setattr("jobs.analyse.shared_experiment", told)
    command = ["analyse", "alone", "--share", "public", "--out", str(tmp_path / "out"), *options]
    done = CliRunner().invoke(app, command, env={"LESIONLAB_STORE": file_store_uri})
    assert f"of {found} patients" in done.output


def test_what_is_written_and_printed_has_no_study_in_it(analyse, tmp_path):
    code, told = analyse("--share", "public", "--out", str(tmp_path / "out"))
    assert code == 0
    written = {
        path.relative_to(tmp_path / "out").as_posix(): path.read_bytes() for path in (tmp_path / "out").rglob("*.*")
    }
    assert {"report.html", "answer.txt", "tables/table-3.csv", "figures/performance.png"} <= set(written)
    assert not [name for name, data in written.items() if b"sub-0" in data or b"north" in data]
    assert "sub-0" not in told
    assert "north" not in told
