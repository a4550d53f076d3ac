"""Compute every number of an analysis: tables, tests, supplementary analyses and the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lesionlab.analysis.statistics.answer import Answer, answer
from lesionlab.analysis.statistics.comparisons import Unit, compare
from lesionlab.analysis.statistics.conditions import conditions, places
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.endpoints import Endpoints, judge_endpoints
from lesionlab.analysis.statistics.further import Further, further
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.summary import Summary, summarise
from lesionlab.analysis.statistics.supplementary import Options, Supplementary, supplementary_analyses
from lesionlab.analysis.statistics.tables import PerformanceTable, performance_tables
from storage_schemas.runs import Cell


@dataclass(frozen=True)
class Statistics:
    """All numbers and outcomes, before anything is drawn or written."""

    summaries: tuple[Summary, ...]
    effects: tuple[Effect, ...]
    supplementary: Supplementary
    endpoints: Endpoints
    tables: tuple[PerformanceTable, ...]
    unit: Unit
    answer: Answer
    further: Further


def statistics(
    rows: Sequence[Row], planned: Sequence[Cell | Row], unit: Unit, options: Options, simulated: bool = False
) -> Statistics:
    """Compute them; for an external table its own rows are what was planned."""
    wanted = places(planned)
    summaries = summarise(rows, conditions(planned), options.undefined)
    effects = compare(rows, planned, unit, options.undefined)
    ours = supplementary_analyses(rows, planned, effects, options)
    judged = judge_endpoints(rows, planned, options)
    tables = performance_tables(summaries, effects, unit)
    return Statistics(
        summaries=summaries,
        effects=effects,
        supplementary=ours,
        endpoints=judged,
        tables=tables,
        unit=unit,
        answer=answer(tables, ours, judged, len(wanted - places(rows)), len(wanted), simulated),
        further=further(rows, planned, options.undefined, options.margin),
    )
