"""How models do at the sites that they were not trained on: a matrix of training sites by test sites, and the gaps.

Each model of a design that compares sites was trained on each site, on all of them and on all but one, with the same
number of studies. Ours, not the paper's.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from lesionlab.analysis.methods.intervals import Interval, Origin, clustered_mean
from lesionlab.analysis.methods.student import LEAST_PATIENTS
from lesionlab.analysis.statistics.conditions import Condition, values_by_study
from lesionlab.analysis.statistics.rater_agreement import MeanOf, mean_of
from lesionlab.analysis.statistics.rows import Row
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import PRIMARY, Metric
from storage_schemas.splits import ALL_SITES, OTHER_SITES


@dataclass(frozen=True)
class Tested:
    """What was trained on one site, or several, as tested at one site, or at every site."""

    mean: MeanOf | None
    """None: fewer than the smallest number of patients, or no value."""
    patients: int
    """With a value."""


@dataclass(frozen=True)
class Trained:
    """One row of the matrix."""

    on: str
    """A site, `all-sites` or `other-sites`: all but the tested one."""
    at: Mapping[str, Tested]
    """By test site."""
    everywhere: Tested
    """Over all tested sites."""


@dataclass(frozen=True)
class Gap:
    """The mean difference at one site between networks that did not see the site and networks that did."""

    site: str | None
    """None: all sites together."""
    new_hospital: bool
    """Trained on the other sites against trained on all; else trained on one other site against trained on this one."""
    unseen: float
    seen: float
    interval: Interval | None
    """Of unseen − seen, over patients: conditional on the trained networks."""
    patients: int

    @property
    def difference(self) -> float:
        """Negative: the site loses where its own studies are missing."""
        return self.unseen - self.seen


@dataclass(frozen=True)
class CrossSite:
    """One model and metric, whatever it was trained on."""

    model: Condition
    """Without a training site."""
    metric: Metric
    sites: tuple[str, ...]
    """Of the tested patients: the columns."""
    rows: tuple[Trained, ...]
    """Single sites, then all sites, then all but the tested one."""
    gaps: tuple[Gap, ...]


def cross_site(
    rows: Mapping[Condition, Sequence[Row]],
    planned: Sequence[Condition],
    undefined: Undefined,
    smallest: int = LEAST_PATIENTS,
    shown: Collection[str] | None = None,
) -> tuple[CrossSite, ...]:
    """Compute every matrix; none in a design that does not compare sites. Cells of fewer than `smallest` patients, and
    of sites that are not `shown`, stay empty."""
    models: dict[Condition, list[Condition]] = defaultdict(list)
    for condition in planned:
        if condition.trained and condition.train_site is not None:
            models[condition.model_copy(update={"train_site": None})].append(condition)
    found = []
    for model, own in models.items():
        by_site = {c.train_site or "": c for c in sorted(own, key=_place)}
        tested = [row for condition in own for row in rows.get(condition, ())]
        sites = sorted({row.site for row in tested} if shown is None else {row.site for row in tested} & {*shown})
        for metric in PRIMARY:
            trained = tuple(
                _trained(on, condition, rows.get(condition, ()), sites, metric, undefined, smallest)
                for on, condition in by_site.items()
            )
            values = {on: values_by_study(rows.get(c, ()), c, metric, undefined) for on, c in by_site.items()}
            places = {row.study: (row.site, row.patient) for row in tested}
            found.append(CrossSite(model, metric, tuple(sites), trained, tuple(_gaps(values, places, sites, smallest))))
    return tuple(found)


def _place(condition: Condition) -> tuple[bool, bool, str]:
    """Single sites by name first."""
    site = condition.train_site or ""
    return site == OTHER_SITES, site == ALL_SITES, site


def _trained(
    on: str,
    condition: Condition,
    rows: Sequence[Row],
    sites: Sequence[str],
    metric: Metric,
    undefined: Undefined,
    smallest: int,
) -> Trained:
    def tested(own: Sequence[Row]) -> Tested:
        values = values_by_study(own, condition, metric, undefined)
        patients = len({row.patient for row in own if values[row.study] is not None})
        mean = mean_of(own, condition, metric, undefined) if patients >= smallest else None
        return Tested(mean, patients)

    return Trained(on, {site: tested([row for row in rows if row.site == site]) for site in sites}, tested(rows))


def _gaps(
    values: Mapping[str, Mapping[str, float | None]],
    places: Mapping[str, tuple[str, str]],
    sites: Sequence[str],
    smallest: int,
) -> list[Gap]:
    """Gaps at each site, then over all sites, within studies that have both values."""
    pairs: dict[bool, dict[str, tuple[float, float]]] = {False: {}, True: {}}
    for study, (site, _) in places.items():
        elsewhere = [values[on].get(study) for on in values if on not in (site, ALL_SITES, OTHER_SITES)]
        given = [value for value in elsewhere if value is not None]
        seen, pooled, unseen = (values.get(on, {}).get(study) for on in (site, ALL_SITES, OTHER_SITES))
        if seen is not None and given and len(given) == len(elsewhere):
            pairs[False][study] = fmean(given), seen
        if pooled is not None and unseen is not None:
            pairs[True][study] = unseen, pooled
    found = []
    at: list[str | None] = [*sites, None]
    for new_hospital, own in pairs.items():
        for here in at:
            chosen = {study: pair for study, pair in own.items() if here in (None, places[study][0])}
            differences: dict[Origin, list[float]] = defaultdict(list)
            for study, (unseen, seen) in sorted(chosen.items()):
                differences[Origin(None, places[study][1])].append(unseen - seen)
            if len(differences) >= max(smallest, 1):
                interval = clustered_mean(differences, "patient").interval
                unseen, seen = (fmean(side) for side in zip(*chosen.values(), strict=True))
                found.append(Gap(here, new_hospital, unseen, seen, interval, len(differences)))
    return found
