"""Performance tables and the store in; the report's figures out: as SVG, as PNG and as they stand in the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lesionlab.analysis.bars import bar_figure
from lesionlab.analysis.drawing import as_png, as_svg
from lesionlab.analysis.overlays import overlay_figure
from lesionlab.analysis.page import PageFigure, inline_png, inline_svg
from lesionlab.analysis.slices import CHOICE, StudySlice, read_slice, representative_studies, shown_models
from lesionlab.analysis.tables import PerformanceTable
from lesionlab.store.objects import Store
from storage_schemas.results import StudyRow
from storage_schemas.studies import Plan


@dataclass(frozen=True)
class Illustration:
    """One figure in its two stored forms, and how it stands in the page."""

    name: str
    svg: bytes
    png: bytes
    in_page: PageFigure


def illustrate(
    store: Store, plan: Plan, rows: Sequence[StudyRow], tables: Sequence[PerformanceTable]
) -> tuple[Illustration, ...]:
    """For each default model the paper's Figure 3: A, the bars, and B, the slices; none before there are rows."""
    return tuple(figure for table in tables for figure in _figures_of(store, plan, rows, table)) if rows else ()


def _figures_of(store: Store, plan: Plan, rows: Sequence[StudyRow], table: PerformanceTable) -> Iterable[Illustration]:
    ending = f"-{table.source}" if table.source else ""
    yield _bars(table, f"performance{ending}")
    models = shown_models([line.condition for line in table.lines])
    chosen = representative_studies(rows, models)
    if chosen:
        entries = {entry.study: entry for run in plan.runs for entry in run.test}
        yield _slices([read_slice(store, entries[study], rows, models) for study in chosen], f"slices{ending}")


def _bars(table: PerformanceTable, name: str) -> Illustration:
    figure = bar_figure(table)
    svg = as_svg(figure, name)
    page_figure = PageFigure(
        kind="bars",
        title="Performance by training size.",
        caption="Lesionwise sensitivity and PPV, mean over the tested studies; error bars are ±1 standard error. "
        "* differs from the default model (unpaired t), # fine-tuned differs from de novo at the same size (paired t), "
        "both after Bonferroni.",
        inline=inline_svg(svg, "Bars of sensitivity and PPV by model and training size; the table has the numbers"),
    )
    return Illustration(name, svg, as_png(figure), page_figure)


def _slices(slices: Sequence[StudySlice], name: str) -> Illustration:
    figure = overlay_figure(slices)
    png = as_png(figure)
    page_figure = PageFigure(
        kind="slices breakout",
        title="What each model finds and misses.",
        caption="Axial native slices, the patient's right on the left. Solid: reference; dashed: prediction; counts "
        f"are of the whole study. Chosen without looking at any prediction: {CHOICE}; of each, the slice with the "
        "largest area of reference lesion.",
        inline=inline_png(png, f"Slices of {', '.join(s.study for s in slices)} with outlines of every model"),
    )
    return Illustration(name, as_svg(figure, name), png, page_figure)
