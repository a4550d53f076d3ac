"""Compute the sensitivity of several models by volume of the reference lesion.

All over the same studies: those that every model was tested on. Ours, not the paper's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.intervals import Interval, Origin, Unit, clustered_mean, origins_of, unit_of
from lesionlab.analysis.statistics.conditions import Condition
from storage_schemas.lesion_sizes import SizeClass, detection_by_size
from storage_schemas.results import LesionRow


@dataclass(frozen=True)
class Sensitivity:
    """Fraction of the reference lesions of one volume class that one model found, over all its seeds."""

    share: float
    interval: Interval | None
    """95 % CI; None with too few clusters, and where all lesions or none were found: then nothing varies."""


@dataclass(frozen=True)
class ByVolume:
    """Sensitivity by volume class, smallest lesions first."""

    titles: tuple[str, ...]
    """Bounds of the classes in mm³: `≤ 3`, `3–10`."""
    lesions: tuple[int, ...]
    """Reference lesions of each class, each counted once, however many models and seeds were tested on it."""
    models: Mapping[Condition, tuple[Sensitivity | None, ...]]
    """By class; None in a class without a reference lesion."""
    studies: int
    """With reference lesions, that all models were tested on."""
    left_out: int
    """Studies with reference lesions that only some of the models were tested on."""
    unit: Unit
    """What the confidence intervals are over."""


def sensitivity_by_volume(lesions: Mapping[Condition, Sequence[LesionRow]]) -> ByVolume:
    """Compute it from all lesions of each model, of every seed; predicted lesions are ignored."""
    drawn = {model: [one for one in own if one.side == "reference"] for model, own in lesions.items()}
    tested = [{one.study for one in own} for own in drawn.values()]
    common = set.intersection(*tested) if tested else set()
    kept = {model: [one for one in own if one.study in common] for model, own in drawn.items()}
    every = [one for own in kept.values() for one in own]
    *classes, _ = detection_by_size({(one.study, one.lesion): one for one in every}.values())
    origin_of = origins_of((one.study, one.fold, one.patient) for one in every)
    unit = unit_of(origin_of.values())
    return ByVolume(
        titles=tuple(size.title() for size in classes),
        lesions=tuple(size.lesions for size in classes),
        models={model: _by_class(own, origin_of, unit) for model, own in kept.items()},
        studies=len(common),
        left_out=len(set.union(*tested) - common) if tested else 0,
        unit=unit,
    )


def _by_class(own: Sequence[LesionRow], origin_of: Mapping[str, Origin], unit: Unit) -> tuple[Sensitivity | None, ...]:
    lesions_of: dict[Origin, list[LesionRow]] = defaultdict(list)
    for lesion in own:
        lesions_of[origin_of[lesion.study]].append(lesion)
    counted = {origin: detection_by_size(lesions)[:-1] for origin, lesions in lesions_of.items()}
    classes = len(detection_by_size(())) - 1
    return tuple(_sensitivity({origin: c[place] for origin, c in counted.items()}, unit) for place in range(classes))


def _sensitivity(counted: Mapping[Origin, SizeClass], unit: Unit) -> Sensitivity | None:
    found = {
        origin: [1.0] * counts.hits + [0.0] * (counts.lesions - counts.hits)
        for origin, counts in counted.items()
        if counts.lesions
    }
    if not found:
        return None
    mean = clustered_mean(found, unit)
    return Sensitivity(mean.mean, mean.share_interval if 0 < mean.mean < 1 else None)
