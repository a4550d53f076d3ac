"""Draw study slices: the image, the reference on it, and each prediction with the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import Normal, Stroke

from lesionlab.analysis.figures.drawing import TEXT_POINTS, new_figure
from lesionlab.analysis.figures.planes import Outline
from lesionlab.analysis.figures.slices import StudySlice
from lesionlab.analysis.words.captions import PATIENTS_RIGHT, model_above
from lesionlab.analysis.words.captions import PREDICTION as PREDICTION_NAME
from lesionlab.analysis.words.captions import REFERENCE as REFERENCE_NAME

REFERENCE: dict[str, Any] = {"colors": "#5cf0ff", "linestyles": "solid", "linewidths": 0.8}
PREDICTION: dict[str, Any] = {"colors": "#ff4d6d", "linestyles": "dashed", "linewidths": 1.8}
_CASING = 0.9
"""Points of black around both, so that they are visible on bright lesions and in greyscale."""

PANEL_IN = 1.5
TITLE_LINE_IN = 0.17
CAPTION_LINE_IN = 0.13
SCALE_BAR_MM = 50
_FINER = 5
_MARGIN_VOXELS = 4
_AIR = 0.08
"""Threshold for air, as a fraction of the range from air to the brightest voxels."""


def overlay_figure(slices: Sequence[StudySlice]) -> Figure:
    """Draw one row per study, one column per model; all slices of a row have one scale and one grey window."""
    models = [panel.condition for panel in slices[0].panels]
    titles = [slices[0].image, REFERENCE_NAME, *(model_above(model, models) for model in models)]
    heights_in = [_height_in(study) for study in slices]
    head_and_foot_in = TITLE_LINE_IN * (max(title.count("\n") for title in titles) + 1) + 0.45
    figure = new_figure(PANEL_IN * len(titles) + 0.6, sum(heights_in) + head_and_foot_in)
    grid = figure.subplots(len(slices), len(titles), squeeze=False, height_ratios=heights_in)
    for axes_of_row, study in zip(grid, slices, strict=True):
        _draw_row(axes_of_row, study)
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=TEXT_POINTS)
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2, fontsize=TEXT_POINTS, frameon=False)
    return figure


def _height_in(study: StudySlice) -> float:
    """Height of one row: the head at the width of a panel, and the lines below it."""
    left, right, top, bottom = _box_mm(study)
    lines = 1 + max(panel.caption.count("\n") for panel in study.panels)
    return PANEL_IN * (bottom - top) / (right - left) + CAPTION_LINE_IN * lines + 0.08


def _draw_row(row: Sequence[Axes], study: StudySlice) -> None:
    height_mm, width_mm = np.array(study.picture.shape) * study.spacing_mm
    extent = (0.0, float(width_mm), float(height_mm), 0.0)
    low, high = np.percentile(study.picture[_head(study)], [1, 99.7]) if _head(study).any() else (0.0, 1.0)
    box = _box_mm(study)
    for axes in row:
        axes.imshow(study.picture, cmap="gray", vmin=low, vmax=high, extent=extent, interpolation="nearest")
        axes.set_xlim(box[0], box[1])
        axes.set_ylim(box[3], box[2])
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    row[0].set_ylabel(f"{study.study}\n{study.caption}", fontsize=TEXT_POINTS - 2)
    _draw_scale(row[0], box)
    _outline(row[1], study.reference, extent, REFERENCE)
    for axes, panel in zip(row[2:], study.panels, strict=True):
        axes.set_xlabel(panel.caption, fontsize=TEXT_POINTS - 2, labelpad=2)
        if panel.mask is None:
            axes.images[0].set_alpha(0.35)
            continue
        # The thin reference is drawn over the wide prediction, so that both are visible where they agree.
        _outline(axes, panel.mask, extent, PREDICTION)
        _outline(axes, study.reference, extent, REFERENCE)


def _outline(axes: Axes, mask: Outline, extent: tuple[float, float, float, float], look: dict[str, Any]) -> None:
    """Outline the voxels' edges; the mask is upsampled first, so that a single voxel stays a square."""
    if mask.any() and not mask.all():
        fine = np.kron(mask, np.ones((_FINER, _FINER)))
        casing = [Stroke(linewidth=look["linewidths"] + _CASING, foreground="black", alpha=0.75), Normal()]
        axes.contour(fine, levels=[0.5], extent=extent, origin="upper", **look).set_path_effects(casing)


def _draw_scale(axes: Axes, box: tuple[float, float, float, float]) -> None:
    left, right, top, bottom = box
    x, y = left + 0.04 * (right - left), bottom - 0.04 * (bottom - top)
    axes.plot([x, x + SCALE_BAR_MM], [y, y], color="white", linewidth=1.5, solid_capstyle="butt")
    axes.text(x, y - 2, f"{SCALE_BAR_MM} mm", color="white", fontsize=TEXT_POINTS - 3, ha="left", va="bottom")
    axes.text(left + 3, top + 3, PATIENTS_RIGHT, color="white", fontsize=TEXT_POINTS - 2, ha="left", va="top")


def _head(study: StudySlice) -> Outline:
    """Return where the picture is brighter than air, which is estimated from its border."""
    border = np.concatenate([study.picture[[0, -1]].ravel(), study.picture[:, [0, -1]].ravel()])
    air, brightest = float(np.median(border)), float(np.percentile(study.picture, 99.5))
    return np.asarray(study.picture > air + _AIR * (brightest - air))


def _box_mm(study: StudySlice) -> tuple[float, float, float, float]:
    """Return left, right, top, bottom of the head with a small margin, in mm from the upper left corner."""
    shown = _head(study) | study.reference
    if not shown.any():
        shown = np.ones_like(shown)
    edges = []
    for axis, size in ((0, shown.shape[1]), (1, shown.shape[0])):
        filled = np.flatnonzero(shown.any(axis=axis))
        step = study.spacing_mm[1 - axis]
        edges += [max(0, filled[0] - _MARGIN_VOXELS) * step, min(size, filled[-1] + 1 + _MARGIN_VOXELS) * step]
    left, right, top, bottom = map(float, edges)
    return left, right, top, bottom


def _legend() -> list[Line2D]:
    looks = ((REFERENCE, REFERENCE_NAME), (PREDICTION, PREDICTION_NAME))
    return [
        Line2D([], [], color=look["colors"], linestyle=look["linestyles"], linewidth=2, label=label)
        for look, label in looks
    ]
