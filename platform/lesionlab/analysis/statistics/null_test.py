"""One contest in; how often each method finds an effect where there is none, out.

The study's own tests are simulated (who was tested under which model, in which fold, with which seed, where the
metric is defined), without an effect of arm or size and with those variances that are shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np

from lesionlab.analysis.methods.mixed import shown_sd
from lesionlab.analysis.methods.null import NullDesign, NullRate, UnderTest, null_rates
from lesionlab.analysis.statistics.conditions import Condition, Metric, value_of
from lesionlab.analysis.statistics.contests import Contest, observations
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.studies import Undefined


@dataclass(frozen=True)
class NullTest:
    """How often each method finds an effect where there is none, in this very design."""

    setting: str
    metric: Metric
    comparison: str
    design: NullDesign | None
    rates: tuple[NullRate, ...]
    note: str = ""
    """Why it was not run; empty where it was."""


def null_test(
    by_condition: Mapping[Condition, Sequence[Row]],
    contest: Contest,
    metric: Metric,
    undefined: Undefined,
    repetitions: int,
    seed: int,
) -> NullTest:
    """The null test of one contest and metric; one that cannot be run says why."""
    about = contest.setting, metric, contest.name
    if not contest.tuned or not contest.fresh:
        return NullTest(*about, None, (), "null test not run: it asks for both arms, fine-tuned and de novo")
    source, depth = contest.tuned[0].source, contest.tuned[0].depth
    defaults = [c for c in by_condition if (c.arm, c.source, c.depth) == ("default", source, depth)]
    rows = [row for condition in (*contest.conditions, *defaults) for row in by_condition.get(condition, ())]
    tested = {_tested(row) for row in rows if value_of(row, metric, undefined) is not None}
    sd = shown_sd(observations(by_condition, contest, metric, undefined))
    if not sd:
        return NullTest(*about, None, (), "null test not run: the variances are not known")
    design = NullDesign(tuple(sorted(tested, key=str)), sd)
    return NullTest(*about, design, null_rates(design, repetitions, np.random.default_rng(seed)))


def _tested(row: Row) -> UnderTest:
    return UnderTest(
        arm=cast(Literal["fine-tuned", "de-novo", "default"], row.arm),
        training_size=row.training_size,
        fold=row.fold,
        seed=row.seed,
        study=row.study,
        patient=row.patient,
        position=row.position,
        site=row.site,
    )
