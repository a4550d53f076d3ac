"""Write the finished report of an experiment, or of an external table: page, tables and figures.

The report of an experiment also has a page per study and is kept in the store. Reports are made from the store, or the
table, alone and contain no time stamp, so that the same results give the same bytes. Cells without results do not stop
a report: they are counted and named wherever they matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256

from lesionlab.analysis.evidence import Evidence, lesions_by_model, read_evidence
from lesionlab.analysis.experiment_analysis import Analysis, analyse, choose
from lesionlab.analysis.model_evidence import models_of
from lesionlab.analysis.pages.contents import (
    Shown,
    report_content,
    study_content,
    study_sheets,
    table_content,
    table_sheets,
)
from lesionlab.analysis.pages.hashes import file_hashes, study_digest, study_hashes, table_digest
from lesionlab.analysis.pages.illustrations import illustrate, illustrate_numbers
from lesionlab.analysis.pages.model_pages import model_pages
from lesionlab.analysis.pages.page import page
from lesionlab.analysis.pages.study_pages import models_on_pages, study_pages
from lesionlab.analysis.sheets.lesion_records import MOST_FALSE_POSITIVES, lesion_file
from lesionlab.analysis.sheets.operating_tables import operating_csvs
from lesionlab.analysis.sheets.records import (
    csv_text,
    effects_csv,
    learning_csv,
    performance_csv,
    studies_csv,
    summary_csv,
)
from lesionlab.analysis.sheets.screen import as_text
from lesionlab.analysis.sheets.sheet import files_of
from lesionlab.analysis.statistics.compute import Statistics
from lesionlab.analysis.statistics.external import Table
from lesionlab.analysis.statistics.operating_analysis import OperatingAnalysis, operating_analysis
from lesionlab.analysis.statistics.supplementary import NULL_REPETITIONS
from lesionlab.analysis.words import training
from lesionlab.analysis.words.answer import answer_text
from lesionlab.analysis.words.further import lesions_listed
from lesionlab.analysis.words.operating import survival
from lesionlab.errors import ObjectExists
from lesionlab.experiments.site_policies import refuse_report
from lesionlab.store.objects import Store
from storage_schemas import keys
from storage_schemas.base import Digest, digest_of
from storage_schemas.experiments import Plan

PAGE = "report.html"
"""Where to start reading."""

_LONG = ("comparisons", "studies")
"""Sections whose sheets are for the page only: programs read them in full precision."""

_KEYS = {
    "tables": (keys.REPORT_TABLE, "table"),
    "figures": (keys.REPORT_FIGURE, "figure"),
    "studies": (keys.REPORT_STUDY, "page"),
    "models": (keys.REPORT_MODEL, "page"),
}


@dataclass(frozen=True)
class ReportResult:
    """Where the report is, and its answer and main tables as text."""

    digest: Digest
    """Of every byte of it."""
    made_from: Digest
    """Of what it was made from: the page calls it the analysis."""
    key: str
    answer: str
    table_text: str


def write_report(store: Store, plan: Plan, null_repetitions: int = NULL_REPETITIONS) -> ReportResult:
    """Analyse what the store holds of this plan and write the report.

    Raises StoreError if it cannot be read, InputError if a site's policy does not let leave what the report shows.
    """
    refuse_report(store, plan.runs)
    plan, rates = choose(store, plan)
    analysis, evidence = analyse(store, plan, null_repetitions), read_evidence(store, plan)
    points = _operating_points(plan, analysis, evidence)
    shown = Shown(
        digest=study_digest(plan, analysis, evidence),
        sheets=study_sheets(plan, analysis, evidence, points, rates),
        figures=illustrate(store, plan, analysis, evidence, points),
        sentences=_sentences(evidence, points),
    )
    pages = list(study_pages(store, plan, analysis.rows, evidence.lesions, models_on_pages(plan, analysis.rows)))
    html = {one.file: page("study.html.j2", study_content(plan, one, shown.digest)).encode() for one in pages}

    models = model_pages(plan.spec.title, models_of(store, plan))
    listed = lesion_file(evidence.lesions)
    numbers = operating_csvs(points) if points else {}
    files = {
        **_files(analysis, shown, studies_csv(analysis.rows)),
        "tables/lesions.csv": listed.data,
        **{f"tables/{name}": text.encode() for name, text in numbers.items()},
        **{f"studies/{name}": text for name, text in html.items()},
        **{path: data for one in models for path, data in one.files.items()},
    }
    hashes = (*study_hashes(plan, evidence), *file_hashes(files))
    content = report_content(plan, analysis, evidence, shown, pages, hashes)
    content["models_in_use"] = models
    content["lesions_listed"] = lesions_listed(listed.lesions, listed.left_out, MOST_FALSE_POSITIVES)
    files[PAGE] = page("report.html.j2", content).encode()
    name = report_name(shown.digest, files)
    place = {"experiment": plan.spec.name, "digest": name}
    for file, data in sorted(files.items(), key=lambda item: item[0] == PAGE):
        with suppress(ObjectExists):  # of this name, so of these bytes
            store.create(_key(file, place), data)
    return ReportResult(
        name, shown.digest, _key(PAGE, place), answer_text(analysis.answer).text(), as_text(analysis.tables)
    )


def report_name(made_from: Digest, files: Mapping[str, bytes]) -> Digest:
    """Name a report by what it was made from and by every byte of it, so that no report ever replaces another."""
    return digest_of(
        {"made_from": made_from, "files": {name: sha256(data).hexdigest() for name, data in files.items()}}
    )


def table_report(table: Table, found: Statistics) -> dict[str, bytes]:
    """Return every file of the report by its path in a folder; `found` are the statistics of the table's rows."""
    shown = Shown(
        digest=table_digest(table, found), sheets=table_sheets(table, found), figures=illustrate_numbers(found)
    )
    studies = csv_text([row.model_dump(include=set(table.columns)) for row in table.rows])
    files = _files(found, shown, studies) | {"answer.txt": f"{answer_text(found.answer).text()}\n".encode()}
    html = page("table.html.j2", table_content(table, found, shown, file_hashes(files)))
    return files | {PAGE: html.encode()}


def _operating_points(plan: Plan, analysis: Analysis, evidence: Evidence) -> OperatingAnalysis | None:
    """Analyse the counts at every threshold; None where no prediction has probabilities."""
    return operating_analysis(
        evidence.operating,
        analysis.rows,
        analysis.effects,
        lesions_by_model(plan, evidence),
        {run.run_id: {entry.study for entry in run.train} for run in plan.runs},
        analysis.unit,
        plan.spec.undefined,
    )


def _sentences(evidence: Evidence, points: OperatingAnalysis | None) -> dict[str, str]:
    """Return the first sentence of each section that has one."""
    found = {"operating": survival(points.findings)} if points else {}
    if evidence.histories:
        found["training"] = training.recorded(len(evidence.histories), len(evidence.weights))
    return found


def _key(name: str, place: Mapping[str, str]) -> str:
    if name == PAGE:
        return keys.REPORT.build(**place)
    folder, file = name.split("/")
    pattern, field = _KEYS[folder]
    return pattern.build(**place, **{field: file})


def _files(found: Statistics, shown: Shown, studies: str) -> dict[str, bytes]:
    """Return tables for programs and for people, and figures, by their path relative to the page."""
    read = {name: sheet for section, own in shown.sheets.items() if section not in _LONG for name, sheet in own.items()}
    tables: Mapping[str, str] = {
        "summary.csv": summary_csv(found.summaries),
        "performance.csv": performance_csv(found.tables),
        "effects.csv": effects_csv(found.effects),
        "learning-curves.csv": learning_csv(found.supplementary.learning),
        "studies.csv": studies,
        **files_of(read),
    }
    figures = {name: data for figure in shown.figures for name, data in figure.files.items()}
    return {
        **{f"tables/{name}": text.encode() for name, text in tables.items()},
        **{f"figures/{name}": data for name, data in figures.items()},
    }
