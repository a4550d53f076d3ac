"""Bias and limits of agreement of the predicted with the reference lesion volume, in ml, for every model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

from lesionlab.analysis.methods.intervals import Origin
from lesionlab.analysis.methods.limits_of_agreement import Agreement, limits_of_agreement
from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.origins import study_origins
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.results import StudyRow


@dataclass(frozen=True)
class VolumePair:
    """Both volumes of one study in ml; the predicted one is the mean over seeds."""

    study: str
    reference_ml: float
    predicted_ml: float


@dataclass(frozen=True)
class ModelVolumes:
    """The volumes of one model, and how well they agree."""

    condition: Condition
    pairs: tuple[VolumePair, ...]
    agreement: Agreement
    slope: float | None
    """Change of the difference per ml of mean volume (least squares); None if all means are equal. Far from 0, the
    difference depends on the volume, and limits that are constant do not describe it (Bland and Altman 1999)."""
    total_share: float | None
    """All predicted volume / all reference volume; None without reference volume."""


def model_volumes(rows: Mapping[Condition, Sequence[Row]], models: Sequence[Condition]) -> tuple[ModelVolumes, ...]:
    """Compute them for every model with volumes; none in external tables, which have no volumes."""
    found = []
    for condition in models:
        own = rows.get(condition, ())
        agreement = volume_agreement(own)
        if agreement is not None:
            pairs = tuple(_pairs(own))
            reference = sum(pair.reference_ml for pair in pairs)
            share = sum(pair.predicted_ml for pair in pairs) / reference if reference else None
            found.append(ModelVolumes(condition, pairs, agreement, _slope(pairs), share))
    return tuple(found)


def volume_agreement(rows: Sequence[Row]) -> Agreement | None:
    """Of one model's rows; a study counts once over its seeds. None without volumes, and below two patients."""
    origins = study_origins(rows)
    differences: dict[Origin, list[float]] = defaultdict(list)
    for pair in _pairs(rows):
        differences[origins[pair.study]].append(pair.predicted_ml - pair.reference_ml)
    return limits_of_agreement(differences)


def _slope(pairs: Sequence[VolumePair]) -> float | None:
    means = [(pair.predicted_ml + pair.reference_ml) / 2 for pair in pairs]
    if len(set(means)) < 2:
        return None
    return linear_regression(means, [pair.predicted_ml - pair.reference_ml for pair in pairs]).slope


def _pairs(rows: Sequence[Row]) -> list[VolumePair]:
    by_study: dict[str, list[StudyRow]] = defaultdict(list)
    for row in rows:
        if isinstance(row, StudyRow):
            by_study[row.study].append(row)
    return [
        VolumePair(study, own[0].reference_ml, fmean(row.predicted_ml for row in own))
        for study, own in sorted(by_study.items())
    ]
