"""Sheets of the supplementary analyses: every number has its interval and what it rests on."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.sheet import Sheet, as_csv
from lesionlab.analysis.sheets.supplementary_tables import supplementary_sheets
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.supplementary import Options, Supplementary, supplementary_analyses
from lesionlab.analysis.words.cautions import CONDITIONAL
from tests.analysis.drawn_rows import drawn_rows


@pytest.fixture(scope="module")
def found() -> Supplementary:
    rows = [
        row.model_copy(update={"site": "north"})
        for row in drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.1}, sizes=(10, 30), network_sd=0.03)
    ]
    options = Options(null_repetitions=50)
    return supplementary_analyses(rows, rows, compare(rows, rows, "fold-averaged"), options)


@pytest.fixture(scope="module")
def sheets(found: Supplementary) -> dict[str, Sheet]:
    return supplementary_sheets(found)


def column(sheet: Sheet, title: str) -> list[str]:
    (place,) = (place for place, column in enumerate(sheet.columns) if column.title == title)
    return [row[place] for row in sheet.rows]


def test_a_mixed_model_shows_what_each_random_effect_adds_and_what_was_left_out(sheets):
    sheet = sheets["ours-mixed-models"]
    terms = column(sheet, "Term")
    assert {"SD: patient", "SD: patient × arm", "SD: training set", "SD: network", "SD: residual"} < set(terms)
    assert column(sheet, "df")[0] == "10"
    assert "site (1)" in column(sheet, "Note")[0]


def test_intervals_say_what_they_are_over(sheets):
    for name in ("ours-effect-sizes", "ours-learning"):
        assert set(column(sheets[name], "CI over")) == {"6 folds"}
        assert CONDITIONAL in sheets[name].notes[0]


def test_a_rate_says_on_how_many_simulated_experiments_it_rests(sheets):
    assert set(column(sheets["ours-null"], "Simulated experiments")) == {"50", "10"}


def test_the_csv_of_every_sheet_has_its_numbers_in_full_precision(found, sheets):
    numbers = {name: list(csv.DictReader(StringIO(as_csv(sheet)))) for name, sheet in sheets.items()}
    for paired, line in zip(found.sizes, numbers["ours-effect-sizes"], strict=True):
        assert float(line["difference"]) == paired.size.difference
        assert float(line["difference_low"]) == paired.size.interval.low
        assert float(line["standardised"]) == paired.size.standardised
    arms = [(learned, arm) for learned in found.learning for arm in learned.arms]
    for (learned, arm), line in zip(arms, numbers["ours-learning"], strict=True):
        assert float(line["target_mean"]) == learned.aim.mean
        assert float(line["studies"]) == arm.crossing.studies
        assert line["saving_least"] == (str(learned.saving.least) if arm.fine_tuned else "")
    terms = [line for line in numbers["ours-mixed-models"] if line["p_value"]]
    assert [float(line["estimate"]) for line in terms] == [t.estimate for one in found.mixed for t in one.model.terms]
    rates = [rate.rate for test in found.null for rate in test.rates]
    assert [float(line["type_one_error"]) for line in numbers["ours-null"]] == rates
