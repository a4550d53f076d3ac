"""What a reviewer also asks for: second rater, equivalence, volumes, pooled lesions, sites. Ours, not the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lesionlab.analysis.methods.interaction import SiteInteraction, site_interaction
from lesionlab.analysis.statistics.arm_comparisons import ArmComparison, arm_comparisons, observations
from lesionlab.analysis.statistics.conditions import conditions, groups, rows_by_condition
from lesionlab.analysis.statistics.contrasts import Contrast, against_rater, between_arms
from lesionlab.analysis.statistics.cross_site import CrossSite, cross_site
from lesionlab.analysis.statistics.pooled import FalsePositives, Pooled, false_positives, pooled
from lesionlab.analysis.statistics.rater_agreement import RaterAgreement, rater_agreement
from lesionlab.analysis.statistics.rows import Row
from lesionlab.analysis.statistics.volume_agreement import ModelVolumes, model_volumes
from storage_schemas.experiments import Undefined
from storage_schemas.metrics import PRIMARY, Metric
from storage_schemas.runs import Cell


@dataclass(frozen=True)
class BySite:
    """Whether the difference between the arms depends on the site, for one arm comparison and metric."""

    comparison: ArmComparison
    metric: Metric
    found: SiteInteraction


@dataclass(frozen=True)
class Further:
    """All of it; each part may be empty."""

    margin: float | None
    """Of equivalence; None: none was declared."""
    against_rater: tuple[Contrast, ...]
    between_arms: tuple[Contrast, ...]
    agreement: tuple[RaterAgreement, ...]
    volumes: tuple[ModelVolumes, ...]
    pooled: tuple[Pooled, ...]
    false_positives: tuple[FalsePositives, ...]
    sites: tuple[BySite, ...]
    cross_site: tuple[CrossSite, ...]
    """Empty unless the design compares training sites."""


def further(rows: Iterable[Row], planned: Sequence[Cell | Row], undefined: Undefined, margin: float | None) -> Further:
    """Compute it from the rows that there are."""
    by_condition = rows_by_condition(rows)
    models = conditions(planned)
    found = groups(models)
    return Further(
        margin=margin,
        against_rater=against_rater(by_condition, found, margin, undefined),
        between_arms=between_arms(by_condition, found, margin, undefined),
        agreement=rater_agreement(by_condition, found, undefined),
        volumes=model_volumes(by_condition, models),
        pooled=pooled(by_condition, models, undefined),
        false_positives=false_positives(by_condition, models),
        sites=tuple(
            BySite(comparison, metric, site_interaction(observations(by_condition, comparison, metric, undefined)))
            for group in found
            for comparison in arm_comparisons(group)
            if comparison.pairs
            for metric in PRIMARY
        ),
        cross_site=cross_site(by_condition, models, undefined),
    )
