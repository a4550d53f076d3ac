"""Performance tables in; sheets in the form of Tables 3 to 6, S1 and S2 of Wahlig et al. 2023 out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from lesionlab.analysis.sheets.key import Comparison, comparisons, key_of
from lesionlab.analysis.sheets.sheet import NONE, Sheet, columns
from lesionlab.analysis.statistics.conditions import Condition, Metric
from lesionlab.analysis.statistics.tables import Measure, PerformanceTable, mean_se, method_name, p_text, short_name
from storage_schemas.axes import Arm
from storage_schemas.experiments import ExperimentSpec, Source
from storage_schemas.tasks import Task

PAPER = "Wahlig et al. 2023"

PAPER_METRICS: dict[Metric, str] = {"sensitivity": "Lesionwise sensitivity", "ppv": "Lesionwise PPV"}
OWN_METRICS: dict[Metric, str] = {"dice": "Dice"}
TRANSFER_METRICS: dict[Metric, str] = {"dice": "Dice score", **PAPER_METRICS}

_NUMBERS = {
    "flair-single": "3",
    "flair-new": "5",
    "flair-new-pair": "5",
    "enhancing": "6",
    "enhancing-difference": "6",
}
_MAIN_DEPTH = 4
_ALTERNATE_DEPTHS = {3: "S1", 5: "S2"}


def number_in_paper(task: Task, depth: int, main_depth: int) -> str | None:
    """Which table of the paper has these models: `3`; `S1` and `S2` for depths beside the paper's main one.

    None: the paper has no table of this task.
    """
    supplementary = _ALTERNATE_DEPTHS if task.name == "flair-single" and main_depth == _MAIN_DEPTH else {}
    return supplementary.get(depth, _NUMBERS.get(task.name))


def paper_sheets(spec: ExperimentSpec, tables: Sequence[PerformanceTable]) -> dict[str, Sheet]:
    """Every table of a study by file name, in the paper's form; with its numbers where the task is one of the paper."""
    sheets = {}
    subject = f"Performance, {spec.task.title}"
    transfers = spec.target.design == "leave-one-patient-out" and len(spec.sources) > 1
    if transfers:
        printed = spec.task.name in _NUMBERS
        title = f"{subject}. Form: Table 4 of {PAPER}" if printed else subject
        sheets["table-4" if printed else "table-transfer"] = transfer_sheet(tables, spec.sources, title)
    for table in tables:
        name, form = _form(spec, table, transfers=transfers)
        key = key_of(table, comparisons(table, PAPER_METRICS))
        title = f"{subject}{about(table)}{form}"
        sheets[f"{name}{ending(table)}"] = performance_sheet(table, PAPER_METRICS, title, key)
    return sheets


def _form(spec: ExperimentSpec, table: PerformanceTable, *, transfers: bool) -> tuple[str, str]:
    """What the file of a table is called, and which table of the paper it looks like."""
    number = number_in_paper(spec.task, _depth(table), spec.main_depth)
    if number is None:
        return "table-performance", ""
    if transfers:
        return "table-4-tests", f". Tests beside Table 4 of {PAPER}"
    return f"table-{number}", f". Form: Table {number} of {PAPER}"


def dice_sheets(tables: Sequence[PerformanceTable]) -> dict[str, Sheet]:
    """The same of Dice, which the paper has in its Table 4 alone."""
    return {
        f"ours-dice{ending(table)}": performance_sheet(table, OWN_METRICS, f"Dice{about(table)}") for table in tables
    }


def about(table: PerformanceTable) -> str:
    """What tells a table from the others of its study: `; default model glioma; depth 3`."""
    parts = ([f"default model {table.source}"] if table.source else []) + ([table.stratum] if table.stratum else [])
    return "".join(f"; {part}" for part in parts)


def ending(table: PerformanceTable) -> str:
    """What tells the files of one table from those of another: `-glioma-depth-3`."""
    parts = (part for part in (table.source, table.stratum) if part)
    return "".join("-" + re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)


def performance_sheet(
    table: PerformanceTable, metrics: Mapping[Metric, str], title: str, notes: Sequence[str] = ()
) -> Sheet:
    """A line a model: training size and method, and of each metric mean ± SE and the p values that the study has."""
    compared = comparisons(table, metrics)
    titles = [one.title for one in compared]
    return Sheet(
        title,
        (
            *columns("Model", "Method"),
            *(column for group in metrics.values() for column in columns("mean ± SE", *titles, group=group)),
        ),
        tuple(
            (*_model(line.condition, table), *(text for m in metrics for text in _texts(line.measures[m], compared)))
            for line in table.lines
        ),
        heads=2,
        notes=tuple(notes),
    )


def transfer_sheet(tables: Sequence[PerformanceTable], sources: Sequence[Source], title: str) -> Sheet:
    """Table 4: models of another study, tested as they are and after fine-tuning with leave-one-patient-out.

    One table a source goes in; the sheet has no SE and no p values, as in print.
    """
    by_source = {table.source: table for table in tables}
    rows = [
        (block, source_name(source), *(_mean(line.measures[metric]) for metric in TRANSFER_METRICS))
        for arm, block in _BLOCKS.items()
        for source in sources
        for line in (by_source[source.model].lines if source.model in by_source else ())
        if line.condition.arm == arm
    ]
    return Sheet(
        title,
        columns("Target training", "Model", *TRANSFER_METRICS.values()),
        tuple(rows),
        heads=2,
        notes=("Means over the tested studies; a study whose value is undefined is left out.",),
    )


def source_name(source: Source) -> str:
    """`Fine-tuned 10` where it comes from another study, else the model's own name."""
    origin = source.trained_in
    if origin is None:
        return source.model
    arm = {"fine-tuned": "Fine-tuned", "de-novo": "De novo"}[origin.arm]
    return f"{arm} {origin.training_size}"


_BLOCKS: dict[Arm, str] = {
    "default": "None: tested as they are",
    "fine-tuned": "Leave one patient out: fine-tuned on the others",
}


def _depth(table: PerformanceTable) -> int:
    """Of the trained networks; all of a table share it."""
    return next((model.depth for model in table.models if model.trained), table.models[0].depth)


def _model(condition: Condition, table: PerformanceTable) -> tuple[str, str]:
    """The paper names untrained models in the first column, and trained ones by size and method."""
    if not condition.trained:
        return short_name(condition), ""
    return str(condition.training_size), method_name(condition, table.models)


def _texts(measure: Measure, compared: Sequence[Comparison]) -> list[str]:
    summary = measure.summary
    mean = mean_se(summary) + (f" (n = {summary.n})" if summary.undefined else "")
    return [mean, *(p_text(one.of(measure)) for one in compared)]


def _mean(measure: Measure) -> str:
    return NONE if measure.summary.mean is None else f"{measure.summary.mean:.2f}"
