"""Performance tables in; sheets in the form of Tables 3 to 6, S1 and S2 of Wahlig et al. 2023 out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from lesionlab.analysis.sheets.sheet import NONE, Sheet, columns
from lesionlab.analysis.statistics.conditions import Condition, Metric
from lesionlab.analysis.statistics.tables import Measure, PerformanceTable, key_of, mean_se, p_text, short_name
from storage_schemas.results import Arm, EffectRow
from storage_schemas.studies import Source, StudySpec
from storage_schemas.tasks import TASKS, TaskName

PAPER = "Wahlig et al. 2023"

PAPER_METRICS: dict[Metric, str] = {"sensitivity": "Lesionwise sensitivity", "ppv": "Lesionwise PPV"}
OWN_METRICS: dict[Metric, str] = {"dice": "Dice"}
TRANSFER_METRICS: dict[Metric, str] = {"dice": "Dice score", **PAPER_METRICS}

_NUMBERS: dict[TaskName, str] = {
    "flair-single": "3",
    "flair-new": "5",
    "flair-new-pair": "5",
    "enhancing": "6",
    "enhancing-difference": "6",
}
_ALTERNATE_DEPTHS = {3: "S1", 5: "S2"}


def number_in_paper(task: TaskName, depth: int) -> str:
    """Which table of the paper has these models: `3`, `S1`."""
    return _ALTERNATE_DEPTHS.get(depth, _NUMBERS[task]) if task == "flair-single" else _NUMBERS[task]


def paper_sheets(spec: StudySpec, tables: Sequence[PerformanceTable], effects: Sequence[EffectRow]) -> dict[str, Sheet]:
    """Every table of a study by file name, in the paper's form."""
    sheets = {}
    task = TASKS[spec.task].title
    transfers = spec.target.design == "leave-one-patient-out" and len(spec.sources) > 1
    if transfers:
        sheets["table-4"] = transfer_sheet(tables, spec.sources, f"Performance, {task}. Form: Table 4 of {PAPER}")
    for table in tables:
        own = [effect for effect in effects if effect.setting == table.setting]
        number = "4-tests" if transfers else number_in_paper(spec.task, _depth(table))
        form = f"Tests beside Table 4 of {PAPER}" if transfers else f"Form: Table {number} of {PAPER}"
        title = f"Performance, {task}{about(table)}. {form}"
        key = key_of(own, spec.unit_of_analysis)
        sheets[f"table-{number}{ending(table)}"] = performance_sheet(table, PAPER_METRICS, title, key)
    return sheets


def dice_sheets(tables: Sequence[PerformanceTable]) -> dict[str, Sheet]:
    """The same of Dice, which the paper has in its Table 4 alone."""
    return {
        f"ours-dice{ending(table)}": performance_sheet(table, OWN_METRICS, f"Dice{about(table)}") for table in tables
    }


def about(table: PerformanceTable) -> str:
    """What tells a table from the others of its study: `; default model glioma; depth 3`."""
    parts = ([f"default model {table.source}"] if table.source else []) + ([table.setting] if table.setting else [])
    return "".join(f"; {part}" for part in parts)


def ending(table: PerformanceTable) -> str:
    """What tells the files of one table from those of another: `-glioma-depth-3`."""
    parts = (part for part in (table.source, table.setting) if part)
    return "".join("-" + re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts)


def performance_sheet(
    table: PerformanceTable, metrics: Mapping[Metric, str], title: str, notes: Sequence[str] = ()
) -> Sheet:
    """A line a model: training size and method, and of each metric mean ± SE and the p values that the study has."""
    measures = [line.measures[metric] for line in table.lines for metric in metrics]
    compared = {name: of for name, of in _COMPARED.items() if any(of(measure) for measure in measures)}
    return Sheet(
        title,
        (
            *columns("Model", "Method"),
            *(column for group in metrics.values() for column in columns("mean ± SE", *compared, group=group)),
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


_Comparison = Callable[[Measure], EffectRow | None]
_COMPARED: dict[str, _Comparison] = {
    "p default": lambda measure: measure.against_default,
    "p Grader 2": lambda measure: measure.against_grader,
    "p method": lambda measure: measure.between_methods,
}

_BLOCKS: dict[Arm, str] = {
    "default": "None: tested as they are",
    "fine-tuned": "Leave one patient out: fine-tuned on the others",
}


def _depth(table: PerformanceTable) -> int:
    """Of the trained networks; all of a table share it."""
    models = [line.condition for line in table.lines]
    return next((model.depth for model in models if model.trained), models[0].depth)


def _model(condition: Condition, table: PerformanceTable) -> tuple[str, str]:
    """The paper names untrained models in the first column, and trained ones by size and method."""
    if not condition.trained:
        return short_name(condition), ""
    return str(condition.training_size), method_name(condition, [line.condition for line in table.lines])


def method_name(condition: Condition, among: Sequence[Condition]) -> str:
    """`FT`, `DN`; with learning rate and freezing where the table has several of a kind."""
    alike = [other for other in among if (other.arm, other.training_size) == (condition.arm, condition.training_size)]
    parts = [short_name(condition)]
    if len({other.learning_rate for other in alike}) > 1 and condition.learning_rate is not None:
        parts.append(f"{condition.learning_rate:g}")
    if len({other.freezing for other in alike}) > 1:
        parts.append(condition.freezing or "nothing frozen")
    return ", ".join(parts)


def _texts(measure: Measure, compared: Mapping[str, _Comparison]) -> list[str]:
    summary = measure.summary
    mean = mean_se(summary) + (f" (n = {summary.n})" if summary.undefined else "")
    return [mean, *(p_text(of(measure)) for of in compared.values())]


def _mean(measure: Measure) -> str:
    return NONE if measure.summary.mean is None else f"{measure.summary.mean:.2f}"
