"""Draw which subsets are trained on and tested in each fold (Wahlig et al. 2023, Figure S3), as text and as a figure.

One panel per training size: rows are folds, columns are subsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from lesionlab.analysis.figures.drawing import TEXT_POINTS, new_figure
from lesionlab.analysis.words import captions as words
from lesionlab.analysis.words.captions import Role
from lesionlab.experiments.splits import fold_subsets, subset_names
from storage_schemas.experiments import ExperimentSpec

MARK: dict[Role, str] = {"trained": "■", "tested": "T", "unused": "·"}
FILL: dict[Role, str] = {"trained": "#5b8db8", "tested": "#f6c79b", "unused": "white"}
HATCH: dict[Role, str] = {"trained": "", "tested": "///", "unused": ""}

_BETWEEN = "   "
_CELL_IN = 0.19
_LEGEND_IN = 3.4
_INK = "#404040"


@dataclass(frozen=True)
class Panel:
    """One training size: the role of every subset in every fold that is run."""

    title: str
    folds: tuple[int, ...]
    roles: tuple[tuple[Role, ...], ...]
    """By fold, then by subset."""


def panels(spec: ExperimentSpec) -> tuple[Panel, ...]:
    """Return one per training size of a rotation; other designs have one, since all sizes use the same subsets."""
    sizes = spec.training_sizes if spec.target.design == "rotation" else (max(spec.training_sizes),)
    return tuple(
        Panel(
            title=words.size_panel(size) if spec.target.design == "rotation" else _title(spec),
            folds=spec.fold_numbers,
            roles=tuple(_roles(spec, size, fold) for fold in spec.fold_numbers),
        )
        for size in sizes
    )


def as_text(spec: ExperimentSpec, width: int = 80) -> str:
    """Draw the panels side by side, as many as fit into `width` characters, and a legend below."""
    drawn = panels(spec)
    count = spec.target.subset_count
    # A column is as wide as the highest number, and one space.
    column = len(str(count)) + 1
    across = max(count * column, *(len(panel.title) + 1 for panel in drawn))
    fitting = max(1, (width - len("fold ") + len(_BETWEEN)) // (across + len(_BETWEEN)))
    lines: list[str] = []
    for first in range(0, len(drawn), fitting):
        lines += _block(drawn[first : first + fitting], spec.fold_numbers, count, column, across)
    lines.append(words.rotation_key(MARK, spec.target.sites, spec.target.parts))
    lines += [words.cross_site_key(spec.target)] * (spec.target.design == "cross-site")
    return "\n".join(line.rstrip() for line in lines)


def _block(side_by_side: Sequence[Panel], folds: Sequence[int], count: int, column: int, across: int) -> Iterator[str]:
    head = "".join(f"{number:>{column}}" for number in range(1, count + 1))
    yield "     " + _BETWEEN.join(f"{' ' + panel.title:<{across}}" for panel in side_by_side)
    yield "fold " + _BETWEEN.join(f"{head:<{across}}" for _ in side_by_side)
    for place, fold in enumerate(folds):
        rows = ["".join(f"{MARK[role]:>{column}}" for role in panel.roles[place]) for panel in side_by_side]
        yield f"{fold:>4} " + _BETWEEN.join(f"{row:<{across}}" for row in rows)


def figure(spec: ExperimentSpec) -> Figure:
    """Draw the panels side by side; cells differ in colour and in hatch."""
    drawn = panels(spec)
    count, folds = spec.target.subset_count, len(spec.fold_numbers)
    width_in = max(len(drawn) * (count * _CELL_IN + 0.35) + 0.4, _LEGEND_IN)
    names = subset_names(spec.target) if spec.target.sites else ()
    names_in = 0.07 * max(map(len, names), default=0)
    picture = new_figure(width_in, folds * _CELL_IN + 1.15 + names_in)
    grid = picture.subplots(1, len(drawn), squeeze=False)[0]
    for axes, panel in zip(grid, drawn, strict=True):
        _draw(axes, panel, count)
        if spec.target.sites:
            axes.set_xticks(axes.get_xticks(), names, rotation=90)
            axes.set_xlabel(words.SITE, fontsize=TEXT_POINTS)
        if axes is not grid[0]:
            axes.set_yticks([])
    grid[0].set_ylabel(words.FOLD, fontsize=TEXT_POINTS)
    handles = [Patch(facecolor=FILL[r], hatch=HATCH[r], edgecolor=_INK, label=words.ROLES[r]) for r in MARK]
    picture.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=TEXT_POINTS - 1, frameon=False)
    return picture


def _draw(axes: Axes, panel: Panel, count: int) -> None:
    for row, roles in enumerate(panel.roles):
        for column, role in enumerate(roles):
            box = Rectangle((column, row), 1, 1, facecolor=FILL[role], hatch=HATCH[role], edgecolor=_INK, linewidth=0.6)
            axes.add_patch(box)
    axes.set_xlim(0, count)
    axes.set_ylim(len(panel.folds), 0)
    axes.set_aspect("equal")
    axes.set_xticks([place + 0.5 for place in range(count)], [str(place + 1) for place in range(count)])
    axes.set_yticks([place + 0.5 for place in range(len(panel.folds))], [str(fold) for fold in panel.folds])
    axes.tick_params(length=0, labelsize=TEXT_POINTS - 2)
    axes.set_xlabel(words.SUBSET, fontsize=TEXT_POINTS)
    axes.set_title(panel.title, fontsize=TEXT_POINTS)


def _roles(spec: ExperimentSpec, size: int, fold: int) -> tuple[Role, ...]:
    taken = fold_subsets(spec.target, size, fold)
    return tuple(
        "trained" if number in taken.train else "tested" if number in taken.test else "unused"
        for number in range(1, spec.target.subset_count + 1)
    )


def _title(spec: ExperimentSpec) -> str:
    """All sizes train on the same subsets, or on part of them."""
    return words.design_panel(spec.target.design, max(spec.training_sizes))
