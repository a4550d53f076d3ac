"""A StudySpec that contradicts itself says so in full; a run is named by all that decides its result, and only that."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from storage_schemas.models import Architecture, ModelName
from storage_schemas.runs import (
    Cell,
    Elastic,
    InferenceConfig,
    MetricDefinition,
    Parent,
    RunSpec,
    TrainingConfig,
)
from storage_schemas.studies import StudySpec


def test_the_defaults_are_the_papers(study: dict[str, Any]) -> None:
    spec = StudySpec.model_validate(study)
    training = spec.training
    assert (training.patch_voxels, training.patches_per_study, training.augmentations) == (96, 60, 3)
    assert (training.epochs, spec.spacing_mm, spec.architecture.depth) == (30, 1.0, 4)


def test_every_contradiction_is_reported_at_once(study: dict[str, Any]) -> None:
    study |= {
        "training_sizes": [4, 4, 6, 12],
        "seeds": [1, 1],
        "target": {"cohort": "nowhere", "subsets": 3, "subset_size": 4},
        "sources": [{"model": "glioma", "cohort": "gone"}, {"model": "glioma"}],
        "training": {"patch_voxels": 40},
    }
    with pytest.raises(ValidationError) as caught:
        StudySpec.model_validate(study)
    message = str(caught.value)
    for fault in (
        "training_sizes: wanted whole subsets of 4, from 4 to 8 studies; found 6",
        "training_sizes: wanted whole subsets of 4, from 4 to 8 studies; found 12",
        "training_sizes: found one twice in [4, 4, 6, 12]",
        "seeds: found one twice in [1, 1]",
        "sources: found one model twice",
        "cohorts: 'nowhere' is used but not described; described are ['glioma', 'ms']",
        "cohorts: 'gone' is used but not described",
        "training: patch_voxels must be a multiple of 16 for a U-Net of depth 4; found 40",
    ):
        assert fault in message


def test_a_source_whose_patches_do_not_fit_the_network_is_named(study: dict[str, Any]) -> None:
    study["sources"] = [{"model": "glioma", "cohort": "glioma", "training": {"patch_voxels": 40}}]
    with pytest.raises(ValidationError, match="source glioma: patch_voxels must be a multiple of 16"):
        StudySpec.model_validate(study)


@pytest.mark.parametrize(
    ("training", "fault"),
    [
        ({"patches_per_study": 61}, "wanted an even number"),
        ({"batch_size": 8, "workers": 3}, "wanted a multiple of the 3 workers, found 8"),
    ],
    ids=["odd patches", "uneven batch"],
)
def test_patches_and_batches_are_shared_out_evenly(training: dict[str, int], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        TrainingConfig.model_validate(training)


DECISIVE: dict[str, Any] = {
    "study_name": "other",
    "channels": ("t1w",),
    "spacing_mm": 2.0,
    "cell": Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0),
    "cohort": "other",
    "manifest": "1" * 16,
    "train": (),
    "test": (),
    "parent": None,
    "architecture": Architecture(depth=3),
    "training": TrainingConfig(learning_rate=2e-4),
    "inference": InferenceConfig(threshold=0.4),
    "metric": MetricDefinition(connectivity=6),
    "seed": 1,
    "code_version": "1" * 16,
}


def test_every_field_that_can_vary_is_tried_below() -> None:
    # There is one task so far.
    assert set(RunSpec.model_fields) - set(DECISIVE) == {"task"}


@pytest.mark.parametrize("field", DECISIVE)
def test_the_run_id_changes_with_each_thing_that_decides_the_result(run: RunSpec, field: str) -> None:
    assert run.model_copy(update={field: DECISIVE[field]}).run_id != run.run_id


def test_the_run_id_changes_with_what_lies_deep_within(run: RunSpec) -> None:
    assert run.parent is not None
    model = ModelName(name="glioma", version="0" * 16)
    variants = [
        run,
        run.model_copy(update={"parent": Parent(model=model, weights_sha256="1" * 64)}),
        run.model_copy(update={"training": TrainingConfig(elastic=Elastic(sd_mm=4.0))}),
        run.model_copy(update={"train": (run.train[0].model_copy(update={"volume": "1" * 16}),)}),
    ]
    assert len({variant.run_id for variant in variants}) == len(variants)


def test_the_run_id_does_not_change_otherwise(run: RunSpec) -> None:
    plain = run.model_dump(mode="json")
    backwards = dict(reversed(plain.items()))
    without_defaults = run.model_dump(mode="json", exclude_defaults=True)
    for same in (plain, backwards, without_defaults):
        assert RunSpec.model_validate(same).run_id == run.run_id
    assert RunSpec.model_validate_json(run.canonical_json()).run_id == run.run_id
    # An int where a float is wanted is the same value.
    assert RunSpec.model_validate(plain | {"spacing_mm": 1}).run_id == run.run_id


def test_a_run_without_a_cell_has_no_rows(run: RunSpec) -> None:
    assert run.columns().model_dump() | {"run_id": run.run_id, "arm": "fine-tuned"} == run.columns().model_dump()
    with pytest.raises(ValueError, match="makes a default model and has no rows"):
        run.model_copy(update={"cell": None}).columns()
