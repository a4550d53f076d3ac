"""One statistical comparison as a value: who against whom, on what, and what the test found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from lesionlab.analysis.methods.student import AnovaSize, Untestable
from lesionlab.analysis.statistics.conditions import Condition, Stratum
from lesionlab.analysis.statistics.summary import Summary
from storage_schemas.metrics import Metric

Method = Literal["rm-anova", "paired-t", "unpaired-t"]


class Pair(NamedTuple):
    """Two models that are compared. A difference is the first one's mean minus the second one's."""

    model: Condition
    other: Condition


@dataclass(frozen=True)
class Lost:
    """Studies tested under both models of a pair without a pair of values, by the model whose metric is undefined."""

    model: int
    other: int
    both: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.model + self.other + self.both


def lost_pairs(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> Lost:
    """Count them, from the values by study under both models."""
    lacking = [(first[study] is None, second[study] is None) for study in first.keys() & second.keys()]
    return Lost(lacking.count((True, False)), lacking.count((False, True)), lacking.count((True, True)))


@dataclass(frozen=True)
class PairedMeans:
    """Means of two models over the same studies: those with a value under both."""

    model: Summary
    other: Summary
    lost: Lost


@dataclass(frozen=True)
class MissingCells:
    """Planned cells of the compared models that have no results yet."""

    missing: int
    planned: int


@dataclass(frozen=True)
class Effect:
    """One comparison of the paper's protocol."""

    metric: Metric
    test: Method
    stratum: Stratum
    pair: Pair | None
    """None: the ANOVA over all trained models of the stratum."""
    n: int
    """Pairs, or subjects of the ANOVA, or values of the first group."""
    n_other: int | None
    """Values of the second group of an unpaired test."""
    undefined: int
    """Values or pairs for which the metric was undefined: left out, or counted as 0 where the experiment says so."""
    difference: float | None
    statistic: float | None
    p: float | None
    """None where the test cannot be computed; `untestable` says why."""
    untestable: Untestable | None = None
    anova: AnovaSize | None = None
    paired: PairedMeans | None = None
    """Of a paired test."""
    tested: int | None = None
    """Of the ANOVA: studies tested under every model; it leaves out those without a value under one of them."""
    missing: MissingCells | None = None
    """None where every planned cell has results."""
    p_bonferroni: float | None = None
    family: int = 1
    """m of the Bonferroni correction: planned comparisons of the same kind in one stratum and metric."""
    significant: bool = False
    p_holm: float | None = None
    """Adjusted after Holm over the same family; supplements the paper's Bonferroni."""
    p_welch: float | None = None
    """Of an unpaired test without pooled variances, not corrected; supplements the paper's pooled test."""

    @property
    def training_size(self) -> int | None:
        """Of the first model; None for the ANOVA."""
        return None if self.pair is None else self.pair.model.training_size

    @property
    def about(self) -> tuple[Metric, Method, Stratum, Pair | None]:
        """What is compared; equal for the same comparison of two analyses."""
        return self.metric, self.test, self.stratum, self.pair
