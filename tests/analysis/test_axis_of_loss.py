"""An axis that was declared after all of this was written: read, compared by and shown without code of its own."""

from __future__ import annotations

import csv
from io import StringIO

import pytest

from lesionlab.analysis.sheets.listings import sites_sheet, studies_sheet
from lesionlab.analysis.sheets.records import performance_csv, studies_csv, summary_csv
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Stratum, conditions, groups
from lesionlab.analysis.statistics.external import read_table
from lesionlab.analysis.statistics.summary import summarise
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.errors import InputError
from lesionlab.store.objects import open_store
from lesionlab.store.tables import read_rows, write_rows
from storage_schemas.results import StudyRow

LOSSES = ("cross-entropy", "dice-cross-entropy")


@pytest.fixture
def varied(rows):
    """Every trained model with each loss; the default model as it is."""
    trained = [row for row in rows if row.training_size]
    return [
        *(row for row in rows if not row.training_size),
        *(StudyRow.model_validate(dict(row) | {"loss": loss}) for loss in LOSSES for row in trained),
    ]


def records(text):
    return list(csv.DictReader(StringIO(text)))


def test_models_of_two_losses_are_compared_in_tables_of_their_own(varied):
    found = groups(conditions(varied))
    assert [group.stratum for group in found] == [Stratum((("loss", loss),)) for loss in LOSSES]
    for group in found:
        assert len({model.loss for model in group.trained}) == 1
        assert [model.arm for model in group.conditions if not model.trained] == ["default"]
    effects = compare(varied, varied, "per-study")
    assert {effect.stratum for effect in effects} == {group.stratum for group in found}


def test_long_tables_have_a_column_for_it_where_it_varies(varied, rows):
    for sheet in (studies_sheet(varied, ""), sites_sheet(varied, conditions(varied), "", "exclude")):
        place = [column.title for column in sheet.columns].index("Loss")
        assert {row[place] for row in sheet.rows} == {"–", *LOSSES}
    assert "Loss" not in [column.title for column in studies_sheet(rows, "").columns]


def test_csv_files_have_it_only_where_it_was_given(varied, rows):
    def files(own):
        summaries = summarise(own, conditions(own))
        tables = performance_tables(summaries, compare(own, own, "per-study"), "per-study")
        return performance_csv(tables), summary_csv(summaries)

    for text in files(varied):
        assert {record["loss"] for record in records(text)} == {"", *LOSSES}
    for text in files(rows):
        assert "loss" not in records(text)[0]


def test_a_table_from_elsewhere_may_have_it(varied, tmp_path):
    path = tmp_path / "studies.csv"
    path.write_text(studies_csv(varied))
    again = read_table(path)
    assert "loss" in again.columns
    assert [row.loss for row in again.rows] == [row.loss for row in varied]
    path.write_text("study,patient,site,arm,training_size,fold,sensitivity,ppv,loss\ns,p,x,DN,10,1,1,1,focal\n")
    with pytest.raises(InputError, match=r"line 2, loss: .*'cross-entropy' or 'dice-cross-entropy'"):
        read_table(path)


def test_rows_keep_it(varied):
    store = open_store("memory://")
    write_rows(store, "results/s/part-1.parquet", varied, StudyRow)
    assert read_rows(store, ["results/s/part-1.parquet"], StudyRow) == varied
