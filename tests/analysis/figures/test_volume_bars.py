"""Bars of sensitivity by volume: models differ without colour, and a class without lesions has no bar."""

from __future__ import annotations

import pytest
from matplotlib.patches import Patch

from lesionlab.analysis.figures.drawing import FILL, HATCH, as_png, looks
from lesionlab.analysis.figures.volume_bars import volume_figure
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.volumes import ByVolume, Sensitivity
from tests.analysis.figures.grey import told_apart

DE_NOVO = Condition(arm="de-novo", source=None, training_size=8)
SEVERAL = {
    "sources": [Condition(arm="fine-tuned", source=source, training_size=8) for source in ("glioma", "mets", "stroke")],
    "learning rates": [
        Condition(arm="fine-tuned", source="glioma", training_size=8, learning_rate=rate) for rate in (1e-5, 1e-4)
    ],
    "freezing": [
        Condition(arm="fine-tuned", source="glioma", training_size=8, freezing=words)
        for words in (None, "encoder frozen")
    ],
    "both arms at several rates": [
        Condition(arm=arm, source=source, training_size=8, learning_rate=rate)
        for rate in (1e-5, 1e-4)
        for arm, source in (("fine-tuned", "glioma"), ("de-novo", None))
    ],
}


def drawn(models):
    half, nothing = Sensitivity(0.5, None), Sensitivity(0.0, None)
    return ByVolume(("≤ 3", "3–10", "> 10"), (4, 0, 7), dict.fromkeys(models, (half, None, nothing)), 9, 0, "fold")


@pytest.mark.parametrize("models", SEVERAL.values(), ids=SEVERAL.keys())
def test_several_ways_of_training_are_told_apart_without_colour(models):
    figure = volume_figure(drawn([DE_NOVO, *models] if DE_NOVO not in models else models))
    bars = [container[0] for container in figure.axes[0].containers]
    assert len(bars) >= len(models)
    assert told_apart(bars)


def test_three_models_of_each_arm_are_told_apart_without_colour():
    models = [
        Condition(arm=arm, source=f"{n}", training_size=8)
        for n in range(3)
        for arm in ("fine-tuned", "de-novo", "default")
    ]
    assert told_apart([Patch(**look.patch) for look in looks(models).values()])


def test_the_first_of_each_arm_looks_as_in_every_figure_and_the_same_at_all_sizes():
    models = [
        Condition(arm="fine-tuned", source=source, training_size=size)
        for size in (4, 8)
        for source in ("glioma", "mets")
    ]
    found = looks([DE_NOVO, *models])
    first, further = (found[model] for model in models[:2])
    assert (first.fill, first.hatch) == (FILL["fine-tuned"], HATCH["fine-tuned"])
    assert [found[model] for model in models] == [first, further, first, further]


def test_a_class_without_lesions_has_a_word_and_no_bar_and_0_has_its_number():
    axes = volume_figure(drawn([DE_NOVO])).axes[0]
    heights = [bar.get_height() for bar in axes.containers[0]]
    assert (heights[0], heights[2]) == (0.5, 0)
    assert heights[1] != heights[1]
    assert [(round(text.get_position()[0]), text.get_text()) for text in axes.texts] == [(1, "none"), (2, "0")]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["≤ 3\nn = 4", "3–10\nn = 0", "> 10\nn = 7"]


def test_a_first_class_without_lesions_keeps_its_word_inside_the_axes():
    one = Sensitivity(0.5, None)
    classes = ByVolume(("≤ 3", "> 3"), (0, 4), {DE_NOVO: (None, one)}, 9, 0, "fold")
    axes = volume_figure(classes).axes[0]
    assert axes.get_xlim() == (-0.5, 1.5)
    assert axes.get_xlabel().endswith("(mm³)")


def test_the_same_bytes_each_time():
    assert as_png(volume_figure(drawn([DE_NOVO]))) == as_png(volume_figure(drawn([DE_NOVO])))
