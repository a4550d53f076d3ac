"""Every test of every trained network in; one linear mixed model of arm and training size out. Ours, not the paper's.

The paper's tests take the test studies of a model for independent. They are not: a patient is tested under every
model, and all studies of a fold are tested by one network, whose training set other networks share; and one patient
may gain from an arm what another loses. So patients, patients by arm, training sets, networks and sites are random
effects here (crossed); the arm, the training size (per doubling) and their interaction are fixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from lesionlab.analysis.methods.intervals import Array, t_limit
from lesionlab.analysis.methods.reml import fit_reml

GROUPINGS: tuple[tuple[str, ...], ...] = (
    ("patient",),
    ("patient", "fine_tuned"),
    ("training_set",),
    ("network",),
    ("site",),
)
"""Columns whose values together make a level."""

NAMES = {
    "patient": "patient",
    "patient_fine_tuned": "patient × arm",
    "training_set": "training set",
    "network": "network",
    "site": "site",
    "residual": "residual",
}
"""How people call what each adds to the spread."""

_NO_VARIANCE = "fewer than two different values: no variance to explain"

SHOWN = float(stats.chi2.ppf(0.98, 1))
"""Twice the log likelihood that a random effect must be worth to be shown at 1 %: at its bound the ratio is 0 half of
the time (Self and Liang 1987)."""

LEAST_SPARE = 2
"""Levels that a random effect must have beyond what the fixed effects already explain, or its variance is unknown."""


@dataclass(frozen=True)
class Observation:
    """One tested study under one trained network."""

    value: float
    fine_tuned: bool
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
    """One fixed effect with its interval (95 %) and two-tailed p, by Student's t."""

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
    """Standard deviation that each random effect adds, and `residual`; by the keys of NAMES."""
    n: int
    degrees: int = 0
    """Degrees of freedom of the terms."""
    note: str = ""


@dataclass(frozen=True)
class Frame:
    """All of a model but the values."""

    fixed: pd.DataFrame
    indicators: dict[str, Array]
    """By random effect, values × levels."""
    degrees: int
    note: str

    def fit(self, values_N: Array, guess: Sequence[float] | None = None) -> MixedModel:
        """The model of these values. `guess`: as fit_reml's."""
        if np.ptp(values_N) < 1e-9:
            return MixedModel((), {}, len(values_N), note=_NO_VARIANCE)
        try:
            fitted = fit_reml(values_N, self.fixed.to_numpy(), list(self.indicators.values()), guess)
        except np.linalg.LinAlgError:
            why = "the values leave nothing to chance: no variance to test against"
            return MixedModel((), {}, len(values_N), note=why)
        errors_F = np.sqrt(np.diag(fitted.covariance_FF))
        terms = tuple(
            _term(name, float(estimate), float(error), self.degrees)
            for name, estimate, error in zip(self.fixed.columns, fitted.estimates_F, errors_F, strict=True)
            if name != "mean"
        )
        sd = {name: float(value) for name, value in zip(self.indicators, fitted.sd_K, strict=True)}
        return MixedModel(terms, sd | {"residual": fitted.residual_sd}, len(values_N), self.degrees, self.note)


def fit_mixed(observations: Sequence[Observation]) -> MixedModel:
    """Value ~ arm × log2(training size) + patient + patient × arm + training set + network + site, by REML.

    The arm's effect is the one at the mean log2 size. With one size, or one arm, the terms that need two are left out.
    Random effects that the data cannot tell apart are left out and named in the note. Never raises for lack of data.
    """
    if len(observations) < 2:
        return MixedModel((), {}, len(observations), note=_NO_VARIANCE)
    framed = frame(observations)
    if isinstance(framed, str):
        return MixedModel((), {}, len(observations), note=framed)
    return framed.fit(np.array([observation.value for observation in observations]))


def frame(observations: Sequence[Observation]) -> Frame | str:
    """The model of these observations without their values; where there is none, why."""
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed = _fixed_effects(table)
    if fixed.shape[1] < 2:
        return "one arm at one training size: nothing to compare"
    indicators, omitted = _indicators(table, fixed.to_numpy())
    if not indicators:
        return "no patient, training set, network or site with repeated values: use the plain tests"
    note = f"not as random effects, since these data cannot tell them: {', '.join(omitted)}" if omitted else ""
    of_training = {"training_set", "network"} & set(indicators)
    if not of_training:
        note += "; the limits hold for these very networks"
    # Conservative: arms are compared within training sets and patients, sizes between training sets, and a straight
    # line over the sizes takes two of them.
    counts = [table["patient"].nunique(), *([table["training_set"].nunique()] if of_training else [])]
    return Frame(fixed, indicators, max(1, min(counts) - 1 - int(table["training_size"].nunique() > 1)), note)


def shown_sd(observations: Sequence[Observation]) -> dict[str, float]:
    """SD by random effect, of those alone that are shown to add anything, and `residual`; empty where there is none.

    Every arm and size has a mean of its own here, so that a curve that is no straight line over log2 N is not taken for
    the chance of training. Effects are dropped one by one, the least needed first, by the restricted likelihood ratio
    at 1 % (SHOWN): an SD that is 0 is estimated as more than 0 half of the time.
    """
    values_N = np.array([observation.value for observation in observations], dtype=np.float64)
    if len(values_N) < 2 or np.ptp(values_N) < 1e-9:
        return {}
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed_NF = pd.get_dummies(table.groupby(["fine_tuned", "training_size"]).ngroup(), dtype=float).to_numpy()
    kept, _ = _indicators(table, fixed_NF)
    if not kept:
        return {}
    try:
        fitted = fit_reml(values_N, fixed_NF, list(kept.values()))
    except np.linalg.LinAlgError:
        return {}
    while len(kept) > 1:
        guess = dict(zip(kept, np.maximum(fitted.sd_K / fitted.residual_sd, 0.05).tolist(), strict=True))
        fewer = {}
        for name in kept:
            rest = [other for other in kept if other != name]
            fewer[name] = fit_reml(
                values_N, fixed_NF, [kept[other] for other in rest], [guess[other] for other in rest]
            )
        least = min(fewer, key=lambda name: fewer[name].deviance)
        if fewer[least].deviance - fitted.deviance > SHOWN:
            break
        fitted = fewer[least]
        del kept[least]
    return dict(zip(kept, fitted.sd_K.tolist(), strict=True)) | {"residual": fitted.residual_sd}


def _indicators(table: pd.DataFrame, fixed_NF: Array) -> tuple[dict[str, Array], list[str]]:
    """By random effect its 0/1 matrix; and in words those that these data cannot tell."""
    levels = {"_".join(columns): table.groupby(list(columns)).ngroup().to_numpy() for columns in GROUPINGS}
    if table["fine_tuned"].nunique() < 2:
        del levels["patient_fine_tuned"]
    used: list[str] = []
    for name, levels_N in levels.items():
        if _is_known(levels_N, fixed_NF, [levels[other] for other in used]):
            used.append(name)
    omitted = [f"{NAMES[name]} ({len(set(levels[name]))})" for name in levels if name not in used]
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


def _fixed_effects(table: pd.DataFrame) -> pd.DataFrame:
    doublings = np.log2(table["training_size"].to_numpy(dtype=float))
    doublings -= doublings.mean()
    fine_tuned = table["fine_tuned"].to_numpy(dtype=float)
    columns: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {"mean": np.ones(len(table))}
    two_arms, two_sizes = np.ptp(fine_tuned) > 0, np.ptp(doublings) > 0
    if two_arms:
        columns["fine-tuned − de novo"] = fine_tuned
    if two_sizes:
        columns["doubling of the training size"] = doublings
    if two_arms and two_sizes:
        # Centred, so that the doubling's own term is its mean over the two arms.
        columns["doubling, fine-tuned − de novo"] = (fine_tuned - 0.5) * doublings
    return pd.DataFrame(columns)


def _term(name: str, estimate: float, error: float, degrees: int) -> Term:
    reach = t_limit(degrees) * error
    return Term(
        name, estimate, estimate - reach, estimate + reach, float(2 * stats.t.sf(abs(estimate) / error, degrees))
    )
