"""An analysis and its evidence in; the report's figures out: as SVG, as PNG and as they stand in the page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from matplotlib.figure import Figure

from lesionlab.analysis.evidence import Evidence, lesions_by_model
from lesionlab.analysis.experiment_analysis import Analysis
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.bars import bar_figure
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.figures.learning_curves import learning_figure
from lesionlab.analysis.figures.overlays import overlay_figure
from lesionlab.analysis.figures.slices import CHOICE, MODELS, read_slice, representative_studies, shown_models
from lesionlab.analysis.figures.volume_bars import volume_figure
from lesionlab.analysis.pages.page import PageFigure, inline_png, inline_svg
from lesionlab.analysis.pages.study_pages import models_on_pages
from lesionlab.analysis.sheets.paper_tables import PAPER, about, ending
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.tables import PerformanceTable
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from lesionlab.store.objects import Store
from storage_schemas.experiments import Plan
from storage_schemas.results import LesionRow, StudyRow

Section = Literal["performance", "learning", "volumes", "design"]


@dataclass(frozen=True)
class Illustration:
    """One figure in its two stored forms, and where and how it stands in the page."""

    name: str
    section: Section
    svg: bytes
    png: bytes
    in_page: PageFigure

    @property
    def files(self) -> dict[str, bytes]:
        """By file name."""
        return {f"{self.name}.svg": self.svg, f"{self.name}.png": self.png}


def illustrate(store: Store, plan: Plan, analysis: Analysis, evidence: Evidence) -> tuple[Illustration, ...]:
    """Who trains and who tests; and once there are rows, of each table the bars and the slices (Figures 3 to 5, A and
    B), learning curves, and detection by lesion volume."""
    return (_rotation(plan), *(_of_results(store, plan, analysis, evidence) if analysis.rows else ()))


def illustrate_numbers(found: Statistics) -> tuple[Illustration, ...]:
    """What can be drawn without a store: of each table the bars, and the learning curves."""
    return (*map(_bars, found.tables), *_learning_curves(found.supplementary.learning))


def _of_results(store: Store, plan: Plan, analysis: Analysis, evidence: Evidence) -> Iterable[Illustration]:
    for table in analysis.tables:
        yield _bars(table)
        yield from _slices(store, plan, analysis.rows, table)
    yield from _learning_curves(analysis.supplementary.learning)
    yield from _volumes(models_on_pages(plan, analysis.rows), lesions_by_model(plan, evidence))


def _rotation(plan: Plan) -> Illustration:
    return _drawn(
        rotation.figure(plan.spec),
        "rotation",
        "design",
        "narrow",
        "Who trains and who tests.",
        f"A row is a fold, a column a subset. Form: Figure S3 of {PAPER}.",
        "Diagram of the folds; the table of subsets names the studies",
    )


def _bars(table: PerformanceTable) -> Illustration:
    return _drawn(
        bar_figure(table),
        f"performance{ending(table)}",
        "performance",
        "bars",
        f"Performance by training size{about(table)}.",
        "Lesionwise sensitivity and PPV, mean over the tested studies; error bars are ±1 standard error. The marks are "
        f"of the table's tests, after Bonferroni. Form: Figures 3A to 5A of {PAPER}.",
        "Bars of sensitivity and PPV by model and training size; the table has the numbers",
    )


def _slices(store: Store, plan: Plan, rows: Sequence[StudyRow], table: PerformanceTable) -> Iterable[Illustration]:
    models = shown_models([line.condition for line in table.lines])
    chosen = representative_studies(rows, models)
    if not chosen:
        return
    entries = {entry.study: entry for run in plan.runs for entry in run.test}
    figure = overlay_figure([read_slice(store, entries[study], rows, models) for study in chosen])
    name, png = f"slices{ending(table)}", as_png(figure)
    page_figure = PageFigure(
        kind="slices breakout",
        title=f"What each model finds and misses{about(table)}.",
        caption="Axial native slices, the patient's right on the left. Solid: reference; dashed: prediction; counts "
        f"are of the whole study. Models: {MODELS}. Studies, chosen without looking at any prediction: {CHOICE}; of "
        f"each, the slice with the largest area of reference lesion. Form: Figures 3B to 5B of {PAPER}.",
        inline=inline_png(png, f"Slices of {', '.join(chosen)} with outlines of every model"),
    )
    yield Illustration(name, "performance", as_svg(figure, name), png, page_figure)


def _learning_curves(learning: Sequence[Learning]) -> Iterable[Illustration]:
    for (stratum, comparison), panels in groupby(learning, key=lambda one: (one.stratum, one.comparison)):
        drawn = [panel for panel in panels if any(len(arm.points) > 1 for arm in panel.arms)]
        if drawn:
            yield _learning(stratum, comparison, drawn)


def _learning(stratum: str, comparison: str, panels: Sequence[Learning]) -> Illustration:
    return _drawn(
        learning_figure(panels),
        _name("learning", stratum, comparison),
        "learning",
        "bars",
        f"Learning curves: {comparison}{f' ({stratum})' if stratum else ''}.",
        "Mean over the tested studies and its 95 % interval, by training size (logarithmic axis). "
        "Dotted: what is to be reached; a thick mark on the horizontal axis is where an arm reaches it. Ours, not the "
        "paper's.",
        "Learning curves; the table of labelled studies that each arm needs has the numbers",
    )


def _volumes(models: Sequence[Condition], lesions: Mapping[Condition, Sequence[LesionRow]]) -> Iterable[Illustration]:
    shown = {model: lesions[model] for model in models if model in lesions}
    if shown:
        found = sensitivity_by_volume(shown)
        yield _drawn(
            volume_figure(found),
            "lesion-volumes",
            "volumes",
            "bars",
            "Detection by lesion volume.",
            f"Part of the reference lesions that were found, all lesions of the {found.text()}. n counts the reference "
            "lesions of a class once, for all models and seeds; where there is none, no bar but a word stands. A class "
            f"is from above its lower bound up to its upper bound. Lines: 95 % limits over {found.limits_over()}; none "
            "where all lesions or no lesion was found, or where those are too few. Ours, not the paper's. The table "
            "has every model.",
            "Bars of sensitivity by class of lesion volume; the table has the numbers",
        )


def _drawn(
    figure: Figure, name: str, section: Section, kind: str, title: str, caption: str, label: str
) -> Illustration:
    """A figure of lines and text, which stands in the page as SVG."""
    svg = as_svg(figure, name)
    return Illustration(name, section, svg, as_png(figure), PageFigure(kind, title, caption, inline_svg(svg, label)))


def _name(*parts: str) -> str:
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts if part)
