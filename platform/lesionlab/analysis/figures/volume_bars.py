"""Draw the sensitivity of several models by volume of the reference lesion.

A class without reference lesions has no sensitivity: it is marked `none`. A sensitivity of 0 is marked `0`.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lesionlab.analysis.figures.drawing import INK, TEXT_POINTS, Look, looks, new_figure, quiet_axes
from lesionlab.analysis.statistics.volumes import ByVolume, Sensitivity
from lesionlab.analysis.words import captions as words
from lesionlab.analysis.words.models import model_title

_GROUP_WIDTH = 0.8
_LEGEND_LINE_IN = 0.2
_LONGEST_BESIDE = 42
"""Longest model name, in characters, for two columns in the legend."""


def volume_figure(found: ByVolume) -> Figure:
    """Draw sensitivity by volume class, one bar per model; each class is labelled with its reference lesions."""
    columns = 2 if max(len(model_title(model)) for model in found.models) <= _LONGEST_BESIDE else 1
    figure = new_figure(7.2, 3.0 + _LEGEND_LINE_IN * ceil(len(found.models) / columns))
    axes = figure.subplots()
    width = _GROUP_WIDTH / max(len(found.models), 1)
    look_of = looks(found.models)
    for number, (model, classes) in enumerate(found.models.items()):
        places = np.arange(len(classes)) + (number - (len(found.models) - 1) / 2) * width
        shares = [np.nan if one is None else one.share for one in classes]
        axes.bar(places, shares, width, label=model_title(model), zorder=2, **look_of[model].patch)
        for place, one in zip(places, classes, strict=True):
            _mark(axes, float(place), one, look_of[model])
    ticks = [words.class_tick(title, lesions) for title, lesions in zip(found.titles, found.lesions, strict=True)]
    axes.set_xticks(range(len(ticks)), ticks, fontsize=TEXT_POINTS)
    axes.set_xlim(-0.5, len(ticks) - 0.5)
    axes.set_ylim(0, 1)
    axes.set_xlabel(words.VOLUME_AXIS, fontsize=TEXT_POINTS)
    axes.set_ylabel(words.SENSITIVITY_AXIS, fontsize=TEXT_POINTS)
    axes.tick_params(axis="x", length=0)
    quiet_axes(axes)
    figure.legend(loc="outside lower center", ncols=columns, fontsize=TEXT_POINTS, frameon=False)
    return figure


def _mark(axes: Axes, place: float, one: Sensitivity | None, look: Look) -> None:
    """Draw the confidence interval of a bar, or its mark."""
    if one is None or one.share == 0:
        text, turned = ("0", 0) if one else (words.NO_LESION, 90)
        small = TEXT_POINTS - 2
        axes.text(place, 0.01, text, ha="center", va="bottom", fontsize=small, color=look.ink, rotation=turned)
    elif one.interval is not None:
        low, high = np.clip([one.interval.low, one.interval.high], 0, 1)
        axes.vlines(place, low, high, color=INK, linewidth=1, zorder=3)
