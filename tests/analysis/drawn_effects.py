"""Small experiments with crossed random effects, drawn from known SDs: fixed effects, random effects and values."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

from lesionlab.analysis.methods.mixed import Observation
from lesionlab.analysis.methods.null import UnderTest

Array = np.ndarray

SIZES = (10, 20, 40)
FOLDS, PER_FOLD = 6, 10


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


def drawn(
    rng: np.random.Generator,
    fine_tuned: float = 0.0,
    doubling: float = 0.0,
    patient_sd: float = 0.15,
    set_sd: float = 0.04,
    patient_fine_tuned_sd: float = 0.0,
    network_sd: float = 0.0,
    subset_fine_tuned_sd: float = 0.0,
    folds: int = FOLDS,
    sizes: tuple[int, ...] = SIZES,
) -> list[Observation]:
    """The paper's rotation: every patient under both arms at each size. `set_sd`, `network_sd`: what each training set
    and each network adds, whatever others add; `subset_fine_tuned_sd`: what each of its subsets adds to an arm's."""
    patients = rng.normal(0.5, patient_sd, folds * PER_FOLD)
    gains = rng.normal(0, patient_fine_tuned_sd, (folds * PER_FOLD, 2))
    taught = rng.normal(0, subset_fine_tuned_sd, (folds, 2)) if subset_fine_tuned_sd else np.zeros((folds, 2))
    observations = []
    for fold, size in product(range(folds), sizes):
        shared = rng.normal(0, set_sd)
        subsets = tuple((fold - 1 - back) % folds for back in range(size // PER_FOLD))
        luck = rng.normal(0, network_sd, 2) + taught[list(subsets)].mean(axis=0)
        for arm, place in product((False, True), range(PER_FOLD)):
            patient = fold * PER_FOLD + place
            own = patients[patient] + gains[patient, int(arm)] + luck[int(arm)]
            value = own + shared + fine_tuned * arm + doubling * np.log2(size / 20) + rng.normal(0, 0.08)
            trained = f"{fold}-{size}"
            site = f"s{patient % 4}"
            observations.append(
                Observation(value, arm, size, f"{patient:03d}", trained, f"{trained}-{arm}", site, subsets)
            )
    return observations


def rotation_under_test(
    sizes: tuple[int, ...] = (10, 30), seeds: tuple[int, ...] = (0,), visits: int = 1
) -> tuple[UnderTest, ...]:
    """The paper's: every study under both arms at each size, the default model on the first subset."""

    def test(arm: str, size: int, fold: int, place: int, seed: int) -> UnderTest:
        number = (fold - 1) * PER_FOLD + place
        trained = tuple((fold - 1 - back) % FOLDS + 1 for back in range(1, size // PER_FOLD + 1))
        return UnderTest(
            arm, size, fold, seed, f"s{number:02d}", f"p{number // visits:02d}", place, "north", subsets=trained
        )

    places = range(PER_FOLD)
    trained = product(("fine-tuned", "de-novo"), sizes, range(1, FOLDS + 1), places, seeds)
    return (*(test("default", 0, 1, place, 0) for place in places), *(test(*each) for each in trained))
