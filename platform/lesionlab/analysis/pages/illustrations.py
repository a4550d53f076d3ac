"""Draw the report's figures: as SVG, as PNG and as they are in the page."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from matplotlib.figure import Figure

from lesionlab.analysis.evidence import Evidence, lesions_by_model, losses_by_model
from lesionlab.analysis.experiment_analysis import Analysis
from lesionlab.analysis.figures import rotation
from lesionlab.analysis.figures.answer_picture import answer_figure
from lesionlab.analysis.figures.bars import bar_figure
from lesionlab.analysis.figures.bland_altman import agreement_figure, shown_volumes
from lesionlab.analysis.figures.drawing import as_png, as_svg
from lesionlab.analysis.figures.forest import forest_figure
from lesionlab.analysis.figures.heat_map import heat_map_figure
from lesionlab.analysis.figures.learning_curves import learning_figure
from lesionlab.analysis.figures.loss_curves import loss_figure
from lesionlab.analysis.figures.operating import calibration_figure, froc_figure
from lesionlab.analysis.figures.overlays import overlay_figure
from lesionlab.analysis.figures.slices import read_slice, representative_studies, shown_models
from lesionlab.analysis.figures.volume_bars import volume_figure
from lesionlab.analysis.pages.page import PageFigure, inline_png, inline_svg
from lesionlab.analysis.pages.study_pages import models_on_pages
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.cross_site import CrossSite
from lesionlab.analysis.statistics.further import Further
from lesionlab.analysis.statistics.learning import Learning
from lesionlab.analysis.statistics.operating_analysis import OperatingAnalysis
from lesionlab.analysis.statistics.tables import PerformanceTable
from lesionlab.analysis.statistics.volumes import sensitivity_by_volume
from lesionlab.analysis.words import captions, training
from lesionlab.analysis.words import operating as words
from lesionlab.analysis.words.captions import Caption
from lesionlab.analysis.words.cross_site import heat_map, n_is, name_among
from lesionlab.analysis.words.further import bland_altman, forest
from lesionlab.analysis.words.models import about, comparison_name, file_name, stratum_name, table_file
from lesionlab.store.objects import Store
from storage_schemas.experiments import Plan
from storage_schemas.results import EpochRow, LesionRow, StudyRow

Section = Literal[
    "answer", "performance", "rater", "further", "sites", "learning", "volumes", "training", "operating", "design"
]


@dataclass(frozen=True)
class Illustration:
    """One figure in its two stored forms, and its place and form in the page."""

    name: str
    section: Section
    svg: bytes
    png: bytes
    in_page: PageFigure

    @property
    def files(self) -> dict[str, bytes]:
        """By file name."""
        return {f"{self.name}.svg": self.svg, f"{self.name}.png": self.png}


def illustrate(
    store: Store, plan: Plan, analysis: Analysis, evidence: Evidence, points: OperatingAnalysis | None = None
) -> tuple[Illustration, ...]:
    """Draw the rotation; and once there are rows, the bars and slices of each table (Figures 3 to 5, A and B), learning
    curves, detection by lesion volume, losses, and with probabilities FROC and calibration."""
    results = _of_results(store, plan, analysis, evidence) if analysis.rows else ()
    return (_rotation(plan), *results, *(_operating(analysis, points) if points else ()))


def illustrate_numbers(found: Statistics) -> tuple[Illustration, ...]:
    """Draw what needs no store: bars of each table, differences from Grader 2, volumes, learning curves."""
    curves = _learning_curves(found.supplementary.learning)
    return (*_answer(found), *map(_bars, found.tables), *_further(found.further), *curves)


def _of_results(store: Store, plan: Plan, analysis: Analysis, evidence: Evidence) -> Iterable[Illustration]:
    yield from _answer(analysis)
    for table in analysis.tables:
        yield _bars(table)
        yield from _slices(store, plan, analysis.rows, table)
    yield from _further(analysis.further)
    yield from _learning_curves(analysis.supplementary.learning)
    yield from _volumes(models_on_pages(plan, analysis.rows), lesions_by_model(plan, evidence))
    yield from _losses(analysis, losses_by_model(plan, evidence))


def _rotation(plan: Plan) -> Illustration:
    return as_illustration(rotation.figure(plan.spec), "rotation", "design", "narrow", captions.ROTATION)


def _answer(found: Statistics) -> Iterable[Illustration]:
    figure = answer_figure(found.answer.headline)
    if figure is not None:
        yield as_illustration(figure, "answer", "answer", "bars", captions.answer(found.answer.headline))


def _bars(table: PerformanceTable) -> Illustration:
    name = table_file("performance", table)
    return as_illustration(bar_figure(table), name, "performance", "bars", captions.bars(table))


def _slices(store: Store, plan: Plan, rows: Sequence[StudyRow], table: PerformanceTable) -> Iterable[Illustration]:
    models = shown_models([line.condition for line in table.lines])
    chosen = representative_studies(rows, models)
    if not chosen:
        return
    entries = {entry.study: entry for run in plan.runs for entry in run.test}
    figure = overlay_figure([read_slice(store, entries[study], rows, models) for study in chosen])
    name, png, caption = table_file("slices", table), as_png(figure), captions.slices(table, chosen)
    in_page = PageFigure("slices breakout", caption.title, caption.text, inline_png(png, caption.label))
    yield Illustration(name, "performance", as_svg(figure, name), png, in_page)


def _further(found: Further) -> Iterable[Illustration]:
    if any(one.mean is not None and one.metric in captions.PANELS for one in found.against_rater):
        for stratum, own in groupby(found.against_rater, key=lambda one: one.stratum):
            name = file_name("rater-differences", stratum_name(stratum))
            yield as_illustration(forest_figure(list(own), found.margin), name, "rater", "bars", forest(found.margin))
    shown = shown_volumes(found.volumes)
    if shown:
        yield as_illustration(agreement_figure(shown), "volume-agreement", "further", "bars", bland_altman())
    yield from cross_site_pictures(found.cross_site)


def cross_site_pictures(found: Sequence[CrossSite], counted: Callable[[int], str] = n_is) -> Iterable[Illustration]:
    """Draw training site by test site, one picture per model; `counted` writes the number of studies in a cell."""
    models = list(dict.fromkeys(one.model for one in found))
    for model in models:
        panels = [one for one in found if one.model == model]
        if panels[0].sites:
            name = file_name("cross-site", name_among(model, models))
            yield as_illustration(heat_map_figure(panels, counted), name, "sites", "bars", heat_map(model, models))


def _learning_curves(learning: Sequence[Learning]) -> Iterable[Illustration]:
    for comparison, panels in groupby(learning, key=lambda one: one.comparison):
        drawn = [panel for panel in panels if any(len(arm.points) > 1 for arm in panel.arms)]
        if drawn:
            name = file_name("learning", stratum_name(comparison.stratum), comparison_name(comparison))
            yield as_illustration(learning_figure(drawn), name, "learning", "bars", captions.curves(comparison))


def _volumes(models: Sequence[Condition], lesions: Mapping[Condition, Sequence[LesionRow]]) -> Iterable[Illustration]:
    shown = {model: lesions[model] for model in models if model in lesions}
    if shown:
        found = sensitivity_by_volume(shown)
        yield as_illustration(volume_figure(found), "lesion-volumes", "volumes", "bars", captions.volumes(found))


def _losses(analysis: Analysis, losses: Mapping[Condition, Sequence[Sequence[EpochRow]]]) -> Iterable[Illustration]:
    """Of the models of each table."""
    for table in analysis.tables:
        own = {model: losses[model] for model in table.models if model in losses}
        if own:
            yield as_illustration(
                loss_figure(own), table_file("losses", table), "training", "bars", training.losses(about(table))
            )


def _operating(analysis: Analysis, points: OperatingAnalysis) -> Iterable[Illustration]:
    """FROC and calibration of each table."""
    for table in analysis.tables:
        own = {
            line.condition: (wrong, found)
            for line in table.lines
            if (wrong := line.measures["false_positives"].summary.mean) is not None
            and (found := line.measures["sensitivity"].summary.mean) is not None
        }
        models = {model: points.models[model] for model in table.models if model in points.models}
        largest = max((model.training_size for model in models), default=0)
        shown = {model: points.calibration[model] for model in models if model.training_size in (0, largest)}
        if not models:
            continue
        froc, reliability = words.froc(about(table)), words.calibration(about(table))
        yield as_illustration(froc_figure(models, own), table_file("froc", table), "operating", "bars", froc)
        yield as_illustration(
            calibration_figure(shown), table_file("calibration", table), "operating", "bars", reliability
        )


def as_illustration(figure: Figure, name: str, section: Section, kind: str, caption: Caption) -> Illustration:
    """A figure of lines and text, which is in the page as SVG."""
    svg = as_svg(figure, name)
    in_page = PageFigure(kind, caption.title, caption.text, inline_svg(svg, caption.label))
    return Illustration(name, section, svg, as_png(figure), in_page)
