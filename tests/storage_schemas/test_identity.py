"""A run is named by what decides its result and by nothing else; its name stays, whatever is added later."""

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


def start(**changed: Any) -> Parent:
    given = {"model": ModelName(name="glioma", version="0" * 16), "weights_sha256": "0" * 64}
    return Parent.model_validate(given | changed)


DECISIVE: dict[str, dict[str, Any]] = {
    "channels": {"channels": ("t1w",)},
    "arm": {"cell": Cell(arm="de-novo", source=None, training_size=1, fold=1, seed=0)},
    "fold": {"cell": Cell(arm="fine-tuned", source="glioma", training_size=1, fold=2, seed=0)},
    "no training": {"train": ()},
    "no test": {"test": ()},
    "no parent": {"parent": None},
    "parent weights": {"parent": start(weights_sha256="1" * 64)},
    "adaptation": {"parent": start(adaptation=Adaptation(head="reinitialise"))},
    "architecture": {"architecture": Architecture(depth=3)},
    "learning rate": {"training": training(learning_rate=2e-4)},
    "deformation": {"training": training(elastic=Elastic(sd_mm=4.0))},
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
ASIDE: dict[str, dict[str, Any]] = {
    "experiment": {"experiment": "other"},
    "cohort": {"cohort": "other"},
    "manifest": {"manifest": "1" * 16},
    "name of the source": {"cell": Cell(arm="fine-tuned", source="tumour", training_size=1, fold=1, seed=0)},
    "name of the parent": {"parent": start(model=ModelName(name="tumour", version="1" * 16))},
    "name of the metric": {"metric": MetricDefinition(name="own")},
    "workers": {"training": training(workers=2)},
    # It decides through the digests of the volumes.
    "version of preprocessing": {"versions": versions(preprocessing=99)},
}


@pytest.mark.parametrize("what", DECISIVE)
def test_the_id_changes_with_each_thing_that_decides_the_result(run: RunSpec, what: str) -> None:
    assert run.changed(**DECISIVE[what]).run_id != run.run_id


@pytest.mark.parametrize("what", ASIDE)
def test_the_id_stays_where_nothing_that_decides_the_result_changes(run: RunSpec, what: str) -> None:
    changed = run.changed(**ASIDE[what])
    assert changed.run_id == run.run_id
    assert changed != run


def test_the_order_of_studies_and_their_labels_and_volumes_decide(run: RunSpec) -> None:
    first, second = run.train[0], run.train[0].model_copy(update={"study": "sub-3"})
    variants = [
        run.changed(train=(first, second)),
        run.changed(train=(second, first)),
        run.changed(train=(first,)),
        run.changed(train=(second,)),
        run.changed(train=(first.model_copy(update={"volume": "1" * 16}),)),
    ]
    assert len({variant.run_id for variant in variants}) == len(variants)


def test_what_is_known_of_a_study_beside_its_label_and_voxels_does_not_decide(run: RunSpec) -> None:
    counted_anew = run.train[0].model_copy(update={"lesions": 7, "lesion_volume_ml": 1.5})
    assert run.changed(train=(counted_anew,)).run_id == run.run_id


def test_settings_that_play_no_part_in_a_run_do_not_name_it(run: RunSpec) -> None:
    default = run.changed(train=(), cell=Cell(arm="default", source="glioma", training_size=0, fold=1, seed=0))
    assert default.changed(training=training(learning_rate=2e-4)).run_id == default.run_id
    assert default.changed(versions=versions(training=99)).run_id == default.run_id
    assert default.changed(training=training(patch_voxels=48)).run_id != default.run_id
    pretraining = run.changed(test=(), cell=None, parent=None)
    assert pretraining.changed(metric=MetricDefinition(connectivity=6)).run_id == pretraining.run_id
    rater = run.changed(train=(), parent=None, cell=Cell(arm="rater", source=None, training_size=0, fold=1, seed=0))
    assert rater.changed(architecture=Architecture(depth=3)).run_id == rater.run_id
    assert rater.changed(metric=MetricDefinition(connectivity=6)).run_id != rater.run_id


def test_the_id_is_stored_with_the_run_and_never_computed_again_on_reading(run: RunSpec) -> None:
    form = run.stored_form()
    form["training"]["learning_rate"] = 5e-5  # as an older code would have named it
    assert RunSpec.from_stored(form).run_id == run.run_id
    assert RunSpec.from_stored(dict(reversed(form.items()))).run_id == run.run_id


class Before(Document):
    """A document of an earlier release."""

    rate: float = 0.1


class After(Document):
    """The same with fields that were added later."""

    rate: float = 0.1
    loss: Annotated[str, Neutral("cross-entropy")] = "cross-entropy"
    limits: Annotated[Budget | None, Neutral(None)] = None
    workers: Annotated[int, Aside()] = 1


class Careless(Document):
    """The same with a field that nobody declared."""

    rate: float = 0.1
    loss: str = "cross-entropy"


def test_a_later_field_is_left_out_while_it_has_the_value_under_which_it_changes_nothing() -> None:
    assert identity_digest(After()) == identity_digest(Before())
    assert identity_digest({"training": [After(workers=4)]}) == identity_digest({"training": [Before()]})
    assert identity_digest(After(loss="dice")) != identity_digest(Before())
    assert identity(After(limits=Budget(epochs=3))) == {"rate": 0.1, "limits": {"epochs": 3, "steps": None}}
    assert identity_digest(Careless()) != identity_digest(Before())


def test_a_default_is_always_written_so_that_another_default_is_another_result() -> None:
    assert identity(Before()) == {"rate": 0.1}


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(TypeError, match="found set"):
        identity({"studies": {1, 2}})
