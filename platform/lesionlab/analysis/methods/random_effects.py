"""Find the random effects that a table of observations can tell apart, as indicator matrices."""

# N observations, L levels, F fixed effects

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lesionlab.analysis.methods.likelihood import Array

GROUPINGS: tuple[tuple[str, ...], ...] = (
    ("patient",),
    ("patient", "fine_tuned"),
    ("training_set",),
    ("network",),
    ("site",),
)
"""Columns whose values together make a level."""


@dataclass(frozen=True)
class Omitted:
    """A random effect that these data cannot tell apart from the others, and its number of levels."""

    effect: str
    levels: int


LEAST_SPARE = 2
"""Levels that a random effect must have beyond what the fixed effects already explain, or its variance is unknown."""


def indicators_of(table: pd.DataFrame, fixed_NF: Array) -> tuple[dict[str, Array], tuple[Omitted, ...]]:
    """Make the 0/1 matrix of each random effect; those that these data cannot tell apart are returned beside them."""
    levels = {"_".join(columns): table.groupby(list(columns)).ngroup().to_numpy() for columns in GROUPINGS}
    if table["fine_tuned"].nunique() < 2:
        del levels["patient_fine_tuned"]
    used: list[str] = []
    for name, levels_N in levels.items():
        if _is_known(levels_N, fixed_NF, [levels[other] for other in used]):
            used.append(name)
    omitted = tuple(Omitted(name, len(set(levels[name]))) for name in levels if name not in used)
    return {name: pd.get_dummies(levels[name], dtype=float).to_numpy() for name in used}, omitted


def _is_known(levels_N: NDArray[np.integer], fixed_NF: Array, others_N: Sequence[NDArray[np.integer]]) -> bool:
    """Whether the values can tell what this grouping adds: several values to a level, more levels than the fixed
    effects explain, and another grouping than those before."""
    count = len(set(levels_N))
    if count == len(levels_N) or any(
        count == len(set(other_N)) == len(set(zip(levels_N, other_N, strict=True))) for other_N in others_N
    ):
        return False
    within_NF = fixed_NF - pd.DataFrame(fixed_NF).groupby(levels_N).transform("mean").to_numpy()
    between = fixed_NF.shape[1] - np.linalg.matrix_rank(within_NF, tol=1e-8)
    return bool(count - between >= LEAST_SPARE)
