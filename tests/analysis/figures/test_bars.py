"""The printed numbers in; the marks of the printed figures out."""

from __future__ import annotations

import pytest

from lesionlab.analysis.figures.bars import bar_figure, marks_of
from lesionlab.analysis.figures.drawing import as_svg
from tests.analysis.printed import printed_table


def marks(name, metric):
    return [marks_of(line.measures[metric]) for line in printed_table(name).lines]


def test_stars_stand_over_what_differs_from_the_default_and_ampersands_over_what_differs_from_the_grader():
    # Default, Grader 2, then fine-tuned and de novo at each size.
    assert marks("table3", "sensitivity") == ["", "*", "*", "", "*", "", "*", "*", "*", "*", "*", "*"]
    assert marks("table3", "ppv") == ["", "*", "*", "*&", "*", "*&", "*", "*&", "*", "*&", "*", "*"]


def texts(figure, panel):
    return [text.get_text() for text in figure.axes[panel].texts]


@pytest.mark.parametrize(("table", "brackets"), [("table3", (4, 5)), ("table5", (2, 3)), ("table6", (3, 2))])
def test_brackets_join_the_pairs_whose_methods_differ(table, brackets):
    figure = bar_figure(printed_table(table))
    assert tuple(texts(figure, panel).count("#") for panel in (0, 1)) == brackets


def test_only_marks_that_the_study_could_have_are_explained():
    def key(table):
        (legend,) = bar_figure(printed_table(table)).legends
        return legend.get_title().get_text()

    assert "Grader 2" in key("table3")
    assert "Grader 2" not in key("table5")


def test_axes_say_their_units_and_equal_tables_give_equal_bytes():
    figure = bar_figure(printed_table("table6"))
    assert {axes.get_xlabel() for axes in figure.axes} == {"Labelled training studies (number)"}
    assert figure.axes[0].get_ylabel() == "Fraction of lesions, mean ± 1 SE"
    assert as_svg(figure, "x") == as_svg(bar_figure(printed_table("table6")), "x")
