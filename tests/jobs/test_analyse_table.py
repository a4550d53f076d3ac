"""`lesionlab analyse --rows` analyses a table of results from elsewhere and reports every fault in it."""

from __future__ import annotations

import csv
import re
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from jobs.shared.report_folder import save_files
from lesionlab.analysis.report import table_report
from lesionlab.analysis.sheets.records import csv_text
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.external import read_table, unit_of
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words import pages as words
from lesionlab.experiments.provenance import analysis_versions
from storage_schemas.metrics import METRICS
from tests.analysis.drawn_rows import drawn_rows
from tests.analysis.test_report import assert_complete
from tests.jobs.conftest import Lesionlab

QUICK = ("--null-repetitions", "2")
NAMES = {"fine-tuned": "FT", "de-novo": "DN", "default": "Default", "rater": "Grader 2"}


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = drawn_rows(1, {"fine-tuned": 0.75, "de-novo": 1.1}, sizes=(10, 30, 50), rater=0.6)
    columns = ("study", "patient", "site", "training_size", "fold", "sensitivity", "ppv")
    records = [{name: getattr(row, name) for name in columns} | {"arm": NAMES[row.arm]} for row in rows]
    path = tmp_path_factory.mktemp("elsewhere") / "rows.csv"
    path.write_text(csv_text(records))
    return path


@pytest.fixture(scope="module")
def report(table: Path) -> Path:
    """A folder with a report, for tests that only read it."""
    folder = table.parent / "report"
    read = read_table(table)
    found = statistics(read.rows, read.rows, unit_of(read, None), Options(null_repetitions=2))
    save_files(table_report(read, found), folder)
    return folder


@pytest.fixture
def first(lesionlab: Lesionlab, table: Path) -> Path:
    """The folder of a report that the command wrote, once for all tests that only read it or copy it."""
    folder = table.parent / "first"
    if not folder.exists():
        assert lesionlab("analyse", "--rows", table, "--out", folder, *QUICK).exit_code == 0
    return folder


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_table_gives_the_papers_table_and_the_answer(lesionlab: Lesionlab, table: Path, tmp_path: Path) -> None:
    target = ("--target", "sensitivity=0.6", "--annotation-minutes", "30")
    result = lesionlab("analyse", "--rows", table, "--out", tmp_path / "out", *target, *QUICK)
    assert result.exit_code == 0
    assert "m = 6" in result.output
    answer = (tmp_path / "out" / "answer.txt").read_text()
    assert " ".join(answer.split()) in " ".join(result.output.split())
    assert re.search(r"sensitivity of 0\.60 .* 30 minutes", answer)
    files = files_below(tmp_path / "out")
    for_programs = [f"tables/{name}.csv" for name in ("performance", "effects", "summary", "studies", "ours-null")]
    assert {"report.html", "answer.txt", *for_programs} <= files
    assert {f"tables/{name}.{ending}" for name in ("table-3", "sites") for ending in ("csv", "md", "html")} <= files
    figures = ("performance", "learning-fine-tuned-versus-de-novo")
    assert {f"figures/{name}.{ending}" for name in figures for ending in ("svg", "png")} <= files
    effects = list(csv.DictReader((tmp_path / "out" / "tables" / "effects.csv").open()))
    assert len(effects) == len(METRICS) * (1 + 3 + 6 + 1 + 6)


def test_the_page_starts_with_the_answer_and_names_its_input_and_versions(report: Path, table: Path) -> None:
    html = (report / "report.html").read_text()
    answer = (report / "answer.txt").read_text().splitlines()[0]
    assert (
        html.index(answer)
        < html.index("Form: Table 3 of Wahlig et al. 2023")
        < html.index('<section id="supplementary">')
    )
    assert sha256(table.read_bytes()).hexdigest() in html
    assert words.counts(studies=60, patients=60, sites=3) in html
    for name, version in analysis_versions().items():
        assert f"<code>{name}</code></dt><dd><code>{version}</code>" in html
    for name in files_below(report) - {"report.html", "SHA256SUMS"}:
        assert sha256((report / name).read_bytes()).hexdigest() in html


def test_the_page_has_no_section_that_needs_images(report: Path) -> None:
    html = (report / "report.html").read_text()
    assert_complete(html)
    sections = re.findall(r'<section id="([a-z-]+)"', html)
    shared = ["performance", "rater", "further", "sites", "supplementary"]
    assert sections == [*shared, "made-from", "definitions", "hashes"]
    assert re.findall(r'<a href="#([a-z-]+)"', html) == sections


def test_without_dice_there_is_no_table_of_dice(report: Path) -> None:
    assert not [name for name in files_below(report) if "dice" in name]


def test_a_report_replaces_an_earlier_one(lesionlab: Lesionlab, first: Path, table: Path, tmp_path: Path) -> None:
    out = shutil.copytree(first, tmp_path / "out")
    (out / "mine.txt").write_text("mine")
    fewer = tmp_path / "fewer.csv"
    fewer.write_text("".join(line for line in table.open() if ",DN" not in line))
    lesionlab("analyse", "--rows", fewer, "--out", out, *QUICK)
    names = files_below(out)
    assert "mine.txt" in names
    assert not [name for name in names if "versus-de-novo" in name or "effect-sizes" in name]


def test_the_same_table_gives_the_same_bytes(lesionlab: Lesionlab, first: Path, table: Path, tmp_path: Path) -> None:
    assert lesionlab("analyse", "--rows", table, "--out", tmp_path / "two", *QUICK).exit_code == 0
    assert files_below(first) == files_below(tmp_path / "two")
    for name in files_below(first):
        assert (first / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_saved_table_can_be_analysed_again(lesionlab: Lesionlab, first: Path, tmp_path: Path) -> None:
    lesionlab("analyse", "--rows", first / "tables" / "studies.csv", "--out", tmp_path / "two", *QUICK)
    one, two = ((folder / "tables" / "effects.csv").read_bytes() for folder in (first, tmp_path / "two"))
    assert one == two


def test_unit_and_undefined_values_are_options(lesionlab: Lesionlab, table: Path) -> None:
    result = lesionlab("analyse", "--rows", table, "--undefined", "worst", *QUICK)
    assert result.exit_code == 0
    assert "(n = 60 versus 10)" in " ".join(result.output.split())
    refused = lesionlab("analyse", "--rows", table, "--unit", "fold-averaged", *QUICK)
    assert refused.exit_code == 1
    assert "add the column position" in refused.output


def test_positions_are_averaged_over_the_folds_if_given(lesionlab: Lesionlab, table: Path, tmp_path: Path) -> None:
    lines = list(csv.DictReader(table.open()))
    placed = [line | {"position": int(line["study"].removeprefix("sub-")) % 10 + 1} for line in lines]
    path = tmp_path / "placed.csv"
    path.write_text(csv_text(placed))
    result = lesionlab("analyse", "--rows", path, *QUICK)
    assert "(n = 60 versus 10)" not in " ".join(result.output.split())
    assert "(n = 10)" in " ".join(result.output.split())


def test_all_faults_of_a_table_are_reported(lesionlab: Lesionlab, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(
        "study,patient,site,arm,training_size,fold,sensitivity,ppv\ns,p,x,FT,10,1,55,0.5\ns,p,x,fine-tunned,10,1,0.5,0.5\n"
    )
    result = lesionlab("analyse", "--rows", path)
    assert result.exit_code == 1
    assert "line 2, sensitivity" in result.output
    assert "line 3, arm" in result.output


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        ((), 2, "--rows FILE"),
        (("demo", "--rows", "x.csv"), 2, "--rows FILE"),
        (("demo", "--target", "ppv=0.5"), 2, "--target"),
        (("--rows", "x.csv", "--target", "recall=0.5"), 1, "--target: wanted sensitivity, ppv, f1, dice and a mean"),
        (("--rows", "x.csv", "--target", "ppv=50"), 1, "a mean from 0 to 1, as in sensitivity=0.63; found 'ppv=50'"),
        (("--rows", "x.csv", "--annotation-minutes", "0"), 1, "--annotation-minutes: wanted more than 0; found 0"),
        (("--rows", "absent.csv"), 1, "absent.csv: not readable as CSV"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    lesionlab: Lesionlab, options: tuple[str, ...], code: int, message: str
) -> None:
    result = lesionlab("analyse", *options)
    assert result.exit_code == code
    assert message in " ".join(result.output.replace("│", " ").split())


def test_only_the_invalid_option_is_named(lesionlab: Lesionlab) -> None:
    options = ("--rows", "x.csv", "--target", "ppv=0.5", "--annotation-minutes", "0")
    output = lesionlab("analyse", *options).output
    assert "--annotation-minutes" in output
    assert "--target" not in output
