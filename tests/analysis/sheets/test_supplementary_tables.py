"""Sheets of the supplementary analyses: every number has its interval and what it rests on."""

from __future__ import annotations

import pytest

from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.sheets.supplementary_tables import supplementary_sheets
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.supplementary import Options, supplementary_analyses
from lesionlab.analysis.words.cautions import CONDITIONAL
from tests.analysis.drawn_rows import drawn_rows


@pytest.fixture(scope="module")
def sheets() -> dict[str, Sheet]:
    rows = [
        row.model_copy(update={"site": "north"})
        for row in drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.1}, sizes=(10, 30), network_sd=0.03)
    ]
    options = Options(null_repetitions=50)
    return supplementary_sheets(supplementary_analyses(rows, rows, compare(rows, rows, "fold-averaged"), options))


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
