"""The groups of a study in; who contends with whom over all training sizes, and their values, out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.mixed import Observation
from lesionlab.analysis.statistics.comparisons import pairs_of_methods
from lesionlab.analysis.statistics.conditions import Condition, Group, Metric, value_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.studies import Undefined


@dataclass(frozen=True)
class Contest:
    """One way of fine-tuning and one of training de novo in one setting, at all sizes; one of the two may be absent."""

    setting: str
    tuned: tuple[Condition, ...]
    fresh: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """`fine-tuned from glioma against de novo`, `de novo alone`."""
        models = [arm[0].model for arm in (self.tuned, self.fresh) if arm]
        return " against ".join(models) if len(models) > 1 else f"{models[0]} alone"

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """Of both arms."""
        return (*self.tuned, *self.fresh)

    @property
    def pairs(self) -> tuple[tuple[Condition, Condition], ...]:
        """Fine-tuned and de novo at each size that both were trained with, by size."""
        return tuple(pairs_of_methods(self.conditions))


def contests(group: Group) -> tuple[Contest, ...]:
    """Every way of fine-tuning with every way of training de novo; with one arm alone, each of its ways."""
    tuned, fresh = (_by_model(group.trained, arm) for arm in ("fine-tuned", "de-novo"))
    if not tuned or not fresh:
        alone = [Contest(group.setting, ours, ()) for ours in tuned]
        return (*alone, *(Contest(group.setting, (), ours) for ours in fresh))
    return tuple(Contest(group.setting, ours, theirs) for ours in tuned for theirs in fresh)


def observations(
    by_condition: Mapping[Condition, Sequence[Row]], contest: Contest, metric: Metric, undefined: Undefined
) -> list[Observation]:
    """Every defined value of every network of the contest, in an order that does not hang on that of the rows."""
    rows = [row for condition in contest.conditions for row in by_condition.get(condition, ())]
    found = []
    for row in sorted(rows, key=lambda row: (row.training_size, row.arm, row.fold, row.seed, row.study)):
        value = value_of(row, metric, undefined)
        if value is not None:
            trained_on = f"{row.fold}-{row.training_size}"
            found.append(
                Observation(
                    value=value,
                    tuned=row.arm == "fine-tuned",
                    training_size=row.training_size,
                    patient=row.patient,
                    training_set=trained_on,
                    network=f"{row.arm}-{trained_on}-{row.seed}",
                    site=row.site,
                )
            )
    return found


def _by_model(trained: Sequence[Condition], arm: str) -> list[tuple[Condition, ...]]:
    """The conditions of an arm, by its ways of training (source, learning rate, freezing); each over its sizes."""
    ways = defaultdict(list)
    for condition in trained:
        if condition.arm == arm:
            ways[condition.source, condition.learning_rate, condition.freezing].append(condition)
    return [tuple(sorted(way, key=lambda condition: condition.training_size)) for way in ways.values()]
