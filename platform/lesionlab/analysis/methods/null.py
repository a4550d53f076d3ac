"""Who was tested under which model, and how much chance adds, in; how often each method finds an effect that is not
there, out.

A test at 5 % may be wrong in 5 % of studies where nothing is to be found. It is wrong more often where it takes values
for independent that are not: the studies of a fold are tested by one network, and every study is tested by many. Here
the very tests of a study are drawn again and again without any effect of arm or size.
"""

# R simulated studies, N tests (rows), L labels

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lesionlab.analysis.methods.intervals import LEAST_CLUSTERS, Array, moves_of, origins_of, t_limit, unit_of
from lesionlab.analysis.methods.mixed import Frame, Observation, frame
from lesionlab.analysis.methods.student import ALPHA

MIXED_EVERY = 50
"""The mixed model is asked in one of so many simulated studies: it costs a thousand times what the others do."""

SURE = 0.999
"""Of the limits of a rate. Many rates are looked at, and an alarm should not be chance."""


@dataclass(frozen=True)
class UnderTest:
    """One test: one study under one model. Its value is left to chance."""

    arm: Literal["fine-tuned", "de-novo", "default"]
    training_size: int
    fold: int
    seed: int
    study: str
    patient: str
    position: int
    site: str

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
    """A study without an effect."""

    tested: tuple[UnderTest, ...]
    sd: Mapping[str, float]
    """What each random effect adds, of the metric, as a mixed model finds it; what is absent adds nothing."""

    @cached_property
    def largest(self) -> int:
        """The largest training size that both arms have, 0 without one: the paper's tests are asked there."""
        fine_tuned, de_novo = (
            {t.training_size for t in self.tested if t.arm == arm} for arm in ("fine-tuned", "de-novo")
        )
        return max(fine_tuned & de_novo, default=0)


@dataclass(frozen=True)
class NullRate:
    """How often a method found an effect at 5 % where there is none."""

    method: str
    rate: float
    low: float
    high: float
    """Limits of the rate at SURE (Wilson)."""
    repetitions: int


def null_rates(design: NullDesign, repetitions: int, rng: np.random.Generator) -> tuple[NullRate, ...]:
    """The type-I error of every method that the design allows for, without correction for several comparisons.

    Each is asked once a simulated study: at the largest training size, or, the ANOVA and the mixed model, over all.
    """
    return rates_in(design, draw_null(design, repetitions, rng))


def rates_in(design: NullDesign, values_RN: Array) -> tuple[NullRate, ...]:
    """How often each method finds an effect in these studies; methods that the design does not allow for are absent."""
    found = {name: wrong(design, values_RN) for name, wrong in _METHODS.items()}
    return tuple(_rate(name, wrong_R) for name, wrong_R in found.items() if wrong_R is not None)


def draw_null(design: NullDesign, repetitions: int, rng: np.random.Generator) -> Array:
    """Values (R, N) of studies in which neither arm nor size matters."""
    values_RN = rng.normal(0, design.sd["residual"], (repetitions, len(design.tested)))
    for name, label_of in _SHARED.items():
        if design.sd.get(name):
            level_N, levels = _numbered([label_of(test) for test in design.tested])
            values_RN += rng.normal(0, design.sd[name], (repetitions, levels))[:, level_N]
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
    """As student.repeated_measures, of all simulated studies at once."""
    models = sorted({(test.arm, test.training_size) for test in design.tested if test.arm != "default"})
    by_model = [_means(design, values_RN, "study", *model) for model in models]
    everywhere = sorted(set.intersection(*(set(studies) for studies, _ in by_model)))
    if len(models) < 2 or len(everywhere) < 2:
        return None
    values_RSM = np.stack([v_RL[:, [s.index(study) for study in everywhere]] for s, v_RL in by_model], axis=2)
    model_RM, study_RS = values_RSM.mean(axis=1), values_RSM.mean(axis=2)
    mean_R = model_RM.mean(axis=1)
    residual_RSM = values_RSM - model_RM[:, None, :] - study_RS[:, :, None] + mean_R[:, None, None]
    between = len(models) - 1
    within = between * (len(everywhere) - 1)
    explained_R = len(everywhere) * ((model_RM - mean_R[:, None]) ** 2).sum(axis=1)
    f_R = (explained_R / between) / ((residual_RSM**2).sum(axis=(1, 2)) / within)
    return np.asarray(stats.f.sf(f_R, between, within) <= ALPHA)


def _mixed(design: NullDesign, values_RN: Array) -> NDArray[np.bool_] | None:
    trained = [place for place, test in enumerate(design.tested) if test.arm != "default"]
    framed = frame([_observation(design.tested[place]) for place in trained])
    if not isinstance(framed, Frame):
        return None
    guess = [max(design.sd.get(name, 0.0) / design.sd["residual"], 0.05) for name in framed.indicators]
    fits = [framed.fit(values_N[trained], guess) for values_N in values_RN[::MIXED_EVERY]]
    return np.array([bool(fit.terms) and fit.terms[0].p <= ALPHA for fit in fits])


_METHODS: dict[str, Callable[[NullDesign, Array], NDArray[np.bool_] | None]] = {
    "paired t, fine-tuned against de novo": _paired,
    "95 % interval of the difference, fine-tuned − de novo": _interval,
    "unpaired t against default, fold-averaged": _unpaired("position"),
    "unpaired t against default, per-study": _unpaired("study"),
    "repeated-measures ANOVA, all trained models": _anova,
    "mixed model, fine-tuned − de novo": _mixed,
}


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
        # A site adds the same under every model, as its patients do: left out, so that folds are solved apart.
        site="any",
    )


def _rate(method: str, wrong_R: NDArray[np.bool_]) -> NullRate:
    found, of = int(wrong_R.sum()), len(wrong_R)
    limits = stats.binomtest(found, of).proportion_ci(SURE, method="wilson")
    return NullRate(method, found / of, float(limits.low), float(limits.high), of)
