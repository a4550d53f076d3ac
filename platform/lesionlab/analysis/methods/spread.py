"""Estimate the SD of each random effect, and how well it is known, from all tests of all trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lesionlab.analysis.methods.intervals import Array
from lesionlab.analysis.methods.likelihood import design_of
from lesionlab.analysis.methods.mixed import Observation, ratios, sds
from lesionlab.analysis.methods.overlap import not_overlapping, overlapping_indicators
from lesionlab.analysis.methods.random_effects import indicators_of
from lesionlab.analysis.methods.reml import fit_design


@dataclass(frozen=True)
class Spread:
    """The SD of each random effect, and how well it is known."""

    sd: Mapping[str, float]
    """By random effect, and `residual`."""
    refitted: tuple[Mapping[str, float], ...]
    """The same, found again in tables that were drawn with `sd` (parametric bootstrap)."""


def spread(observations: Sequence[Observation], refits: int, rng: np.random.Generator) -> Spread | None:
    """Estimate the SD of each random effect of `fit_overlapping`, or of `fit_mixed` where the observations do not
    support that model; None if it cannot be estimated.

    Every arm and size has a mean of its own here, so that a curve that is no straight line over log2 N is not taken for
    the chance of training. No effect is left out for being small: an SD that is not shown to differ from 0 is not 0.
    """
    values_N = np.array([observation.value for observation in observations], dtype=np.float64)
    if len(values_N) < 2 or np.ptp(values_N) < 1e-9:
        return None
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed_NF = pd.get_dummies(table.groupby(["fine_tuned", "training_size"]).ngroup(), dtype=float).to_numpy()
    known = not_overlapping(observations) is None
    indicators, _ = overlapping_indicators(observations, table, fixed_NF) if known else indicators_of(table, fixed_NF)
    if not indicators:
        return None
    effects = tuple(indicators)
    try:
        design = design_of(fixed_NF, list(indicators.values()))
        sd = sds(effects, fit_design(design, values_N))
        drawn = (_draw(indicators, sd, rng) for _ in range(refits))
        refitted = tuple(sds(effects, fit_design(design, again_N, ratios(effects, sd))) for again_N in drawn)
    except np.linalg.LinAlgError:
        return None
    return Spread(sd, refitted)


def _draw(indicators: Mapping[str, Array], sd: Mapping[str, float], rng: np.random.Generator) -> Array:
    """Values without any fixed effect."""
    values_N = rng.normal(0, sd["residual"], len(next(iter(indicators.values()))))
    for name, matrix_NL in indicators.items():
        values_N += matrix_NL @ rng.normal(0, sd[name], matrix_NL.shape[1])
    return values_N
