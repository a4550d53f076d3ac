"""False positives per study: averaged, tested and shown with the other metrics of ours, and judged by nobody."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.listings import sites_sheet, studies_sheet
from lesionlab.analysis.sheets.paper_tables import own_sheets, paper_sheet
from lesionlab.analysis.sheets.records import performance_csv
from lesionlab.analysis.sheets.sheet import as_csv
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.conditions import conditions, value_of
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.analysis.words.answer import answer_text
from storage_schemas.axes import Budget
from storage_schemas.metrics import COLUMNS, FRACTIONS, METRICS, PRIMARY

HEADER = "study,patient,site,arm,training_size,fold,sensitivity,ppv"
WITH_COUNTS = (
    HEADER
    + """,false_positives
s1,p1,x,DN,10,1,,0.0,3
s2,p2,x,DN,10,1,0.5,0.5,0
s3,p3,x,DN,10,1,,,2
"""
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(WITH_COUNTS)
    return read_table(path)


def test_the_mean_counts_studies_without_lesions_too(table):
    (found,) = [s for s in summarise(table.rows, conditions(table.rows)) if s.metric == "false_positives"]
    assert (found.mean, found.n, found.undefined) == (pytest.approx(5 / 3), 3, 0)


def test_a_count_that_nobody_made_is_not_0(table):
    assert value_of(table.rows[0].model_copy(update={"false_positives": None}), "false_positives", "worst") is None


def test_a_table_without_the_column_has_a_table_of_f1_alone_which_follows_from_the_others(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(HEADER + "\ns1,p1,x,DN,10,1,0.5,0.5\n")
    rows = read_table(path).rows
    tables = performance_tables(summarise(rows, conditions(rows)), compare(rows, rows, "per-study"), "per-study")
    assert own_sheets(tables).keys() == {"ours-f1"}


def test_it_stands_in_our_tables_and_in_the_csv_and_not_in_the_papers(rows, cells):
    tables = performance_tables(summarise(rows, conditions(cells)), compare(rows, cells, "per-study"), "per-study")
    assert {name.split("-drawn")[0] for name in own_sheets(tables)} == {"ours-f1", "ours-dice", "ours-false-positives"}
    (record, *_) = csv.DictReader(StringIO(performance_csv(tables)))
    assert {f"{metric}_{what}" for metric in METRICS for what in ("mean", "se", "n", "undefined")} <= record.keys()
    (sheet,) = (sheet for name, sheet in own_sheets(tables).items() if name.startswith("ours-dice"))
    means = [float(line["mean"]) for line in csv.DictReader(StringIO(as_csv(sheet)))]
    assert means == [line.measures["dice"].summary.mean for line in tables[0].lines]
    paper = paper_sheet(tables[0], "")
    assert len({column.group for column in paper.columns if column.group}) == len(PRIMARY)
    assert not any("alse" in column.group for column in paper.columns)


def test_long_tables_have_a_column_for_each_metric(rows, cells):
    titles = [column.title for column in COLUMNS.values()]
    by_study, by_site = studies_sheet(rows, ""), sites_sheet(rows, conditions(cells), "", "exclude")
    for sheet in (by_study, by_site):
        assert [column.title for column in sheet.columns if column.title in titles] == titles
    place = [column.title for column in by_study.columns].index("False positives")
    assert [row[place] for row in by_study.rows] == [str(row.false_positives) for row in rows]


def test_it_changes_no_judgement(rows, cells):
    worse = [row.model_copy(update={"false_positives": 40 + row.position}) for row in rows]
    options = Options(null_repetitions=2)
    before, after = (statistics(own, cells, "per-study", options) for own in (rows, worse))
    assert after.effects != before.effects
    assert after.answer.verdicts == before.answer.verdicts
    assert answer_text(after.answer) == answer_text(before.answer)
    assert after.supplementary.learning == before.supplementary.learning
    assert after.supplementary.null == before.supplementary.null
    assert {test.metric for test in after.supplementary.null} == set(PRIMARY)


def test_the_budget_control_is_of_metrics_of_which_more_is_better(rows):
    def trained(budget):
        own = [row for row in rows if row.training_size]
        return [row.model_copy(update={"budget": budget, "false_positives": row.training_size}) for row in own]

    both = [*trained(Budget(epochs=30)), *trained(Budget(steps=2000))]
    controls = statistics(both, both, "per-study", Options(null_repetitions=0)).supplementary.budget
    assert {control.metric for control in controls} == set(FRACTIONS)
