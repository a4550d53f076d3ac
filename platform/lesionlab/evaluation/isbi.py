"""Compute the ISBI 2015 challenge score of a set of studies (Carass et al. 2017, NeuroImage 148:77).

Score = DSC/8 + PPV/8 + (1 − LFPR)/4 + LTPR/4 + Corr/4. DSC and PPV are voxelwise. LTPR is the fraction of reference
lesions detected, LFPR the fraction of predicted lesions that are false positives (18-connected components). Corr is
Pearson's correlation of reference and predicted volumes over the studies. The challenge also rescales scores so that
the less consistent of its two raters has 90; this is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, fmean
from typing import Protocol

_WITHOUT_CORRELATION = 3 / 4
"""The weights of the other parts add up to this."""


class ScoredStudy(Protocol):
    """A scored study: a Score or a StudyRow."""

    @property
    def dice(self) -> float | None: ...
    @property
    def sensitivity(self) -> float | None: ...
    @property
    def ppv(self) -> float | None: ...
    @property
    def reference_ml(self) -> float: ...
    @property
    def predicted_ml(self) -> float: ...


@dataclass(frozen=True)
class ChallengeScore:
    """The parts, each a mean over the studies where it is defined, and the score; None if a part is undefined."""

    dsc: float | None
    ppv: float | None
    """Voxelwise."""
    lfpr: float | None
    ltpr: float | None
    corr: float | None
    """None for fewer than two studies, or if all volumes are equal."""

    @property
    def score(self) -> float | None:
        """0 to 1; lower if Corr is negative."""
        rest = self.without_corr
        return None if rest is None or self.corr is None else rest * _WITHOUT_CORRELATION + self.corr / 4

    @property
    def without_corr(self) -> float | None:
        """The score of the other four parts with weights rescaled to sum to 1; defined for a single study."""
        if self.dsc is None or self.ppv is None or self.lfpr is None or self.ltpr is None:
            return None
        return (self.dsc / 8 + self.ppv / 8 + (1 - self.lfpr) / 4 + self.ltpr / 4) / _WITHOUT_CORRELATION


def challenge_score(studies: Sequence[ScoredStudy]) -> ChallengeScore:
    """The score over all studies."""
    lesionwise_ppv = _mean(studies, lambda study: study.ppv)
    return ChallengeScore(
        dsc=_mean(studies, lambda study: study.dice),
        ppv=_mean(studies, voxelwise_ppv),
        lfpr=None if lesionwise_ppv is None else 1 - lesionwise_ppv,
        ltpr=_mean(studies, lambda study: study.sensitivity),
        corr=_volume_correlation(studies),
    )


def voxelwise_ppv(study: ScoredStudy) -> float | None:
    """Fraction of the predicted volume that overlaps the reference; None if nothing was predicted.

    Computed from Dice and the two volumes; needs no masks.
    """
    if study.dice is None or not study.predicted_ml:
        return None
    return min(1.0, study.dice * (study.reference_ml + study.predicted_ml) / (2 * study.predicted_ml))


def _mean(studies: Iterable[ScoredStudy], part: Callable[[ScoredStudy], float | None]) -> float | None:
    defined = [value for study in studies if (value := part(study)) is not None]
    return fmean(defined) if defined else None


def _volume_correlation(studies: Sequence[ScoredStudy]) -> float | None:
    try:
        return correlation([study.reference_ml for study in studies], [study.predicted_ml for study in studies])
    except StatisticsError:
        return None
