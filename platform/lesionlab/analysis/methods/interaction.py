"""Ask whether the difference between the arms depends on the site: arm × site in the mixed model.

Value ~ arm × log2(training size) + site + arm × site + the random effects of `mixed` except the site. A site's own
difference rests on its patients, so the degrees of freedom are patients − sites.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
import pandas as pd
from scipy import stats

from lesionlab.analysis.methods.intervals import Interval, t_limit
from lesionlab.analysis.methods.likelihood import design_of
from lesionlab.analysis.methods.mixed import FixedEffect, Observation, fixed_effects
from lesionlab.analysis.methods.random_effects import indicators_of
from lesionlab.analysis.methods.reml import fit_design
from lesionlab.analysis.methods.student import LEAST_PATIENTS

LEAST_PER_SITE = LEAST_PATIENTS
"""Patients of a site that takes part, as for a verdict: fewer say nothing about a site of their own."""


class NoSites(Enum):
    """Why there is no test."""

    ONE_ARM = auto()
    FEW_SITES = auto()
    """Fewer than two sites with LEAST_PER_SITE patients."""
    SITE_IS_NETWORK = auto()
    """Each network tests one site, so an effect of the site cannot be separated from chance in training."""
    NOT_ESTIMABLE = auto()
    """These values cannot tell the effects apart, or leave nothing to chance."""


@dataclass(frozen=True)
class SiteDifference:
    """Fine-tuned − de novo at one site, at the mean log2 training size."""

    site: str
    patients: int
    estimate: float
    interval: Interval
    """95 %."""


@dataclass(frozen=True)
class SiteInteraction:
    """The test of equal differences at all sites, and the difference at each of them."""

    sites: tuple[SiteDifference, ...]
    left_out: tuple[tuple[str, int], ...]
    """Sites with too few patients, and how many they have."""
    statistic: float | None = None
    """F."""
    between: int = 0
    within: int = 0
    """Degrees of freedom."""
    p: float | None = None
    reason: NoSites | None = None


def site_interaction(observations: Sequence[Observation]) -> SiteInteraction:
    """Fit the model and test arm × site (Wald F); without a test, `reason` says why. Never raises for lack of data."""
    patients: dict[str, set[str]] = defaultdict(set)
    for one in observations:
        patients[one.site].add(one.patient)
    kept = sorted(site for site, own in patients.items() if len(own) >= LEAST_PER_SITE)
    left_out = tuple((site, len(own)) for site, own in sorted(patients.items()) if site not in kept)
    own = [one for one in observations if one.site in kept]
    reason = _unfit(own, kept)
    if reason is None:
        try:
            return _fitted(own, {site: len(patients[site]) for site in kept}, left_out)
        except np.linalg.LinAlgError:
            reason = NoSites.NOT_ESTIMABLE
    return SiteInteraction((), left_out, reason=reason)


def _unfit(own: Sequence[Observation], sites: Sequence[str]) -> NoSites | None:
    if len(sites) < 2:
        return NoSites.FEW_SITES
    if len({one.fine_tuned for one in own}) < 2:
        return NoSites.ONE_ARM
    tested: dict[str, set[str]] = defaultdict(set)
    for one in own:
        tested[one.network].add(one.site)
    if all(len(found) == 1 for found in tested.values()):
        return NoSites.SITE_IS_NETWORK
    if np.ptp([one.value for one in own]) < 1e-9:
        return NoSites.NOT_ESTIMABLE
    return None


def _fitted(
    own: Sequence[Observation], patients: dict[str, int], left_out: tuple[tuple[str, int], ...]
) -> SiteInteraction:
    table = pd.DataFrame([vars(one) for one in own])
    fixed = fixed_effects(table)
    _, *others = patients
    for site in others:
        here = (table["site"] == site).to_numpy(dtype=float)
        fixed[f"site {site}"] = here
        fixed[f"arm at {site}"] = here * (table["fine_tuned"].to_numpy(dtype=float) - 0.5)
    indicators, _ = indicators_of(table, fixed.to_numpy())
    if not indicators:
        raise np.linalg.LinAlgError
    fit = fit_design(
        design_of(fixed.to_numpy(), list(indicators.values())), np.array([one.value for one in own], dtype=np.float64)
    )
    columns = list(fixed.columns)
    degrees = max(1, sum(patients.values()) - len(patients))
    arm, beyond = columns.index(FixedEffect.ARM), [columns.index(f"arm at {site}") for site in others]
    found = []
    for place, (site, count) in enumerate(patients.items()):
        at_F = np.zeros(len(columns))
        at_F[[arm, *(beyond[place - 1 : place] if place else [])]] = 1
        estimate, error = float(at_F @ fit.estimates_F), float(np.sqrt(at_F @ fit.covariance_FF @ at_F))
        reach = t_limit(degrees) * error
        found.append(SiteDifference(site, count, estimate, Interval(estimate - reach, estimate + reach)))
    effects = fit.estimates_F[beyond]
    statistic = float(effects @ np.linalg.solve(fit.covariance_FF[np.ix_(beyond, beyond)], effects) / len(beyond))
    p = float(stats.f.sf(statistic, len(beyond), degrees))
    return SiteInteraction(tuple(found), left_out, statistic, len(beyond), degrees, p)
