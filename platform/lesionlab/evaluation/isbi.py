"""Scored studies in; what the ISBI 2015 challenge makes of them (Carass et al. 2017, NeuroImage 148:77) out.

Score = DSC/8 + PPV/8 + (1 − LFPR)/4 + LTPR/4 + Corr/4. DSC and PPV are voxelwise; LTPR is the part of the reference
lesions that were found, LFPR the part of the predicted lesions that are spurious, of 18-connected lesions; Corr is
Pearson's correlation of reference and predicted volume over the studies. The challenge also scales its scores so that
the less consistent of its two raters has 90; that is not done here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation, fmean
from typing import Protocol

_WITHOUT_CORRELATION = 3 / 4
"""What the weights of the other parts add up to."""


class Judged(Protocol):
    """A study as it was scored: a Score, or a StudyRow."""

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
    """The parts, each the mean over the studies where it is defined, and the score; None where a part is undefined."""

    dsc: float | None
    ppv: float | None
    """Voxelwise."""
    lfpr: float | None
    ltpr: float | None
    corr: float | None
    """None below two studies, and where all have the same volume."""

    @property
    def score(self) -> float | None:
        """0 to 1; with a negative Corr less."""
        rest = self.without_corr
        return None if rest is None or self.corr is None else rest * _WITHOUT_CORRELATION + self.corr / 4

    @property
    def without_corr(self) -> float | None:
        """The score of the other four parts, their weights scaled up to 1: what one study alone can have."""
        if self.dsc is None or self.ppv is None or self.lfpr is None or self.ltpr is None:
            return None
        return (self.dsc / 8 + self.ppv / 8 + (1 - self.lfpr) / 4 + self.ltpr / 4) / _WITHOUT_CORRELATION


def challenge_score(studies: Sequence[Judged]) -> ChallengeScore:
    """The score of these studies together."""
    lesionwise_ppv = _mean(studies, lambda study: study.ppv)
    return ChallengeScore(
        dsc=_mean(studies, lambda study: study.dice),
        ppv=_mean(studies, voxelwise_ppv),
        lfpr=None if lesionwise_ppv is None else 1 - lesionwise_ppv,
        ltpr=_mean(studies, lambda study: study.sensitivity),
        corr=_volume_correlation(studies),
    )


def voxelwise_ppv(study: Judged) -> float | None:
    """Part of the predicted volume that lies in the reference; None where nothing was predicted.

    It follows from Dice and the two volumes, so that it needs no masks.
    """
    if study.dice is None or not study.predicted_ml:
        return None
    return min(1.0, study.dice * (study.reference_ml + study.predicted_ml) / (2 * study.predicted_ml))


def _mean(studies: Iterable[Judged], part: Callable[[Judged], float | None]) -> float | None:
    defined = [value for study in studies if (value := part(study)) is not None]
    return fmean(defined) if defined else None


def _volume_correlation(studies: Sequence[Judged]) -> float | None:
    try:
        return correlation([study.reference_ml for study in studies], [study.predicted_ml for study in studies])
    except StatisticsError:
        return None
