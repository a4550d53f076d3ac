"""Every test of every trained network in; one linear mixed model of arm and training size out. Ours, not the paper's.

The paper's tests take the test studies of a model for independent. They are not: a patient is tested under every
model, and the studies of a fold are tested by networks that saw the same training set. So patients, training sets and
sites are random effects here (crossed), and the arm, the training size (per doubling) and their interaction are fixed.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.mixed_linear_model import MixedLM, VCSpec
from statsmodels.tools.sm_exceptions import ConvergenceWarning

Grouping = Literal["patient", "training_set", "site"]
GROUPINGS: tuple[Grouping, ...] = ("patient", "training_set", "site")

LEAST_LEVELS = 3
"""With fewer patients, training sets or sites nothing can be said of how much they vary, so they are left out."""

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Observation:
    """One tested study under one trained network."""

    value: float
    tuned: bool
    """Fine-tuned; False: de novo."""
    training_size: int
    patient: str
    training_set: str
    """Networks that saw the same studies share it."""
    site: str


@dataclass(frozen=True)
class Term:
    """One fixed effect with its Wald interval (95 %) and two-tailed p."""

    name: str
    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class MixedModel:
    """What the model says; no terms where it cannot be fitted, and `note` says why."""

    terms: tuple[Term, ...]
    sd: dict[str, float]
    """Standard deviation that each random effect adds, and `residual`."""
    n: int
    note: str = ""


def fit_mixed(observations: Sequence[Observation]) -> MixedModel:
    """Value ~ arm × log2(training size) + patient + training set + site, by REML.

    The arm's effect is the one at the mean log2 size. With one size, or one arm, the terms that need two are left out.
    Random effects with fewer than three levels are left out and named in the note. Never raises for lack of data.
    """
    table = pd.DataFrame([vars(observation) for observation in observations])
    n = len(table)
    if n < 2 or np.ptp(table["value"].to_numpy()) < 1e-9:
        return MixedModel((), {}, n, "fewer than two different values: no variance to explain")
    design = _fixed_effects(table)
    if design.shape[1] < 2:
        return MixedModel((), {}, n, "one arm at one training size: nothing to compare")
    used = [name for name in GROUPINGS if table[name].nunique() >= LEAST_LEVELS and table[name].nunique() < n]
    omitted = [f"{name.replace('_', ' ')} ({table[name].nunique()})" for name in GROUPINGS if name not in used]
    notes = [f"not as random effects, for lack of levels or repeats: {', '.join(omitted)}"] if omitted else []
    if not used:
        return MixedModel((), {}, n, "no patient, training set or site with repeated values: use the plain tests")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            fitted = MixedLM(
                table["value"].to_numpy(),
                design.to_numpy(),
                groups=np.ones(n),
                exog_vc=_variance_components(table, used),
            ).fit(reml=True)
            errors = np.asarray(fitted.bse_fe, dtype=float)
        except (np.linalg.LinAlgError, ValueError) as error:
            return MixedModel((), {}, n, f"the model cannot be fitted to these values ({error})")
    if not fitted.converged or not np.isfinite(errors).all():
        return MixedModel((), {}, n, "the fit did not converge")
    if any(issubclass(warning.category, ConvergenceWarning) for warning in caught):
        notes.append("a random effect is estimated as (almost) zero")
    sd = {name: math.sqrt(max(float(variance), 0.0)) for name, variance in zip(used, fitted.vcomp, strict=True)}
    terms = tuple(
        _term(name, float(estimate), float(error))
        for name, estimate, error in zip(design.columns, fitted.fe_params, errors, strict=True)
        if name != "mean"
    )
    return MixedModel(terms, sd | {"residual": math.sqrt(float(fitted.scale))}, n, "; ".join(notes))


def _fixed_effects(table: pd.DataFrame) -> pd.DataFrame:
    doublings = np.log2(table["training_size"].to_numpy(dtype=float))
    doublings -= doublings.mean()
    tuned = table["tuned"].to_numpy(dtype=float)
    columns: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {"mean": np.ones(len(table))}
    two_arms, two_sizes = np.ptp(tuned) > 0, np.ptp(doublings) > 0
    if two_arms:
        columns["fine-tuned − de novo"] = tuned
    if two_sizes:
        columns["doubling of the training size"] = doublings
    if two_arms and two_sizes:
        # Centred, so that the doubling's own term is its mean over the two arms.
        columns["doubling, fine-tuned − de novo"] = (tuned - 0.5) * doublings
    return pd.DataFrame(columns)


def _variance_components(table: pd.DataFrame, used: Sequence[Grouping]) -> object:
    """One block of indicator columns for each crossed random effect."""
    matrices, names = [], []
    for name in used:
        indicators = pd.get_dummies(table[name], dtype=float)
        matrices.append([indicators.to_numpy()])
        names.append([list(map(str, indicators.columns))])
    return VCSpec(list(used), names, matrices)


def _term(name: str, estimate: float, error: float) -> Term:
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    return Term(name, estimate, estimate - reach, estimate + reach, float(2 * stats.norm.sf(abs(estimate) / error)))
