"""How models, strata and comparisons are called. The paper's labels (FT, DN, Default, Grader 2) are the paper's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lesionlab.analysis.statistics.arm_comparisons import ArmComparison
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.effects import Effect, Pair
from lesionlab.analysis.statistics.tables import PerformanceTable
from lesionlab.analysis.words.numbers import count_of
from storage_schemas.axes import AXES, Arm, axes_of
from storage_schemas.metrics import COLUMNS

RATER = "Grader 2"
METRICS = {metric: column.name for metric, column in COLUMNS.items()}
"""Inside a sentence."""

_CHOICES = axes_of("method", "method or stratum")
"""The axes that are the choice of an arm, unless they are strata; their phrases are declared with them."""

ARMS: dict[Arm, str] = {
    "default": "Default model",
    "rater": RATER,
    "de-novo": "De novo",
    "fine-tuned": "Fine-tuned",
    "other": "Model from elsewhere",
}
"""In a legend."""

_SHORT: dict[Arm, str] = {"default": "Default", "rater": RATER, "fine-tuned": "FT", "de-novo": "DN"}


def arm_name(arm: Arm, source: str | None) -> str:
    """`fine-tuned from glioma`, `default model glioma`, `de novo`."""
    if arm == "other":
        return str(source)
    return {
        "default": f"default model {source}" if source else "default model",
        "rater": RATER,
        "fine-tuned": f"fine-tuned from {source}" if source else "fine-tuned",
        "de-novo": "de novo",
    }[arm]


def model_name(condition: Condition) -> str:
    """Name a model without its size: `fine-tuned from glioma at learning rate 1e-05`."""
    chosen = ((axis, getattr(condition, name)) for name, axis in _CHOICES.items())
    named = (axis.joint + axis.words(value) for axis, value in chosen if value is not None)
    return arm_name(condition.arm, condition.source) + "".join(named)


def model_title(condition: Condition) -> str:
    """Name a model within its stratum: `fine-tuned from glioma, 10 studies`."""
    name = model_name(condition)
    return f"{name}, {count_of(condition.training_size, 'study')}" if condition.training_size else name


def short_name(condition: Condition) -> str:
    """As in the paper's tables: `Default`, `Grader 2`, `FT`, `DN`; a model from elsewhere has its own name."""
    return str(condition.source) if condition.arm == "other" else _SHORT[condition.arm]


def short_name_among(condition: Condition, among: Sequence[Condition]) -> str:
    """`FT`, `DN`; with what tells it from the others of its arm, if there are several."""
    return ", ".join([short_name(condition), *variant(condition, among)])


def variant(condition: Condition, among: Sequence[Condition]) -> tuple[str, ...]:
    """What tells a model from others of its arm: `("learning rate 1e-05", "nothing frozen")`; empty for an only one."""
    alike = [other for other in among if other.arm == condition.arm]
    return tuple(
        axis.words(getattr(condition, name))
        for name, axis in _CHOICES.items()
        if len({getattr(other, name) for other in alike}) > 1
    )


def stratum_name(stratum: Stratum) -> str:
    """`depth 3, 30 epochs`; empty where nothing varies."""
    return ", ".join(AXES[name].words(value) for name, value in stratum.axes)


def in_stratum(stratum: Stratum) -> str:
    """` (depth 3)`; empty where nothing varies."""
    return f" ({stratum_name(stratum)})" if stratum else ""


def comparison_name(comparison: ArmComparison) -> str:
    """`fine-tuned from glioma versus de novo`, `de novo alone`."""
    names = [model_name(way) for way in comparison.ways]
    return " versus ".join(names) if len(names) > 1 else f"{names[0]} alone"


def pair_name(pair: Pair) -> str:
    """`fine-tuned from glioma versus Grader 2`; the size and the stratum stand elsewhere."""
    return f"{model_name(pair.model)} versus {model_name(pair.other)}"


def effect_name(effect: Effect) -> str:
    """What one test compares, without size and stratum."""
    return "all trained models" if effect.pair is None else pair_name(effect.pair)


def about(table: PerformanceTable) -> str:
    """What tells a table from the others of its experiment: `; default model glioma; depth 3`."""
    parts = ([f"default model {table.source}"] if table.source else []) + [stratum_name(table.stratum)] * bool(
        table.stratum
    )
    return "".join(f"; {part}" for part in parts)


def file_name(*parts: str) -> str:
    """Join parts of a file's name: `learning-depth-3-fine-tuned-versus-de-novo`."""
    return "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") for part in parts if part)


def table_file(name: str, table: PerformanceTable) -> str:
    """The file's name of what belongs to one table: `table-3-glioma-depth-3`."""
    return file_name(name, table.source or "", stratum_name(table.stratum))
