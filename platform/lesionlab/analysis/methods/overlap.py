"""Estimate the difference between the arms of a rotation, with an interval that covers the choice of training studies.

In a rotation fold f trains on the k subsets before it, so folds share most of what they train on. The effect of a
shared subset on all their networks is missing from the spread between folds, so intervals that treat folds as
independent exclude the true difference far too often. Here each subset of training studies adds something of its own
to the networks of an arm, as a multi-membership random effect (Browne, Goldstein and Rasbash 2001): a network
that trained on k subsets has the mean of their k effects.
"""

# N observations, L levels: subset and arm

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain

import numpy as np
import pandas as pd

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, Array, Covers
from lesionlab.analysis.methods.mixed import (
    Frame,
    MixedModel,
    NotFitted,
    Observation,
    fitted,
    fitted_once,
    fixed_effects,
    framed_by,
)
from lesionlab.analysis.methods.random_effects import Omitted, indicators_of


@fitted_once
def fit_overlapping(observations: Sequence[Observation]) -> MixedModel:
    """As `fit_mixed`, and + training subset × arm, with as many degrees of freedom as there are subsets, less 1
    (fewer where some folds were not run).

    Its interval of the arm's term holds the choice of training studies although folds share them. In simulated
    rotations of 3, 4 and 6 folds it excluded 0 in 0 to 7 % of experiments without an effect, under independent
    networks and where subsets mattered alike (see test_type_one_error). It needs one training size at which no two
    folds share a subset, a rotation's smallest: without it the effects of subsets and of networks cannot be told apart
    (13 %), and there is no model, but a reason.
    """
    return fitted(observations, overlapping_frame(observations))


def overlapping_frame(observations: Sequence[Observation]) -> Frame | NotFitted:
    """As `frame`, of the model with training subset × arm."""
    why = not_overlapping(observations)
    if why is not None:
        return why
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed = fixed_effects(table)
    indicators, omitted = overlapping_indicators(observations, table, fixed.to_numpy())
    subsets = {subset for observation in observations for subset in observation.subsets}
    degrees = max(1, min(table["patient"].nunique(), len(subsets), _most_disjoint_sets(observations)) - 1)
    return framed_by(fixed, indicators, degrees, omitted, Covers.TRAINING_STUDIES)


def not_overlapping(observations: Sequence[Observation]) -> NotFitted | None:
    """Why these observations do not support training subset × arm; None if they do."""
    if 0 < _most_sets(observations) < LEAST_CLUSTERS:
        return NotFitted.FEW_SUBSETS
    if not observations or not all(observation.subsets for observation in observations):
        return NotFitted.SUBSETS_UNKNOWN
    if len({observation.fine_tuned for observation in observations}) < 2:
        return NotFitted.ONE_ARM
    if len({subset for observation in observations for subset in observation.subsets}) < LEAST_CLUSTERS:
        return NotFitted.FEW_SUBSETS
    return NotFitted.NO_DISJOINT_SIZE if _most_disjoint_sets(observations) < LEAST_CLUSTERS else None


def overlapping_indicators(
    observations: Sequence[Observation], table: pd.DataFrame, fixed_NF: Array
) -> tuple[dict[str, Array], tuple[Omitted, ...]]:
    """As `indicators_of`, and the weights of training subset × arm; `table` holds the observations."""
    indicators, omitted = indicators_of(table, fixed_NF)
    weights_NL = memberships([(observation.fine_tuned, observation.subsets) for observation in observations])
    alone = all(len(observation.subsets) == 1 for observation in observations)
    if not (alone and "network" in indicators and weights_NL.shape[1] == indicators["network"].shape[1]):
        # Else a network is what its subset is, in each arm: one effect, and it is there already.
        indicators["subset_fine_tuned"] = weights_NL
    return indicators, omitted


def rotation_subsets(tested: Iterable[tuple[int, int, str]]) -> dict[tuple[int, int], tuple[int, ...]]:
    """By (fold, training size) the numbers of the subsets that were trained on; of (fold, training size, study) of
    every test. Empty where the tests are not those of a rotation.

    In a rotation folds are numbered from 1, each tests one subset, and fold f trains on the k subsets before it (Wahlig
    et al. 2023, figure S3; as experiments.splits.fold_subsets). So every study is tested in one fold, and every
    training size is a whole number of subsets, all but one at most.
    """
    tests = set(tested)
    folds_of, studies_of = defaultdict(set), defaultdict(set)
    for fold, _, study in tests:
        folds_of[study].add(fold)
        studies_of[fold].add(study)
    folds = len(studies_of)
    subset_size = max(map(len, studies_of.values()), default=0)
    sizes = {size for _, size, _ in tests}
    if (
        folds < LEAST_CLUSTERS
        or set(studies_of) != set(range(1, folds + 1))
        or any(len(own) > 1 for own in folds_of.values())
        or any(size % subset_size or not subset_size <= size < folds * subset_size for size in sizes)
    ):
        return {}
    return {
        (fold, size): tuple(sorted((fold - 1 - back) % folds + 1 for back in range(1, size // subset_size + 1)))
        for fold, size in {(fold, size) for fold, size, _ in tests}
    }


def _most_sets(observations: Sequence[Observation]) -> int:
    """The greatest number of training sets at one training size."""
    sets: dict[int, set[str]] = defaultdict(set)
    for observation in observations:
        sets[observation.training_size].add(observation.training_set)
    return max(map(len, sets.values()), default=0)


def _most_disjoint_sets(observations: Sequence[Observation]) -> int:
    """The number of training sets at a training size at which no two share a subset, 0 without such a size."""
    trained: dict[int, dict[str, tuple[int, ...]]] = defaultdict(dict)
    for observation in observations:
        trained[observation.training_size][observation.training_set] = observation.subsets
    at_size = {size: list(chain.from_iterable(sets.values())) for size, sets in trained.items()}
    return max((len(trained[size]) for size, own in at_size.items() if len(own) == len(set(own))), default=0)


def memberships(trained: Sequence[tuple[Hashable, tuple[int, ...]]]) -> Array:
    """Of the arm and the subsets of each value's network: values × (arm, subset), 1 / k for each of its k subsets."""
    number = {
        pair: place for place, pair in enumerate(sorted({(arm, s) for arm, own in trained for s in own}, key=str))
    }
    weights_NL = np.zeros((len(trained), len(number)))
    for weights_L, (arm, subsets) in zip(weights_NL, trained, strict=True):
        weights_L[[number[arm, subset] for subset in subsets]] = 1 / max(len(subsets), 1)
    return weights_NL
