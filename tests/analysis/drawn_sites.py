"""Rows of a cross-site design on three simulated scanners, with a planted loss at each scanner that was not seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lesionlab.analysis.statistics.external import TableRow
from lesionlab.experiments.splits import fold_subsets
from storage_schemas.splits import Target

SITES = ("hdxt", "mr750", "skyra")
LOSS = {"hdxt": 0.05, "mr750": 0.10, "skyra": 0.30}
"""Of sensitivity at a site, when its scanner is not among the training studies."""
SEEN = 0.80
PARTS = 3
TARGET = Target(cohort="ms", design="cross-site", sites=SITES, subsets=PARTS)


def drawn_rows(
    patients: Mapping[str, int], seed: int = 0, arms: Iterable[str] = ("de-novo",), noise: float = 0.05
) -> list[TableRow]:
    """Every patient of each site tested under every training site, by the folds of the design."""
    rng = np.random.default_rng(seed)
    subset_of = {
        (site, number): SITES.index(site) * PARTS + number % PARTS + 1
        for site, count in patients.items()
        for number in range(count)
    }
    own = {patient: rng.normal(0, 0.05) for patient in subset_of}
    rows = []
    for arm in arms:
        for fold in range(1, TARGET.fold_count + 1):
            numbers, trained = fold_subsets(TARGET, 4, fold), TARGET.train_site(fold)
            for (site, number), subset in subset_of.items():
                if subset not in numbers.test:
                    continue
                unseen = trained not in (site, "all-sites")
                value = SEEN - LOSS[site] * unseen + own[site, number] + rng.normal(0, noise)
                rows.append(
                    TableRow(
                        study=f"{site}-{number}",
                        patient=f"{site}-p{number}",
                        site=site,
                        arm=arm,
                        training_size=4,
                        fold=fold,
                        train_site=trained,
                        test_site=TARGET.test_site(fold),
                        sensitivity=float(np.clip(value, 0, 1)),
                        ppv=float(np.clip(value - 0.1, 0, 1)),
                    )
                )
    return rows
