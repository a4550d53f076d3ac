"""Draw predictions at every threshold with known properties: lesions and false positives with scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from storage_schemas.experiments import Plan
from storage_schemas.probabilities import THRESHOLDS
from storage_schemas.results import OperatingRow, StudyColumns, StudyRow
from storage_schemas.runs import RunSpec

Scores = tuple[np.ndarray, np.ndarray]
"""Of the reference lesions and of the candidates that are none."""


def draw(
    plan: Plan, scores_of: Callable[[RunSpec, str, np.random.Generator], Scores], at: float = 0.5
) -> tuple[list[OperatingRow], list[StudyRow]]:
    """Rows at all thresholds, and study rows at the models' own threshold, of scores that are drawn per study."""
    points, rows = [], []
    for run in plan.runs:
        if run.cell is None:
            continue
        for position, entry in enumerate(run.test, start=1):
            # A study's own difficulty, and the same lesions under every model.
            rng = np.random.default_rng([int(entry.study[4:]), 7])
            lesions, wrong = scores_of(run, entry.study, rng)
            columns = StudyColumns(
                **run.columns().model_dump(),
                study=entry.study,
                patient=entry.patient,
                site=entry.site,
                position=position,
                definition=run.metric.label(),
            )
            points += [_point(columns, threshold, lesions, wrong) for threshold in THRESHOLDS]
            rows.append(_row(columns, at, lesions, wrong))
    return points, rows


def _point(columns: StudyColumns, threshold: float, lesions: np.ndarray, wrong: np.ndarray) -> OperatingRow:
    later = THRESHOLDS[THRESHOLDS.index(threshold) + 1 :][:1] or (2.0,)
    every = np.concatenate([lesions, wrong])
    here = every[(every >= threshold) & (every < later[0])]
    found, spurious = int((lesions >= threshold).sum()), int((wrong >= threshold).sum())
    return OperatingRow(
        **columns.model_dump(),
        threshold=threshold,
        reference_lesions=len(lesions),
        predicted_lesions=found + spurious,
        true_positives=found,
        false_positives=spurious,
        voxels=10 * len(here),
        lesion_voxels=10 * int(((lesions >= threshold) & (lesions < later[0])).sum()),
        probability_sum=float(10 * here.sum()),
    )


def _row(columns: StudyColumns, at: float, lesions: np.ndarray, wrong: np.ndarray) -> StudyRow:
    found, spurious = int((lesions >= at).sum()), int((wrong >= at).sum())
    return StudyRow(
        **columns.model_dump(),
        reference_lesions=len(lesions),
        predicted_lesions=found + spurious,
        true_positives=found,
        false_positives=spurious,
        sensitivity=found / len(lesions),
        ppv=found / (found + spurious) if found + spurious else None,
        dice=0.5,
        reference_ml=1.0,
        predicted_ml=1.0,
        inference_s=1.0,
    )


def logistic(values: Sequence[float] | np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(values)))
