"""Small experiments with crossed random effects, drawn from known SDs: fixed effects, random effects and values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Drawn:
    """One experiment: `effects` holds by random effect its matrix of values × levels."""

    fixed: Array
    effects: dict[str, Array]
    values: Array


def indicators(levels: Array) -> Array:
    """Values × levels, 0 or 1."""
    return (levels[:, None] == np.unique(levels)[None, :]).astype(float)


def rotation(
    rng: np.random.Generator, sd: dict[str, float], folds: int, per_fold: int, turns: tuple[int, ...], lost: float = 0
) -> Drawn:
    """Two arms trained on 1, 2, … (`turns`) subsets before the one that is tested; `lost` is the share of values
    that are undefined. An effect is in the design where `sd` has it, be it 0."""
    tests = np.array(list(product(range(folds), turns, (0, 1), range(per_fold))))
    fold, turn, arm, place = tests[rng.random(len(tests)) >= lost].T
    patient = fold * per_fold + place
    doublings = np.log2(turn) - np.log2(turn).mean()
    columns = [np.ones(len(fold)), arm, doublings, (arm - 0.5) * doublings]
    weights = np.zeros((len(fold), 2 * folds))
    for back in range(1, folds):
        trained = turn >= back
        weights[trained, (arm * folds + (fold - back) % folds)[trained]] = 1 / turn[trained]
    every = {
        "patient": indicators(patient),
        "patient_fine_tuned": indicators(2 * patient + arm),
        "training_set": indicators(100 * fold + turn),
        "network": indicators(1000 * fold + 10 * turn + arm),
        "site": indicators(patient % 3),
        "subset_fine_tuned": weights,
    }
    effects = {name: every[name] for name in every if name in sd}
    values = rng.normal(0, sd["residual"], len(fold))
    for name, matrix in effects.items():
        values = values + matrix @ rng.normal(0, sd[name], matrix.shape[1])
    return Drawn(np.column_stack(columns[: 4 if len(turns) > 1 else 2]), effects, values)
