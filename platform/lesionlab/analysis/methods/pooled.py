"""A share of lesions pooled over all studies, with an interval over folds or patients (ratio estimator)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from lesionlab.analysis.methods.intervals import ClusteredMean, Origin, Unit


def pooled_share(counts: Mapping[Origin, Sequence[tuple[float, float]]], unit: Unit) -> ClusteredMean | None:
    """Σ hits / Σ lesions, from (hits, lesions) of each study; a study weighs by its lesions. None without a lesion.

    A cluster shifts the share by what its hits differ from those expected of its lesions (linearised ratio; Cochran
    1977, section 6.3), so the interval knows that lesions of a patient, and of a network, are alike.
    """
    clusters: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for origin, studies in sorted(counts.items(), key=str):
        for hits, lesions in studies:
            label = f"{unit} {getattr(origin, unit)}"
            clusters[label][0] += hits
            clusters[label][1] += lesions
    hits, lesions = (sum(own[place] for own in clusters.values()) for place in (0, 1))
    if not lesions:
        return None
    share, count = hits / lesions, len(clusters)
    few = (count / max(count - 1, 1)) ** 0.5
    moves = {label: (own - share * among) * few / lesions for label, (own, among) in clusters.items()}
    return ClusteredMean(share, round(lesions), moves)
