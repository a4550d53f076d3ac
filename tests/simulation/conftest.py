"""Small cohorts, each simulated once for all simulation tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.simulation import CohortPlan, simulate_cohort

ALL_PATHOLOGIES = ("ms", "glioma", "leukodystrophy", "small-vessel", "metastases")
ALL_CONTRASTS = ("FLAIR", "T1w", "ce-gadolinium_T1w")


@pytest.fixture(scope="session")
def five_diseases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient of each disease, each from a different site; all contrasts, 2 mm."""
    out = tmp_path_factory.mktemp("five") / "cohort"
    plan = CohortPlan(pathology=ALL_PATHOLOGIES, studies=5, seed=1, spacing_mm=2.0, contrasts=ALL_CONTRASTS)
    simulate_cohort(plan, out)
    return out


@pytest.fixture(scope="session")
def follow_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four MS patients with two visits each; FLAIR, 2 mm."""
    out = tmp_path_factory.mktemp("follow-up") / "cohort"
    simulate_cohort(CohortPlan(pathology="ms", studies=4, seed=5, spacing_mm=2.0, timepoints=2), out)
    return out
