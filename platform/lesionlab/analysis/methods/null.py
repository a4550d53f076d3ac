"""Estimate how often each method finds an effect that does not exist (type I error), in the design of an experiment.

A test at the 5 % level may be wrong in 5 % of experiments without an effect. It is wrong more often if it treats
dependent values as independent: the studies of a fold are tested by one network, and every study is tested by many.
Here the tests of an experiment are simulated many times without any effect of arm or size.

How much patients, networks and the rest add is itself an estimate, from few folds. So the rates are
estimated at these SDs and at SDs drawn from a parametric bootstrap; their interval includes both uncertainties.
"""

# R simulated experiments, N tests (rows), L labels

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, stats

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, Array, moves_of, origins_of, t_limit, unit_of
from lesionlab.analysis.methods.mixed import Frame, NotFitted, Observation, frame
from lesionlab.analysis.methods.overlap import memberships, overlapping_frame
from lesionlab.analysis.methods.student import ALPHA

REFIT_EVERY = 5
"""For so many simulated experiments there is one other set of SDs, and one experiment that is put to the mixed model:
a fit costs as much as the other methods of a thousand experiments."""

AGAIN = 2
"""Under each other set of SDs one in so many of the experiments is asked again."""

SURE = 0.999
"""Of the interval of a rate. Many rates are looked at, and an alarm should not be chance."""

LEAST_REPETITIONS = 100
"""Fewer raise no alarm: of 50 experiments, a method that is wrong in 5 % is wrong in 5 or more every tenth time."""


@dataclass(frozen=True)
class UnderTest:
    """One test of one study under one model; its value is simulated."""

    arm: Literal["fine-tuned", "de-novo", "default"]
    training_size: int
    fold: int
    seed: int
    study: str
    patient: str
    position: int
    site: str
    subsets: tuple[int, ...] = ()
    """Numbers of the subsets of studies that the network trained on."""

    @property
    def training_set(self) -> Hashable:
        """Networks that saw the same studies share it; a default model has its own."""
        return self.arm == "default" or (self.fold, self.training_size)

    @property
    def network(self) -> Hashable:
        """One training."""
        return "default" if self.arm == "default" else (self.arm, self.fold, self.training_size, self.seed)


@dataclass(frozen=True)
class NullDesign:
    """The design of an experiment without an effect."""

    tested: tuple[UnderTest, ...]
    sd: Mapping[str, float]
    """What each random effect adds, of the metric, as a mixed model finds it; what is absent adds nothing."""
    refitted: tuple[Mapping[str, float], ...] = ()
    """SDs that a mixed model finds in tables drawn with `sd`: how surely it is known (parametric bootstrap)."""
    models: int = 0
    """Trained models of the experiment, with those that have no value at all; the ANOVA wants values of each."""

    @cached_property
    def largest(self) -> int:
        """The largest training size that both arms have, 0 without one: the paper's tests are asked there."""
        fine_tuned, de_novo = (
            {t.training_size for t in self.tested if t.arm == arm} for arm in ("fine-tuned", "de-novo")
        )
        return max(fine_tuned & de_novo, default=0)


@dataclass(frozen=True)
class NullRate:
    """How often a method found an effect at the 5 % level although there is none."""

    method: str
    rate: float
    """At the SDs that were found; the mixed models': over all that may have been."""
    low: float
    high: float
    """Interval of the rate at SURE: holds that experiments are few, and that the SDs are estimates."""
    repetitions: int

    @property
    def alarming(self) -> bool:
        """Whether the method is shown to be wrong too often here."""
        return self.repetitions >= LEAST_REPETITIONS and self.low > ALPHA


@dataclass(frozen=True)
class _Wrong:
    """Number of these experiments that were significant."""

    found: int
    of: int


def null_rates(design: NullDesign, repetitions: int, rng: np.random.Generator) -> tuple[NullRate, ...]:
    """The type-I error of every method that the design allows for, without correction for several comparisons.

    Each is asked once a simulated experiment: at the largest training size, or, the ANOVA and the mixed models, over
    all. All SDs use the same draws, so that rates differ by the SDs alone.
    """
    units = _unit_draws(design, repetitions, rng)
    counted: dict[str, list[_Wrong]] = defaultdict(list)

    def ask(values_RN: Array) -> None:
        for name, wrong_R in found_by(design, values_RN).items():
            counted[name].append(_Wrong(int(wrong_R.sum()), len(wrong_R)))

    ask(_scaled(units, design.sd))
    few = {name: draws_RN[: -(-repetitions // AGAIN)] for name, draws_RN in units.items()}
    drawn: list[tuple[Mapping[str, float], Array]] = []
    for number, sd in enumerate(design.refitted):
        values_RN = _scaled(few, sd)
        ask(values_RN)
        drawn.append((sd, values_RN[number % len(values_RN)]))
    experiments = drawn or [(design.sd, values_N) for values_N in _scaled(units, design.sd)[::REFIT_EVERY]]
    for name, framed in _MODELS.items():
        by_model = _modelled(design, framed, experiments)
        if by_model is not None:
            counted[name].append(by_model)
    return tuple(_rate(name, by_sd) for name, by_sd in counted.items())


def refits_of(repetitions: int) -> int:
    """How many sets of SDs a null test with so many repetitions asks for."""
    return -(-repetitions // REFIT_EVERY)


def draw_null(design: NullDesign, repetitions: int, rng: np.random.Generator) -> Array:
    """Values (R, N) of experiments in which neither arm nor size matters."""
    return _scaled(_unit_draws(design, repetitions, rng), design.sd)


def _unit_draws(design: NullDesign, repetitions: int, rng: np.random.Generator) -> dict[str, Array]:
    """By effect what it adds to each value (R, N) where its SD is 1."""
    used = {name for sd in (design.sd, *design.refitted) for name, value in sd.items() if value}
    draws = {"residual": rng.normal(0, 1, (repetitions, len(design.tested)))}
    for name, label_of in _SHARED.items():
        if name in used:
            level_N, levels = _numbered([label_of(test) for test in design.tested])
            draws[name] = rng.normal(0, 1, (repetitions, levels))[:, level_N]
    if "subset_fine_tuned" in used:
        weights_NL = memberships([(test.arm, test.subsets) for test in design.tested])
        draws["subset_fine_tuned"] = rng.normal(0, 1, (repetitions, weights_NL.shape[1])) @ weights_NL.T
    return draws


def _scaled(units: Mapping[str, Array], sd: Mapping[str, float]) -> Array:
    values_RN = units["residual"] * sd["residual"]
    for name, draws_RN in units.items():
        if name != "residual" and sd.get(name):
            values_RN += draws_RN * sd[name]
    return values_RN


_SHARED: dict[str, Callable[[UnderTest], Hashable]] = {
    "patient": lambda test: test.patient,
    "patient_fine_tuned": lambda test: (test.patient, test.arm),
    "training_set": lambda test: test.training_set,
    "network": lambda test: test.network,
    "site": lambda test: test.site,
}


def _paired(design: NullDesign, values_RN: Array) -> NDArray[np.bool_] | None:
    _, differences_RL = _differences(design, values_RN)
    if differences_RL.shape[1] < 2:
        return None
    return np.asarray(stats.ttest_1samp(differences_RL, 0.0, axis=1).pvalue <= ALPHA)


def _interval(design: NullDesign, values_RN: Array) -> NDArray[np.bool_] | None:
    studies, differences_RL = _differences(design, values_RN)
    largest = [test for test in design.tested if test.training_size == design.largest and test.arm != "default"]
    origin_of = origins_of((test.study, test.fold, test.patient) for test in largest)
    origins = [origin_of[study] for study in studies]
    unit = unit_of(origins)
    cluster_L, clusters = _numbered([getattr(origin, unit) for origin in origins])
    if clusters < LEAST_CLUSTERS:
        return None
    mean_R, moves_RC = moves_of(differences_RL, cluster_L)
    return np.asarray(np.abs(mean_R) > t_limit(clusters - 1) * np.linalg.norm(moves_RC, axis=1))


def _unpaired(unit: Literal["position", "study"]) -> Callable[[NullDesign, Array], NDArray[np.bool_] | None]:
    def wrong(design: NullDesign, values_RN: Array) -> NDArray[np.bool_] | None:
        _, tuned_RL = _means(design, values_RN, unit, "fine-tuned", design.largest)
        _, default_RL = _means(design, values_RN, unit, "default", 0)
        if min(tuned_RL.shape[1], default_RL.shape[1]) < 2:
            return None
        return np.asarray(stats.ttest_ind(tuned_RL, default_RL, axis=1).pvalue <= ALPHA)

    return wrong


def _anova(design: NullDesign, values_RN: Array) -> NDArray[np.bool_] | None:
    """As student.repeated_measures, of all simulated experiments at once."""
    models = sorted({(test.arm, test.training_size) for test in design.tested if test.arm != "default"})
    by_model = [_means(design, values_RN, "study", *model) for model in models]
    everywhere = sorted(set.intersection(*(set(studies) for studies, _ in by_model)))
    if len(models) < max(2, design.models) or len(everywhere) < 2:
        return None
    values_MRS = [values_RL[:, [s.index(study) for study in everywhere]] for s, values_RL in by_model]
    model_RM = np.stack([values_RS.mean(axis=1) for values_RS in values_MRS], axis=1)
    study_RS = np.sum(values_MRS, axis=0) / len(models)
    # Sums of squares about the grand mean, which is taken out first: so little is lost in their differences.
    mean_R = model_RM.mean(axis=1)
    total_R = np.sum([((values_RS - mean_R[:, None]) ** 2).sum(axis=1) for values_RS in values_MRS], axis=0)
    of_models_R = len(everywhere) * ((model_RM - mean_R[:, None]) ** 2).sum(axis=1)
    of_studies_R = len(models) * ((study_RS - mean_R[:, None]) ** 2).sum(axis=1)
    between = len(models) - 1
    within = between * (len(everywhere) - 1)
    f_R = (of_models_R / between) / ((total_R - of_models_R - of_studies_R) / within)
    return np.asarray(stats.f.sf(f_R, between, within) <= ALPHA)


def _modelled(
    design: NullDesign,
    frame_of: Callable[[Sequence[Observation]], Frame | NotFitted],
    drawn: Sequence[tuple[Mapping[str, float], Array]],
) -> _Wrong | None:
    """A mixed model, asked in each of these experiments; the search begins at the SDs that it was drawn with."""
    trained = [place for place, test in enumerate(design.tested) if test.arm != "default"]
    framed = frame_of([_observation(design.tested[place]) for place in trained])
    if not isinstance(framed, Frame):
        return None
    fits = [framed.fit(values_N[trained], sd) for sd, values_N in drawn]
    return _Wrong(sum(bool(fit.terms) and fit.terms[0].p <= ALPHA for fit in fits), len(fits))


_METHODS: dict[str, Callable[[NullDesign, Array], NDArray[np.bool_] | None]] = {
    "paired t, fine-tuned against de novo": _paired,
    "95 % CI over folds of one training size, fine-tuned − de novo": _interval,
    "unpaired t against default, fold-averaged": _unpaired("position"),
    "unpaired t against default, per-study": _unpaired("study"),
    "repeated-measures ANOVA, all trained models": _anova,
}

MIXED_MODEL = "mixed model without training subset × arm, fine-tuned − de novo"
VERDICT_MODEL = "mixed model with training subset × arm, fine-tuned − de novo"
"""On which the verdict rests."""

_MODELS: dict[str, Callable[[Sequence[Observation]], Frame | NotFitted]] = {
    MIXED_MODEL: frame,
    VERDICT_MODEL: overlapping_frame,
}


def found_by(design: NullDesign, values_RN: Array) -> dict[str, NDArray[np.bool_]]:
    """By method in which of these experiments it finds an effect; methods that the design does not allow for, and the
    mixed models, are absent."""
    found = {name: wrong(design, values_RN) for name, wrong in _METHODS.items()}
    return {name: wrong_R for name, wrong_R in found.items() if wrong_R is not None}


def _differences(design: NullDesign, values_RN: Array) -> tuple[list[str], Array]:
    """By study, fine-tuned − de novo at the largest size."""
    (fine_tuned, tuned_RL), (de_novo, fresh_RL) = (
        _means(design, values_RN, "study", arm, design.largest) for arm in ("fine-tuned", "de-novo")
    )
    both = [study for study in fine_tuned if study in set(de_novo)]
    return both, tuned_RL[:, [fine_tuned.index(s) for s in both]] - fresh_RL[:, [de_novo.index(s) for s in both]]


def _means(
    design: NullDesign, values_RN: Array, unit: Literal["position", "study"], arm: str, training_size: int
) -> tuple[list[str], Array]:
    """The studies or positions that a model was tested on, and the means (R, L) of their tests."""
    label_N = [
        str(getattr(test, unit)) if (test.arm, test.training_size) == (arm, training_size) else None
        for test in design.tested
    ]
    kept = [place for place, label in enumerate(label_N) if label is not None]
    level_N, count = _numbered([label_N[place] for place in kept])
    if count == len(kept):
        return list(filter(None, label_N)), values_RN[:, kept]
    member_NL = (level_N[:, None] == np.arange(count)).astype(np.float64)
    return list(dict.fromkeys(filter(None, label_N))), values_RN[:, kept] @ (member_NL / member_NL.sum(axis=0))


def _numbered(labels: Sequence[Hashable | None]) -> tuple[NDArray[np.intp], int]:
    """Each label's number, from 0 in order of appearance, and how many there are."""
    number = {label: place for place, label in enumerate(dict.fromkeys(labels))}
    return np.array([number[label] for label in labels], dtype=np.intp), len(number)


def _observation(test: UnderTest) -> Observation:
    return Observation(
        value=0.0,
        fine_tuned=test.arm == "fine-tuned",
        training_size=test.training_size,
        patient=test.patient,
        training_set=str(test.training_set),
        network=str(test.network),
        site=test.site,
        subsets=test.subsets,
    )


def _rate(method: str, by_sd: Sequence[_Wrong]) -> NullRate:
    """The rate of the first, with the interval of all: one set of SDs drawn by chance, then Jeffreys' posterior."""
    found_B, of_B = np.array([one.found for one in by_sd]), np.array([one.of for one in by_sd])
    posterior = stats.beta(found_B + 0.5, of_B - found_B + 0.5)

    def limit(part: float) -> float:
        return float(optimize.brentq(lambda rate: np.mean(posterior.cdf(rate)) - part, 0.0, 1.0))

    first = by_sd[0]
    return NullRate(method, first.found / first.of, limit((1 - SURE) / 2), limit((1 + SURE) / 2), first.of)
