"""A plan and the store in; the finished analysis out: report.html, tables (CSV) and figures (SVG, PNG) in the store.

The report is made from the store alone and holds no time of day, so that the same results give the same bytes. Cells
that have no results yet do not stop it: they are counted and named wherever they matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.answer import Answer, answer
from lesionlab.analysis.beside import Beside, Options, beside
from lesionlab.analysis.comparisons import compare
from lesionlab.analysis.conditions import conditions
from lesionlab.analysis.design import describe, provenance
from lesionlab.analysis.illustrations import illustrate
from lesionlab.analysis.page import PageFigure, page
from lesionlab.analysis.summary import Summary, summarise
from lesionlab.analysis.tables import (
    METRIC_TITLES,
    PerformanceTable,
    as_text,
    effects_csv,
    key_of,
    performance_csv,
    performance_tables,
    studies_csv,
    summary_csv,
)
from lesionlab.store.documents import read_document
from lesionlab.store.objects import Store
from lesionlab.store.tables import read_rows
from storage_schemas import keys
from storage_schemas.base import Digest, digest_of
from storage_schemas.manifests import Manifest
from storage_schemas.results import EffectRow, StudyRow
from storage_schemas.runs import Cell
from storage_schemas.studies import Plan
from storage_schemas.tasks import TASKS


@dataclass(frozen=True)
class ReportResult:
    """Where the report lies, and what it says in short."""

    digest: Digest
    key: str
    answer: str
    table_text: str


@dataclass(frozen=True)
class Analysis:
    """The numbers of one plan, before anything is drawn or written."""

    rows: tuple[StudyRow, ...]
    """In the order of the plan's runs, then by position."""
    planned: tuple[Cell, ...]
    missing: tuple[Cell, ...]
    summaries: tuple[Summary, ...]
    effects: tuple[EffectRow, ...]
    beside: Beside
    tables: tuple[PerformanceTable, ...]
    key: tuple[str, ...]
    answer: Answer


def write_report(store: Store, plan: Plan) -> ReportResult:
    """Analyse what the store holds of this plan and write the report. Raises StoreError where it cannot be read."""
    analysis = analyse(store, plan)
    digest = analysis_digest(plan, analysis.rows)
    figures = illustrate(store, plan, analysis.rows, analysis.tables)
    for name, text in _csv_files(analysis).items():
        store.put(keys.REPORT_TABLE.build(study_name=plan.spec.name, digest=digest, table=name), text.encode())
    for figure in figures:
        for suffix, data in (("svg", figure.svg), ("png", figure.png)):
            name = f"{figure.name}.{suffix}"
            store.put(keys.REPORT_FIGURE.build(study_name=plan.spec.name, digest=digest, figure=name), data)
    key = keys.REPORT.build(study_name=plan.spec.name, digest=digest)
    store.put(key, _page(store, plan, analysis, digest, [figure.in_page for figure in figures]).encode())
    return ReportResult(digest, key, analysis.answer.text(), as_text(analysis.tables, analysis.key))


def analyse(store: Store, plan: Plan) -> Analysis:
    """Every number of the report, from the rows that the plan's runs have left so far."""
    runs = [run for run in plan.runs if run.cell is not None]
    parts = {run.run_id: keys.STUDY_ROWS.build(study_name=plan.spec.name, run_id=run.run_id) for run in runs}
    done = [run for run in runs if store.exists(parts[run.run_id])]
    rows = [
        row
        for run in done
        for row in sorted(read_rows(store, [parts[run.run_id]], StudyRow), key=lambda row: row.position)
    ]
    planned = tuple(run.cell for run in runs if run.cell)
    missing = tuple(run.cell for run in runs if run.cell and run not in done)
    undefined = plan.spec.undefined
    summaries = summarise(rows, conditions(planned), undefined)
    effects = compare(rows, planned, plan.spec.unit_of_analysis, undefined)
    ours = beside(rows, planned, effects, Options(undefined, plan.spec.goal))
    tables = performance_tables(summaries, effects)
    return Analysis(
        rows=tuple(rows),
        planned=planned,
        missing=missing,
        summaries=summaries,
        effects=effects,
        beside=ours,
        tables=tables,
        key=key_of(effects, plan.spec.unit_of_analysis),
        answer=answer(tables, ours, len(missing), len(planned), _simulated(plan)),
    )


def analysis_digest(plan: Plan, rows: Sequence[StudyRow]) -> Digest:
    """Digest of the plan and of all results; seconds spent are left out, so that equal runs give one report."""
    contents = sorted(row.model_copy(update={"inference_s": 0.0}).canonical_json() for row in rows)
    return digest_of({"plan": plan.digest(), "rows": contents})


def _csv_files(analysis: Analysis) -> dict[str, str]:
    return {
        "summary.csv": summary_csv(analysis.summaries),
        "performance.csv": performance_csv(analysis.tables),
        "effects.csv": effects_csv(analysis.effects),
        "studies.csv": studies_csv(analysis.rows),
    }


def _page(store: Store, plan: Plan, analysis: Analysis, digest: Digest, figures: Sequence[PageFigure]) -> str:
    spec = plan.spec
    manifest = read_document(store, keys.MANIFEST.build(cohort=spec.target.cohort, digest=plan.manifest), Manifest)
    return page(
        {
            "spec": spec,
            "digest": digest,
            "task_title": TASKS[spec.task].title,
            "simulated": _simulated(plan),
            "planned": len(analysis.planned),
            "missing": analysis.missing,
            "answer": analysis.answer,
            "tables": analysis.tables,
            "metric_titles": METRIC_TITLES,
            "key": analysis.key,
            "figures": figures,
            "effects": analysis.effects,
            "rows": analysis.rows,
            "design": describe(plan, manifest, analysis.effects),
            "excluded": manifest.excluded,
            "provenance": provenance(plan, digest),
        }
    )


def _simulated(plan: Plan) -> bool:
    return plan.spec.cohorts[plan.spec.target.cohort].simulate is not None
