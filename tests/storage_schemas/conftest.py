"""A small experiment, as a person would write it, and one run of it."""

from __future__ import annotations

from typing import Any

import pytest

from storage_schemas.definitions import MetricDefinition
from storage_schemas.manifests import ManifestEntry
from storage_schemas.models import Architecture, ModelName
from storage_schemas.runs import Cell, InferenceConfig, Parent, RunSpec, TrainingConfig
from storage_schemas.tasks import TASKS
from storage_schemas.versions import CURRENT


@pytest.fixture
def study() -> dict[str, Any]:
    """ExperimentSpec as plain values, as YAML gives them."""
    return {
        "name": "small",
        "title": "A small study",
        "task": "flair-single",
        "cohorts": {"ms": {}, "glioma": {"simulate": {"pathology": "glioma", "studies": 6, "seed": 1}}},
        "target": {"cohort": "ms", "subsets": 3, "subset_size": 4},
        "sources": [{"model": "glioma", "cohort": "glioma"}],
        "training_sizes": [4, 8],
    }


@pytest.fixture
def run() -> RunSpec:
    """One fine-tuned cell."""
    return RunSpec.named(
        experiment="small",
        task=TASKS["flair-single"],
        channels=("flair",),
        spacing_mm=1.0,
        cell=Cell(arm="fine-tuned", source="glioma", training_size=1, fold=1, seed=0),
        cohort="ms",
        manifest="0" * 16,
        train=(entry("sub-1"),),
        test=(entry("sub-2"),),
        parent=Parent(model=ModelName(name="glioma", version="0" * 16), weights_sha256="0" * 64),
        architecture=Architecture(),
        training=TrainingConfig(),
        inference=InferenceConfig(),
        metric=MetricDefinition(),
        seed=0,
        versions=CURRENT,
    )


def entry(study: str) -> ManifestEntry:
    return ManifestEntry(
        study=study,
        patient=study.removeprefix("sub-"),
        site="a",
        volume="0" * 16,
        image_sha256="0" * 64,
        lesions=1,
        lesion_volume_ml=0.5,
    )
