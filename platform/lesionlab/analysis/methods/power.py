"""Compute which difference between the arms of a rotation the model of `overlap` can show, before anything is trained.

The test is the one of `fit_overlapping`: the arm's term divided by its standard error, against Student's t with as many
degrees of freedom as there are subsets, less 1. The true standard error is that of generalised least squares at given
SDs of the random effects. The test knows an estimate of it only: the expected REML information says how much the
estimate varies, and it is never below the standard error without subsets, since no variance is negative. That is why
the noncentral t alone promises too much where subsets matter little (80 % where simulated experiments show 66 %).

Several seeds need no design of their own: their means hold all that a balanced rotation says of the arms, and in means
over s seeds the variances of networks and residuals are 1/s of those of one seed.
"""

# N values, L levels of one random effect, F fixed effects, K random effects and, last, the residual
# D draws of the estimated squared standard error

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import product
from typing import Final

import numpy as np
import pandas as pd
from scipy import optimize, special, stats

from lesionlab.analysis.methods.intervals import Array, t_limit
from lesionlab.analysis.methods.mixed import FixedEffect, Frame, NotFitted, Observation, fixed_effects
from lesionlab.analysis.methods.overlap import memberships, overlapping_frame
from lesionlab.analysis.methods.random_effects import GROUPINGS

POWER: Final = 0.8

COUNTED: Final = ("patient_fine_tuned", "subset_fine_tuned", "network", "residual")
"""The random effects that make a difference between the arms uncertain. In a rotation both arms have the same patients,
training sets and sites, whose effects cancel."""

PER_SEED: Final = ("network", "residual")
"""What another seed draws anew."""

MOST_SEEDS: Final = 1000
"""More are not looked for."""

_SAME_AS: Final = {"subset_fine_tuned": "network", "patient_fine_tuned": "residual", "network": "residual"}
"""What takes the variance of an effect that a design cannot tell apart, as with one training size: there a network is
what its only subset is, and a patient under an arm has one value."""

_PER_PATIENT: Final = ("patient", "patient_fine_tuned", "residual")
"""What each patient of a fold has of their own."""

_DRAWS: Final = 2000


@dataclass(frozen=True)
class Rotation:
    """A rotation with one study per patient: both arms at each training size in each fold, with each seed.

    Fold f tests subset f and trains on the subsets before it.
    """

    subsets: int
    subset_size: int
    training_sizes: tuple[int, ...]
    folds: tuple[int, ...]
    """Those that are run."""

    @property
    def patients(self) -> int:
        """Number of patients who are tested."""
        return len(self.folds) * self.subset_size

    def observations(self) -> list[Observation]:
        """What is tested with one seed; the values are 0."""
        return [
            Observation(
                value=0.0,
                fine_tuned=fine_tuned,
                training_size=size,
                patient=f"{fold}-{place}",
                training_set=f"{fold}-{size}",
                network=f"{fine_tuned}-{fold}-{size}",
                site="",
                subsets=tuple((fold - 2 - back) % self.subsets + 1 for back in range(size // self.subset_size)),
            )
            for fine_tuned, size, fold, place in product(
                (False, True), self.training_sizes, self.folds, range(self.subset_size)
            )
        ]

    def of_one_patient_per_fold(self) -> Rotation:
        """The same rotation of subsets of one patient."""
        return replace(self, subset_size=1, training_sizes=tuple(n // self.subset_size for n in self.training_sizes))


@dataclass(frozen=True)
class Precision:
    """How precisely a design estimates fine-tuned − de novo."""

    standard_error: float
    degrees: int
    """Of the test."""
    variance: Mapping[str, float]
    """By random effect, and `residual`, its part of the squared standard error."""
    estimate_degrees: float
    """A chi-square with so many degrees of freedom varies as much as the estimated squared standard error does."""
    least_share: float
    """What is left of the squared standard error without subsets: no estimate is below it."""
    estimated_D: Array = field(init=False, repr=False, compare=False)
    """Quantiles of the estimated standard error as a share of the true one."""

    def __post_init__(self) -> None:
        chance_D = stats.chi2.ppf((np.arange(_DRAWS) + 0.5) / _DRAWS, self.degrees) - self.degrees
        square_D = 1 + chance_D / np.sqrt(self.degrees * self.estimate_degrees)
        object.__setattr__(self, "estimated_D", np.sqrt(np.maximum(square_D, self.least_share)))

    def power(self, difference: float) -> float:
        """The probability that the test is significant at 5 % (two-tailed) if this is the true difference."""
        limit_D, distance = t_limit(self.degrees) * self.estimated_D, difference / self.standard_error
        return float(np.mean(special.ndtr(distance - limit_D) + special.ndtr(-distance - limit_D)))

    def smallest_difference(self, power: float = POWER) -> float:
        """The smallest true difference that the test shows with this power."""
        most = float(self.estimated_D[-1]) * t_limit(self.degrees) + 10
        errors = optimize.brentq(lambda errors: self.power(errors * self.standard_error) - power, 0.0, most)
        return float(errors * self.standard_error)


def precision(rotation: Rotation, sd: Mapping[str, float], seeds: int = 1) -> Precision | NotFitted:
    """How precisely this rotation estimates the arm's term, at these SDs by random effect (and `residual`, above 0).

    An effect without an SD adds nothing. Returns why there is no test of the arm where there is none.
    """
    layout = _layout(rotation)
    if isinstance(layout, NotFitted):
        return layout
    variance = _distinct(sd, tuple(layout.means), seeds)
    carrier = next(name for name in ("subset_fine_tuned", *_SAME_AS.values()) if name in variance)
    whole, rest = layout.at(variance), layout.at(variance | ({} if carrier == "residual" else {carrier: 0.0}))
    return Precision(
        standard_error=float(np.sqrt(whole.square)),
        degrees=layout.degrees,
        variance=whole.parts,
        estimate_degrees=2 * whole.square**2 / whole.square_variance,
        least_share=min(1.0, rest.square / whole.square),
    )


def seeds_needed(rotation: Rotation, sd: Mapping[str, float], difference: float) -> int | None:
    """The fewest seeds with which a true difference is shown with 80 % power; None if MOST_SEEDS do not suffice.

    Raises ValueError if the design has no test of the arm.
    """

    def shown(seeds: int) -> bool:
        found = precision(rotation, sd, seeds)
        if isinstance(found, NotFitted):
            raise ValueError(f"the rotation has no test of the arm: {found.name}")
        return found.power(difference) >= POWER

    enough = next((seeds for seeds in (1, 3, 10, 30, 100, MOST_SEEDS) if shown(seeds)), None)
    if enough is None:
        return None
    few = 0
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if shown(middle) else (middle, enough)
    return enough


@dataclass(frozen=True)
class _Moments:
    """At given variances: the squared standard error of the arm's term, its parts, and the variance of its estimate."""

    square: float
    parts: Mapping[str, float]
    square_variance: float


@dataclass(frozen=True)
class _Layout:
    """One seed of a rotation, split into the means of folds and the deviations of patients from them, which are
    independent: only means estimate the arm's term, and both tell the variances."""

    arm: int
    """Column of the arm's term."""
    fixed_NF: Array
    means: Mapping[str, Array]
    """By random effect that the design can tell apart, and `residual`, its matrix of values × levels."""
    deviations: Mapping[str, Array]
    """The same for one patient."""
    free_deviations: int
    degrees: int

    def at(self, variance: Mapping[str, float]) -> _Moments:
        """The moments at these variances, by random effect and `residual`."""
        inverse_NN = np.linalg.inv(_covariance(self.means, variance))
        pulled_NF = inverse_NN @ self.fixed_NF
        weights_NF = np.linalg.solve(self.fixed_NF.T @ pulled_NF, pulled_NF.T).T
        projected_NN: Array = np.asarray(inverse_NN - weights_NF @ pulled_NF.T, dtype=np.float64)
        information_KK = _information(self.means, self.means, projected_NN)
        alone: Array = np.linalg.inv(_covariance(self.deviations, variance)).astype(np.float64)
        information_KK += self.free_deviations * _information(self.means, self.deviations, alone)
        # How the squared standard error changes with the variances: the weights are those with the least.
        slope = {name: float(np.sum((weights_NF[:, self.arm] @ own) ** 2)) for name, own in self.means.items()}
        slope_K = np.array(list(slope.values()))
        parts = {name: slope[name] * variance[name] for name in slope}
        solved_K = np.linalg.lstsq(information_KK, slope_K, rcond=None)[0]
        return _Moments(sum(parts.values()), parts, float(slope_K @ solved_K))


def _covariance(levels: Mapping[str, Array], variance: Mapping[str, float]) -> Array:
    parts = [variance[name] * matrix_NL @ matrix_NL.T for name, matrix_NL in levels.items()]
    return np.asarray(np.sum(parts, axis=0))


def _information(names: Iterable[str], levels: Mapping[str, Array], projected_NN: Array) -> Array:
    """Expected REML information of the variances: trace(P Z_j Z_j' P Z_k Z_k') / 2."""
    given = [levels.get(name, np.zeros((len(projected_NN), 1))) for name in names]
    return np.array([[np.sum((own.T @ projected_NN @ other) ** 2) / 2 for other in given] for own in given])


@cache
def _layout(rotation: Rotation) -> _Layout | NotFitted:
    framed = overlapping_frame(rotation.observations())
    if not isinstance(framed, Frame):
        return framed
    size = rotation.subset_size
    # The one patient of a fold stands for the mean of all of them.
    observations = rotation.of_one_patient_per_fold().observations()
    table = pd.DataFrame([vars(observation) for observation in observations])
    fixed = fixed_effects(table)
    each = {
        "_".join(columns): pd.get_dummies(table.groupby(list(columns)).ngroup(), dtype=float).to_numpy()
        for columns in GROUPINGS
    }
    each["subset_fine_tuned"] = memberships([(one.fine_tuned, one.subsets) for one in observations])
    each["residual"] = np.eye(len(table))
    shared = {name: matrix / np.sqrt(size) if name in _PER_PATIENT else matrix for name, matrix in each.items()}
    known = (*framed.effects, "residual")
    of_one_N = (table["patient"] == table["patient"].iloc[0]).to_numpy()
    return _Layout(
        arm=list(fixed.columns).index(FixedEffect.ARM),
        fixed_NF=fixed.to_numpy(),
        means={name: shared[name] for name in known},
        deviations={name: each[name][of_one_N] for name in known if name in _PER_PATIENT},
        free_deviations=len(rotation.folds) * (size - 1),
        degrees=framed.degrees,
    )


def _distinct(sd: Mapping[str, float], effects: tuple[str, ...], seeds: int) -> dict[str, float]:
    """The variances of means over seeds, by the effects that the design can tell apart and `residual`."""
    variance = {name: sd.get(name, 0.0) ** 2 / (seeds if name in PER_SEED else 1) for name in (*COUNTED, *effects)}
    for name, other in _SAME_AS.items():
        if name not in effects:
            variance[other] += variance.pop(name)
    return variance
