"""Default models of each task are trained on simulated or given cohorts and registered with their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lesionlab.experiments.registry import models
from lesionlab.simulation.cohort import simulate_cohort
from lesionlab.store.objects import open_store
from storage_schemas.cohorts import CohortPlan
from storage_schemas.tasks import TASKS
from tests.jobs.conftest import Lesionlab

COHORTS: dict[str, dict[str, Any]] = {
    "flair-single": {"pathology": ["glioma", "leukodystrophy", "small-vessel"], "studies": 3},
    "flair-new": {"pathology": "glioma", "studies": 1, "timepoints": 2},
    "enhancing": {"pathology": "metastases", "studies": 1, "contrasts": ["T1w", "ce-gadolinium_T1w"]},
}


def experiment_file(folder: Path, task: str, simulate: dict[str, Any] | None) -> Path:
    """An experiment without target data, which pretraining does not need."""
    content = {
        "name": "small",
        "title": f"a default model for {task}",
        "task": task,
        "spacing_mm": 4.0,
        "cohorts": {"target": {}, "elsewhere": {"simulate": simulate} if simulate else {}},
        "target": {"cohort": "target", "subsets": 2, "subset_size": 1},
        "sources": [{"model": "elsewhere", "cohort": "elsewhere"}],
        "training_sizes": [1],
        "architecture": {"depth": 1, "base_channels": 2},
        "training": {"patch_voxels": 16, "patches_per_study": 2, "augmentations": 1, "epochs": 1, "batch_size": 2},
        "inference": {"step_voxels": 16},
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("task", COHORTS)
def test_a_default_model_of_each_task_is_trained_on_a_simulated_cohort(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str, task: str
) -> None:
    spec = experiment_file(tmp_path, task, COHORTS[task] | {"seed": 1, "spacing_mm": 4.0})
    result = lesionlab("pretrain", spec, "--plain", "--work", tmp_path / "work")
    assert result.exit_code == 0, result.output
    (card,) = models(open_store(file_store_uri))
    assert (card.name, card.task, card.channels) == ("elsewhere", TASKS[task], TASKS[task].channel_names)
    assert card.training_studies == COHORTS[task]["studies"]
    assert f"registered elsewhere@{card.version}: depth 1" in result.output


def test_a_given_cohort_replaces_a_simulated_one_and_is_required_if_there_is_none(
    lesionlab: Lesionlab, tmp_path: Path, file_store_uri: str
) -> None:
    spec = experiment_file(tmp_path, "flair-single", None)
    result = lesionlab("pretrain", spec, "--plain")
    assert result.exit_code == 1
    assert "give --bids elsewhere=PATH" in result.output

    simulate_cohort(CohortPlan(pathology="glioma", studies=2, seed=5, spacing_mm=4.0), tmp_path / "own")
    for options in (["--bids", f"elsewhere={tmp_path / 'own'}"], []):  # the second time it is already in the store
        result = lesionlab("pretrain", spec, "--plain", *options)
        assert result.exit_code == 0, result.output
    (card,) = models(open_store(file_store_uri))
    assert card.training_studies == 2
