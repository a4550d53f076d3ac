"""An analysis and its evidence in; what the templates show out: sheets by file name, and the content of each page."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lesionlab.analysis.evidence import Evidence, lesions_by_model
from lesionlab.analysis.experiment_analysis import Analysis, is_simulated
from lesionlab.analysis.figures.bars import MARK_NAMES
from lesionlab.analysis.pages.design import describe
from lesionlab.analysis.pages.hashes import Hash, main_hashes, table_hashes
from lesionlab.analysis.pages.illustrations import Illustration
from lesionlab.analysis.pages.page import PageFigure
from lesionlab.analysis.pages.study_pages import MOST_LESIONS, StudyPage, models_on_pages
from lesionlab.analysis.sheets.cohort_tables import cohort_tables
from lesionlab.analysis.sheets.key import comparisons, key_of
from lesionlab.analysis.sheets.listings import (
    effects_sheet,
    hashes_sheet,
    sites_sheet,
    studies_sheet,
    verdicts_sheet,
    volumes_sheet,
)
from lesionlab.analysis.sheets.paper_tables import (
    PAPER,
    PAPER_METRICS,
    about,
    dice_sheets,
    ending,
    paper_sheets,
    performance_sheet,
)
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.sheets.supplementary_tables import supplementary_sheets
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.conditions import count_of
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.supplementary import Options
from storage_schemas.base import Digest
from storage_schemas.experiments import Plan

Sheets = dict[str, Sheet]


@dataclass(frozen=True)
class Shown:
    """What every report shows beside its numbers, made once and put into its files too."""

    digest: Digest
    sheets: Mapping[str, Sheets]
    """By section, by file name; a section may be empty."""
    figures: Sequence[Illustration]


def study_sheets(plan: Plan, analysis: Analysis, evidence: Evidence) -> dict[str, Sheets]:
    """Every table of the report of a study."""
    cohort = f"Cohort {plan.spec.target.cohort}, {plan.spec.task.name}"
    return _sheets(analysis, analysis.rows, paper_sheets(plan.spec, analysis.tables)) | {
        "volumes": {"lesion-volumes": volumes_sheet(lesions_by_model(plan, evidence), "Detection by lesion volume")},
        "cohort": cohort_tables(evidence.facts, cohort, evidence.split) if evidence.facts else {},
        "door": {"excluded-and-repaired": verdicts_sheet(evidence.verdicts, "Studies that were excluded or repaired")},
        "studies": {"every-study": studies_sheet(analysis.rows, "Every tested study under every model")},
    }


def table_sheets(table: Table, found: Statistics) -> dict[str, Sheets]:
    """Every table of the report of a table. Of which of the paper's tasks it is, is not known: all have one form."""
    performance = {
        f"table-3{ending(shown)}": performance_sheet(
            shown,
            PAPER_METRICS,
            f"Performance{about(shown)}. Form: Table 3 of {PAPER}",
            key_of(shown, comparisons(shown, PAPER_METRICS)),
        )
        for shown in found.tables
    }
    return _sheets(found, table.rows, performance)


def _sheets(found: Statistics, rows: Sequence[Row], performance: Sheets) -> dict[str, Sheets]:
    models = tuple(dict.fromkeys(summary.condition for summary in found.summaries))
    undefined = found.supplementary.options.undefined
    with_dice = any(summary.metric == "dice" and summary.n for summary in found.summaries)
    return {
        "performance": performance,
        "comparisons": {"every-comparison": effects_sheet(found.effects, "Every comparison")},
        "sites": {"sites": sites_sheet(rows, models, "Performance by site", undefined)},
        "supplementary": supplementary_sheets(found.supplementary) | (dice_sheets(found.tables) if with_dice else {}),
    }


def report_content(
    plan: Plan, analysis: Analysis, evidence: Evidence, shown: Shown, pages: Sequence[StudyPage], hashes: Sequence[Hash]
) -> dict[str, Any]:
    """What report.html.j2 shows."""
    every = "Every run, trained network, study volume, native image and file of this report"
    return _content(plan.spec.title, analysis, shown, main_hashes(plan, shown.digest), hashes_sheet(hashes, every)) | {
        "spec": plan.spec,
        "definition": analysis.rows[0].definition if analysis.rows else plan.spec.metric.label(),
        "task_title": plan.spec.task.title,
        "simulated": is_simulated(plan),
        "planned": len(analysis.planned),
        "missing": analysis.missing,
        "pages": pages,
        "pages_models": models_on_pages(plan, analysis.rows),
        "design": describe(plan, evidence.manifest, evidence.split),
    }


def table_content(table: Table, found: Statistics, shown: Shown, hashes: Sequence[Hash]) -> dict[str, Any]:
    """What table.html.j2 shows."""
    title = f"Results in {table.name}"
    every = hashes_sheet(hashes, "Every file of this report")
    return _content(title, found, shown, table_hashes(table, shown.digest), every) | {
        "source": table,
        "counts": _counts(table.rows),
        "strata": tuple(_settings(table, found.supplementary.options)),
    }


def _content(title: str, found: Statistics, shown: Shown, provenance: Sequence[Hash], hashes: Sheet) -> dict[str, Any]:
    """What analysis.html.j2 shows."""
    figures: dict[str, list[PageFigure]] = defaultdict(list)
    for figure in shown.figures:
        figures[figure.section].append(figure.in_page)
    return {
        "title": title,
        "digest": shown.digest,
        "answer": found.answer,
        "sheets": {section: tuple(named.values()) for section, named in shown.sheets.items()},
        "figures": figures,
        "unit": found.unit,
        "undefined": found.supplementary.options.undefined,
        "families": tuple(dict.fromkeys(f"m = {e.family} for {e.test}" for e in found.effects if e.test != "rm-anova")),
        "marks": MARK_NAMES,
        "provenance": provenance,
        "hashes": hashes,
    }


def _counts(rows: Sequence[Row]) -> str:
    """`60 studies of 54 patients at 3 sites`."""
    studies, patients, sites = (len({getattr(row, name) for row in rows}) for name in ("study", "patient", "site"))
    return (
        f"{count_of(studies, 'study')} of {patients} patient{'s' * (patients > 1)} at {sites} site{'s' * (sites > 1)}"
    )


def _settings(table: Table, options: Options) -> Iterable[tuple[str, str]]:
    yield "columns read", ", ".join(table.columns)
    goal = options.goal
    if goal is not None:
        yield "target", "as usual" if goal.target is None else f"{goal.metric} {goal.target:g}"
        if goal.annotation_minutes is not None:
            yield "annotation", f"{goal.annotation_minutes:g} minutes a study"
    yield "repetitions of the null test", str(options.null_repetitions)


def study_content(plan: Plan, page: StudyPage, digest: Digest) -> dict[str, Any]:
    """What study.html.j2 shows."""
    return {
        "spec": plan.spec,
        "digest": digest,
        "page": page,
        "most": MOST_LESIONS,
        "simulated": is_simulated(plan),
        "rows": _without_study(studies_sheet(page.rows, "Under every model that it was tested under")),
        "runs": tuple((model.title(), row.run_id) for model, row in page.shown),
    }


def _without_study(sheet: Sheet) -> Sheet:
    """The first two columns name study and site, and so does the page."""
    return replace(sheet, columns=sheet.columns[2:], rows=tuple(row[2:] for row in sheet.rows), heads=1)
