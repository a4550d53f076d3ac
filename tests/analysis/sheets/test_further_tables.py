"""The second rater, equivalence, volumes and pooled lesions in tables and sentences; no claim without a margin."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.further_tables import (
    differences_sheet,
    further_sheets,
    rater_sheets,
    site_differences_sheet,
)
from lesionlab.analysis.sheets.records import learning_csv
from lesionlab.analysis.sheets.sheet import as_csv
from lesionlab.analysis.statistics.further import Further, further
from lesionlab.analysis.statistics.supplementary import Options, supplementary_analyses
from lesionlab.analysis.words.further import NO_MARGIN, rater_sentences
from tests.analysis.drawn_rows import drawn_rows

ROWS = drawn_rows(1, {"fine-tuned": 0.8, "de-novo": 1.0}, sizes=(10, 20), rater=0.62)


@pytest.fixture(scope="module")
def with_margin() -> Further:
    return further(ROWS, ROWS, "exclude", 0.10)


@pytest.fixture(scope="module")
def without_margin() -> Further:
    return further(ROWS, ROWS, "exclude", None)


def test_every_arm_stands_beside_the_raters_agreement(with_margin):
    sheet = rater_sheets(with_margin)["ours-rater-agreement"]
    assert [row[:2] for row in sheet.rows] == [
        ("Grader 2", "–"),
        ("Default", "–"),
        *[(arm, size) for size in ("10", "20") for arm in ("FT", "DN")],
    ]
    assert [column.title for column in sheet.columns] == [
        *("Reader", "N", "Studies", "Patients", "Sensitivity", "PPV", "F1"),
    ]


def test_the_csv_has_every_bound_in_full_precision(with_margin):
    lines = list(csv.DictReader(StringIO(as_csv(differences_sheet(with_margin.against_rater, 0.10)))))
    one = next(one for one in with_margin.against_rater if one.mean is not None)
    assert float(lines[0]["difference"]) == one.mean
    assert float(lines[0]["difference_low"]) == one.difference.interval().low
    assert float(lines[0]["difference_90_high"]) == one.equivalence.interval.high
    assert float(lines[0]["p_upper"]) == one.equivalence.p_upper


def test_without_a_margin_no_word_of_equivalence_is_in_a_table(without_margin):
    sheets = rater_sheets(without_margin) | further_sheets(without_margin)
    assert "ours-equivalence" not in sheets
    texts = [text for sheet in sheets.values() for row in sheet.rows for text in row]
    assert not any("equivalent" in text or "inferior" in text for text in texts)
    assert rater_sentences(without_margin)[-1] == NO_MARGIN


def test_the_sentences_are_about_the_largest_models_and_say_what_their_intervals_leave_out(with_margin):
    fine_tuned, de_novo, conditional, margin = rater_sentences(with_margin)
    assert fine_tuned.startswith("Fine-tuned, 20 studies, minus Grader 2: sensitivity ")
    assert de_novo.startswith("De novo, 20 studies, minus Grader 2: sensitivity ")
    assert "(10 studies of 10 patients that both read)" in fine_tuned
    assert "exclude training variability" in conditional
    assert margin.startswith("Declared margin: 0.1.")


def test_each_arm_comparison_has_the_difference_at_each_site_and_one_test(with_margin):
    sheet = site_differences_sheet(with_margin.sites)
    assert [row[1] for row in sheet.rows] == ["north", "south", "west"] * 2
    assert all(row[-1].startswith("F(2, 57) = ") for row in sheet.rows)


def test_where_sites_cannot_be_compared_the_table_says_why():
    rows = [row.model_copy(update={"site": "north"}) for row in ROWS]
    sheet = site_differences_sheet(further(rows, rows, "exclude", None).sites)
    assert {row[-1] for row in sheet.rows} == {"fewer than two sites with at least 6 patients"}


def test_every_point_of_the_curves_is_a_line_with_n_mean_and_interval():
    ours = supplementary_analyses(ROWS, ROWS, (), Options(null_repetitions=0))
    lines = list(csv.DictReader(StringIO(learning_csv(ours.learning))))
    points = [(point, learned) for learned in ours.learning for arm in learned.arms for point in arm.points]
    assert len(lines) == len(points) == 2 * 2 * 2
    for line, (point, learned) in zip(lines, points, strict=True):
        assert (float(line["mean"]), int(line["n"])) == (point.mean, point.n)
        assert (float(line["mean_low"]), float(line["mean_high"])) == (point.interval.low, point.interval.high)
        assert (line["metric"], line["interval_over"]) == (learned.metric, "fold")
