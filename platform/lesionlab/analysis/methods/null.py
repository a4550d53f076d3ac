"""A design without any effect, drawn many times, in; how often each method finds one all the same, out.

A test at 5 % may be wrong in 5 % of studies where nothing is to be found. It is wrong more often where it takes values
for independent that are not: the studies of a fold are tested by one network, and every study is tested by many.
"""

# T studies tested (patients), M models (arm × size)

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from lesionlab.analysis.methods.mixed import Observation, fit_mixed
from lesionlab.analysis.methods.student import ALPHA, paired_t, repeated_measures, unpaired_t


@dataclass(frozen=True)
class NullDesign:
    """The paper's rotation without an effect; the SDs are of the metric, as a mixed model finds them."""

    subsets: int
    subset_size: int
    sizes: tuple[int, ...]
    patient_sd: float
    training_set_sd: float
    """Networks of both arms that saw the same studies share it."""
    network_sd: float
    """What one trained network adds to all studies that it tests."""
    residual_sd: float


@dataclass(frozen=True)
class NullRate:
    """How often a method found an effect at 5 % where there is none."""

    method: str
    rate: float
    low: float
    high: float
    """Limits of the rate at 95 % (Wilson)."""
    repetitions: int


def null_rates(design: NullDesign, repetitions: int, rng: np.random.Generator) -> tuple[NullRate, ...]:
    """The type-I error of every method of the report, without correction for several comparisons.

    Each of the paper's tests is asked once a repetition: at the largest training size, or, the ANOVA, over all models.
    """
    found: dict[str, int] = dict.fromkeys(_METHODS, 0)
    for _ in range(repetitions):
        values = draw_null(design, rng)
        for name, p_of in _METHODS.items():
            p = p_of(design, values)
            found[name] += p is not None and p <= ALPHA
    return tuple(_rate(name, count, repetitions) for name, count in found.items())


@dataclass(frozen=True)
class NullValues:
    """One draw: `tuned_TM`, `fresh_TM` by study and size; `default_T` of the studies of the first subset."""

    tuned_TM: NDArray[np.float64]
    fresh_TM: NDArray[np.float64]
    default_T: NDArray[np.float64]


def draw_null(design: NullDesign, rng: np.random.Generator) -> NullValues:
    """Values of a study in which neither arm nor size matters."""
    folds, sizes = design.subsets, len(design.sizes)
    fold_T = np.repeat(np.arange(folds), design.subset_size)
    patient_T1 = rng.normal(0, design.patient_sd, (len(fold_T), 1))
    shared_FM = rng.normal(0, design.training_set_sd, (folds, sizes))

    def arm() -> NDArray[np.float64]:
        network_FM = rng.normal(0, design.network_sd, (folds, sizes))
        noise_TM = rng.normal(0, design.residual_sd, (len(fold_T), sizes))
        return np.asarray(patient_T1 + (shared_FM + network_FM)[fold_T] + noise_TM)

    tuned_TM, fresh_TM = arm(), arm()
    first = slice(design.subset_size)
    noise_T = rng.normal(0, design.residual_sd, design.subset_size)
    default_T = patient_T1[first, 0] + rng.normal(0, np.hypot(design.network_sd, design.training_set_sd)) + noise_T
    return NullValues(tuned_TM, fresh_TM, default_T)


def _paired(design: NullDesign, values: NullValues) -> float | None:
    return paired_t(values.tuned_TM[:, -1].tolist(), values.fresh_TM[:, -1].tolist()).p


def _fold_averaged(design: NullDesign, values: NullValues) -> float | None:
    by_position = values.tuned_TM[:, -1].reshape(design.subsets, design.subset_size).mean(axis=0)
    return unpaired_t(by_position.tolist(), values.default_T.tolist()).p


def _per_study(design: NullDesign, values: NullValues) -> float | None:
    return unpaired_t(values.tuned_TM[:, -1].tolist(), values.default_T.tolist()).p


def _anova(design: NullDesign, values: NullValues) -> float | None:
    return repeated_measures(np.hstack([values.tuned_TM, values.fresh_TM])).p


def _mixed(design: NullDesign, values: NullValues) -> float | None:
    terms = fit_mixed(_observations(design, values)).terms
    return terms[0].p if terms else None


_METHODS: dict[str, Callable[[NullDesign, NullValues], float | None]] = {
    "paired t, fine-tuned against de novo": _paired,
    "unpaired t against default, fold-averaged": _fold_averaged,
    "unpaired t against default, per-study": _per_study,
    "repeated-measures ANOVA, all trained models": _anova,
    "mixed model, fine-tuned − de novo": _mixed,
}


def _observations(design: NullDesign, values: NullValues) -> Sequence[Observation]:
    arms = ((True, values.tuned_TM), (False, values.fresh_TM))
    studies = range(design.subsets * design.subset_size)
    return [
        Observation(
            value=float(values_TM[study, place]),
            tuned=tuned,
            training_size=size,
            patient=str(study),
            training_set=f"{study // design.subset_size}-{size}",
            network=f"{study // design.subset_size}-{size}-{tuned}",
            site="one",
        )
        for (tuned, values_TM), study, (place, size) in product(arms, studies, enumerate(design.sizes))
    ]


def _rate(method: str, found: int, repetitions: int) -> NullRate:
    limits = binomtest(found, repetitions).proportion_ci(method="wilson")
    return NullRate(method, found / repetitions, float(limits.low), float(limits.high), repetitions)
