"""Collect what the templates show: sheets by file name, and the content of each page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lesionlab.analysis.evidence import Evidence, lesions_by_model
from lesionlab.analysis.experiment_analysis import Analysis, is_simulated
from lesionlab.analysis.pages.design import describe
from lesionlab.analysis.pages.hashes import Hash, main_hashes, table_hashes
from lesionlab.analysis.pages.illustrations import Illustration
from lesionlab.analysis.pages.page import PageFigure
from lesionlab.analysis.pages.study_pages import MOST_LESIONS, StudyPage, models_on_pages
from lesionlab.analysis.sheets.cohort_tables import cohort_tables
from lesionlab.analysis.sheets.cross_site_tables import cross_site_sheets
from lesionlab.analysis.sheets.elsewhere_tables import elsewhere_sheets
from lesionlab.analysis.sheets.endpoint_table import endpoint_sheet
from lesionlab.analysis.sheets.further_tables import further_sheets, rater_sheets, site_differences_sheet
from lesionlab.analysis.sheets.listings import (
    effects_sheet,
    hashes_sheet,
    sites_sheet,
    studies_sheet,
    verdicts_sheet,
    volumes_sheet,
)
from lesionlab.analysis.sheets.operating_tables import operating_sheets
from lesionlab.analysis.sheets.paper_tables import own_sheets, paper_sheet, paper_sheets
from lesionlab.analysis.sheets.rate_table import rates_sheet
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.sheets.supplementary_tables import endpoint_models_sheet, supplementary_sheets
from lesionlab.analysis.statistics.chosen_rates import RateChoice
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.statistics.headline import Headline
from lesionlab.analysis.statistics.operating_analysis import OperatingAnalysis
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.supplementary import Options
from lesionlab.analysis.words import pages as words
from lesionlab.analysis.words import tables as table_words
from lesionlab.analysis.words.answer import answer_text
from lesionlab.analysis.words.cross_site import sentences as cross_site_sentences
from lesionlab.analysis.words.further import rater_sentences
from lesionlab.analysis.words.models import model_title, table_file
from lesionlab.experiments.lineage import declared_text
from storage_schemas.base import Digest
from storage_schemas.definitions import MetricDefinition
from storage_schemas.experiments import Plan

Sheets = dict[str, Sheet]


@dataclass(frozen=True)
class Shown:
    """The tables and figures of a report, made once, for its page and for its files."""

    digest: Digest
    sheets: Mapping[str, Sheets]
    """By section, then by file name; a section may be empty."""
    figures: Sequence[Illustration]
    sentences: Mapping[str, str] = field(default_factory=dict)
    """First sentence of a section that has one."""


def study_sheets(
    plan: Plan,
    analysis: Analysis,
    evidence: Evidence,
    points: OperatingAnalysis | None = None,
    rates: Sequence[RateChoice] = (),
) -> dict[str, Sheets]:
    """Lay out every table of the report of an experiment."""
    cohort = table_words.cohort_about(plan.spec.target.cohort, plan.spec.task.name)
    sheets = common_sheets(analysis, analysis.rows, paper_sheets(plan.spec, analysis.tables))
    if rates:
        sheets["supplementary"] |= {"ours-chosen-rates": rates_sheet(rates)}
    return sheets | {
        "volumes": {"lesion-volumes": volumes_sheet(lesions_by_model(plan, evidence), table_words.VOLUMES)},
        "cohort": cohort_tables(evidence.facts, cohort, evidence.split) if evidence.facts else {},
        "quality_control": {"excluded-and-repaired": verdicts_sheet(evidence.verdicts, table_words.EXCLUDED)},
        "operating": operating_sheets(points) if points else {},
        "studies": {"every-study": studies_sheet(analysis.rows, table_words.EVERY_STUDY)},
    }


def table_sheets(table: Table, found: Statistics) -> dict[str, Sheets]:
    """Lay out every table of the report of an external table. Its task is unknown, so all have the form of Table 3."""
    performance = {
        table_file("table-3", shown): paper_sheet(shown, table_words.performance_title(shown, None, "3"))
        for shown in found.tables
    }
    return common_sheets(found, table.rows, performance)


def common_sheets(found: Statistics, rows: Sequence[Row], performance: Sheets) -> dict[str, Sheets]:
    """Lay out the tables that the reports of experiments and of tables have in common."""
    models = tuple(dict.fromkeys(summary.condition for summary in found.summaries))
    undefined = found.supplementary.options.undefined
    headline = found.answer.headline
    return {
        "endpoints": _endpoint_sheets(headline),
        "performance": performance | elsewhere_sheets(found.effects),
        "comparisons": {"every-comparison": effects_sheet(found.effects, table_words.EVERY_COMPARISON)},
        "sites": cross_site_sheets(found.further.cross_site)
        | {"sites": sites_sheet(rows, models, table_words.SITES, undefined)}
        | _by_site(found),
        "rater": rater_sheets(found.further),
        "further": further_sheets(found.further),
        "supplementary": supplementary_sheets(found.supplementary) | own_sheets(found.tables),
    }


def _endpoint_sheets(headline: Headline) -> Sheets:
    """The endpoints, and the models behind them; nothing without endpoints."""
    every = headline.endpoints.every
    models = endpoint_models_sheet(every)
    sheets = {"ours-endpoints": endpoint_sheet(headline)} if every else {}
    return sheets | ({"ours-endpoint-models": models} if models.rows else {})


def _by_site(found: Statistics) -> Sheets:
    """Arm × site; nothing without a comparison of arms."""
    return {"ours-sites": site_differences_sheet(found.further.sites)} if found.further.sites else {}


def report_content(
    plan: Plan, analysis: Analysis, evidence: Evidence, shown: Shown, pages: Sequence[StudyPage], hashes: Sequence[Hash]
) -> dict[str, Any]:
    """Collect what report.html.j2 shows."""
    every = hashes_sheet(hashes, table_words.EVERY_HASH)
    label = analysis.rows[0].definition if analysis.rows else plan.spec.metric.label()
    return content_of(plan.spec.title, analysis, shown, main_hashes(plan, shown.digest), every) | {
        "origin": words.FROM_STORE,
        "meanings": (*mask_meanings(plan.spec.metric, label), *meanings(analysis)),
        "spec": plan.spec,
        "task_title": plan.spec.task.title,
        "simulated": is_simulated(plan),
        "planned": len(analysis.planned),
        "missing": analysis.missing,
        "left_out": [one.text() for one in plan.left_out],
        "imported": tuple(map(declared_text, evidence.imported)),
        "pages": pages,
        "pages_models": models_on_pages(plan, analysis.rows),
        "design": describe(plan, evidence.manifest, evidence.split),
    }


def table_content(table: Table, found: Statistics, shown: Shown, hashes: Sequence[Hash]) -> dict[str, Any]:
    """Collect what table.html.j2 shows."""
    title = words.table_report_title(table.name)
    every = hashes_sheet(hashes, table_words.EVERY_FILE_HASH)
    external: tuple[tuple[str, str], ...] = (
        (words.EXTERNAL_LESION, words.EXTERNAL_LESION_IS),
        (words.EXTERNAL_METRICS, words.EXTERNAL_METRICS_ARE),
    )
    counts, scored = _counts(table.rows), table.scored
    made_from = words.external_table(table.name, len(table.rows), counts)
    if scored is not None:
        external = mask_meanings(scored.definition, scored.definition.label())
        made_from = words.compared_masks(scored.cohort, len(table.rows), counts, scored.empty)
    return content_of(title, found, shown, table_hashes(table, shown.digest), every) | {
        "origin": words.FROM_TABLE,
        "meanings": (*external, *meanings(found)),
        "source": table,
        "made_from": made_from,
        "settings": tuple(_settings(table, found.supplementary.options)),
    }


def content_of(
    title: str, found: Statistics, shown: Shown, provenance: Sequence[Hash], hashes: Sheet
) -> dict[str, Any]:
    """Collect what analysis.html.j2 shows."""
    figures: dict[str, list[PageFigure]] = defaultdict(list)
    for figure in shown.figures:
        figures[figure.section].append(figure.in_page)
    return {
        "title": title,
        "digest": shown.digest,
        "answer": answer_text(found.answer),
        "rater_lines": rater_sentences(found.further),
        "site_lines": cross_site_sentences(found.further.cross_site),
        "sheets": {section: tuple(named.values()) for section, named in shown.sheets.items()},
        "figures": figures,
        "sentences": shown.sentences,
        "provenance": provenance,
        "hashes": hashes,
    }


def mask_meanings(definition: MetricDefinition, label: str) -> tuple[tuple[str, str], ...]:
    """Term and meaning of everything that is counted in the masks."""
    return (
        (words.LESION, words.lesion_is(definition)),
        (words.HIT, words.hit_is(definition)),
        (words.SENSITIVITY, words.SENSITIVITY_IS),
        (words.PPV, words.PPV_IS),
        (words.F1, words.F1_IS),
        (words.DICE, words.DICE_IS),
        (words.FALSE_POSITIVES, words.FALSE_POSITIVES_ARE),
        (words.SURFACE, words.SURFACE_IS),
        (words.METRIC_DEFINITION, f"`{label}`"),
    )


def meanings(found: Statistics) -> tuple[tuple[str, str], ...]:
    """Term and meaning of everything in the statistics."""
    return (
        (words.MEANS, words.MEANS_ARE),
        (words.VERDICT, words.VERDICT_IS),
        (words.UNDEFINED, words.undefined_is(found.supplementary.options.undefined)),
        (words.UNIT, words.unit_is(found.unit)),
        (words.TESTS, words.TESTS_ARE),
        (words.BONFERRONI, words.bonferroni_is(found.effects)),
        (words.MARKS_TITLE, words.marks_are()),
    )


def _counts(rows: Sequence[Row]) -> str:
    studies, patients, sites = (len({getattr(row, name) for row in rows}) for name in ("study", "patient", "site"))
    return words.counts(studies, patients, sites)


def _settings(table: Table, options: Options) -> Iterable[tuple[str, str]]:
    yield words.COLUMNS_READ, ", ".join(table.columns)
    goal = options.goal
    if goal is not None:
        yield words.TARGET, words.target(goal)
        if goal.annotation_minutes is not None:
            yield words.ANNOTATION, words.annotation(goal.annotation_minutes)
    if options.margin is not None:
        yield words.MARGIN, f"{options.margin:g}"
    yield words.REPETITIONS, str(options.null_repetitions)


def study_content(plan: Plan, page: StudyPage, digest: Digest) -> dict[str, Any]:
    """Collect what study.html.j2 shows."""
    return {
        "spec": plan.spec,
        "digest": digest,
        "page": page,
        "most": MOST_LESIONS,
        "simulated": is_simulated(plan),
        "rows": _without_study(studies_sheet(page.rows, table_words.ONE_STUDY)),
        "runs": tuple((model_title(model), row.run_id) for model, row in page.shown),
    }


def _without_study(sheet: Sheet) -> Sheet:
    """Remove the first two columns: the page already names study and site."""
    return replace(sheet, columns=sheet.columns[2:], rows=tuple(row[2:] for row in sheet.rows), heads=1)
