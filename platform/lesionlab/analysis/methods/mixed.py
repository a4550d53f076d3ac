"""Every test of every trained network in; one linear mixed model of arm and training size out. Ours, not the paper's.

The paper's tests take the test studies of a model for independent. They are not: a patient is tested under every
model, and all studies of a fold are tested by one network, whose training set other networks share. So patients,
training sets, networks and sites are random effects here (crossed); the arm, the training size (per doubling) and
their interaction are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from lesionlab.analysis.methods.intervals import CONFIDENCE
from lesionlab.analysis.methods.reml import fit_reml

Grouping = Literal["patient", "training_set", "network", "site"]
GROUPINGS: tuple[Grouping, ...] = ("patient", "training_set", "network", "site")

LEAST_LEVELS = 3
"""With fewer levels of a random effect nothing can be said of how much they vary, so they are left out."""


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
    network: str
    """One training; all that it tests share what is its own."""
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
    """Value ~ arm × log2(training size) + patient + training set + network + site, by REML.

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
        return MixedModel(
            (), {}, n, "no patient, training set, network or site with repeated values: use the plain tests"
        )
    try:
        fitted = fit_reml(
            table["value"].to_numpy(dtype=float),
            design.to_numpy(),
            [pd.get_dummies(table[name], dtype=float).to_numpy() for name in used],
        )
    except np.linalg.LinAlgError:
        return MixedModel((), {}, n, "the values leave nothing to chance: no variance to test against")
    errors = np.sqrt(np.diag(fitted.covariance_FF))
    terms = tuple(
        _term(name, float(estimate), float(error))
        for name, estimate, error in zip(design.columns, fitted.estimates_F, errors, strict=True)
        if name != "mean"
    )
    sd = {name: float(value) for name, value in zip(used, fitted.sd_K, strict=True)}
    return MixedModel(terms, sd | {"residual": fitted.residual_sd}, n, "; ".join(notes))


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


def _term(name: str, estimate: float, error: float) -> Term:
    reach = float(stats.norm.ppf((1 + CONFIDENCE) / 2)) * error
    return Term(name, estimate, estimate - reach, estimate + reach, float(2 * stats.norm.sf(abs(estimate) / error)))
