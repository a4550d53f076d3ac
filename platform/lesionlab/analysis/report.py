"""A plan and the store in; the finished analysis out: report.html, tables, figures and a page a study, in the store.

The report is made from the store alone and holds no time of day, so that the same results give the same bytes. Cells
that have no results yet do not stop it: they are counted and named wherever they matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.analysis import Analysis, analyse, analysis_digest
from lesionlab.analysis.evidence import read_evidence
from lesionlab.analysis.pages.contents import report_content, report_sheets, study_content
from lesionlab.analysis.pages.hashes import all_hashes
from lesionlab.analysis.pages.illustrations import Illustration, illustrate
from lesionlab.analysis.pages.page import PageFigure, page
from lesionlab.analysis.pages.study_pages import models_on_pages, study_pages
from lesionlab.analysis.sheets.listings import hashes_sheet
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.sheets.sheet import files_of
from lesionlab.analysis.statistics.beside import NULL_REPETITIONS
from lesionlab.analysis.statistics.tables import effects_csv, performance_csv, studies_csv, summary_csv
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest
from storage_schemas.studies import Plan


@dataclass(frozen=True)
class ReportResult:
    """Where the report lies, and what it says in short."""

    digest: Digest
    key: str
    answer: str
    table_text: str


def write_report(store: Store, plan: Plan, null_repetitions: int = NULL_REPETITIONS) -> ReportResult:
    """Analyse what the store holds of this plan and write the report. Raises StoreError where it cannot be read."""
    analysis, evidence = analyse(store, plan, null_repetitions), read_evidence(store, plan)
    digest = analysis_digest(plan, analysis)
    place = {"study_name": plan.spec.name, "digest": digest}

    sheets = report_sheets(plan, analysis, evidence)
    figures = illustrate(store, plan, analysis, evidence)
    pages = list(study_pages(store, plan, analysis.rows, evidence.lesions, models_on_pages(plan, analysis.rows)))
    # The long tables are for the page; for programs they are there in full precision.
    read = {name: sheet for section, named in sheets.items() if section != "long" for name, sheet in named.items()}
    tables = _tables(analysis) | files_of(read)
    html = {shown.file: page("study.html.j2", study_content(plan, shown, digest)) for shown in pages}
    files = {
        **{keys.REPORT_TABLE.build(**place, table=name): text.encode() for name, text in tables.items()},
        **{keys.REPORT_FIGURE.build(**place, figure=name): data for one in figures for name, data in one.files.items()},
        **{keys.REPORT_STUDY.build(**place, page=name): text.encode() for name, text in html.items()},
    }
    for key, data in files.items():
        store.put(key, data)

    report = keys.REPORT.build(**place)
    folder = report.rpartition("/")[0] + "/"
    by_name = {key.removeprefix(folder): data for key, data in files.items()}
    hashes = hashes_sheet(all_hashes(plan, evidence.manifest, digest, by_name), "Digests of everything")
    content = report_content(plan, analysis, evidence, digest, sheets, _by_section(figures), pages, hashes)
    store.put(report, page("report.html.j2", content).encode())
    return ReportResult(digest, report, analysis.answer.text(), as_text(analysis.tables))


def _tables(analysis: Analysis) -> dict[str, str]:
    """In full precision, for programs."""
    return {
        "summary.csv": summary_csv(analysis.summaries),
        "performance.csv": performance_csv(analysis.tables),
        "effects.csv": effects_csv(analysis.effects),
        "studies.csv": studies_csv(analysis.rows),
    }


def _by_section(figures: Sequence[Illustration]) -> Mapping[str, Sequence[PageFigure]]:
    sections: dict[str, list[PageFigure]] = defaultdict(list)
    for figure in figures:
        sections[figure.section].append(figure.in_page)
    return sections
