"""The paper's table: which line carries which p value, and how numbers are written."""

from __future__ import annotations

import csv
import re
from dataclasses import replace

import pytest

from lesionlab.analysis.sheets.records import performance_csv, summary_csv
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, conditions
from lesionlab.analysis.statistics.summary import Summary, summarise
from lesionlab.analysis.statistics.tables import Against, performance_tables
from lesionlab.analysis.words.keys import key_of
from lesionlab.analysis.words.numbers import mean_se, starred
from storage_schemas.metrics import PRIMARY


@pytest.fixture
def effects(rows, cells):
    return compare(rows, cells, "fold-averaged")


@pytest.fixture
def tables(rows, cells, effects):
    return performance_tables(summarise(rows, conditions(cells)), effects, "fold-averaged")


def test_default_comes_first_then_both_methods_by_size(tables):
    (table,) = tables
    assert table.source == "drawn-glioma"
    assert [(line.condition.arm, line.condition.training_size) for line in table.lines] == [
        ("default", 0),
        ("fine-tuned", 4),
        ("de-novo", 4),
        ("fine-tuned", 8),
        ("de-novo", 8),
    ]


def test_every_trained_model_meets_the_default_and_fine_tuned_lines_carry_the_method_test(tables):
    for line in tables[0].lines:
        for measure in line.measures.values():
            assert (measure.against_default is not None) == (line.condition.arm != "default")
            assert [way.arm for way in measure.between_methods] == ["de-novo"] * (line.condition.arm == "fine-tuned")


@pytest.fixture
def several(rows):
    """Two ways of fine-tuning against two of training de novo, under one default model."""
    rates = {"fine-tuned": (1e-5, 1e-4), "de-novo": (1e-3, 3e-3), "default": (None,)}
    return [
        row.model_copy(update={"learning_rate": rate, "sensitivity": row.sensitivity * (0.8 if rate == 3e-3 else 1)})
        for row in rows
        for rate in rates[row.arm]
    ]


def test_a_fine_tuned_line_carries_the_test_against_every_de_novo_way(several):
    effects = compare(several, several, "fold-averaged")
    (table,) = performance_tables(summarise(several, conditions(several)), effects, "fold-averaged")
    fine_tuned = next(line for line in table.lines if line.condition.learning_rate == 1e-5)
    found = fine_tuned.measures["sensitivity"].between_methods
    assert [way.learning_rate for way in found] == [1e-3, 3e-3]
    for way, effect in found.items():
        assert effect.pair == (fine_tuned.condition, way.model_copy(update={"training_size": 4}))
    assert len({effect.p for effect in found.values()}) == 2


def test_the_csv_and_the_screen_show_every_pair_and_name_every_way(several):
    effects = compare(several, several, "fold-averaged")
    tables = performance_tables(summarise(several, conditions(several)), effects, "fold-averaged")
    records = list(csv.DictReader(performance_csv(tables).splitlines()))
    tested = {e.p for e in effects if e.test == "paired-t" and e.metric == "sensitivity"}
    columns = [name for name in records[0] if name.startswith("sensitivity_p_method_de_novo") and "signif" not in name]
    assert columns == [f"sensitivity_p_method_de_novo_at_learning_rate_{rate}" for rate in ("0.001", "0.003")]
    assert {float(record[name]) for record in records for name in columns if record[name]} == tested
    text = as_text(tables)
    for effect in effects:
        if effect.test == "paired-t" and effect.metric in ("sensitivity", "ppv"):
            assert starred(effect) in text
    assert all(rate in text for rate in ("1e-05", "0.0001", "0.001", "0.003"))


def test_each_default_model_has_a_table_of_its_own(rows):
    both = rows + [row.model_copy(update={"source": "other"}) for row in rows if row.source]
    effects = compare(both, both, "fold-averaged")
    tables = performance_tables(summarise(both, conditions(both)), effects, "fold-averaged")
    assert [(table.source, len(table.lines)) for table in tables] == [("drawn-glioma", 5), ("other", 5)]
    assert {line.condition.source for line in tables[1].lines} == {"other", None}


@pytest.mark.parametrize(
    ("p", "significant", "wanted"),
    [
        (0.0031, True, "0.003*"),
        (0.00049, True, "<0.001*"),
        (0.0005, True, "0.001*"),
        (0.614, False, "0.614"),
        (None, False, "–"),
    ],
)
def test_p_values_are_written_as_in_the_paper(effects, p, significant, wanted):
    assert starred(replace(effects[0], p=p, significant=significant)) == wanted


@pytest.mark.parametrize(
    ("mean", "se", "wanted"), [(0.551, 0.0204, "0.55 ± 0.02"), (0.5, None, "0.50"), (None, None, "–")]
)
def test_means_are_written_as_in_the_paper(mean, se, wanted):
    assert mean_se(Summary(Condition(arm="de-novo", source=None, training_size=4), "ppv", mean, se, 3, 0)) == wanted


def test_the_screen_shows_every_line_within_its_width(tables):
    text = as_text(tables)
    assert all(len(line) <= 96 for line in text.splitlines())
    assert sum(line.lstrip().startswith(("FT ", "DN ", "Default ")) and "±" in line for line in text.splitlines()) == 5


@pytest.mark.parametrize("name", ["[bold]x[/red]", "[/]", "nets [3 folds]"])
def test_a_name_in_square_brackets_is_shown_as_it_is(rows, name):
    named = [row.model_copy(update={"source": name}) if row.source else row for row in rows]
    effects = compare(named, named, "per-study")
    assert name in as_text(performance_tables(summarise(named, conditions(named)), effects, "per-study"))


def test_each_table_is_read_by_its_own_key(rows):
    """At depth 5 one size alone was trained, so that m is half of that at depth 4."""
    deeper = [row.model_copy(update={"depth": 5}) for row in rows if row.training_size != 8]
    both = rows + deeper
    effects = compare(both, both, "fold-averaged")
    text = as_text(performance_tables(summarise(both, conditions(both)), effects, "fold-averaged"))
    first, second = text[: text.index("depth 5")], text[text.index("depth 5") :]
    assert [set(re.findall(r"m = (\d)", part)) for part in (first, second)] == [{"4", "2"}, {"2", "1"}]


def test_tables_that_read_alike_share_one_key(rows):
    both = rows + [row.model_copy(update={"source": "other"}) for row in rows if row.source]
    effects = compare(both, both, "fold-averaged")
    text = as_text(performance_tables(summarise(both, conditions(both)), effects, "fold-averaged"))
    assert len(re.findall(r"m = \d", text)) == 2


def test_the_key_explains_only_what_is_shown(rows):
    rater = [row.model_copy(update={"arm": "rater", "source": None}) for row in rows if row.arm == "default"]
    alone = [row for row in rows if row.arm == "de-novo"]
    for some, absent in ((rows + rater, ["p Grader 2", "–:"]), (alone, ["p default", "p method", "FT", "–:"])):
        tables = performance_tables(summarise(some, conditions(some)), compare(some, some, "per-study"), "per-study")
        text = as_text(tables)
        assert not [name for name in absent if name in text]


@pytest.mark.parametrize(("unit", "n"), [("fold-averaged", ["4"]), ("per-study", ["12", "4"])])
def test_the_key_gives_the_number_of_values_behind_each_column(rows, unit, n):
    graded = [row for row in rows if row.arm == "default" and row.position != 1]
    rows = rows + [row.model_copy(update={"arm": "rater", "source": None}) for row in graded]
    tables = performance_tables(summarise(rows, conditions(rows)), compare(rows, rows, unit), unit)
    (table,) = tables
    means, default, method, *_ = key_of(
        table, [column for column in table.p_columns(PRIMARY) if column.against is not Against.RATER]
    )
    numbers = [re.findall(r"\d+", re.search(r"\(n = (.*?)\)", line)[1]) for line in (default, method)]
    assert numbers == [n, ["12"]]
    assert "(n = 12; Default: n = 4; Grader 2: n = 3)" in means


def test_nothing_to_average_is_an_empty_field_never_nan(table_of):
    rows = table_of({("de-novo", 4): {(1, 1): None, (1, 2): None}})
    summaries = summarise(rows, conditions(rows))
    tables = performance_tables(summaries, compare(rows, rows, "per-study"), "per-study")
    sheet = performance_csv(tables) + summary_csv(summaries)
    assert "nan" not in sheet.lower()
    assert "sensitivity,,,0,2" in sheet


def test_a_study_without_dice_has_no_column_of_it(rows):
    without = [row.model_copy(update={"dice": None}) for row in rows]
    effects = compare(without, without, "fold-averaged")
    assert "Dice" not in as_text(performance_tables(summarise(without, conditions(without)), effects, "fold-averaged"))
