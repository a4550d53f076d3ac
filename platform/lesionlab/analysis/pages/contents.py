"""An analysis and its evidence in; what the templates show out: sheets by file name, and the content of each page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lesionlab.analysis.analysis import Analysis, is_simulated
from lesionlab.analysis.evidence import Evidence, lesions_by_model
from lesionlab.analysis.pages.design import describe
from lesionlab.analysis.pages.hashes import main_hashes
from lesionlab.analysis.pages.page import PageFigure
from lesionlab.analysis.pages.study_pages import MOST_LESIONS, StudyPage, models_on_pages
from lesionlab.analysis.sheets.beside_tables import beside_sheets
from lesionlab.analysis.sheets.cohort_tables import cohort_tables
from lesionlab.analysis.sheets.listings import effects_sheet, sites_sheet, studies_sheet, verdicts_sheet, volumes_sheet
from lesionlab.analysis.sheets.paper_tables import dice_sheets, paper_sheets
from lesionlab.analysis.sheets.sheet import Sheet
from lesionlab.analysis.statistics.conditions import conditions
from storage_schemas.base import Digest
from storage_schemas.studies import Plan
from storage_schemas.tasks import TASKS

Sheets = dict[str, Sheet]


def report_sheets(plan: Plan, analysis: Analysis, evidence: Evidence) -> dict[str, Sheets]:
    """Every table of the report, by section and by file name; a section may be empty."""
    models = conditions(analysis.planned)
    about = f"Cohort {plan.spec.target.cohort}, {plan.spec.task}"
    return {
        "performance": paper_sheets(plan.spec, analysis.tables),
        "volumes": {"lesion-volumes": volumes_sheet(lesions_by_model(plan, evidence), "Detection by lesion volume")},
        "sites": {"sites": sites_sheet(analysis.rows, models, "Performance by site")},
        "beside": beside_sheets(analysis.beside) | dice_sheets(analysis.tables),
        "cohort": cohort_tables(evidence.facts, about, evidence.split) if evidence.facts else {},
        "door": {"excluded-and-repaired": verdicts_sheet(evidence.verdicts, "Studies that were excluded or repaired")},
        "long": {
            "every-comparison": effects_sheet(analysis.effects, "Every comparison"),
            "every-study": studies_sheet(analysis.rows, "Every tested study under every model"),
        },
    }


def report_content(
    plan: Plan,
    analysis: Analysis,
    evidence: Evidence,
    digest: Digest,
    sheets: Mapping[str, Sheets],
    figures: Mapping[str, Sequence[PageFigure]],
    pages: Sequence[StudyPage],
    hashes: Sheet,
) -> dict[str, Any]:
    """What report.html.j2 shows."""
    return {
        "spec": plan.spec,
        "digest": digest,
        "task_title": TASKS[plan.spec.task].title,
        "simulated": is_simulated(plan),
        "planned": len(analysis.planned),
        "missing": analysis.missing,
        "answer": analysis.answer,
        "sheets": {section: tuple(named.values()) for section, named in sheets.items()},
        "figures": figures,
        "pages": pages,
        "pages_models": models_on_pages(plan, analysis.rows),
        "design": describe(plan, evidence.manifest, evidence.split, analysis.effects),
        "provenance": main_hashes(plan, digest),
        "hashes": hashes,
    }


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
