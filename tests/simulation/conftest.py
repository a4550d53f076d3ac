"""Small cohorts, each simulated once for all simulation tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from lesionlab.simulation import CohortPlan, simulate_cohort
from tests.once import made_once

ALL_PATHOLOGIES = ("ms", "glioma", "leukodystrophy", "small-vessel", "metastases")
ALL_CONTRASTS = ("FLAIR", "T1w", "ce-gadolinium_T1w")


@pytest.fixture(scope="session")
def five_diseases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One patient of each disease, each from a different site; all contrasts, 2 mm."""
    plan = CohortPlan(pathology=ALL_PATHOLOGIES, studies=5, seed=1, spacing_mm=2.0, contrasts=ALL_CONTRASTS)
    return made_once(tmp_path_factory, "five", lambda folder: simulate_cohort(plan, folder / "cohort")) / "cohort"


@pytest.fixture(scope="session")
def follow_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four MS patients with two visits each; FLAIR, 2 mm."""
    plan = CohortPlan(pathology="ms", studies=4, seed=5, spacing_mm=2.0, timepoints=2)
    return made_once(tmp_path_factory, "follow-up", lambda folder: simulate_cohort(plan, folder / "cohort")) / "cohort"
