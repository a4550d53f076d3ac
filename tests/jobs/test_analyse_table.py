"""`lesionlab analyse --rows`: tables and answer of results that were made elsewhere; every fault at once."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lesionlab.analysis.statistics.tables import csv_text
from tests.analysis.drawn_rows import drawn_rows
from tests.jobs.conftest import Lesionlab

QUICK = ("--null-repetitions", "2")
NAMES = {"fine-tuned": "FT", "de-novo": "DN", "default": "Default", "grader": "Grader 2"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10, 30, 50), grader=0.6)
    columns = ("study", "patient", "site", "training_size", "fold", "sensitivity", "ppv")
    records = [{name: getattr(row, name) for name in columns} | {"arm": NAMES[row.arm]} for row in rows]
    path = tmp_path_factory.mktemp("elsewhere") / "rows.csv"
    path.write_text(csv_text(records))
    return path


def test_a_table_gives_the_papers_table_and_the_answer(lesionlab: Lesionlab, table: Path, tmp_path: Path) -> None:
    target = ("--target", "sensitivity=0.6", "--annotation-minutes", "30")
    result = lesionlab("analyse", "--rows", table, "--out", tmp_path / "out", *target, *QUICK)
    assert result.exit_code == 0
    assert "p ≤ 0.05/6 (Bonferroni, m = 6)" in " ".join(result.output.split())
    assert "Fine-tuning, compared with de novo training, had significantly higher sensitivity" in result.output
    assert "Sensitivity of 0.60 (the declared target): fine-tuned reaches it at N" in result.output
    assert "hours of annotation at 30 minutes a study" in result.output
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"answer.txt", "performance.csv", "effects.csv", "summary.csv", "studies.csv", "ours-null.csv"} <= files
    effects = list(csv.DictReader((tmp_path / "out" / "effects.csv").open()))
    assert len(effects) == 3 * (1 + 3 + 6 + 1 + 6)


def test_the_same_table_gives_the_same_bytes(lesionlab: Lesionlab, table: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert lesionlab("analyse", "--rows", table, "--out", tmp_path / name, *QUICK).exit_code == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_was_written_is_read_again(lesionlab: Lesionlab, table: Path, tmp_path: Path) -> None:
    lesionlab("analyse", "--rows", table, "--out", tmp_path / "one", *QUICK)
    lesionlab("analyse", "--rows", tmp_path / "one" / "studies.csv", "--out", tmp_path / "two", *QUICK)
    assert (tmp_path / "one" / "effects.csv").read_bytes() == (tmp_path / "two" / "effects.csv").read_bytes()


def test_unit_and_undefined_values_are_options(lesionlab: Lesionlab, table: Path) -> None:
    result = lesionlab("analyse", "--rows", table, "--unit", "per-study", "--undefined", "worst", *QUICK)
    assert result.exit_code == 0
    said = " ".join(result.output.split())
    assert "two-tailed unpaired t against the default model, over studies (n = 60 against 10)" in said


def test_all_faults_of_a_table_are_said(lesionlab: Lesionlab, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "study,patient,site,arm,training_size,fold,sensitivity,ppv\ns,p,x,FT,10,1,55,0.5\ns,p,x,FZ,10,1,0.5,0.5\n"
    )
    result = lesionlab("analyse", "--rows", path)
    assert result.exit_code == 1
    assert "line 2, sensitivity" in result.output
    assert "line 3, arm" in result.output


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ((), 2, "wanted the name of a study, or a table"),
        (("demo", "--rows", "x.csv"), 2, "wanted the name of a study, or a table"),
        (("demo", "--target", "ppv=0.5"), 2, "these options go with --rows"),
        (("--rows", "x.csv", "--target", "recall=0.5"), 1, "--target: wanted sensitivity, ppv, dice and a mean"),
        (("--rows", "x.csv", "--target", "ppv=50"), 1, "less than or equal to 1"),
        (("--rows", "absent.csv"), 1, "absent.csv: not readable as CSV"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    lesionlab: Lesionlab, options: tuple[str, ...], code: int, said: str
) -> None:
    result = lesionlab("analyse", *options)
    assert result.exit_code == code
    assert said in " ".join(result.output.replace("│", " ").split())
