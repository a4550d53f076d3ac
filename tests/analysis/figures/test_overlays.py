"""Overlays of many models: every column has its own title, nothing is cut off, outlines differ without colour."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from lesionlab.analysis.figures.overlays import PREDICTION, REFERENCE, overlay_figure
from lesionlab.analysis.figures.rotation import FILL, HATCH, MARK
from lesionlab.analysis.figures.slices import Panel, StudySlice
from lesionlab.analysis.statistics.conditions import Condition
from tests.analysis.figures.grey import APART, luminance

SOURCES, RATES = ("mixed-flair", "metastases"), (1e-5, 1e-4)
MODELS = [
    *(Condition(arm="default", source=source, training_size=0) for source in SOURCES),
    Condition(arm="de-novo", source=None, training_size=50),
    *(
        Condition(arm="fine-tuned", source=source, training_size=50, learning_rate=rate)
        for source, rate in product(SOURCES, RATES)
    ),
]


def drawn(models, caption):
    picture = np.zeros((20, 16), dtype=np.float32)
    picture[3:17, 3:13] = 1
    reference = np.zeros(picture.shape, dtype=bool)
    reference[8:10, 6:8] = True
    panels = tuple(Panel(model, reference, caption) for model in models)
    about = ("3 lesions, 1.2 ml\nslice at z = 12 mm", "FLAIR", picture, reference, (2.0, 2.0))
    return [StudySlice(f"sub-{number:03d}", *about, panels) for number in range(2)]


def test_models_of_several_sources_and_rates_have_columns_of_their_own():
    figure = overlay_figure(drawn(MODELS, "found 1 of 3"))
    titles = [axes.get_title() for axes in figure.axes[: 2 + len(MODELS)]]
    assert len(set(titles)) == len(titles)
    assert titles[2] == "Default\nfrom mixed-flair"
    assert titles[4] == "DN, N = 50"
    assert titles[5] == "FT, N = 50\nfrom mixed-flair\nlearning rate 1e-05"


@pytest.mark.parametrize("models", [MODELS, MODELS[:1]], ids=["many", "one"])
def test_no_text_is_cut_off_or_lies_on_another(models):
    figure = overlay_figure(drawn(models, "found 1 of 3\nspurious 1\nseed 0, of 3 seeds"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [
        text.get_window_extent(canvas.get_renderer())
        for axes in figure.axes
        for text in (axes.title, axes.xaxis.label)
        if text.get_text()
    ] + [text.get_window_extent(canvas.get_renderer()) for text in figure.legends[0].findobj(Text) if text.get_text()]
    width, height = canvas.get_width_height()
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height for box in boxes)
    assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_reference_and_prediction_are_told_apart_without_colour():
    looks = REFERENCE, PREDICTION
    assert len({look["linestyles"] for look in looks}) == 2
    bright, dark = (luminance(look["colors"]) for look in looks)
    assert bright - dark > APART


def test_trained_tested_and_unused_subsets_are_told_apart_without_colour():
    looks = {(HATCH[role], round(luminance(FILL[role]) / APART)) for role in MARK}
    assert len(looks) == len(MARK)
