"""An inconsistent ExperimentSpec is refused with all contradictions; cells have titles and columns."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from storage_schemas.axes import Budget, Freezing
from storage_schemas.experiments import ExperimentSpec
from storage_schemas.runs import (
    Cell,
    RunSpec,
    TrainingConfig,
)


def test_the_defaults_are_from_the_paper(study: dict[str, Any]) -> None:
    spec = ExperimentSpec.model_validate(study)
    training = spec.training
    assert (training.patch_voxels, training.patches_per_study, training.augmentations) == (96, 60, 3)
    assert (training.epochs, spec.spacing_mm, spec.architecture.depth) == (30, 1.0, 4)


def test_all_contradictions_are_reported_together(study: dict[str, Any]) -> None:
    study |= {
        "training_sizes": [4, 4, 6, 12],
        "seeds": [1, 1],
        "target": {"cohort": "nowhere", "subsets": 3, "subset_size": 4},
        "sources": [{"model": "glioma", "cohort": "gone"}, {"model": "glioma"}],
        "training": {"patch_voxels": 40},
    }
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(study)
    message = str(caught.value)
    for fault in (
        "training_sizes: wanted whole subsets of 4, from 4 to 8 studies; found 6",
        "training_sizes: wanted whole subsets of 4, from 4 to 8 studies; found 12",
        "training_sizes: wanted each value once, found [4, 4, 6, 12]",
        "seeds: wanted each value once, found [1, 1]",
        "sources: wanted each model once, found ['glioma', 'glioma']",
        "cohorts: 'nowhere' is used but not defined; defined are ['glioma', 'ms']",
        "cohorts: 'gone' is used but not defined",
        "training: patch_voxels must be a multiple of 16 for a U-Net of depth 4; found 40",
    ):
        assert fault in message


def faults_of(study: dict[str, Any]) -> str:
    with pytest.raises(ValidationError) as caught:
        ExperimentSpec.model_validate(study)
    return str(caught.value)


def test_all_contradictions_of_the_axes_are_reported_together(study: dict[str, Any]) -> None:
    message = faults_of(
        study
        | {
            "folds": [2, 2, 4],
            "depths": [3, 3, 6],
            "learning_rates": {"fine-tuned": [1e-5, 1e-5], "de-novo": [1e-4]},
            "budgets": [{"steps": 10}, {"steps": 10}],
            "freezings": [None, None],
            "de_novo": False,
            "training": {"freezing": {"part": "encoder"}, "warmup_steps": 20},
            "sources": [{"model": "glioma", "cohort": "ms", "adaptation": {"head": "reinitialise"}}],
        }
    )
    for fault in (
        "folds: wanted 1 to 3, found 4",
        "folds: wanted each value once, found [2, 2, 4]",
        "depths: wanted each value once, found [3, 3, 6]",
        "learning_rates of fine-tuned: wanted each value once",
        "budgets: wanted each value once",
        "freezings: wanted each value once",
        "learning_rates: found values for de-novo, but de_novo is false",
        "freezings: wanted either freezings or training.freezing, found both",
        "training: patch_voxels must be a multiple of 64 for a U-Net of depth 6; found 96",
        "source glioma: ms is the target; a model must not be tested on its training studies",
        "a default model with a reinitialised head cannot be tested",
        "fine-tuned training: ",
        "warmup_steps: wanted at most the 10 steps in total, found 20",
    ):
        assert fault in message


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"sources": [], "de_novo": False}, "nothing to do: wanted sources, de_novo or rater_tested_on"),
        ({"sources": [], "freezings": [{"part": "encoder"}]}, "there is no source to fine-tune from"),
        ({"sources": [{"model": "a", "cohort": "glioma", "trained_in": {}}]}, "Field required"),
        ({"budgets": [{"steps": 10, "epochs": 2}]}, "wanted either epochs or steps"),
        ({"budgets": [{}]}, "wanted either epochs or steps"),
        ({"task": "enhancing", "sources": [{"model": "a", "task": "flair-single"}]}, "declare adaptation.channels"),
        (
            {"sources": [{"model": "a", "adaptation": {"channels": {"flair": {"copy_of": "t1"}}}}]},
            "the origin of each of flair among the channels flair of flair-single; found flair from t1",
        ),
        (
            {"sources": [{"model": "a", "cohort": "glioma"}, {"model": "b", "cohort": "glioma", "task": "enhancing"}]},
            "cohort glioma is also preprocessed for another task",
        ),
        (
            {"training": {"epochs": 2, "patches_per_study": 4, "augmentations": 1, "warmup_steps": 100}},
            "warmup_steps: wanted at most the ",
        ),
    ],
    ids=[
        "nothing",
        "no source",
        "half a reference",
        "two budgets",
        "no budget",
        "task",
        "channels",
        "two tasks",
        "long warm-up",
    ],
)
def test_an_inconsistent_experiment_is_refused(study: dict[str, Any], changes: dict[str, Any], fault: str) -> None:
    assert fault in faults_of(study | changes)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ({"design": "leave-one-site-out"}, "wanted at least two sites"),
        ({"design": "train-on-one-site", "sites": ["a", "a"]}, "wanted each site once"),
        ({"design": "cross-site", "sites": ["a", "all-sites"]}, "all-sites means several sites"),
        ({"design": "leave-one-patient-out"}, "patients: wanted the number of patients"),
        ({"patients": 5, "sites": ["a", "b"]}, "only leave-one-patient-out uses it, found design rotation"),
        (
            {"design": "leave-one-patient-out", "patients": 5, "stratify": ["site"]},
            "stratify, second_rater_first: only rotation",
        ),
    ],
    ids=["no sites", "a site twice", "a reserved name", "no patients", "another design's", "stratified patients"],
)
def test_an_inconsistent_split_design_is_refused(study: dict[str, Any], target: dict[str, Any], fault: str) -> None:
    assert fault in faults_of(study | {"target": {"cohort": "ms"} | target})


BY_SITE: dict[str, Any] = {
    "target": {"cohort": "ms", "design": "leave-one-site-out", "sites": ["a", "b"]},
    "training_sizes": [10],
}


def test_positions_are_averaged_over_folds_only_in_a_rotation(study: dict[str, Any]) -> None:
    assert ExperimentSpec.model_validate(study).unit_of_analysis == "fold-averaged"
    assert ExperimentSpec.model_validate(study | BY_SITE).unit_of_analysis == "per-study"
    message = faults_of(study | BY_SITE | {"unit_of_analysis": "fold-averaged"})
    assert "unit_of_analysis: fold-averaged needs a rotation" in message
    assert "found leave-one-site-out; use per-study" in message


def test_the_title_and_columns_of_a_cell_include_everything_that_varies(run: RunSpec) -> None:
    cell = Cell(
        arm="fine-tuned",
        source="glioma",
        training_size=10,
        fold=2,
        seed=1,
        depth=3,
        learning_rate=1e-5,
        budget=Budget(steps=2000),
        freezing=Freezing(part="encoder", epochs=5),
        test_site="north",
    )
    assert cell.title() == (
        "fine-tuned from glioma, 10 studies, depth 3, learning rate 1e-05, 2000 steps, encoder frozen for 5 epochs, "
        "fold 2 (tested on north), seed 1"
    )
    columns = run.model_copy(update={"cell": cell}).columns()
    assert (columns.learning_rate, columns.budget, columns.freezing) == (1e-5, cell.budget, cell.freezing)
    assert (columns.test_site, columns.train_site) == ("north", None)
    assert (columns.training_size, columns.trained_on) == (10, len(run.train))


def test_the_title_of_a_cell_omits_default_values() -> None:
    plain = {"training_size": 1, "fold": 1, "seed": 0}
    assert Cell(arm="de-novo", source=None, **plain).title() == "de novo, 1 study, fold 1"
    assert (
        Cell(arm="default", source="glioma", **plain | {"training_size": 0}).title() == "default model glioma, fold 1"
    )
    assert Cell(arm="rater", source=None, **plain | {"training_size": 0}).title() == "second rater, fold 1"


def test_an_experiment_survives_a_round_trip_through_json(study: dict[str, Any]) -> None:
    spec = ExperimentSpec.model_validate(
        study
        | {
            "depths": [3, 4],
            "learning_rates": {"fine-tuned": [1e-5]},
            "budgets": [{"epochs": 30}, {"steps": 100}],
            "freezings": [None, {"part": "encoder", "epochs": 2}],
        }
    )
    assert ExperimentSpec.model_validate_json(spec.canonical_json()) == spec


def test_a_source_whose_patches_do_not_fit_the_network_is_refused_and_named(study: dict[str, Any]) -> None:
    study["sources"] = [{"model": "glioma", "cohort": "glioma", "training": {"patch_voxels": 40}}]
    with pytest.raises(ValidationError, match="source glioma: patch_voxels must be a multiple of 16"):
        ExperimentSpec.model_validate(study)


@pytest.mark.parametrize(
    ("training", "fault"),
    [
        ({"patches_per_study": 61}, "wanted an even number"),
        ({"batch_size": 2, "workers": 3}, "wanted a patch for each of the 3 workers, found 2"),
    ],
    ids=["odd patches", "too small a batch"],
)
def test_patches_and_batches_that_cannot_be_split_are_refused(training: dict[str, int], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        TrainingConfig.model_validate(training)


def test_a_run_without_a_cell_has_no_rows(run: RunSpec) -> None:
    assert run.columns().model_dump() | {"run_id": run.run_id, "arm": "fine-tuned"} == run.columns().model_dump()
    with pytest.raises(ValueError, match="trains a default model and has no rows"):
        run.changed(cell=None).columns()
