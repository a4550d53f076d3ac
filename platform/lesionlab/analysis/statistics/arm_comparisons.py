"""Arm comparisons: fine-tuned and de novo over all training sizes of a stratum, and the values of both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.mixed import Observation
from lesionlab.analysis.methods.overlap import rotation_subsets
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition, Group, Stratum, value_of
from lesionlab.analysis.statistics.effects import Pair
from lesionlab.analysis.statistics.rows import Row
from lesionlab.experiments.splits import fold_subsets
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import Metric
from storage_schemas.splits import Target


@dataclass(frozen=True)
class ArmComparison:
    """One way of fine-tuning and one of training de novo in one stratum, at all sizes; one of the two may be absent."""

    stratum: Stratum
    fine_tuned: tuple[Condition, ...]
    de_novo: tuple[Condition, ...]

    @property
    def ways(self) -> tuple[Condition, ...]:
        """The ways of training that are there, fine-tuned first."""
        return tuple(arm[0].way for arm in (self.fine_tuned, self.de_novo) if arm)

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Of both arms."""
        return (*self.fine_tuned, *self.de_novo)

    @property
    def pairs(self) -> tuple[Pair, ...]:
        """Fine-tuned and de novo at each size that both were trained with, by size."""
        return tuple(pairs_of_methods(self.conditions))


def arm_comparisons(group: Group) -> tuple[ArmComparison, ...]:
    """Combine every way of fine-tuning with every way of training de novo; with one arm alone, list its ways."""
    fine_tuned, de_novo = (_by_model(group.trained, arm) for arm in ("fine-tuned", "de-novo"))
    if not fine_tuned or not de_novo:
        alone = [ArmComparison(group.stratum, ours, ()) for ours in fine_tuned]
        return (*alone, *(ArmComparison(group.stratum, (), ours) for ours in de_novo))
    return tuple(ArmComparison(group.stratum, ours, theirs) for ours in fine_tuned for theirs in de_novo)


def observations(
    by_condition: Mapping[Condition, Sequence[Row]],
    arm_comparison: ArmComparison,
    metric: Metric,
    undefined: Undefined,
    target: Target | None = None,
) -> list[Observation]:
    """Return every defined value of every network of the comparison, in an order independent of that of the rows.

    `target` says which subsets each fold trained on; without it (an external table) the rows may show a rotation.
    """
    rows = [row for condition in arm_comparison.conditions for row in by_condition.get(condition, ())]
    subsets_of = subsets_trained(rows, target)
    found = []
    for row in sorted(rows, key=lambda row: (row.training_size, row.arm, row.fold, row.seed, row.study)):
        value = value_of(row, metric, undefined)
        if value is not None:
            trained_on = f"{row.fold}-{row.training_size}"
            found.append(
                Observation(
                    value=value,
                    fine_tuned=row.arm == "fine-tuned",
                    training_size=row.training_size,
                    patient=row.patient,
                    training_set=trained_on,
                    network=f"{row.arm}-{trained_on}-{row.seed}",
                    site=row.site,
                    subsets=subsets_of.get((row.fold, row.training_size), ()),
                )
            )
    return found


def subsets_trained(rows: Sequence[Row], target: Target | None) -> dict[tuple[int, int], tuple[int, ...]]:
    """Return, by (fold, training size), the numbers of the subsets trained on; empty if they are not known."""
    if target is None:
        return rotation_subsets((row.fold, row.training_size, row.study) for row in rows)
    return {
        (fold, size): tuple(sorted(fold_subsets(target, size, fold).train))
        for fold, size in {(row.fold, row.training_size) for row in rows}
    }


def _by_model(trained: Sequence[Condition], arm: str) -> list[tuple[Condition, ...]]:
    """Group the conditions of an arm by way of training, each over its sizes."""
    ways = defaultdict(list)
    for condition in trained:
        if condition.arm == arm:
            ways[condition.way].append(condition)
    return [tuple(sorted(way, key=lambda condition: condition.training_size)) for way in ways.values()]
