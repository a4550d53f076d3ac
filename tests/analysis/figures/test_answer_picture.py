"""The picture of the answer: a line for each endpoint, and an arrow where a saving is claimed, and only there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lesionlab.analysis.figures.answer_picture import answer_figure
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.statistics.compute import statistics
from lesionlab.analysis.statistics.endpoints import Decision
from lesionlab.analysis.statistics.headline import SavingClaim, headline
from lesionlab.analysis.statistics.supplementary import Options
from tests.analysis.drawn_rows import drawn_rows

QUIET = Options(null_repetitions=0)


@pytest.fixture(scope="module")
def found():
    rows = drawn_rows(1, {"fine-tuned": 0.7, "de-novo": 1.1}, sizes=(10, 20))
    return statistics(rows, rows, "per-study", QUIET)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def test_the_primary_endpoint_stands_first_with_its_number_and_result(found):
    head = found.answer.headline
    figure = answer_figure(head)
    assert len(figure.axes) == 2
    assert texts(figure)[0] == f"PPV {head.endpoints.primary.difference:+.2f}, significant"
    assert texts(figure)[1].startswith("Sensitivity +0.")
    primary, secondary = (
        line
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 2 and line.get_ydata()[0] < 1 and line.get_ydata()[0] == line.get_ydata()[1]
    )
    assert tuple(primary.get_xdata()) == (head.endpoints.primary.interval.low, head.endpoints.primary.interval.high)
    assert primary.get_linewidth() > secondary.get_linewidth()


def test_a_saving_is_marked_only_where_it_is_claimed(found):
    head = found.answer.headline
    assert head.claim is SavingClaim.CLAIMED
    (mark,) = [text for text in texts(answer_figure(head)) if "saves" in text]
    assert mark == f"saves at least {round(head.learned.saving.size[0])} studies"
    primary = replace(head.endpoints.primary, decision=Decision.NOT_SHOWN)
    unsure = headline(replace(head.endpoints, primary=primary), found.supplementary)
    assert unsure.claim is SavingClaim.NOT_SUPPORTED
    assert not [text for text in texts(answer_figure(unsure)) if "saves" in text]


def test_the_same_answer_gives_the_same_bytes(found):
    first, second = (answer_figure(found.answer.headline) for _ in range(2))
    assert as_svg(first, "answer") == as_svg(second, "answer")
    assert as_png(first) == as_png(second)


def test_one_arm_has_its_curve_alone_and_no_result_no_picture(cells):
    rows = drawn_rows(1, {"fine-tuned": 0.9}, sizes=(10, 20))
    assert len(answer_figure(statistics(rows, rows, "per-study", QUIET).answer.headline).axes) == 1
    assert answer_figure(statistics([], cells, "per-study", QUIET).answer.headline) is None
