"""The printed numbers give the marks of the printed figures."""

from __future__ import annotations

import pytest

from lesionlab.analysis.figures.bars import bar_figure, marks_of
from lesionlab.analysis.figures.drawing import as_svg
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import performance_tables
from lesionlab.analysis.words import captions as words
from storage_schemas.metrics import METRICS
from tests.analysis.printed import paired, printed_table


def marks(name, metric):
    return [marks_of(line.measures[metric]) for line in printed_table(name).lines]


def test_stars_stand_over_what_differs_from_the_default_and_ampersands_over_what_differs_from_the_rater():
    # Default, Grader 2, then fine-tuned and de novo at each size.
    assert marks("table3", "sensitivity") == ["", "*", "*", "", "*", "", "*", "*", "*", "*", "*", "*"]
    assert marks("table3", "ppv") == ["", "*", "*", "*&", "*", "*&", "*", "*&", "*", "*&", "*", "*"]


def texts(figure, panel):
    return [text.get_text() for text in figure.axes[panel].texts]


@pytest.mark.parametrize(("table", "brackets"), [("table3", (4, 5)), ("table5", (2, 3)), ("table6", (3, 2))])
def test_brackets_join_the_pairs_whose_methods_differ(table, brackets):
    figure = bar_figure(printed_table(table))
    assert tuple(texts(figure, panel).count("#") for panel in (0, 1)) == brackets


def heights(figure, panel):
    """Of the brackets, lowest first."""
    return sorted(line.get_ydata()[0] for line in figure.axes[panel].lines if len(line.get_ydata()) == 4)


@pytest.mark.parametrize("shown", [(True, True), (True, False), (False, True)])
def test_each_way_of_training_de_novo_has_the_bracket_of_its_own_test(shown):
    fine_tuned = Condition(arm="fine-tuned", source="glioma", training_size=10)
    ways = [Condition(arm="de-novo", source=None, training_size=10, learning_rate=rate) for rate in (1e-4, 1e-3)]
    summaries = [Summary(model, metric, 0.9, 0.1, 8, 0) for model in (fine_tuned, *ways) for metric in METRICS]
    effects = [
        paired(fine_tuned, way, 0.001 if significant else 0.5, significant=significant)
        for way, significant in zip(ways, shown, strict=True)
    ]
    figure = bar_figure(*performance_tables(summaries, effects, "fold-averaged"))
    brackets = heights(figure, 0)
    assert texts(figure, 0).count("#") == len(set(brackets)) == sum(shown)
    assert max(brackets) < figure.axes[0].get_ylim()[1]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "De novo, learning rate 0.0001",
        "De novo, learning rate 0.001",
        "Fine-tuned",
    ]


def test_only_marks_that_the_study_could_have_are_explained():
    def key(table):
        (legend,) = bar_figure(printed_table(table)).legends
        return legend.get_title().get_text()

    assert "Grader 2" in key("table3")
    assert "Grader 2" not in key("table5")


def test_axes_say_their_units_and_equal_tables_give_equal_bytes():
    figure = bar_figure(printed_table("table6"))
    assert {axes.get_xlabel() for axes in figure.axes} == {words.TRAINING_SIZE_AXIS}
    assert figure.axes[0].get_ylabel() == words.BAR_AXIS
    assert as_svg(figure, "x") == as_svg(bar_figure(printed_table("table6")), "x")
