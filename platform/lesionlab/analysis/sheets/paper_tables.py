"""Lay performance tables out in the form of Tables 3 to 6, S1 and S2 of Wahlig et al. 2023."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lesionlab.analysis.sheets.sheet import Sheet, columns
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.tables import Measure, PColumn, PerformanceTable
from lesionlab.analysis.words import tables as words
from lesionlab.analysis.words.keys import column_title, key_of
from lesionlab.analysis.words.models import short_name, short_name_among, table_file
from lesionlab.analysis.words.numbers import fixed, mean_se_n, starred
from storage_schemas.axes import Arm
from storage_schemas.experiments import ExperimentSpec, Source
from storage_schemas.metrics import COLUMNS, METRICS, PRIMARY, Metric
from storage_schemas.tasks import Task

_NUMBERS = {
    "flair-single": "3",
    "flair-new": "5",
    "flair-new-pair": "5",
    "enhancing": "6",
    "enhancing-difference": "6",
}
_MAIN_DEPTH = 4
_ALTERNATE_DEPTHS = {3: "S1", 5: "S2"}
_TRANSFER_ARMS: tuple[Arm, ...] = ("default", "fine-tuned")


def number_in_paper(task: Task, depth: int, main_depth: int) -> str | None:
    """Return the number of the paper's table with these models: `3`; `S1`, `S2` for depths other than the main one.

    None: the paper has no table of this task.
    """
    supplementary = _ALTERNATE_DEPTHS if task.name == "flair-single" and main_depth == _MAIN_DEPTH else {}
    return supplementary.get(depth, _NUMBERS.get(task.name))


def paper_sheets(spec: ExperimentSpec, tables: Sequence[PerformanceTable]) -> dict[str, Sheet]:
    """Lay out every table of an experiment, by file name; with the paper's numbers if the task is one of the paper."""
    sheets = {}
    transfers = spec.target.design == "leave-one-patient-out" and len(spec.sources) > 1
    if transfers:
        printed = spec.task.name in _NUMBERS
        title = words.transfer_title(spec.task.title, printed=printed)
        sheets["table-4" if printed else "table-transfer"] = transfer_sheet(tables, spec.sources, title)
    for table in tables:
        name, title = _form(spec, table, transfers=transfers)
        sheets[table_file(name, table)] = paper_sheet(table, title)
    return sheets


def _form(spec: ExperimentSpec, table: PerformanceTable, *, transfers: bool) -> tuple[str, str]:
    """Return the file's name and the title of a table, by the table of the paper that has its form."""
    task, number = spec.task.title, number_in_paper(spec.task, _depth(table), spec.main_depth)
    if number is None:
        return "table-performance", words.performance_title(table, task)
    if transfers:
        return "table-4-tests", words.transfer_tests_title(table, task)
    return f"table-{number}", words.performance_title(table, task, number)


def paper_sheet(table: PerformanceTable, title: str) -> Sheet:
    """Lay out the paper's metrics of one table, with their key."""
    key = key_of(table, table.p_columns(words.PAPER_METRICS))
    return performance_sheet(table, words.PAPER_METRICS, title, key)


def own_sheets(tables: Sequence[PerformanceTable]) -> dict[str, Sheet]:
    """Lay out every other metric that has values in the same form; of these the paper has Dice, in its Table 4 only."""
    sheets = {}
    for metric in METRICS:
        if metric not in PRIMARY and any(line.measures[metric].summary.n for table in tables for line in table.lines):
            file, shown = f"ours-{metric.replace('_', '-')}", {metric: COLUMNS[metric].title}
            for table in tables:
                sheet = performance_sheet(table, shown, words.own_title(metric, table))
                numbers = tuple(_numbers(line.measures[metric]) for line in table.lines)
                sheets[table_file(file, table)] = replace(sheet, numbers=numbers)
    return sheets


def performance_sheet(
    table: PerformanceTable, metrics: Mapping[Metric, str], title: str, notes: Sequence[str] = ()
) -> Sheet:
    """Lay out one line per model: training size, method, and for each metric mean ± SE and the p values there are."""
    shown = table.p_columns(metrics)
    titles = [column_title(column, table) for column in shown]
    return Sheet(
        title,
        (
            *columns(*words.PERFORMANCE_COLUMNS),
            *(column for group in metrics.values() for column in columns(words.MEAN, *titles, group=group)),
        ),
        tuple(
            (*_model(line.condition, table), *(text for m in metrics for text in _texts(line.measures[m], shown)))
            for line in table.lines
        ),
        heads=2,
        notes=tuple(notes),
    )


def transfer_sheet(tables: Sequence[PerformanceTable], sources: Sequence[Source], title: str) -> Sheet:
    """Lay out Table 4: models of another experiment, as they are and after fine-tuning with leave-one-patient-out.

    `tables` has one table per source; the sheet has no SE and no p values, as in print.
    """
    by_source = {table.source: table for table in tables}
    rows = [
        (
            *(words.TRANSFER_BLOCKS[arm], words.source_name(source)),
            *(fixed(line.measures[metric].summary.mean, 2) for metric in words.TRANSFER_METRICS),
        )
        for arm in _TRANSFER_ARMS
        for source in sources
        for line in (by_source[source.model].lines if source.model in by_source else ())
        if line.condition.arm == arm
    ]
    return Sheet(
        title,
        columns(*words.TRANSFER_COLUMNS, *words.TRANSFER_METRICS.values()),
        tuple(rows),
        heads=2,
        notes=(words.TRANSFER_NOTE,),
    )


def _numbers(measure: Measure) -> dict[str, float | None]:
    """What `_texts` rounds; with one column of p values for all tests of fine-tuned versus de novo if there is one."""
    summary, between = measure.summary, list(measure.between_methods.values())
    tests = {"default": measure.against_default, "rater": measure.against_rater}
    tests |= {"method": between[0]} if len(between) == 1 else {}
    numbers: dict[str, float | None] = {"mean": summary.mean, "se": summary.se, "n": summary.n}
    return numbers | {f"p_{name}": test.p for name, test in tests.items() if test is not None}


def _depth(table: PerformanceTable) -> int:
    """Depth of the trained networks; all of a table share it."""
    return next((model.depth for model in table.models if model.trained), table.models[0].depth)


def _model(condition: Condition, table: PerformanceTable) -> tuple[str, str]:
    """The paper names untrained models in the first column, and trained ones by size and method."""
    if not condition.training_size:
        return short_name(condition), ""
    return str(condition.training_size), short_name_among(condition, table.models)


def _texts(measure: Measure, shown: Sequence[PColumn]) -> list[str]:
    return [mean_se_n(measure.summary), *(starred(column.test_of(measure)) for column in shown)]
