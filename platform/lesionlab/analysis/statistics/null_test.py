"""Simulate an arm comparison without any effect: how often does each method find one?

The experiment's own tests are simulated (who was tested under which model, in which fold, with which seed, where the
metric is defined), without an effect of arm or size, and with all variances of the verdict's mixed model (of the one
without training subset × arm where the design does not support it): as they were found, and as they may have been
found (parametric bootstrap).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Literal, cast

import numpy as np

from lesionlab.analysis.methods.null import NullDesign, NullRate, UnderTest, null_rates, refits_of
from lesionlab.analysis.methods.spread import spread
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, observations, subsets_trained
from lesionlab.analysis.statistics.conditions import Condition, value_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import Metric
from storage_schemas.splits import Target


class NotRun(Enum):
    """Why a null test was not run."""

    ONE_ARM = auto()
    """It needs both arms, fine-tuned and de novo."""
    VARIANCES_UNKNOWN = auto()


@dataclass(frozen=True)
class NullTest:
    """How often each method finds an effect where there is none, in this very design."""

    comparison: ArmComparison
    metric: Metric
    design: NullDesign | None
    rates: tuple[NullRate, ...]
    not_run: NotRun | None = None
    """Why it was not run."""


def null_test(
    by_condition: Mapping[Condition, Sequence[Row]],
    arm_comparison: ArmComparison,
    metric: Metric,
    undefined: Undefined,
    repetitions: int,
    seed: int,
    target: Target | None = None,
) -> NullTest:
    """Run the null test of one arm comparison and metric; one that cannot be run says why.

    `target` as for `observations`.
    """
    about = arm_comparison, metric
    if not arm_comparison.fine_tuned or not arm_comparison.de_novo:
        return NullTest(*about, None, (), NotRun.ONE_ARM)
    source, depth = arm_comparison.fine_tuned[0].source, arm_comparison.fine_tuned[0].depth
    defaults = [c for c in by_condition if (c.arm, c.source, c.depth) == ("default", source, depth)]
    rows = [row for condition in (*arm_comparison.conditions, *defaults) for row in by_condition.get(condition, ())]
    subsets_of = subsets_trained([row for row in rows if row.arm != "default"], target)
    tested = {_tested(row, subsets_of) for row in rows if value_of(row, metric, undefined) is not None}
    rng = np.random.default_rng(seed)
    found = spread(observations(by_condition, arm_comparison, metric, undefined, target), refits_of(repetitions), rng)
    if found is None:
        return NullTest(*about, None, (), NotRun.VARIANCES_UNKNOWN)
    models = {(condition.arm, condition.training_size) for condition in arm_comparison.conditions}
    design = NullDesign(tuple(sorted(tested, key=str)), found.sd, found.refitted, len(models))
    return NullTest(*about, design, null_rates(design, repetitions, rng))


def _tested(row: Row, subsets_of: Mapping[tuple[int, int], tuple[int, ...]]) -> UnderTest:
    return UnderTest(
        arm=cast(Literal["fine-tuned", "de-novo", "default"], row.arm),
        training_size=row.training_size,
        fold=row.fold,
        seed=row.seed,
        study=row.study,
        patient=row.patient,
        position=row.position,
        site=row.site,
        subsets=() if row.arm == "default" else subsets_of.get((row.fold, row.training_size), ()),
    )
