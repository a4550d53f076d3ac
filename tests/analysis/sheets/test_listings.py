"""The lines of the report's long tables, from rows drawn by hand."""

from __future__ import annotations

import pytest

from lesionlab.analysis.figures.drawing import as_svg
from lesionlab.analysis.figures.learning_curves import learning_figure
from lesionlab.analysis.methods.curve import Crossing, CurvePoint
from lesionlab.analysis.methods.intervals import Interval
from lesionlab.analysis.sheets.listings import effects_sheet, sites_sheet, studies_sheet, verdicts_sheet, volumes_sheet
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.comparisons import compare
from lesionlab.analysis.statistics.conditions import Condition, Stratum, conditions
from lesionlab.analysis.statistics.learning import Aim, AimKind, ArmCurve, Learning
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.captions import TRAINING_SIZE_AXIS
from lesionlab.analysis.words.numbers import probability
from storage_schemas.verdicts import VerdictRow
from tests.analysis.conftest import draw_lesions


def test_every_row_is_a_line_and_undefined_is_a_dash(rows):
    without = rows[0].model_copy(update={"ppv": None})
    sheet = studies_sheet([without, *rows[1:]], "")
    titles = [column.title for column in sheet.columns]
    assert len(sheet.rows) == len(rows)
    assert sheet.rows[0][titles.index("PPV")] == "–"
    assert "Depth" not in titles


def test_an_axis_that_the_study_varies_is_a_column(rows):
    deep = [row.model_copy(update={"depth": 5}) for row in rows]
    sheet = studies_sheet([*rows, *deep], "")
    place = [column.title for column in sheet.columns].index("Depth")
    assert {row[place] for row in sheet.rows} == {"4", "5"}


def test_each_model_has_a_line_at_each_site_with_its_own_studies(rows, cells):
    sheet = sites_sheet(rows, conditions(cells), "", "exclude")
    assert [row[:3] for row in sheet.rows[:2]] == [
        ("north", "default model drawn-glioma", "0"),
        ("north", "fine-tuned from drawn-glioma", "4"),
    ]
    studies = [column.title for column in sheet.columns].index("Studies")
    assert [row[studies] for row in sheet.rows] == ["2", "6", "6", "6", "6"] * 2


@pytest.mark.parametrize(("undefined", "told"), [("exclude", "1.00"), ("worst", "0.50 ± 0.50")])
def test_a_site_counts_undefined_values_as_the_study_declares(table_of, undefined, told):
    drawn = table_of({("de-novo", 8): {(1, 1): 1.0, (1, 2): None}})
    rows = [row.model_copy(update={"ppv": row.sensitivity, "sensitivity": 0.5}) for row in drawn]
    sheet = sites_sheet(rows, conditions(rows), "", undefined)
    assert [row[[column.title for column in sheet.columns].index("PPV")] for row in sheet.rows] == [told]


def test_other_corrections_supplement_the_papers_and_are_called_ours(rows, cells):
    effects = compare(rows, cells, "per-study")
    sheet = effects_sheet(effects, "")
    by_title = {column.title: place for place, column in enumerate(sheet.columns)}
    holm, welch = (
        [row[by_title[title]] for row in sheet.rows] for title in words.COMPARISON_COLUMNS if "ours" in title
    )
    assert holm == [probability(effect.p_holm) for effect in effects]
    assert welch == [probability(effect.p_welch) for effect in effects]
    assert len(set(holm)) > 2
    assert "–" in welch


def test_every_comparison_is_a_line_without_columns_that_say_nothing(rows, cells):
    effects = compare(rows, cells, "per-study")
    sheet = effects_sheet(effects, "")
    assert len(sheet.rows) == len(effects)
    assert "Stratum" not in [column.title for column in sheet.columns]


def test_lesions_are_counted_by_volume_on_both_sides(rows):
    model = Condition(arm="fine-tuned", source="drawn-glioma", training_size=8)
    # Missed: one of 80 mm³; spurious: one of 128 mm³.
    sheet = volumes_sheet({model: draw_lesions(rows[0])}, "")
    by_volume = {row[2]: row[3:] for row in sheet.rows}
    assert by_volume["50–100"] == ("1", "0", "0.00", "0", "0", "–")
    assert by_volume["> 100"] == ("0", "0", "–", "1", "0", "0.00")
    assert by_volume["all"] == ("1", "0", "0.00", "1", "0", "0.00")


def test_excluded_studies_come_before_repaired_ones_and_passed_ones_are_not_told():
    def verdict(study, verdict, code):
        return VerdictRow(
            study=study, patient="1", site="north", verdict=verdict, code=code, place="mask", repaired=None, what="so"
        )

    told = [
        verdict("a", "repaired", "bad-affine"),
        verdict("b", "pass", None),
        verdict("c", "quarantined", "truncated"),
    ]
    assert [row[:3] for row in verdicts_sheet(told, "").rows] == [
        ("c", "excluded", "truncated"),
        ("a", "repaired", "bad-affine"),
    ]


@pytest.fixture
def learning():
    def arm(way, means, crossing):
        points = tuple(CurvePoint(n, mean, Interval(mean - 0.1, mean + 0.1), 20) for n, mean in means.items())
        return ArmCurve(way, points, crossing)

    fine_tuned, de_novo = (
        Condition(arm="fine-tuned", source=None, training_size=0),
        Condition(arm="de-novo", source=None, training_size=0),
    )

    return Learning(
        comparison=ArmComparison(Stratum(), (fine_tuned,), (de_novo,)),
        metric="sensitivity",
        arms=(
            arm(fine_tuned, {10: 0.55, 50: 0.63}, Crossing(20.0, None, 10, 50)),
            arm(de_novo, {10: 0.49, 50: 0.58}, Crossing(float("inf"), None, 10, 50)),
        ),
        aim=Aim(AimKind.RATER, 0.6, 10),
        saving=None,
        annotation_minutes=None,
        patients=20,
        studies=20,
        unit="fold",
        clusters=4,
    )


def test_a_learning_curve_shows_both_arms_the_aim_and_where_it_is_reached(learning):
    figure = learning_figure([learning])
    (axes,) = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fine-tuned", "de novo", "Grader 2"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "50"]
    # Only the arm that gets there has a mark on the axis; it stands at 20 studies.
    upright = [list(line.get_xdata()) for line in axes.lines if len(set(line.get_xdata())) == 1]
    assert upright == [[20.0, 20.0]]
    assert axes.get_xlabel() == TRAINING_SIZE_AXIS


def test_equal_curves_give_equal_bytes(learning):
    assert as_svg(learning_figure([learning]), "x") == as_svg(learning_figure([learning]), "x")
