"""Fit one linear mixed model of arm and training size to all tests of all trained networks. Not in the paper.

The paper's tests treat the test studies of a model as independent. They are not: every patient is tested under every
model, all studies of a fold are tested by one network, whose training set other networks share, and one patient may
gain from an arm what another loses. So patients, patients by arm, training sets, networks and sites are random
effects here (crossed); the arm, the training size (per doubling) and their interaction are fixed.

This model treats the networks of different folds as independent. In a rotation they are not: see `overlap`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum, auto
from functools import lru_cache, wraps

import numpy as np
import pandas as pd
from scipy import stats

from lesionlab.analysis.methods.intervals import Array, Covers, t_limit
from lesionlab.analysis.methods.likelihood import Design, design_of
from lesionlab.analysis.methods.random_effects import Omitted, indicators_of
from lesionlab.analysis.methods.reml import Fit, fit_design


class NotFitted(Enum):
    """Why there is no model."""

    NO_VARIANCE = auto()
    """Fewer than two different values."""
    NO_RESIDUAL = auto()
    """The values leave nothing to chance: there is no variance to test against."""
    ONE_CONDITION = auto()
    """One arm at one training size."""
    NO_REPEATS = auto()
    """No patient, training set, network or site with repeated values."""
    TOO_FEW_VALUES = auto()
    """Fewer values than fixed effects."""
    SUBSETS_UNKNOWN = auto()
    """Which subsets each network trained on is not known."""
    ONE_ARM = auto()
    FEW_SUBSETS = auto()
    """Fewer than LEAST_CLUSTERS subsets were trained on."""
    NO_DISJOINT_SIZE = auto()
    """No training size at which no two folds share training studies."""


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


class FixedEffect(StrEnum):
    """What a term of the model estimates."""

    MEAN = auto()
    ARM = auto()
    """Fine-tuned minus de novo, at the mean training size (log2)."""
    DOUBLING = auto()
    """One doubling of the training size, averaged over the arms."""
    ARM_BY_DOUBLING = auto()
    """What fine-tuning adds to one doubling, minus what de novo training adds."""


@dataclass(frozen=True)
class Term:
    """One fixed effect with its interval (95 %) and two-tailed p, by Student's t."""

    effect: FixedEffect
    estimate: float
    low: float
    high: float
    p: float


@dataclass(frozen=True)
class MixedModel:
    """The fitted model; without terms if it could not be fitted (`not_fitted` says why)."""

    terms: tuple[Term, ...]
    sd: dict[str, float]
    """Standard deviation that each random effect adds, and `residual`; by its name."""
    n: int
    degrees: int = 0
    """Degrees of freedom of the terms."""
    not_fitted: NotFitted | None = None
    omitted: tuple[Omitted, ...] = ()
    """Random effects that these data cannot tell apart."""
    covers: Covers = Covers.THESE_NETWORKS
    """What the interval of the arm's term is an interval for."""


@dataclass(frozen=True)
class Frame:
    """A model without its values."""

    terms: tuple[FixedEffect, ...]
    """The mean first."""
    effects: tuple[str, ...]
    """The random effects, by name."""
    design: Design
    degrees: int
    omitted: tuple[Omitted, ...]
    covers: Covers

    def fit(self, values_N: Array, guess: Mapping[str, float] | None = None) -> MixedModel:
        """Fit the model to these values. `guess`: SDs by random effect, and `residual`, where the search begins."""
        if np.ptp(values_N) < 1e-9:
            return MixedModel((), {}, len(values_N), not_fitted=NotFitted.NO_VARIANCE)
        try:
            fitted = fit_design(self.design, values_N, ratios(self.effects, guess))
        except np.linalg.LinAlgError:
            return MixedModel((), {}, len(values_N), not_fitted=NotFitted.NO_RESIDUAL)
        errors_F = np.sqrt(np.diag(fitted.covariance_FF))
        terms = tuple(
            _term(effect, float(estimate), float(error), self.degrees)
            for effect, estimate, error in zip(self.terms, fitted.estimates_F, errors_F, strict=True)
            if effect != FixedEffect.MEAN
        )
        sd = sds(self.effects, fitted)
        return MixedModel(terms, sd, len(values_N), self.degrees, omitted=self.omitted, covers=self.covers)


def fitted_once(fit: Callable[[Sequence[Observation]], MixedModel]) -> Callable[[Sequence[Observation]], MixedModel]:
    """Fit equal observations once in a process: endpoints, tables and figures ask for the same models."""
    kept = lru_cache(maxsize=64)(fit)
    return wraps(fit)(lambda observations: kept(tuple(observations)))


@fitted_once
def fit_mixed(observations: Sequence[Observation]) -> MixedModel:
    """Value ~ arm × log2(training size) + patient + patient × arm + training set + network + site, by REML.

    The arm's effect is the one at the mean log2 size. With one size, or one arm, the terms that need two are left out.
    Random effects that the data cannot tell apart are left out and named in `omitted`. Never raises for lack of data.

    The degrees of freedom are conservative where the networks of different folds are independent, and only there; see
    `overlap`.
    """
    return fitted(observations, frame(observations) if len(observations) > 1 else NotFitted.NO_VARIANCE)


def frame(observations: Sequence[Observation]) -> Frame | NotFitted:
    """Set up the model of these observations without their values, or say why there is none."""
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed = fixed_effects(table)
    if fixed.shape[1] < 2:
        return NotFitted.ONE_CONDITION
    indicators, omitted = indicators_of(table, fixed.to_numpy())
    if not indicators:
        return NotFitted.NO_REPEATS
    of_training = {"training_set", "network"} & set(indicators)
    # Arms are compared within training sets and patients, sizes between training sets, and a straight line over the
    # sizes takes two of them.
    counts = [table["patient"].nunique(), *([table["training_set"].nunique()] if of_training else [])]
    degrees = max(1, min(counts) - 1 - int(table["training_size"].nunique() > 1))
    covers = Covers.INDEPENDENT_NETWORKS if of_training else Covers.THESE_NETWORKS
    return framed_by(fixed, indicators, degrees, omitted, covers)


def fitted(observations: Sequence[Observation], framed: Frame | NotFitted) -> MixedModel:
    if isinstance(framed, NotFitted):
        return MixedModel((), {}, len(observations), not_fitted=framed)
    return framed.fit(np.array([observation.value for observation in observations]))


def framed_by(
    fixed: pd.DataFrame, indicators: Mapping[str, Array], degrees: int, omitted: tuple[Omitted, ...], covers: Covers
) -> Frame | NotFitted:
    try:
        design = design_of(fixed.to_numpy(), list(indicators.values()))
    except np.linalg.LinAlgError:
        return NotFitted.TOO_FEW_VALUES
    return Frame(tuple(map(FixedEffect, fixed.columns)), tuple(indicators), design, degrees, omitted, covers)


def sds(effects: Sequence[str], fitted: Fit) -> dict[str, float]:
    return dict(zip(effects, fitted.sd_K.tolist(), strict=True)) | {"residual": fitted.residual_sd}


def ratios(effects: Sequence[str], sd: Mapping[str, float] | None) -> list[float] | None:
    return None if sd is None else [sd.get(name, 0.0) / sd["residual"] for name in effects]


def fixed_effects(table: pd.DataFrame) -> pd.DataFrame:
    doublings = np.log2(table["training_size"].to_numpy(dtype=float))
    doublings -= doublings.mean()
    fine_tuned = table["fine_tuned"].to_numpy(dtype=float)
    columns: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]] = {FixedEffect.MEAN: np.ones(len(table))}
    two_arms, two_sizes = np.ptp(fine_tuned) > 0, np.ptp(doublings) > 0
    if two_arms:
        columns[FixedEffect.ARM] = fine_tuned
    if two_sizes:
        columns[FixedEffect.DOUBLING] = doublings
    if two_arms and two_sizes:
        # Centred, so that the doubling's own term is its mean over the two arms.
        columns[FixedEffect.ARM_BY_DOUBLING] = (fine_tuned - 0.5) * doublings
    return pd.DataFrame(columns)


def _term(effect: FixedEffect, estimate: float, error: float, degrees: int) -> Term:
    reach = t_limit(degrees) * error
    return Term(
        effect, estimate, estimate - reach, estimate + reach, float(2 * stats.t.sf(abs(estimate) / error, degrees))
    )
