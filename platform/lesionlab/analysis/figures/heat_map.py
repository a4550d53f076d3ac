"""Draw training site by test site as a heat map, one panel per metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lesionlab.analysis.figures.drawing import INK, TEXT_POINTS, new_figure
from lesionlab.analysis.statistics.cross_site import CrossSite, Tested
from lesionlab.analysis.words import cross_site as words
from lesionlab.analysis.words.further import brackets
from lesionlab.analysis.words.numbers import NONE

Shade = Callable[[float], float]
"""From a mean to 0 (light) to 1 (dark)."""

_CELL_IN = (0.84, 0.6)
_LABELS_IN = (1.6, 1.3)
_SHADES = LinearSegmentedColormap.from_list("shades", ["#f7fbff", "#5b8db8", "#0b2e4f"])
"""From the lowest to the highest mean; readable in greyscale."""
_DARK = 0.5
"""Shade from which on text is white."""
_LEAST_SPREAD = 0.2
"""Of the means between the lightest and the darkest shade, so that chance alone does not look like a gap."""


def heat_map_figure(panels: Sequence[CrossSite], counted: Callable[[int], str] = words.n_is) -> Figure:
    """Draw the matrices of one model, side by side; `counted` writes the number of studies in a cell."""
    rows, sites = panels[0].rows, panels[0].sites
    width, height = len(panels) * (len(sites) + 1) * _CELL_IN[0], len(rows) * _CELL_IN[1]
    figure = new_figure(width + _LABELS_IN[0], height + _LABELS_IN[1], apart=0.06)
    for place, (axes, found) in enumerate(zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True)):
        _draw(axes, found, _shades(found), counted)
        axes.set_yticks([number + 0.5 for number in range(len(rows))])
        axes.set_yticklabels([] if place else [words.trained_on(row.on) for row in rows], fontsize=TEXT_POINTS)
    figure.axes[0].set_ylabel(words.TRAINED_ON, fontsize=TEXT_POINTS)
    return figure


def _shades(found: CrossSite) -> Shade:
    """Map the means of one matrix to 0 (light) to 1 (dark)."""
    means = [one.mean.mean for row in found.rows for one in (*row.at.values(), row.everywhere) if one.mean]
    low, high = min(means, default=0.0), max(means, default=1.0)
    room = max(0.0, _LEAST_SPREAD - (high - low)) / 2
    return lambda mean: (mean - low + room) / (high - low + 2 * room)


def _draw(axes: Axes, found: CrossSite, shade: Shade, counted: Callable[[int], str]) -> None:
    for line, row in enumerate(found.rows):
        for column, site in enumerate(found.sites):
            _box(axes, column, line, row.at[site], shade, counted, framed=row.on == site)
        _box(axes, len(found.sites), line, row.everywhere, shade, counted, framed=False)
    axes.axvline(len(found.sites), color="white", linewidth=4)
    axes.set_xlim(0, len(found.sites) + 1)
    axes.set_ylim(len(found.rows), 0)
    axes.set_xticks(
        [place + 0.5 for place in range(len(found.sites) + 1)],
        [*found.sites, words.EVERYWHERE],
        rotation=30,
        ha="right",
        rotation_mode="anchor",
        fontsize=TEXT_POINTS,
    )
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(words.TESTED_ON, fontsize=TEXT_POINTS)
    axes.set_title(words.panel(found.metric), fontsize=TEXT_POINTS + 1, loc="left")


def _box(
    axes: Axes,
    column: int,
    line: int,
    tested: Tested,
    shade: Shade,
    counted: Callable[[int], str],
    *,
    framed: bool,
) -> None:
    if tested.mean is None:
        axes.add_patch(Rectangle((column, line), 1, 1, facecolor="white", hatch="///", edgecolor="#c8c8c8"))
        axes.text(column + 0.5, line + 0.5, NONE, ha="center", va="center", fontsize=TEXT_POINTS + 1, color=INK)
        return
    mean, dark = tested.mean.mean, shade(tested.mean.mean)
    color = "white" if dark >= _DARK else INK
    axes.add_patch(Rectangle((column, line), 1, 1, facecolor=_SHADES(dark), edgecolor="white", linewidth=1.2))
    if framed:
        axes.add_patch(Rectangle((column + 0.04, line + 0.05), 0.92, 0.9, fill=False, edgecolor=INK, linewidth=1.6))
    middle: dict[str, Any] = {"ha": "center", "va": "center", "color": color}
    axes.text(column + 0.5, line + 0.3, f"{mean:.2f}", fontsize=TEXT_POINTS + 1, **middle)
    if bounds := brackets(tested.mean.interval).strip():
        axes.text(column + 0.5, line + 0.58, bounds, fontsize=TEXT_POINTS - 3, **middle)
    axes.text(column + 0.5, line + 0.82, counted(tested.mean.n), fontsize=TEXT_POINTS - 3, **middle)
