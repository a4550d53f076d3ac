"""A run's id depends only on what determines its result, and stays the same when fields are added later."""

from __future__ import annotations

from typing import Annotated, Any

import pytest

from storage_schemas.axes import Budget, Freezing
from storage_schemas.base import Document
from storage_schemas.definitions import MetricDefinition
from storage_schemas.identity import Aside, Neutral, identity, identity_digest
from storage_schemas.models import Adaptation, Architecture, InferenceConfig, ModelName
from storage_schemas.runs import Cell, Elastic, Parent, RunSpec, TrainingConfig
from storage_schemas.versions import CURRENT


def versions(**changed: int) -> Any:
    return CURRENT.model_copy(update=changed)


def training(**changed: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(TrainingConfig().model_dump() | changed)


def parent(**changed: Any) -> Parent:
    given = {"model": ModelName(name="glioma", version="0" * 16), "weights_sha256": "0" * 64}
    return Parent.model_validate(given | changed)


DETERMINES_THE_RESULT: dict[str, dict[str, Any]] = {
    "channels": {"channels": ("t1w",)},
    "arm": {"cell": Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0)},
    "fold": {"cell": Cell(arm="fine-tuned", source="glioma", training_size=1, fold=2, seed=0)},
    "no training": {"train": ()},
    "no test": {"test": ()},
    "no parent": {"parent": None},
    "parent weights": {"parent": parent(weights_sha256="1" * 64)},
    "adaptation": {"parent": parent(adaptation=Adaptation(head="reinitialise"))},
    "architecture": {"architecture": Architecture(depth=3)},
    "learning rate": {"training": training(learning_rate=2e-4)},
    "deformation": {"training": training(elastic=Elastic(sd_mm=4.0))},
    "patches deformed one by one": {"training": training(augmentation="every-patch")},
    "budget": {"training": training(steps=100)},
    "freezing": {"training": training(freezing=Freezing(part="encoder"))},
    "precision of training": {"training": training(precision="bf16")},
    "threshold": {"inference": InferenceConfig(threshold=0.4)},
    "precision of inference": {"inference": InferenceConfig(precision="bf16")},
    "metric": {"metric": MetricDefinition(connectivity=6)},
    "seed": {"seed": 1},
    "version of augmentation": {"versions": versions(augmentation=99)},
    "version of training": {"versions": versions(training=99)},
    "version of inference": {"versions": versions(inference=99)},
    "version of evaluation": {"versions": versions(evaluation=99)},
}
DOES_NOT_AFFECT_THE_RESULT: dict[str, dict[str, Any]] = {
    "experiment": {"experiment": "other"},
    "cohort": {"cohort": "other"},
    "manifest": {"manifest": "1" * 16},
    "name of the source": {"cell": Cell(arm="fine-tuned", source="tumour", training_size=1, fold=1, seed=0)},
    "name of the parent": {"parent": parent(model=ModelName(name="tumour", version="1" * 16))},
    "name of the metric": {"metric": MetricDefinition(name="own")},
    "workers": {"training": training(workers=2)},
    "micro-batch": {"training": training(micro_batch=2)},
    # It affects the id through the digests of the volumes.
    "version of preprocessing": {"versions": versions(preprocessing=99)},
}


@pytest.mark.parametrize("what", DETERMINES_THE_RESULT)
def test_everything_that_determines_the_result_changes_the_id(run: RunSpec, what: str) -> None:
    assert run.changed(**DETERMINES_THE_RESULT[what]).run_id != run.run_id


@pytest.mark.parametrize("what", DOES_NOT_AFFECT_THE_RESULT)
def test_values_that_do_not_affect_the_result_leave_the_id_unchanged(run: RunSpec, what: str) -> None:
    changed = run.changed(**DOES_NOT_AFFECT_THE_RESULT[what])
    assert changed.run_id == run.run_id
    assert changed != run


def test_the_order_labels_and_volumes_of_studies_change_the_id(run: RunSpec) -> None:
    first, second = run.train[0], run.train[0].model_copy(update={"study": "sub-3"})
    variants = [
        run.changed(train=(first, second)),
        run.changed(train=(second, first)),
        run.changed(train=(first,)),
        run.changed(train=(second,)),
        run.changed(train=(first.model_copy(update={"volume": "1" * 16}),)),
    ]
    assert len({variant.run_id for variant in variants}) == len(variants)


def test_other_facts_about_a_study_leave_the_id_unchanged(run: RunSpec) -> None:
    counted_anew = run.train[0].model_copy(update={"lesions": 7, "lesion_volume_ml": 1.5})
    assert run.changed(train=(counted_anew,)).run_id == run.run_id


def test_settings_that_a_run_does_not_use_leave_its_id_unchanged(run: RunSpec) -> None:
    default = run.changed(train=(), cell=Cell(arm="default", source="glioma", training_size=0, fold=1, seed=0))
    assert default.changed(training=training(learning_rate=2e-4)).run_id == default.run_id
    assert default.changed(versions=versions(training=99)).run_id == default.run_id
    assert default.changed(training=training(patch_voxels=48)).run_id != default.run_id
    pretraining = run.changed(test=(), cell=None, parent=None)
    assert pretraining.changed(metric=MetricDefinition(connectivity=6)).run_id == pretraining.run_id
    rater = run.changed(train=(), parent=None, cell=Cell(arm="rater", source=None, training_size=0, fold=1, seed=0))
    assert rater.changed(architecture=Architecture(depth=3)).run_id == rater.run_id
    assert rater.changed(metric=MetricDefinition(connectivity=6)).run_id != rater.run_id


def test_the_stored_id_is_kept_on_reading(run: RunSpec) -> None:
    form = run.stored_form()
    form["training"]["learning_rate"] = 5e-5  # as if older code had computed the id
    assert RunSpec.from_stored(form).run_id == run.run_id
    assert RunSpec.from_stored(dict(reversed(form.items()))).run_id == run.run_id


class Before(Document):
    """A document of an earlier release."""

    rate: float = 0.1


class After(Document):
    """The same document with fields that were added later."""

    rate: float = 0.1
    loss: Annotated[str, Neutral("cross-entropy")] = "cross-entropy"
    budget: Annotated[Budget | None, Neutral(None)] = None
    workers: Annotated[int, Aside()] = 1


class Unmarked(Document):
    """The same document with a field that is neither Neutral nor Aside."""

    rate: float = 0.1
    loss: str = "cross-entropy"


def test_a_field_added_later_is_left_out_if_it_has_its_neutral_value() -> None:
    assert identity_digest(After()) == identity_digest(Before())
    assert identity_digest({"training": [After(workers=4)]}) == identity_digest({"training": [Before()]})
    assert identity_digest(After(loss="dice")) != identity_digest(Before())
    assert identity(After(budget=Budget(epochs=3))) == {"rate": 0.1, "budget": {"epochs": 3, "steps": None}}
    assert identity_digest(Unmarked()) != identity_digest(Before())


def test_default_values_are_part_of_an_identity() -> None:
    assert identity(Before()) == {"rate": 0.1}


def test_a_value_without_a_json_form_is_refused() -> None:
    with pytest.raises(TypeError, match="found set"):
        identity({"studies": {1, 2}})
