"""Find the best of models from elsewhere where no network was trained on the labelled studies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.effects import Effect
from lesionlab.analysis.statistics.summary import Summary
from lesionlab.analysis.statistics.tables import PerformanceTable
from storage_schemas.metrics import Metric


@dataclass(frozen=True)
class Best:
    """Of models from elsewhere alone, the one with the highest mean."""

    summary: Summary
    models: int
    """With a mean."""
    above: tuple[Condition, ...]
    """Those that it is significantly above, by paired t tests with Bonferroni's correction."""


def best_elsewhere(tables: Iterable[PerformanceTable], metric: Metric) -> Best | None:
    """The best of the models from elsewhere; None with fewer than two."""
    for table in tables:
        measured = [line.measures[metric] for line in table.lines if line.condition.arm == "other"]
        means = {one.summary.condition: one.summary.mean for one in measured if one.summary.mean is not None}
        if len(means) < 2:
            continue
        best = next(one.summary for one in measured if one.summary.mean == max(means.values()))
        tests = [test for one in measured for test in one.against_others.values() if test.significant]
        above = [_lower(test) for test in tests if test.pair and best.condition in test.pair]
        return Best(best, len(means), tuple(model for model in above if model not in (None, best.condition)))
    return None


def _lower(test: Effect) -> Condition | None:
    if test.pair is None or not test.difference:
        return None
    return test.pair.other if test.difference > 0 else test.pair.model
