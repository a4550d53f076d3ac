"""Group the values of a condition by the fold and patient that they come from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lesionlab.analysis.methods.intervals import Origin, origins_of
from lesionlab.analysis.statistics.conditions import Condition, values_by_study
from lesionlab.analysis.statistics.effects import Pair
from lesionlab.analysis.statistics.rows import Row, TestedRow
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import Metric


def study_origins(rows: Iterable[TestedRow]) -> dict[str, Origin]:
    """Return fold and patient of each study; no fold where these rows test it in several."""
    return origins_of((row.study, row.fold, row.patient) for row in rows)


def values_by_origin(
    rows: Sequence[Row],
    condition: Condition,
    metric: Metric,
    undefined: Undefined,
    origin_of: Mapping[str, Origin] | None = None,
) -> dict[Origin, list[float]]:
    """Group the defined values of one condition by origin; without `origin_of`, by the origins of these rows."""
    known = study_origins(rows) if origin_of is None else origin_of
    values = defaultdict(list)
    for study, value in values_by_study(rows, condition, metric, undefined).items():
        if value is not None:
            values[known[study]].append(value)
    return dict(values)


def differences_by_origin(
    rows: Sequence[Row],
    others: Sequence[Row],
    pair: Pair,
    metric: Metric,
    undefined: Undefined,
) -> dict[Origin, list[float]]:
    """Return first − second of every study with a value under both conditions of the pair, by origin."""
    first, second = (
        values_by_study(own, condition, metric, undefined) for own, condition in zip((rows, others), pair, strict=True)
    )
    origin_of = study_origins([*rows, *others])
    differences = defaultdict(list)
    for study, value in first.items():
        other = second.get(study)
        if value is not None and other is not None:
            differences[origin_of[study]].append(value - other)
    return dict(differences)
