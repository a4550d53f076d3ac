"""Compare models from elsewhere, which this platform did not train, with every other model: one Bonferroni family.

All of them are tested on the same studies, so the tests are paired by study.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from lesionlab.analysis.statistics.conditions import Condition
from lesionlab.analysis.statistics.effects import Pair


@dataclass(frozen=True)
class TrainedElsewhere:
    """A model from elsewhere, and what it was trained on as its user declares; None: not declared."""

    name: str
    declared: str | None


def from_elsewhere(models: Iterable[Condition]) -> tuple[Condition, ...]:
    """The models from elsewhere, each once."""
    return tuple(dict.fromkeys(model for model in models if model.arm == "other"))


def pairs_with_others(planned: Sequence[Condition]) -> list[Pair]:
    """Pair every model with every model from elsewhere, and those with each other; the one from elsewhere is second."""
    others = from_elsewhere(planned)
    ours = [Pair(model, other) for other in others for model in planned if model.arm != "other"]
    return ours + [Pair(one, other) for one, other in combinations(others, 2)]


def trained_elsewhere(models: Iterable[Condition], declared: Mapping[str, str]) -> tuple[TrainedElsewhere, ...]:
    """What is declared about each name."""
    names = dict.fromkeys(model.source or "" for model in from_elsewhere(models))
    return tuple(TrainedElsewhere(name, declared.get(name)) for name in names)
