"""Every test of every trained network in; one linear mixed model of arm and training size out. Ours, not the paper's.

The paper's tests take the test studies of a model for independent. They are not: a patient is tested under every
model, and all studies of a fold are tested by one network, whose training set other networks share; and one patient
may gain from an arm what another loses. So patients, patients by arm, training sets, networks and sites are random
effects here (crossed); the arm, the training size (per doubling) and their interaction are fixed.

The networks of different folds are taken for independent draws here. In a rotation they are not: see `overlap`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from lesionlab.analysis.methods.intervals import Array, Covers, t_limit
from lesionlab.analysis.methods.likelihood import Design, design_of
from lesionlab.analysis.methods.random_effects import indicators_of
from lesionlab.analysis.methods.reml import Fit, fit_design

NO_VARIANCE = "fewer than two different values: no variance to explain"


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
    subsets: tuple[int, ...] = ()
    """Numbers of the subsets of studies that the network trained on; empty where they are not known."""


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
    covers: Covers = Covers.THESE_NETWORKS
    """What the interval of the arm's term is an interval for."""


@dataclass(frozen=True)
class Frame:
    """All of a model but the values."""

    terms: tuple[str, ...]
    """The fixed effects, the mean first."""
    effects: tuple[str, ...]
    """The random effects; keys of NAMES."""
    design: Design
    degrees: int
    note: str
    covers: Covers

    def fit(self, values_N: Array, guess: Mapping[str, float] | None = None) -> MixedModel:
        """The model of these values. `guess`: SDs by random effect, and `residual`, near which the search begins."""
        if np.ptp(values_N) < 1e-9:
            return MixedModel((), {}, len(values_N), note=NO_VARIANCE)
        try:
            fitted = fit_design(self.design, values_N, ratios(self.effects, guess))
        except np.linalg.LinAlgError:
            why = "the values leave nothing to chance: no variance to test against"
            return MixedModel((), {}, len(values_N), note=why)
        errors_F = np.sqrt(np.diag(fitted.covariance_FF))
        terms = tuple(
            _term(name, float(estimate), float(error), self.degrees)
            for name, estimate, error in zip(self.terms, fitted.estimates_F, errors_F, strict=True)
            if name != "mean"
        )
        return MixedModel(terms, sds(self.effects, fitted), len(values_N), self.degrees, self.note, self.covers)


def fit_mixed(observations: Sequence[Observation]) -> MixedModel:
    """Value ~ arm × log2(training size) + patient + patient × arm + training set + network + site, by REML.

    The arm's effect is the one at the mean log2 size. With one size, or one arm, the terms that need two are left out.
    Random effects that the data cannot tell apart are left out and named in the note. Never raises for lack of data.

    The degrees of freedom are conservative where the networks of different folds are independent, and only there; see
    `overlap`.
    """
    return fitted(observations, frame(observations) if len(observations) > 1 else NO_VARIANCE)


def frame(observations: Sequence[Observation]) -> Frame | str:
    """The model of these observations without their values; where there is none, why."""
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed = fixed_effects(table)
    if fixed.shape[1] < 2:
        return "one arm at one training size: nothing to compare"
    indicators, omitted = indicators_of(table, fixed.to_numpy())
    if not indicators:
        return "no patient, training set, network or site with repeated values: use the plain tests"
    note = f"not as random effects, since these data cannot tell them: {', '.join(omitted)}" if omitted else ""
    of_training = {"training_set", "network"} & set(indicators)
    if not of_training:
        note += "; the limits hold for these very networks"
    # Arms are compared within training sets and patients, sizes between training sets, and a straight line over the
    # sizes takes two of them.
    counts = [table["patient"].nunique(), *([table["training_set"].nunique()] if of_training else [])]
    degrees = max(1, min(counts) - 1 - int(table["training_size"].nunique() > 1))
    covers = Covers.INDEPENDENT_NETWORKS if of_training else Covers.THESE_NETWORKS
    return framed_by(fixed, indicators, degrees, note, covers)


def fitted(observations: Sequence[Observation], framed: Frame | str) -> MixedModel:
    if isinstance(framed, str):
        return MixedModel((), {}, len(observations), note=framed)
    return framed.fit(np.array([observation.value for observation in observations]))


def framed_by(
    fixed: pd.DataFrame, indicators: Mapping[str, Array], degrees: int, note: str, covers: Covers
) -> Frame | str:
    try:
        design = design_of(fixed.to_numpy(), list(indicators.values()))
    except np.linalg.LinAlgError:
        return "fewer values than the model has fixed effects"
    return Frame(tuple(fixed.columns), tuple(indicators), design, degrees, note, covers)


def sds(effects: Sequence[str], fitted: Fit) -> dict[str, float]:
    return dict(zip(effects, fitted.sd_K.tolist(), strict=True)) | {"residual": fitted.residual_sd}


def ratios(effects: Sequence[str], sd: Mapping[str, float] | None) -> list[float] | None:
    return None if sd is None else [sd.get(name, 0.0) / sd["residual"] for name in effects]


def fixed_effects(table: pd.DataFrame) -> pd.DataFrame:
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
