"""The paper's table: which line carries which p value, and how numbers are written."""

from __future__ import annotations

import pytest

from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, conditions
from lesionlab.analysis.statistics.summary import Summary, summarise
from lesionlab.analysis.statistics.tables import (
    key_of,
    mean_se,
    p_text,
    performance_csv,
    performance_tables,
    summary_csv,
)


@pytest.fixture
def effects(rows, cells):
    return compare(rows, cells, "fold-averaged")


@pytest.fixture
def tables(rows, cells, effects):
    return performance_tables(summarise(rows, conditions(cells)), effects)


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
            assert (measure.between_methods is not None) == (line.condition.arm == "fine-tuned")


def test_each_default_model_has_a_table_of_its_own(rows):
    both = rows + [row.model_copy(update={"source": "other"}) for row in rows if row.source]
    effects = compare(both, both, "fold-averaged")
    tables = performance_tables(summarise(both, conditions(both)), effects)
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
    effect = effects[0].model_copy(update={"p": p, "significant": significant})
    assert p_text(effect) == wanted


@pytest.mark.parametrize(
    ("mean", "se", "wanted"), [(0.551, 0.0204, "0.55 ± 0.02"), (0.5, None, "0.50"), (None, None, "–")]
)
def test_means_are_written_as_in_the_paper(mean, se, wanted):
    assert mean_se(Summary(Condition("de-novo", None, 4), "ppv", mean, se, 3, 0)) == wanted


def test_the_screen_shows_every_line_within_its_width(tables, effects):
    text = as_text(tables, key_of(effects, "fold-averaged"))
    assert all(len(line) <= 96 for line in text.splitlines())
    assert sum(line.lstrip().startswith(("FT ", "DN ", "Default ")) and "±" in line for line in text.splitlines()) == 5
    assert "p ≤ 0.05/4" in text
    assert "p ≤ 0.05/2" in text


def test_the_key_explains_only_what_was_compared(rows):
    alone = [row for row in rows if row.arm == "de-novo"]
    key = " ".join(key_of(compare(alone, alone, "per-study"), "per-study"))
    assert "p default" not in key
    assert "p method" not in key


def test_nothing_to_average_is_an_empty_field_never_nan(table_of):
    rows = table_of({("de-novo", 4): {(1, 1): None, (1, 2): None}})
    summaries = summarise(rows, conditions(rows))
    sheet = performance_csv(performance_tables(summaries, compare(rows, rows, "per-study"))) + summary_csv(summaries)
    assert "nan" not in sheet.lower()
    assert "sensitivity,,,0,2" in sheet
